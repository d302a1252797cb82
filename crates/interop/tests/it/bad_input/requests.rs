//! Requests whose frame is right and whose content is not: unknown APIs and versions, nulls, array
//! lengths, texts that are none.

use anyhow::ensure;
use ottla_interop::raw::{Answer, Connection, frame, request};
use ottla_protocol::k19_create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use ottla_protocol::message::Message;
use ottla_protocol::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, Reader,
};

use super::scene::{Scene, framed, is_closed_by};

#[test]
fn an_unknown_api_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    // 4–7 were used between brokers and are gone; 58 and more are for controllers.
    for key in [4, 5, 6, 7, 52, 58, 62, 95, 200, i16::MAX, -1, i16::MIN] {
        for version in [0, 1] {
            is_closed_by(scene.connect()?, &framed(&request(key, version, 1, true, &[0; 20])))?;
        }
        scene.serves()?;
    }
    scene.ends_well()
}

#[test]
fn a_version_outside_the_range_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    for api in served(scene.client())? {
        let versions = api.stable_versions();
        for version in [versions.min - 1, versions.max + 1, i16::MAX, i16::MIN] {
            let bytes = framed(&request(api.id(), version, 1, api.is_flexible(version), &[0; 60]));
            is_closed_by(scene.connect()?, &bytes)?;
        }
        scene.serves()?;
    }
    scene.ends_well()
}

/// The APIs that the broker says it has, but for ApiVersions.
fn served(client: &mut Connection) -> anyhow::Result<Vec<ApiKey>> {
    let table = client.ask(0, &ApiVersionsRequest::default())?.api_keys;
    let keys = table.iter().filter_map(|entry| ApiKey::try_from(entry.api_key).ok());
    let keys: Vec<ApiKey> = keys.filter(|key| *key != ApiKey::ApiVersions).collect();
    ensure!(keys.len() > 30, "{keys:?}");
    Ok(keys)
}

#[test]
fn api_versions_of_any_version_is_answered() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let table = scene.client().ask(0, &ApiVersionsRequest::default())?;
    for version in [-1, 6, 7, 99, i16::MAX, i16::MIN] {
        let mut connection = scene.connect()?;
        // Newer clients send newer headers.
        for body in [&[][..], &[1, 2, 3], &[0xff; 40]] {
            connection.request(18, version, 7, version >= 3, body)?;
            let Answer::Frame(bytes) = connection.answer()? else {
                anyhow::bail!("version {version} is not answered")
            };
            let mut reader = Reader::new(bytes.into());
            ensure!(reader.i32()? == 7, "another's answer");
            let answer = <ApiVersionsResponse as Message>::decode(&mut reader, 0)?;
            reader.finish()?;
            ensure!(answer.error_code == 35, "{answer:?}");
            // As Kafka: what there is of ApiVersions itself.
            let own = table.api_keys.iter().filter(|entry| entry.api_key == 18);
            ensure!(own.eq(&answer.api_keys), "another table: {:?}", answer.api_keys);
        }
        // The connection lives on.
        connection.ask(4, &good_hello())?;
        scene.serves()?;
    }
    scene.ends_well()
}

fn good_hello() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "raw".into(),
        client_software_version: "1".into(),
        ..Default::default()
    }
}

/// Key, version, flexible, body: a null where none may stand.
const NULLS: &[(i16, i16, bool, &[u8])] = &[
    // Produce 9: topics; 8: topics.
    (0, 9, true, &[0, 0xff, 0xff, 0, 0, 0, 9, 0, 0]),
    (0, 8, false, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff]),
    // Metadata 0: topics; 4: the name of one.
    (3, 0, false, &[0xff, 0xff, 0xff, 0xff]),
    (3, 4, false, &[0, 0, 0, 1, 0xff, 0xff, 1]),
    // FindCoordinator 1: key; 4: keys.
    (10, 1, false, &[0xff, 0xff, 0]),
    (10, 4, true, &[0, 0, 0]),
    // Heartbeat 0: group.
    (12, 0, false, &[0xff, 0xff, 0, 0, 0, 1, 0, 1, b'm']),
    // CreateTopics 2: topics, a topic's name; 5: topics, a name.
    (19, 2, false, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0]),
    (
        19,
        2,
        false,
        &[0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    ),
    (19, 5, true, &[0, 0, 0, 0, 1, 0, 0]),
    (19, 5, true, &[2, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0]),
    // DescribeGroups 0: groups, and one of them.
    (15, 0, false, &[0xff, 0xff, 0xff, 0xff]),
    (15, 0, false, &[0, 0, 0, 1, 0xff, 0xff]),
    // ApiVersions 3: the client's name.
    (18, 3, true, &[0, 2, b'1', 0]),
];

