//! `cordoned.log.dirs` (KIP-1066): what it may be, and what takes no new partitions.

use ottla_protocol::k19_create_topics::CreatableReplicaAssignment;
use ottla_protocol::k32_describe_configs::DescribeConfigsResource;
use ottla_protocol::k37_create_partitions::CreatePartitionsTopic;
use ottla_protocol::{
    CreatePartitionsRequest, CreateTopicsRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
};

use super::super::pair::{Pair, Side};
use super::super::topics::{create, settle, topic};
use super::places::{arrived, describe};
use super::{alter, path, set, until};

const NAME: &str = "cordoned.log.dirs";

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    let bad = [
        "/no/such/dir",
        "dir1,/no/such/dir,x",
        "dir1/",
        "dir1,dir1",
        "dir1,",
        ",",
        "*,dir1",
        "*,*",
        "data1",
    ];
    for value in bad {
        set(pair, "1", NAME, Some(value))?;
    }
    for value in ["dir1", "*", ""] {
        set(pair, "", NAME, Some(value))?;
        set(pair, "2", NAME, Some(value))?;
    }
    one(pair)?;
    all(pair)?;
    none(pair)
}

/// Sets it and waits until both act on it.
fn cordon(pair: &mut Pair, value: Option<&str>) -> anyhow::Result<()> {
    set(pair, "1", NAME, value)?;
    for side in pair.sides() {
        let mut wanted: Vec<String> = match value {
            None | Some("") => Vec::new(),
            Some("*") => (0..3).map(|n| side.word(&format!("dir{n}"))).collect(),
            Some(dirs) => dirs.split(',').map(|dir| path(side, dir)).collect(),
        };
        wanted.sort();
        until("what is cordoned", side, |side| {
            let answer = side.ask(5, &DescribeLogDirsRequest::default())?;
            let cordoned = answer.results.iter().filter(|result| result.is_cordoned);
            let mut found: Vec<String> = cordoned.map(|r| r.log_dir.to_string()).collect();
            found.sort();
            Ok(found == wanted)
        })?;
    }
    describe(pair, &format!("cordoned {value:?}"), &[])?;
    let resource = DescribeConfigsResource {
        resource_type: 4,
        resource_name: "1".into(),
        configuration_keys: Some(vec![NAME.into()]),
        ..Default::default()
    };
    let request = |_: &Side| DescribeConfigsRequest {
        resources: vec![resource.clone()],
        include_synonyms: true,
        ..Default::default()
    };
    pair.both(&format!("cordoned {value:?}"), 4, request)
}

/// One and then two of three take nothing.
fn one(pair: &mut Pair) -> anyhow::Result<()> {
    alter(pair, "before it is there", &[("dir1", "early", &[0])])?;
    cordon(pair, Some("dir1"))?;
    create(pair, "one cordoned", 7, &[topic("some", 6, 1), topic("early", 1, 1)], false)?;
    settle(pair, &["some", "early"])?;
    for side in pair.sides() {
        // It was wanted there when it still could be.
        arrived(side, "early", 0, "dir1")?;
        for index in 0..6 {
            until("some partitions", side, |side| {
                let found = super::places::places(side, "some", index)?;
                anyhow::ensure!(found.iter().all(|place| place.dir != "dir1"), "{found:?}");
                Ok(!found.is_empty())
            })?;
        }
    }
    for case in [
        ("into a cordoned one", "dir1", "some", 0),
        ("unknown topic", "dir1", "no-such-topic", 0),
        ("where it is", "dir1", "early", 0),
        ("unknown directory", "/no/such/dir", "some", 0),
    ] {
        alter(pair, case.0, &[(case.1, case.2, &[case.3])])?;
    }
    // Out of it is allowed.
    alter(pair, "out of a cordoned one", &[("dir2", "early", &[0])])?;
    for side in pair.sides() {
        arrived(side, "early", 0, "dir2")?;
    }
    cordon(pair, Some("dir0,dir1"))?;
    create(pair, "two cordoned", 7, &[topic("two", 3, 1)], false)?;
    settle(pair, &["two"])?;
    for side in pair.sides() {
        for index in 0..3 {
            arrived(side, "two", index, "dir2")?;
        }
    }
    describe(pair, "two cordoned", &[("two", &[0, 1, 2])])
}

/// The controller hears of it with a heartbeat, which Kafka sends a little later.
fn until_refused(pair: &mut Pair) -> anyhow::Result<()> {
    for side in pair.sides() {
        until("a refusal", side, |side| {
            let request = CreateTopicsRequest {
                topics: vec![topic("to-see", 1, 1)],
                validate_only: true,
                ..Default::default()
            };
            let answer = side.ask(7, &request)?;
            Ok(answer.topics.iter().all(|topic| topic.error_code != 0))
        })?;
    }
    Ok(())
}

/// None takes any.
fn all(pair: &mut Pair) -> anyhow::Result<()> {
    for value in ["*", "dir0,dir1,dir2"] {
        cordon(pair, Some(value))?;
        until_refused(pair)?;
        let case = format!("all cordoned by {value}");
        let mut by_hand = topic("by-hand", -1, -1);
        by_hand.assignments = vec![CreatableReplicaAssignment {
            partition_index: 0,
            broker_ids: vec![1],
            ..Default::default()
        }];
        create(pair, &case, 7, &[topic("none", 1, 1), by_hand], false)?;
        let more = CreatePartitionsTopic { name: "two".into(), count: 5, ..Default::default() };
        let request = |_: &Side| CreatePartitionsRequest {
            topics: vec![more.clone()],
            timeout_ms: 30_000,
            ..Default::default()
        };
        pair.both(&case, 3, request)?;
        alter(pair, &case, &[("dir0", "two", &[0]), ("dir2", "two", &[1])])?;
        cordon(pair, Some("dir2"))?;
    }
    Ok(())
}

/// It holds over a restart, and goes.
fn none(pair: &mut Pair) -> anyhow::Result<()> {
    for side in pair.sides() {
        side.broker.stop()?;
        side.broker.start_again()?;
        side.connect_again()?;
    }
    settle(pair, &["some", "two"])?;
    describe(pair, "after a restart", &[("two", &[0, 1, 2])])?;
    alter(pair, "after a restart", &[("dir2", "some", &[0])])?;
    create(pair, "after a restart", 7, &[topic("again", 4, 1)], false)?;
    settle(pair, &["again"])?;
    for side in pair.sides() {
        for index in 0..4 {
            let found = super::places::places(side, "again", index)?;
            anyhow::ensure!(found.iter().all(|place| place.dir != "dir2"), "{found:?}");
        }
    }
    cordon(pair, Some(""))?;
    cordon(pair, Some("dir0"))?;
    cordon(pair, None)?;
    alter(pair, "no more", &[("dir0", "two", &[0])])?;
    for side in pair.sides() {
        arrived(side, "two", 0, "dir0")?;
    }
    describe(pair, "no more", &[("two", &[0, 1, 2])])
}
