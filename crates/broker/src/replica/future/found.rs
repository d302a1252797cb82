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
        let mut copies = Vec::new();
        for (partition, volume, name) in found.futures {
            if !places.contains_key(&partition) && self.adopt(image, &partition, volume, &name)? {
                places.insert(partition, volume);
            } else {
                copies.push((partition, volume, name));
            }
        }
        for (partition, volume, name) in copies {
            let Some(there) = places.get(&partition) else {
                warn!(%partition, %name, "a copy whose log is not there: it stays as it is");
                continue;
            };
            let clean = self.volumes.get(volume).is_some_and(|v| v.points.read().clean.is_some());
            if *there == volume || !self.found_future(partition, volume, &name, clean) {
                aside.push((volume, name));
            }
        }
        Ok(places)
    }

    /// The log of this copy is not there: it was in a log directory that is gone since. When the
    /// controller had noted where the copy is, then that is the log now, as in Kafka
    /// (`LogManager.recoverAbandonedFutureLogs`).
    fn adopt(
        &self,
        image: &Image,
        partition: &TopicPartition,
        volume: usize,
        name: &str,
    ) -> Result<bool, LogError> {
        let topic = image.topic(&partition.topic);
        let metadata = topic.and_then(|topic| topic.partition(partition.partition));
        let (Some(metadata), Some(there)) = (metadata, self.volumes.get(volume)) else {
            return Ok(false);
        };
        if self.noted_volume(metadata) != Some(volume) {
            return Ok(false);
        }
        let path = there.dir.path().display();
        warn!(%partition, %path, "its log is not there, and a copy of it takes its place");
        there.dir.promote(name, partition)?;
        Ok(true)
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
