//! Integration tests of the partition crate: what Apache Kafka 4.4.0 wrote and decided, replayed;
//! tables; and random runs against simple models.

#[cfg(test)]
mod batches;
#[cfg(test)]
mod epochs;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod leader_epochs;
#[cfg(test)]
mod producer_rules;
#[cfg(test)]
mod producers;
#[cfg(test)]
mod replica;
#[cfg(test)]
mod replica_model;
#[cfg(test)]
mod snapshots;
