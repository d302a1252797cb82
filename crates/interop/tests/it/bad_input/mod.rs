//! Bad input on raw connections: Kafka's error or a closed connection, another connection is
//! served meanwhile, and the broker's memory stays what it was.

mod batches;
mod frames;
mod limits;
mod random;
mod requests;
mod scene;
mod unknown;
