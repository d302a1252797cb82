//! One replica of a partition as a pure machine: leader epochs, producer state, high watermark,
//! delayed acknowledgements.
//!
//! - [`EpochCache`]: which leader epoch began at which offset (`leader-epoch-checkpoint`).
//! - [`ProducerStates`]: idempotence, open transactions, last stable offset (`.snapshot` files).
//! - [`Replica`]: log end, written and durable ends, in-sync replicas, high watermark, and who
//!   may be answered.
//!
//! Knows no files, no sockets, no clock. The `log` crate keeps the first two in step with the
//! bytes; the broker drives the third.

mod epochs;
mod producers;
mod replica;

pub use epochs::{CheckpointError, EpochCache, EpochEnd, EpochEntry};
pub use producers::{
    Admission, AppendContext, AppendOrigin, BatchKind, BatchMetadata, CompletedTxn, EndTxnMarker,
    MarkerError, ProducerBatch, ProducerEntry, ProducerError, ProducerRules, ProducerStates,
    SnapshotError, VerificationGuard, decode_snapshot, encode_snapshot,
};
pub use replica::{
    Acks, Ends, Leadership, Replica, ReplicaConfig, ReplicaEffect, ReplicaError, Role,
};
