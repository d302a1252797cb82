//! Compaction in a whole broker: it happens by itself, readers go on, the state of groups is the
//! same afterwards.

use std::path::Path;

use bytes::Bytes;
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k09_offset_fetch::OffsetFetchRequestTopic;
use ottla_protocol::k19_create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla_protocol::k47_offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use ottla_protocol::{
    CreateTopicsRequest, ErrorCode, FindCoordinatorRequest, Millis, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest,
};
use ottla_records::{BatchBuilder, BatchOptions, Batches, Scratch};

use crate::data::{delete, fetch, fetched, produce, produced};
use crate::fixture::{Client, NOW, World, create as create_plain, set, until_some};

const FAST: (&str, &str) = ("log.cleaner.backoff.ms", "10");

fn create(client: &mut Client, name: &'static str, configs: &[(&'static str, &'static str)]) {
    let config = |(name, value): &(&'static str, &'static str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..CreatableTopicConfig::default()
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(7, &request).unwrap().topics[0].error_code, 0);
}

/// Writes one record, so much later than `NOW` that it begins a segment of its own.
fn put(client: &mut Client, name: &'static str, key: &str, value: Option<&str>, later: i64) {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    let value = value.map(str::as_bytes);
    builder.append(Millis(NOW + later), Some(key.as_bytes()), value, &[]).unwrap();
    let request = produce(-1, name, Bytes::from(builder.build().unwrap()));
    assert_eq!(produced(client, &request).error_code, 0);
}

/// Offset, key and value of all records.
fn all(client: &mut Client, name: &'static str) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = Vec::new();
    let mut next = 0;
    loop {
        let data = fetched(client, &fetch(name, &[next])).remove(0);
        assert_eq!(data.error_code, 0);
        let bytes: Vec<u8> = data.records.as_ref().unwrap().pieces().flatten().copied().collect();
        if bytes.is_empty() {
            return found;
        }
        let mut scratch = Scratch::new();
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                let record = record.unwrap();
                let (key, value) = (record.key.map(text).unwrap(), record.value.map(text));
                found.push((record.offset.get(), key, value));
            }
            next = batch.header().next_offset().get();
        }
    }
}

/// Up to where the partition was cleaned, by the file.
fn cleaned(world: &World, partition: &str) -> i64 {
    offset_in(world, "/data/cleaner-offset-checkpoint", partition)
}

/// What one of the checkpoints says of the partition; -1 when it does not speak of it.
fn offset_in(world: &World, file: &str, partition: &str) -> i64 {
    let files = world.disk.files();
    let Some(content) = files.get(Path::new(file)) else { return -1 };
    let text = String::from_utf8(content.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(partition)?.strip_prefix(' '));
    line.map_or(-1, |offset| offset.parse().unwrap())
}

