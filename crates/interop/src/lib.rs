//! Real clients against the real binary: starting brokers, running client programs, speaking the
//! raw protocol. Knows the command line and the wire, nothing of the broker's inside.

pub mod batches;
pub mod broker;
pub mod program;
pub mod raw;
pub mod repository;