#[test]
fn a_null_where_none_is_allowed_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    for (key, version, flexible, body) in NULLS {
        let bytes = framed(&request(*key, *version, 1, *flexible, body));
        is_closed_by(scene.connect()?, &bytes)
            .map_err(|e| e.context(format!("{key} {version}")))?;
        scene.serves()?;
    }
    scene.ends_well()
}

/// A number as the flexible versions write it, one more than the count.
fn compact(count: u32) -> Vec<u8> {
    let mut value = count + 1;
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.extend(value.to_le_bytes().first());
    bytes
}

#[test]
fn arrays_of_two_thousand_million_end_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let plain = 2_000_000_000_i32.to_be_bytes();
    let compact = compact(2_000_000_000);
    for _ in 0..3 {
        for api in served(scene.client())? {
            let versions = api.stable_versions();
            for version in versions.min..=versions.max {
                let flexible = api.is_flexible(version);
                let count: &[u8] = if flexible { &compact } else { &plain };
                // The count stands at each place where a request may have an array.
                for before in [0, 1, 2, 4, 6, 7, 8, 12, 16, 20] {
                    let mut body = vec![0; before];
                    body.extend_from_slice(count);
                    body.extend_from_slice(&[1; 64]);
                    let mut connection = scene.connect()?;
                    connection.request(api.id(), version, 1, flexible, &body)?;
                    connection.finish()?;
                    // Where no array stands there, some of them are requests that say something.
                    connection.answer()?;
                }
            }
        }
        scene.serves()?;
    }
    // Where it is sure: topics of Metadata, groups of DescribeGroups, the topics of Produce.
    let mut sure = vec![
        framed(&request(3, 1, 1, false, &plain)),
        framed(&request(15, 0, 1, false, &plain)),
        framed(&request(3, 9, 1, true, &compact)),
    ];
    let mut produce = vec![0xff, 0xff, 0, 1, 0, 0, 0, 9];
    produce.extend_from_slice(&plain);
    sure.push(framed(&request(0, 8, 1, false, &produce)));
    for bytes in sure {
        is_closed_by(scene.connect()?, &bytes)?;
    }
    scene.ends_well()
}

#[test]
fn texts_that_are_none_end_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    // Longer than the frame; a length below −1.
    for (length, text) in [(100_u16, &b"short"[..]), (0xfff0, b"x")] {
        let mut body = vec![0, 0, 0, 1];
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(text);
        is_closed_by(scene.connect()?, &framed(&request(15, 0, 1, false, &body)))?;
    }
    // A header whose client id is longer than the frame.
    let mut header = vec![0, 18, 0, 0, 0, 0, 0, 1];
    header.extend_from_slice(&999_u16.to_be_bytes());
    is_closed_by(scene.connect()?, &framed(&header))?;
    scene.serves()?;
    scene.ends_well()
}

/// A request with everything that one can have.
fn wanted_topics() -> CreateTopicsRequest {
    let config = CreatableTopicConfig {
        name: "retention.ms".into(),
        value: Some("1000".into()),
        ..Default::default()
    };
    let assignment = CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![1],
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: "cut-short".into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment],
        configs: vec![config],
        ..Default::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 1, ..Default::default() }
}

#[test]
fn a_request_cut_short_inside_a_whole_frame_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let whole = frame(1, 7, &wanted_topics())?.to_bytes();
    let body = whole.get(4..).unwrap_or_default();
    for cut in 13..body.len() {
        is_closed_by(scene.connect()?, &framed(body.get(..cut).unwrap_or_default()))?;
    }
    scene.serves()?;
    scene.ends_well()
}
