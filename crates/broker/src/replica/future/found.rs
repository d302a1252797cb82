//! What a start finds of moves that a crash or a stop interrupted. Must not know how moves go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_log::{LogError, Offsets, OpenOptions, PartitionLog, TopicPartition};
use ottla_metadata::Image;
use ottla_protocol::{Millis, Offset};
use tracing::{error, warn};

use super::super::Partitions;
use super::super::volume::Volume;

/// Where a partition of this broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::replica) enum Place {
    /// Its log is in this log directory.
    Log {
        volume: usize,
        /// It was no log before, and what a stop says of the directory's logs is not said of it.
        doubted: bool,
    },
    /// It may be in each of these, and which of them has all of it cannot be told now.
    Unknown(Vec<usize>),
}

/// Where the partitions are that were found.
pub(in crate::replica) type Places = BTreeMap<TopicPartition, Place>;

impl Place {
    /// Whether the partition may be in this log directory.
    pub(in crate::replica) fn may_be(&self, index: usize) -> bool {
        match self {
            Self::Log { volume, .. } => *volume == index,
            Self::Unknown(volumes) => volumes.contains(&index),
        }
    }
}

/// What one of several directories of a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Its log, up to here.
    Log(Offset),
    /// That of another topic of the same name.
    Foreign,
    /// It cannot be opened.
    Unknown,
}

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
    ) -> Places {
        let mut places = Places::new();
        for (partition, volumes) in found.live {
            let place = match volumes.as_slice() {
                [one] => Place::Log { volume: *one, doubted: false },
                several => self.choose(image, &partition, several, now),
            };
            places.insert(partition, place);
        }
        let mut copies = Vec::new();
        for (partition, volume, name) in found.futures {
            let is_there = places.contains_key(&partition);
            let adopted =
                if is_there { None } else { self.adopt(image, &partition, volume, &name) };
            match adopted {
                Some(place) => {
                    places.insert(partition, place);
                }
                None => copies.push((partition, volume, name)),
            }
        }
        for (partition, volume, name) in copies {
            let there = match places.get(&partition) {
                Some(Place::Log { volume, .. }) => *volume,
                Some(Place::Unknown(_)) | None => {
                    warn!(%partition, %name, "a copy whose log is not there: it stays as it is");
                    continue;
                }
            };
            let id = image.topic(&partition.topic).map(|topic| topic.id);
            let key = id.map(|id| (id, partition.partition));
            let is_wanted =
                there != volume && key.is_some_and(|key| self.found_future(key, volume, &name));
            if !is_wanted {
                aside.push((volume, name));
            }
        }
        places
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
    ) -> Option<Place> {
        let topic = image.topic(&partition.topic)?;
        let metadata = topic.partition(partition.partition)?;
        let there = self.volumes.get(volume)?;
        if self.noted_volume(metadata) != Some(volume) {
            return None;
        }
        let path = there.dir.path().display();
        warn!(%partition, %path, "its log is not there, and a copy of it takes its place");
        if let Err(error) = there.dir.promote(name, partition) {
            error!(%partition, %path, %error, "it is offline: the copy cannot be given its name");
            if !error.is_no_space() {
                there.out_of_service(&error);
            }
            return Some(Place::Unknown(vec![volume]));
        }
        Some(Place::Log { volume, doubted: true })
    }

    /// A crash can leave a partition in two log directories: the move's copy has its name, and the
    /// old directory not yet another. Both then have what was acknowledged; if the old one went on
    /// because the other failed, it has more. So the longer log counts, and of two that are as long
    /// the one that the metadata names. The other is kept for someone to look at. While one of them
    /// cannot be opened, which is the longer is not known: then all stay, and none is served.
    fn choose(
        &self,
        image: &Arc<Image>,
        partition: &TopicPartition,
        volumes: &[usize],
        now: Millis,
    ) -> Place {
        let topic = image.topic(&partition.topic);
        let metadata = topic.and_then(|topic| topic.partition(partition.partition));
        let is_named =
            |volume: usize| metadata.is_some_and(|metadata| self.is_known_in(metadata, volume));
        let look = |volume: &usize| {
            let there = self.volumes.get(*volume);
            (*volume, there.map_or(Content::Foreign, |v| self.look_into(v, image, partition, now)))
        };
        let seen: Vec<(usize, Content)> = volumes.iter().map(look).collect();
        let unknown = seen.iter().filter(|(_, content)| *content == Content::Unknown).count();
        let foreign = seen.iter().filter(|(_, content)| *content == Content::Foreign).count();
        if unknown > 0 && foreign < volumes.len() - 1 {
            error!(
                %partition,
                "it is offline: it is in more than one log directory, and where it cannot be opened \
                 it may be the longer"
            );
            return Place::Unknown(volumes.to_vec());
        }
        let rank = |(volume, content): &(usize, Content)| match content {
            Content::Log(end) => (1, Some(*end), is_named(*volume)),
            // The only one that is not another's.
            Content::Unknown => (1, None, is_named(*volume)),
            Content::Foreign => (0, None, is_named(*volume)),
        };
        let best = seen.iter().max_by_key(|one| rank(one)).map_or(0, |(volume, _)| *volume);
        for other in volumes.iter().filter(|volume| **volume != best) {
            if let Some(other) = self.volumes.get(*other) {
                let path = other.dir.path().display();
                warn!(%partition, %path, "it is in another log directory too: put aside here");
                self.put_aside_if_possible(other, partition);
            }
        }
        Place::Log { volume: best, doubted: false }
    }

    /// What the directory of the partition's name in this log directory holds.
    fn look_into(
        &self,
        volume: &Volume,
        image: &Image,
        partition: &TopicPartition,
        now: Millis,
    ) -> Content {
        let Some(topic) = image.topic(&partition.topic) else { return Content::Foreign };
        if volume.dir.failure().is_some() {
            return Content::Unknown;
        }
        let open = || {
            let config = self.config_of(image, &partition.topic);
            let mut options = OpenOptions::new(Some(topic.id), config.log, now);
            options.producer_rules = config.producers;
            let points = volume.points.read();
            let known = |offsets: &Offsets| offsets.get(partition).copied().unwrap_or_default();
            options.clean = points.clean.is_some();
            options.recovery_point = known(&points.recovery);
            options.log_start = known(&points.log_start);
            drop(points);
            PartitionLog::open(&volume.dir, partition, options)
        };
        let opened = match open() {
            // As when any log is opened: there may be a little for it.
            Err(error) if error.is_no_space() && volume.dir.give_up_reserve() => open(),
            other => other,
        };
        match opened {
            Ok((log, _report)) => Content::Log(log.log_end()),
            Err(LogError::TopicId { .. }) => Content::Foreign,
            Err(error) => {
                let path = volume.dir.path().display();
                warn!(%partition, %path, %error, "one of its directories cannot be opened");
                if error.is_failed_write() {
                    volume.out_of_service(&error);
                }
                Content::Unknown
            }
        }
    }
}