#[test]
fn a_compacted_topic_keeps_the_last_of_each_key() {
    let world = World::new();
    let running = world.start(&[FAST]);
    let mut client = running.client();
    create(
        &mut client,
        "state",
        &[
            ("cleanup.policy", "compact"),
            ("segment.ms", "1"),
            ("delete.retention.ms", "1000"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ],
    );
    create(&mut client, "events", &[("segment.ms", "1")]);
    for i in 0..40 {
        let value = format!("value-{i}");
        put(&mut client, "state", &format!("key-{}", i % 3), Some(&value), i * 10);
        put(&mut client, "events", &format!("key-{}", i % 3), Some(&value), i * 10);
    }
    put(&mut client, "state", "key-1", None, 400);
    put(&mut client, "state", "key-2", Some("last"), 410);
    // All but the last, whose segment is open.
    until_some(|| (cleaned(&world, "state 0") == 41).then_some(()));
    let state = |n: i64| (n, format!("key-{}", n % 3), Some(format!("value-{n}")));
    let mut expected = vec![
        state(38),
        state(39),
        (40, "key-1".to_owned(), None),
        (41, "key-2".to_owned(), Some("last".to_owned())),
    ];
    assert_eq!(all(&mut client, "state"), expected);
    assert_eq!(all(&mut client, "events").len(), 40, "only compacted topics are");
    // The tombstone's horizon passes; more is written, so that the log is due again.
    world.clock.advance_ms(2000);
    put(&mut client, "state", "key-2", Some("newer"), 2000);
    put(&mut client, "state", "key-2", Some("newest"), 2010);
    until_some(|| (cleaned(&world, "state 0") == 43).then_some(()));
    expected = vec![
        state(39),
        (42, "key-2".to_owned(), Some("newer".to_owned())),
        (43, "key-2".to_owned(), Some("newest".to_owned())),
    ];
    assert_eq!(all(&mut client, "state"), expected);
    running.stop();
    let running = world.start(&[FAST]);
    assert_eq!(all(&mut running.client(), "state"), expected);
    running.stop();
}

#[test]
fn the_policy_counts_as_it_is_now() {
    let world = World::new();
    let running = world.start(&[FAST]);
    let mut client = running.client();
    let eager = [("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0.01")];
    create(&mut client, "state", &eager);
    create(&mut client, "other", &eager);
    for i in 0..10 {
        put(&mut client, "state", "key", Some(&i.to_string()), i * 10);
        put(&mut client, "other", "key", Some(&i.to_string()), i * 10);
    }
    set(&mut client, "state", "cleanup.policy", "compact");
    until_some(|| (cleaned(&world, "state 0") == 9).then_some(()));
    assert_eq!(all(&mut client, "state").len(), 2);
    set(&mut client, "state", "cleanup.policy", "delete");
    for i in 10..20 {
        put(&mut client, "state", "key", Some(&i.to_string()), i * 10);
    }
    // Whoever looks for what is to be cleaned has looked again when this is done.
    set(&mut client, "other", "cleanup.policy", "compact");
    until_some(|| (cleaned(&world, "other 0") == 9).then_some(()));
    assert_eq!((cleaned(&world, "state 0"), all(&mut client, "state").len()), (9, 12));
    running.stop();
}

#[test]
fn recovery_points_are_written_before_a_log_is_cleaned_and_only_then() {
    const POINTS: &str = "/data/recovery-point-offset-checkpoint";
    let world = World::new();
    let running = world.start(&[FAST]);
    let mut client = running.client();
    let compacted = |ratio| {
        [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", ratio)]
    };
    create(&mut client, "later", &compacted("1"));
    create(&mut client, "first", &compacted("0.01"));
    create(&mut client, "other", &[]);
    for topic in ["later", "first"] {
        for i in 0..10 {
            put(&mut client, topic, "key", Some(&i.to_string()), i * 10);
        }
    }
    until_some(|| (cleaned(&world, "first 0") == 9).then_some(()));
    assert!(offset_in(&world, POINTS, "first 0") >= 9);
    assert_eq!(offset_in(&world, POINTS, "later 0"), 10);
    // The file says enough of what is cleaned now, and is left as it is.
    put(&mut client, "other", "key", Some("value"), 0);
    set(&mut client, "later", "min.cleanable.dirty.ratio", "0.01");
    until_some(|| (cleaned(&world, "later 0") == 9).then_some(()));
    assert_eq!(offset_in(&world, POINTS, "other 0"), 0);
    // And not of what comes behind it.
    put(&mut client, "later", "key", Some("10"), 100);
    put(&mut client, "later", "key", Some("11"), 110);
    until_some(|| (cleaned(&world, "later 0") == 11).then_some(()));
    assert!(offset_in(&world, POINTS, "later 0") >= 11);
    assert_eq!(offset_in(&world, POINTS, "other 0"), 1);
    running.stop();
}

#[test]
fn a_deleted_topic_is_forgotten() {
    let world = World::new();
    let running = world.start(&[FAST]);
    let mut client = running.client();
    // However many segments a pass finds closed, the rest is due.
    let compacted =
        [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0.01")];
    for round in 0..3 {
        create(&mut client, "state", &compacted);
        for i in 0..10 {
            put(&mut client, "state", "key", Some(&i.to_string()), i * 10);
        }
        until_some(|| (cleaned(&world, "state 0") == 9).then_some(()));
        assert_eq!(all(&mut client, "state").len(), 2, "in round {round}");
        delete(&mut client, "state");
        until_some(|| (cleaned(&world, "state 0") == -1).then_some(()));
    }
    running.stop();
}

#[test]
fn without_the_cleaner_everything_stays() {
    let world = World::new();
    let running = world.start(&[FAST, ("log.cleaner.enable", "false")]);
    let mut client = running.client();
    create(&mut client, "state", &[("cleanup.policy", "compact"), ("segment.ms", "1")]);
    for i in 0..10 {
        put(&mut client, "state", "key", Some(&i.to_string()), i * 10);
    }
    running.stop();
    let running = world.start(&[FAST, ("log.cleaner.enable", "false")]);
    assert_eq!(all(&mut running.client(), "state").len(), 10);
    running.stop();
}

fn commit(client: &mut Client, group: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        // Large, so that segments fill.
        committed_metadata: Some(format!("at {offset:04000}").into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "orders".into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    until_some(|| {
        let answer = client.ask(8, &request).unwrap();
        let error = ErrorCode::from(answer.topics[0].partitions[0].error_code);
        let loading =
            [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator].contains(&error);
        assert!(loading || error == ErrorCode::None, "{error:?}");
        (!loading).then_some(())
    });
}

fn forget(client: &mut Client, group: &str) {
    let topic = OffsetDeleteRequestTopic {
        name: "orders".into(),
        partitions: vec![OffsetDeleteRequestPartition::default()],
    };
    let request = OffsetDeleteRequest { group_id: group.to_owned().into(), topics: vec![topic] };
    assert_eq!(client.ask(0, &request).unwrap().error_code, 0);
}

fn committed(client: &mut Client, group: &str) -> (i64, String) {
    let topic = OffsetFetchRequestTopic {
        name: "orders".into(),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopic::default()
    };
    let request = OffsetFetchRequest {
        group_id: group.to_owned().into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequest::default()
    };
    until_some(|| {
        let answer = client.ask(7, &request).unwrap();
        let error = ErrorCode::from(answer.error_code);
        if [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator].contains(&error) {
            return None;
        }
        assert_eq!(error, ErrorCode::None);
        let partition = &answer.topics[0].partitions[0];
        let metadata = partition.metadata.as_ref().map(ToString::to_string).unwrap_or_default();
        Some((partition.committed_offset, metadata))
    })
}

#[test]
fn groups_are_the_same_after_their_log_was_compacted() {
    let settings = [
        FAST,
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.segment.bytes", "1048576"),
    ];
    let world = World::new();
    let running = world.start(&settings);
    let mut client = running.client();
    create_plain(&mut client, "orders", 1);
    let find = FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
    until_some(|| (client.ask(3, &find).unwrap().error_code == 0).then_some(()));
    let groups: Vec<String> = (0..7).map(|i| format!("group-{i}")).collect();
    for round in 0..60 {
        for (i, group) in groups.iter().enumerate() {
            // One group stops early: its last commit is old.
            if i > 0 || round < 5 {
                commit(&mut client, group, round * 10 + i as i64);
            }
        }
        if round == 30 {
            forget(&mut client, &groups[6]);
        }
        if round == 50 {
            forget(&mut client, &groups[5]);
        }
    }
    // The last round's commits of these two come back; one more is forgotten for good.
    forget(&mut client, &groups[6]);
    for i in 0..40 {
        commit(&mut client, "filler", i);
    }
    let before: Vec<_> = groups.iter().map(|g| committed(&mut client, g)).collect();
    assert!(before[0].0 == 40 && before[0].1.ends_with("00040"));
    assert!(before[3].0 == 593 && before[3].1.ends_with("00593"));
    assert_eq!(before[6].0, -1);
    let compacted = until_some(|| {
        let offset = cleaned(&world, "__consumer_offsets 0");
        (offset > 100).then_some(offset)
    });
    let sizes = |world: &World| -> usize {
        let files = world.disk.files().into_iter();
        let logs = files.filter(|(path, _)| {
            path.starts_with("/data/__consumer_offsets-0")
                && path.extension().is_some_and(|e| e == "log")
        });
        logs.map(|(_, content)| content.len()).sum()
    };
    assert!(sizes(&world) < 1 << 20, "{} bytes, clean up to {compacted}", sizes(&world));
    assert_eq!(groups.iter().map(|g| committed(&mut client, g)).collect::<Vec<_>>(), before);
    running.stop();
    let running = world.start(&settings);
    let mut client = running.client();
    assert_eq!(groups.iter().map(|g| committed(&mut client, g)).collect::<Vec<_>>(), before);
    running.stop();
}
