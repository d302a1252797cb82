//! The commands over log directories in memory: those that Apache Kafka 4.4.0 wrote, those that
//! `ottla-log` wrote, and damaged ones.

mod damaged;
mod dumps;
mod golden;
mod plans;
mod support;
