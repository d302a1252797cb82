//! Compaction: of each key the last record stays. Owns what is kept, by Apache Kafka's rules, and
//! the order of file operations by which the new segment takes the place of the old ones. Driven
//! by a caller, who says when, how fast, and what time it is; it works without the log's lock, but
//! for moments ([`CompactionTarget`]). Must not know threads, clocks, nor which log is the dirtiest.
//!
//! One pass ([`Compactor::run`]):
//!
//! 1. The dirty part of the log is read, and the last offset of each key noted (`key_map`), until
//!    the map is full: then the pass ends there, and another follows.
//! 2. All segments up to there are grouped so that each group fits into one segment (`plan`).
//! 3. Each group is written anew (`rewrite`, by the rules of `retain` and `transactions`), and
//!    swapped in (`swap`).
//!
//! | what | rule |
//! |---|---|
//! | records | the last of each key stays; those without a key go; offsets never change |
//! | tombstones | stay until the horizon that the first pass over them sets (KIP-534) |
//! | aborted transactions | their records go |
//! | markers | stay while a record of their transaction was seen, and then until their horizon |
//! | a producer's last batch | stays, empty, while the producer is known |
//! | the last batch of the pass | stays, empty, so that the log's offsets are known |
//!
//! The claim ([`crate::Maintenance`]) keeps everyone else away from the segments meanwhile.

mod checkpoint;
mod key_map;
mod plan;
mod retain;
mod rewrite;
mod run;
mod swap;
mod transactions;

pub(crate) use checkpoint::CleanerOffsets;
pub(crate) use retain::{LastOfProducer, LastOfProducers};

pub use plan::{CleaningRules, Dirt};
pub use run::{
    CompactError, CompactStats, Compacted, CompactionTarget, Compactor, CompactorOptions, Pass,
};
