//! Topics as requests meet them: names, internal topics, creation on demand. Must not know how
//! topics are placed; the controller does.

use std::sync::Arc;
use std::time::Duration;

use ottla_metadata::configs::Value;
use ottla_metadata::{Command, Image, Partition, Refusal, Reply};
use ottla_protocol::k19_create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::{ErrorCode, StrBytes, TopicId};
use tokio::sync::oneshot;
use tracing::info;

use crate::shared::Shared;

/// The topic that holds groups and their offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// The topic that holds transactions.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// The topic that holds share groups' state.
pub(crate) const SHARE_STATE_TOPIC: &str = "__share_group_state";

/// Whether clients are told that a topic is internal.
pub(crate) fn is_internal(name: &str) -> bool {
    [OFFSETS_TOPIC, TRANSACTIONS_TOPIC, SHARE_STATE_TOPIC].contains(&name)
}

/// Whether a topic may have this name: 1 to 249 of `a-z A-Z 0-9 . _ -`, not `.` or `..`.
pub(crate) fn is_valid_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

/// Whether `auto.create.topics.enable` is on.
pub(crate) fn auto_create(shared: &Shared) -> bool {
    shared.with_effective(|e| e.broker("auto.create.topics.enable") == Value::Boolean(true))
}

/// The replicas of a partition whose brokers, or log directories, are not there.
pub(crate) fn offline_replicas(image: &Image, partition: &Partition) -> Vec<i32> {
    let mut directories = partition.directories.iter();
    let offline = partition.replicas.iter().filter(|id| {
        let directory = directories.next();
        !image.broker(**id).is_some_and(|broker| {
            !broker.fenced && directory.is_none_or(|directory| broker.has_online(*directory))
        })
    });
    offline.map(|id| id.get()).collect()
}

/// Creates topics that a client asked about; gives those that could not be created. A topic that
/// someone else creates meanwhile counts as created.
pub(crate) async fn create_on_demand(
    shared: &Arc<Shared>,
    names: Vec<StrBytes>,
) -> Vec<(StrBytes, ErrorCode)> {
    // Groups go on from what is kept back for them.
    if shared.no_space().is_some() && !names.iter().all(|name| is_internal(name)) {
        return names.into_iter().map(|name| (name, ErrorCode::PolicyViolation)).collect();
    }
    let topics = names.iter().map(|name| creatable(shared, name)).collect();
    let request = CreateTopicsRequest { topics, ..Default::default() };
    let reply = match call(shared, Command::CreateTopics(request)).await {
        Ok(Reply::CreateTopics(response)) => response.topics,
        Ok(_) => Vec::new(),
        Err(refusal) => return names.into_iter().map(|name| (name, refusal.code)).collect(),
    };
    let mut failed = Vec::new();
    for topic in reply {
        let error = ErrorCode::from(topic.error_code);
        if error == ErrorCode::None {
            info!(topic = %topic.name, "created on demand");
        } else if error != ErrorCode::TopicAlreadyExists {
            failed.push((topic.name, error));
        }
    }
    failed
}

fn creatable(shared: &Shared, name: &StrBytes) -> CreatableTopic {
    let mut topic = CreatableTopic {
        name: name.clone(),
        num_partitions: -1,
        replication_factor: -1,
        ..Default::default()
    };
    let settings: &[(&str, &str)] = match name.as_ref() {
        OFFSETS_TOPIC => &[("cleanup.policy", "compact"), ("compression.type", "producer")],
        TRANSACTIONS_TOPIC => {
            &[("cleanup.policy", "compact"), ("compression.type", "uncompressed")]
        }
        SHARE_STATE_TOPIC => &[("cleanup.policy", "delete"), ("compression.type", "none")],
        _ => return topic,
    };
    let prefix = match name.as_ref() {
        OFFSETS_TOPIC => "offsets.topic",
        TRANSACTIONS_TOPIC => "transaction.state.log",
        _ => "share.coordinator.state.topic",
    };
    let brokers = shared.image.load().brokers().filter(|broker| !broker.fenced).count();
    shared.with_effective(|effective| {
        let number =
            |setting: &str| effective.broker(&format!("{prefix}.{setting}")).as_i64().unwrap_or(-1);
        topic.num_partitions = i32::try_from(number("num.partitions")).unwrap_or(-1);
        // Never above the number of brokers: a small cluster works without settings.
        let factor = number("replication.factor").min(i64::try_from(brokers).unwrap_or(1)).max(1);
        topic.replication_factor = i16::try_from(factor).unwrap_or(1);
        topic.configs.push(config("segment.bytes", &number("segment.bytes").to_string()));
    });
    topic.configs.extend(settings.iter().map(|(name, value)| config(name, value)));
    topic
}

fn config(name: &str, value: &str) -> CreatableTopicConfig {
    CreatableTopicConfig {
        name: StrBytes::from(name),
        value: Some(StrBytes::from(value)),
        ..Default::default()
    }
}

/// Asks the controller and waits for its reply.
pub(crate) async fn call(shared: &Arc<Shared>, command: Command) -> Result<Reply, Refusal> {
    let (sender, receiver) = oneshot::channel();
    shared.controller.submit(command, move |reply| {
        // Nobody waits any more when the connection has gone.
        let _gone = sender.send(reply);
    });
    receiver.await.unwrap_or_else(|_| Err(Refusal::bare(ErrorCode::NotController)))
}

/// Waits until this broker has opened its partitions of these topics, at most as long as the
/// client does: what was created can then be used at once.
pub(crate) async fn until_open(shared: &Arc<Shared>, topics: &[TopicId], timeout_ms: i32) {
    let limit = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    // Created they are all the same.
    let _late = tokio::time::timeout(limit, shared.partitions.until_open(topics)).await;
}

/// The controller answered something else than was asked: a bug, told as Kafka tells one.
pub(crate) fn wrong_reply() -> Refusal {
    Refusal::bare(ErrorCode::UnknownServerError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names() {
        assert!(is_valid_name("a.B_c-9") && is_valid_name(&"x".repeat(249)));
        for bad in ["", ".", "..", "a b", "é", "a/b", &"x".repeat(250)] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }
}
