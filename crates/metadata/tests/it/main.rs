//! The controller's decisions beside Apache Kafka's, and what must hold of any sequence of them.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod described;
#[cfg(test)]
mod directories;
#[cfg(test)]
mod kafka_answers;
#[cfg(test)]
mod sequences;
