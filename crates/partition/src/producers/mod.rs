//! What a partition knows of its idempotent and transactional producers. Owns Kafka's rules for
//! sequences, producer epochs, transactions and their end, and the `.snapshot` format. Must not
//! know files, nor where batches come from.

mod batch;
mod check;
mod entry;
mod snapshot;
mod states;
mod verification;

pub use batch::{AppendContext, AppendOrigin, BatchKind, EndTxnMarker, MarkerError, ProducerBatch};
pub use check::{Admission, ProducerError};
pub use entry::{BatchMetadata, ProducerEntry};
pub use snapshot::{SnapshotError, decode_snapshot, encode_snapshot};
pub use states::{CompletedTxn, ProducerRules, ProducerStates};
pub use verification::VerificationGuard;
