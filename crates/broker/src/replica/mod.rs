//! Hosting of partitions: which are here, their logs, and who waits on them. Must not know
//! requests or connections.

mod attention;
mod checkpoints;
mod cleaning;
mod config;
mod courtesy;
mod damage;
#[cfg(test)]
mod fixture;
mod future;
mod metadata;
mod no_space;
mod opening;
mod partition;
mod partitions;
mod reading;
mod retention;
mod stop;
mod syncing;
mod volume;
mod waits;

pub(crate) use self::config::PartitionConfig;
pub(crate) use self::courtesy::Courtesy;
pub(crate) use self::future::start as start_moving;
pub(crate) use self::metadata::Changes;
pub(crate) use self::partition::{
    FetchFrom, FetchRead, FetchRefused, HostedPartition, Isolation, Refused,
};
pub(crate) use self::partitions::{Partitions, PartitionsStart};
pub(crate) use self::reading::{ReadTurn, Reading};
pub(crate) use self::volume::Volume;
pub(crate) use self::waits::{AckToken, FetchWait, ProduceWait};
