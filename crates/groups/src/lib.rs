//! Consumer groups and their offsets: plan gives records, apply changes state.
//!
//! One [`Shard`] is the coordinator of one partition of `__consumer_offsets`. It knows no log, no
//! socket, no clock and no randomness: what it needs of them comes in with each call, and what it
//! wants of them goes out in an [`Outcome`].
//!
//! The host, for each [`Outcome`]:
//! 1. appends `records` to the partition, when there are any: as one batch, or, where there are
//!    too many for one (only ever tombstones), cut by [`Record::batches`];
//! 2. at once, before any other call, gives each back to [`Shard::apply`] with its offset;
//! 3. hands out `replies` when the log is committed up to the log end offset after step 1. This
//!    holds without records too: a reply may tell of what an earlier, uncommitted record changed;
//! 4. arms its timer anew from [`Shard::next_deadline`].
//!
//! When the append fails, or the partition's leadership is lost, the host calls
//! [`Shard::unload`], turns the replies it still holds into refusals
//! ([`Reply::into_refusal`]) and drops the shard; it is loaded from the log again later. There is
//! no undo.

mod admin;
mod classic;
mod command;
mod config;
mod foreign;
mod group;
mod offsets;
mod outcome;
mod partition;
mod records;
mod reply;
mod shard;

pub use command::Command;
pub use config::Config;
pub use outcome::{Now, Outcome, Token};
pub use partition::partition_for;
pub use records::{LoadError, Record};
pub use reply::{Reply, append_error};
pub use shard::Shard;
