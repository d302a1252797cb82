//! Offsets for timestamps, ends of leader epochs, producers. Must not know records.

use std::collections::BTreeSet;

use anyhow::Context;
use ottla_interop::raw::Connection;
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::k23_offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use ottla_protocol::k61_describe_producers::TopicRequest;
use ottla_protocol::{DescribeProducersRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

use super::{Patient, Picture};

/// At most so many timestamps are looked up in a partition.
const LOOKUPS: usize = 40;

impl Picture {
    /// Looks up timestamps at and around those given, and the special ones, for readers of all
    /// records and of committed ones.
    pub(super) fn times(
        &mut self,
        client: &mut Connection,
        topic: &str,
        partition: i32,
        found: &BTreeSet<i64>,
        (compacted, empty): (bool, bool),
    ) -> anyhow::Result<()> {
        let name = format!("{topic}-{partition}");
        let mut asked: BTreeSet<i64> = if compacted { BTreeSet::new() } else { spread(found) };
        // What compaction leaves decides which record has the largest timestamp (−3).
        asked.extend(if compacted { -2..=-1 } else { -3..=-1 });
        for isolation in [0, 1] {
            for time in &asked {
                let (timestamp, offset, epoch) =
                    look_up(client, topic, partition, *time, isolation)?;
                // The end is answered with the epoch of the leader of today, and so is the start
                // of an empty log.
                let today = *time == -1 || (*time == -2 && empty);
                let epoch = if today { -1 } else { epoch };
                self.line(
                    format!("{name} time {time} isolation {isolation}"),
                    format!("offset {offset} at {timestamp} epoch {epoch}"),
                );
            }
        }
        Ok(())
    }

    /// Where leader epochs end. Of the newest (`known`, and any later) only the end stays the same
    /// when a leader of a new epoch begins.
    pub(super) fn leader_epochs(
        &mut self,
        client: &mut Connection,
        topic: &str,
        partition: i32,
        known: i32,
    ) -> anyhow::Result<()> {
        for leader_epoch in 0..=known {
            let asked = OffsetForLeaderPartition {
                partition,
                current_leader_epoch: -1,
                leader_epoch,
                ..Default::default()
            };
            let request = OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![OffsetForLeaderTopic {
                    topic: topic.into(),
                    partitions: vec![asked],
                    ..Default::default()
                }],
                ..Default::default()
            };
            let answer = client.ask_until(4, &request, |answer| {
                let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.map(|partition| partition.error_code).collect()
            })?;
            let end = answer.topics.first().and_then(|topic| topic.partitions.first());
            let end = end.context("no epoch in the answer")?;
            let epoch = if leader_epoch == known { -1 } else { end.leader_epoch };
            self.line(
                format!("{topic}-{partition} leader epoch {leader_epoch}"),
                format!("{epoch} ends at {}", end.end_offset),
            );
        }
        Ok(())
    }

    /// What the partition knows of producers.
    pub(super) fn producers(
        &mut self,
        client: &mut Connection,
        topic: &str,
        partition: i32,
        compacted: bool,
    ) -> anyhow::Result<()> {
        let topics = vec![TopicRequest {
            name: topic.into(),
            partition_indexes: vec![partition],
            ..Default::default()
        }];
        let request = DescribeProducersRequest { topics, ..Default::default() };
        let answer = client.ask_until(0, &request, |answer| {
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).collect()
        })?;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        for producer in partitions.flat_map(|partition| &partition.active_producers) {
            // Of a batch that compaction made smaller another timestamp may be the largest.
            let time = if compacted { 0 } else { producer.last_timestamp };
            self.line(
                format!("{topic}-{partition} producer {}", producer.producer_id),
                format!(
                    "epoch {} sequence {} time {time} coordinator {} transaction from {}",
                    producer.producer_epoch,
                    producer.last_sequence,
                    producer.coordinator_epoch,
                    producer.current_txn_start_offset
                ),
            );
        }
        Ok(())
    }
}

/// Timestamps evenly chosen from those found, with the ones before and after.
fn spread(found: &BTreeSet<i64>) -> BTreeSet<i64> {
    let step = (found.len() / (LOOKUPS / 3)).max(1);
    let chosen = found.iter().step_by(step).chain(found.last()).chain(found.first());
    chosen.flat_map(|time| [time - 1, *time, time + 1]).filter(|time| *time >= 0).collect()
}

/// Timestamp, offset and leader epoch for a timestamp.
pub(super) fn look_up(
    client: &mut Connection,
    topic: &str,
    partition: i32,
    timestamp: i64,
    isolation_level: i8,
) -> anyhow::Result<(i64, i64, i32)> {
    let asked = ListOffsetsPartition {
        partition_index: partition,
        current_leader_epoch: -1,
        timestamp,
        ..Default::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![asked],
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let answer = client.ask_until(10, &request, |answer| {
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).collect()
    })?;
    let found = answer.topics.first().and_then(|topic| topic.partitions.first());
    let found = found.context("no offset in the answer")?;
    Ok((found.timestamp, found.offset, found.leader_epoch))
}
