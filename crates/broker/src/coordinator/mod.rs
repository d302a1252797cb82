//! Hosting of the group coordinators: one shard a partition of `__consumer_offsets`. Must not
//! know what a group is; the shard does.

mod group_coordinator;
mod loader;
mod shard_host;
mod timer;

pub(crate) use self::group_coordinator::GroupCoordinator;
pub(crate) use self::timer::run as run_timer;
