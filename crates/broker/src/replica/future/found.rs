//! What a start finds of moves that a crash or a stop interrupted. Must not know how moves go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_log::{LogError, Offsets, OpenOptions, PartitionLog, TopicPartition};
use ottla_metadata::Image;
use ottla_protocol::{Millis, Offset};
use tracing::warn;

use super::super::Partitions;

/// The partitions' directories that were found, and the copies.
#[derive(Default)]
pub(in crate::replica) struct Found {
    live: BTreeMap<TopicPartition, Vec<usize>>,
    futures: Vec<(TopicPartition, usize, String)>,
}

impl Found {
    /// The directory of a partition of this broker.
    pub(in crate::replica) fn live(&mut self, partition: TopicPartition, volume: usize) {
        self.live.entry(partition).or_default().push(volume);
    }

    /// A copy of one.
    pub(in crate::replica) fn future(
        &mut self,
        partition: TopicPartition,
        volume: usize,
        name: String,
    ) {
        self.futures.push((partition, volume, name));
    }
}

impl Partitions {
    /// In which log directory each partition is. Copies are noted, to be gone on with; those that
    /// are of no use go to `aside`.
    pub(in crate::replica) fn settle_found(
        &self,
        image: &Arc<Image>,
        found: Found,
        now: Millis,
        aside: &mut Vec<(usize, String)>,
    ) -> Result<BTreeMap<TopicPartition, usize>, LogError> {
        let mut places = BTreeMap::new();
        for (partition, volumes) in found.live {
            let place = match volumes.as_slice() {
                [one] => *one,
                several => self.choose(image, &partition, several, now)?,
            };
            places.insert(partition, place);
        }
        for (partition, volume, name) in found.futures {
            let there = places.get(&partition);
            let clean = self.volumes.get(volume).is_some_and(|v| v.points.read().clean.is_some());
            let useful = there.is_some_and(|place| *place != volume);
            if !(useful && self.found_future(partition, volume, &name, clean)) {
                aside.push((volume, name));
            }
        }
        Ok(places)
    }

    /// A crash can leave a partition in two log directories: the move's copy has its name, and the
    /// old directory not yet another. Both then have what was acknowledged; if the old one went on
    /// because the other failed, it has more. So the longer log counts, and of two that are as long
    /// the one that the metadata names. The other is kept for someone to look at.
    fn choose(
        &self,
        image: &Arc<Image>,
        partition: &TopicPartition,
        volumes: &[usize],
        now: Millis,
    ) -> Result<usize, LogError> {
        let topic = image.topic(&partition.topic);
        let metadata = topic.and_then(|topic| topic.partition(partition.partition));
        let rank = |volume: usize| {
            let named = metadata.is_some_and(|p| self.is_known_in(p, volume));
            (self.end_in(image, partition, volume, now), named)
        };
        let ranked: Vec<_> = volumes.iter().map(|volume| (rank(*volume), *volume)).collect();
        let best = ranked.iter().max_by_key(|(rank, _)| *rank).map_or(0, |(_, volume)| *volume);
        for other in volumes.iter().filter(|volume| **volume != best) {
            if let Some(other) = self.volumes.get(*other) {
                let path = other.dir.path().display();
                warn!(%partition, %path, "it is in another log directory too: put aside here");
                self.put_aside(other, partition)?;
            }
        }
        Ok(best)
    }

    /// Where the partition's log in this log directory ends; `None` when it cannot be opened.
    fn end_in(
        &self,
        image: &Arc<Image>,
        partition: &TopicPartition,
        volume: usize,
        now: Millis,
    ) -> Option<Offset> {
        let volume = self.volumes.get(volume)?;
        let config = self.config_of(image, &partition.topic);
        let id = image.topic(&partition.topic)?.id;
        let mut options = OpenOptions::new(Some(id), config.log, now);
        options.producer_rules = config.producers;
        let points = volume.points.read();
        let known = |offsets: &Offsets| offsets.get(partition).copied().unwrap_or_default();
        options.clean = points.clean.is_some();
        options.recovery_point = known(&points.recovery);
        options.log_start = known(&points.log_start);
        drop(points);
        match PartitionLog::open(&volume.dir, partition, options) {
            Ok((log, _report)) => Some(log.log_end()),
            Err(error) => {
                warn!(%partition, %error, "one of the two directories cannot be opened");
                None
            }
        }
    }
}
