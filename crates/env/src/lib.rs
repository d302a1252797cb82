//! Ports to the world: disk, clock, randomness. Traits and plain types only; the operating
//! system stands behind them in `env-os`, a disk in memory (for tests and simulation) in
//! [`memory`]. Must not know anything of Kafka.

mod clock;
mod disk;
mod error;
pub mod marks;
pub mod memory;
mod planted;
mod rng;

pub use clock::{Clock, ManualClock};
pub use disk::{Disk, DiskFile, DiskLock, DiskSpace, Entry, EntryKind, OpenMode};
pub use error::{DiskError, DiskErrorKind};
#[cfg(feature = "planted")]
pub use planted::plant;
pub use planted::{PLANTED, planted};
pub use rng::{Rng, SeededRng};
