//! Whole directories both ways: Apache Kafka 4.4.0 and Ottla serve the same log directories in
//! turn, each adds and takes away, stops or is killed, and the next shows the same. The short form
//! is part of the default run; `OTTLA_BOTH_WAYS_ROUNDS=N` makes it N takeovers.

mod duplicates;
pub(crate) mod kafka_log;
mod picture;
mod rebuilt;
mod rounds;
mod steady;
