//! The same requests in the same order as Apache Kafka 4.4.0 was sent: the same answers.

use bytes::Bytes;
use ottla_metadata::{Command, Reply};
use ottla_protocol::{
    AlterConfigsRequest, AlterConfigsResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    ErrorCode, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, Reader, StrBytes,
    UpdateFeaturesRequest, UpdateFeaturesResponse, Uuid, Writer,
};

use crate::cluster::Cluster;

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

fn command(key: &str, version: i16, body: Bytes) -> Command {
    let mut reader = Reader::new(body);
    match key {
        "19" => Command::CreateTopics(CreateTopicsRequest::decode(&mut reader, version).unwrap()),
        "20" => Command::DeleteTopics(DeleteTopicsRequest::decode(&mut reader, version).unwrap()),
        "37" => Command::CreatePartitions(
            CreatePartitionsRequest::decode(&mut reader, version).unwrap(),
        ),
        "44" => Command::IncrementalAlterConfigs(
            IncrementalAlterConfigsRequest::decode(&mut reader, version).unwrap(),
        ),
        "33" => Command::AlterConfigs(AlterConfigsRequest::decode(&mut reader, version).unwrap()),
        "57" => Command::UpdateFeatures {
            request: UpdateFeaturesRequest::decode(&mut reader, version).unwrap(),
            version,
        },
        other => panic!("API key {other}"),
    }
}

/// A response without what may differ: order, drawn ids, Ottla's own settings, the wording of a
/// code's usual sentence.
fn plain(key: &str, version: i16, body: Bytes) -> String {
    let mut reader = Reader::new(body);
    let message = |code: i16, message: Option<StrBytes>| match (ErrorCode::from_code(code), message)
    {
        (ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId, Some(text))
            if !text.contains('\'') =>
        {
            Some(StrBytes::from("the usual sentence"))
        }
        (_, message) => message,
    };
    let id = |id: Uuid| if id.is_zero() { "no id" } else { "an id" };
    let mut lines: Vec<String> = match key {
        "19" => CreateTopicsResponse::decode(&mut reader, version)
            .unwrap()
            .topics
            .into_iter()
            .map(|topic| {
                let mut configs: Vec<String> = topic
                    .configs
                    .into_iter()
                    .flatten()
                    .filter(|config| config.name != "flush.mode")
                    .map(|config| {
                        format!(
                            "{}={:?} {} {}",
                            config.name, config.value, config.config_source, config.read_only
                        )
                    })
                    .collect();
                configs.sort_unstable();
                format!(
                    "{} {} {} {:?} {} {} {} {configs:?}",
                    topic.name,
                    id(topic.topic_id),
                    topic.error_code,
                    message(topic.error_code, topic.error_message),
                    topic.num_partitions,
                    topic.replication_factor,
                    topic.topic_config_error_code
                )
            })
            .collect(),
        "20" => DeleteTopicsResponse::decode(&mut reader, version)
            .unwrap()
            .responses
            .into_iter()
            .map(|topic| {
                let (code, text) =
                    (topic.error_code, message(topic.error_code, topic.error_message));
                format!("{:?} {} {code} {text:?}", topic.name, id(topic.topic_id))
            })
            .collect(),
        "37" => CreatePartitionsResponse::decode(&mut reader, version)
            .unwrap()
            .results
            .into_iter()
            .map(|topic| format!("{} {} {:?}", topic.name, topic.error_code, topic.error_message))
            .collect(),
        "44" => IncrementalAlterConfigsResponse::decode(&mut reader, version)
            .unwrap()
            .responses
            .into_iter()
            .map(|one| {
                format!(
                    "{} {} {} {:?}",
                    one.resource_type, one.resource_name, one.error_code, one.error_message
                )
            })
            .collect(),
        "33" => AlterConfigsResponse::decode(&mut reader, version)
            .unwrap()
            .responses
            .into_iter()
            .map(|one| {
                format!(
                    "{} {} {} {:?}",
                    one.resource_type, one.resource_name, one.error_code, one.error_message
                )
            })
            .collect(),
        _ => {
            let response = UpdateFeaturesResponse::decode(&mut reader, version).unwrap();
            let results = response
                .results
                .iter()
                .map(|one| format!("{} {} {:?}", one.feature, one.error_code, one.error_message));
            vec![format!(
                "{} {:?} {:?}",
                response.error_code,
                response.error_message,
                results.collect::<Vec<_>>()
            )]
        }
    };
    lines.sort_unstable();
    lines.join("\n    ")
}

fn encoded(reply: &Reply, version: i16) -> Bytes {
    let mut writer = Writer::new();
    let written = match reply {
        Reply::CreateTopics(response) => response.encode(&mut writer, version),
        Reply::DeleteTopics(response) => response.encode(&mut writer, version),
        Reply::CreatePartitions(response) => response.encode(&mut writer, version),
        Reply::AlterConfigs(response) => response.encode(&mut writer, version),
        Reply::IncrementalAlterConfigs(response) => response.encode(&mut writer, version),
        Reply::UpdateFeatures(response) => response.encode(&mut writer, version),
        Reply::RegisterBroker(_)
        | Reply::BrokerHeartbeat(_)
        | Reply::UnregisterBroker(_)
        | Reply::RegisterController(_)
        | Reply::AllocateProducerIds(_)
        | Reply::AssignReplicasToDirs(_) => panic!("no client sends this"),
    };
    written.unwrap();
    writer.finish().to_bytes()
}

#[test]
fn answers_are_kafkas() {
    // The levels that Kafka 4.4.0 finalised, those among them that Ottla does not offer too.
    let mut cluster = Cluster::with_levels(&[
        ("metadata.version", 33),
        ("eligible.leader.replicas.version", 1),
        ("group.version", 1),
        ("share.version", 2),
        ("streams.version", 1),
        ("transaction.version", 2),
    ]);
    cluster.serve(1, 1, -1, None);
    let mut wrong = Vec::new();
    let mut cases = 0;
    for line in include_str!("../golden/answers.tsv").lines().filter(|line| !line.starts_with('#'))
    {
        let columns: Vec<&str> = line.split('\t').collect();
        let (case, key, version) = (columns[0], columns[1], columns[2].parse().unwrap());
        let expected = plain(key, version, bytes(columns[4]));
        let command = command(key, version, bytes(columns[3]));
        let reply = match cluster.run(&command) {
            Ok(reply) => reply,
            Err(refusal) => command.refused(&refusal),
        };
        let answer = plain(key, version, encoded(&reply, version));
        cases += 1;
        if answer != expected {
            wrong.push(format!("{case}\n  Kafka:\n    {expected}\n  Ottla:\n    {answer}"));
        }
    }
    assert_eq!(cases, 167);
    assert!(wrong.is_empty(), "{} of {cases} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(&cluster.replayed(), cluster.machine.latest());
    assert_eq!(&cluster.restored(), cluster.machine.latest());
}
