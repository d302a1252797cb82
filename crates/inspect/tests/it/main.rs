//! The commands over log directories in memory: those that Apache Kafka 4.4.0 wrote, those that
//! `ottla-log` wrote, and damaged ones.

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod dumps;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod support;
