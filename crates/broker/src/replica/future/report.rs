//! Tells the controller in which log directories partitions are (AssignReplicasToDirs). Must not
//! know how they came there.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};

use ottla_metadata::{Command, Partition, Reply};
use ottla_protocol::k73_assign_replicas_to_dirs::{
    AssignReplicasToDirsRequestDirectoryData, AssignReplicasToDirsRequestPartitionData,
    AssignReplicasToDirsRequestTopicData,
};
use ottla_protocol::{AssignReplicasToDirsRequest, TopicId, Uuid};
use tracing::warn;

use super::super::Partitions;
use super::super::volume::Key;
use crate::shared::Shared;

/// Partitions in one request, as in Kafka.
const ASSIGNMENTS_MAX: usize = 2250;

/// What was asked, and where the answer comes.
pub(super) struct Asked {
    pub(super) keys: Vec<Key>,
    pub(super) answer: Receiver<bool>,
}

impl Partitions {
    /// Whether the metadata has the partition in this log directory; one that knows of no
    /// directories at all is content with any.
    pub(in crate::replica) fn is_known_in(&self, partition: &Partition, volume: usize) -> bool {
        let noted = self.noted(partition);
        let here = self.volumes.get(volume).and_then(|volume| volume.id);
        noted.is_none() || here.is_none() || noted == here
    }

    /// The id of the log directory that the metadata has for this broker's replica.
    pub(in crate::replica) fn noted(&self, partition: &Partition) -> Option<Uuid> {
        let mine = partition.replicas.iter().position(|replica| *replica == self.node);
        mine.and_then(|index| partition.directories.get(index)).copied()
    }

    /// Some of the partitions that the metadata has elsewhere.
    fn take_reports(&self) -> Vec<(Key, usize)> {
        let mut state = self.moves.state.lock();
        let mut taken = Vec::new();
        while taken.len() < ASSIGNMENTS_MAX
            && let Some(key) = state.reports.pop_first()
        {
            taken.push(key);
        }
        drop(state);
        let image = self.image.load();
        let place = |key: Key| {
            let volume = self.by_id(key.0, key.1)?.dir();
            let partition = image.partition(key.0, key.1)?;
            (!self.is_known_in(partition, volume)).then_some((key, volume))
        };
        taken.into_iter().filter_map(place).collect()
    }
}

/// Asks for what is to be told, if anything is and the broker has registered.
pub(super) fn report(shared: &Shared) -> Option<Asked> {
    if shared.broker_epoch() < 0 || shared.log_dir_ids.get().is_none() {
        return None;
    }
    let places = shared.partitions.take_reports();
    (!places.is_empty()).then(|| {
        let keys = places.iter().map(|(key, _)| *key).collect();
        Asked { keys, answer: assign(shared, &places) }
    })
}

/// Asks the controller to note where partitions are; whether it did comes later.
pub(super) fn assign(shared: &Shared, places: &[(Key, usize)]) -> Receiver<bool> {
    let mut dirs: BTreeMap<Uuid, BTreeMap<TopicId, Vec<i32>>> = BTreeMap::new();
    for ((topic, index), volume) in places {
        if let Some(id) = shared.partitions.volumes.get(*volume).and_then(|volume| volume.id) {
            dirs.entry(id).or_default().entry(*topic).or_default().push(*index);
        }
    }
    let partition = |partition_index: i32| AssignReplicasToDirsRequestPartitionData {
        partition_index,
        ..Default::default()
    };
    let topic =
        |(topic_id, partitions): (TopicId, Vec<i32>)| AssignReplicasToDirsRequestTopicData {
            topic_id,
            partitions: partitions.into_iter().map(partition).collect(),
            ..Default::default()
        };
    let directories =
        dirs.into_iter().map(|(id, topics)| AssignReplicasToDirsRequestDirectoryData {
            id,
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        });
    let request = AssignReplicasToDirsRequest {
        broker_id: shared.identity.node.get(),
        broker_epoch: shared.broker_epoch(),
        directories: directories.collect(),
        ..Default::default()
    };
    let (sender, receiver) = mpsc::sync_channel(1);
    let woken = std::thread::current();
    shared.controller.submit(Command::AssignReplicasToDirs(request), move |reply| {
        let taken = match reply {
            Ok(Reply::AssignReplicasToDirs(response)) => {
                let topics = response.directories.iter().flat_map(|dir| &dir.topics);
                let mut partitions = topics.flat_map(|topic| &topic.partitions);
                response.error_code == 0 && partitions.all(|partition| partition.error_code == 0)
            }
            Ok(_) => false,
            Err(refusal) => {
                warn!(%refusal, "the controller did not note where partitions are");
                false
            }
        };
        // Nobody may wait any more.
        let _gone = sender.try_send(taken);
        woken.unpark();
    });
    receiver
}
