//! Real clients against the real binary.

pub mod batches;
