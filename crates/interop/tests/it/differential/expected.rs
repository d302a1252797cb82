//! The differences from Apache Kafka 4.4.0 that are meant, each with its reason. An entry that
//! nothing matches any more fails the test.

/// A difference that is meant. `*` stands for any text.
#[derive(Debug)]
pub(super) struct Expected {
    /// Which test it belongs to.
    pub(super) part: &'static str,
    /// Name of the API.
    api: &'static str,
    /// The case that shows it.
    case: &'static str,
    /// The place in the answer.
    place: &'static str,
    /// Why it is so.
    #[expect(dead_code, reason = "read by people, and printed when the entry is unused")]
    because: &'static str,
}

impl Expected {
    /// Whether this is that difference.
    pub(super) fn is(&self, api: &str, case: &str, place: &str) -> bool {
        matches(self.api, api) && matches(self.case, case) && matches(self.place, place)
    }
}

const fn differs(
    part: &'static str,
    api: &'static str,
    case: &'static str,
    place: &'static str,
    because: &'static str,
) -> Expected {
    Expected { part, api, case, place, because }
}

/// The table.
pub(super) const EXPECTED: &[Expected] = &[
    differs(
        "topics",
        "ApiVersions",
        "the table",
        "api_keys[*]",
        "APIs that are not there yet are not advertised: transactions, ACLs, SASL, tokens, quotas, \
         reassignment, the newer group protocols, telemetry",
    ),
    differs(
        "topics",
        "ApiVersions",
        "the table",
        "supported_features[*.version]",
        "features whose APIs are not there yet are not supported",
    ),
    differs(
        "topics",
        "ApiVersions",
        "the table",
        "finalized_features[group.version]",
        "features whose APIs are not there yet are not finalised",
    ),
    differs(
        "topics",
        "ApiVersions",
        "the table",
        "finalized_features[share.version]",
        "features whose APIs are not there yet are not finalised",
    ),
    differs(
        "topics",
        "ApiVersions",
        "the table",
        "finalized_features[streams.version]",
        "features whose APIs are not there yet are not finalised",
    ),
    differs(
        "topics",
        "ApiVersions",
        "the table",
        "finalized_features[transaction.version]",
        "features whose APIs are not there yet are not finalised",
    ),
    differs(
        "topics",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "offsets",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "configs",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "batches",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "log_dirs",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "cordoned",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "offline_dirs",
        "CreateTopics",
        "*",
        "topics[*].configs[0][flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "topics",
        "UpdateFeatures",
        "the level it has",
        "*",
        "group.version is not supported before the newer group protocol is",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[flush.mode]",
        "a setting of Ottla's own: whether an acknowledged batch is on the disk",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[log.dir.free.refuse.bytes]",
        "a setting of Ottla's own: when a log directory counts as full",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[log.dir.free.warn.bytes]",
        "a setting of Ottla's own: when a warning says that a log directory gets full",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[log.flush.file.system.min.files]",
        "a setting of Ottla's own: when a commit syncs the whole file system",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[metadata.log.reserve.bytes]",
        "a setting of Ottla's own: space kept back for the metadata log",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[log.initial.task.delay.ms]",
        "a setting that Kafka has and does not show",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[producer.id.expiration.check.interval.ms]",
        "a setting that Kafka has and does not show",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*configs[*].documentation",
        "Ottla has no sentences about settings in its answers",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[1].configs[*listener*]*",
        "the two are started with other listeners, Kafka with one for controllers",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[1].configs[process.roles]*",
        "Kafka has to be told, Ottla is both without being told",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[1].configs[controller.quorum.bootstrap.servers]*",
        "Kafka has to be told, Ottla's quorum has one node",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*].configs[group.initial.rebalance.delay.ms]*",
        "Ottla's default is 0: groups need not wait three seconds (docs: what differs)",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[1].configs[log.dir]*",
        "Ottla's default is ./ottla-data",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "*",
        "results[*].configs[max.connections*]*",
        "every limit is finite in Ottla",
    ),
    differs(
        "configs",
        "IncrementalAlterConfigs",
        "operation *",
        "responses[altered].error_*",
        "Kafka answers an unknown operation with UNKNOWN_SERVER_ERROR and no reason",
    ),
    differs(
        "topics",
        "CreateTopics",
        "with settings*",
        "topics[*].configs[0][max.message.bytes].value[0]",
        "Ottla answers with the value that it keeps, without the spaces around it",
    ),
    differs(
        "configs",
        "CreateTopics",
        "*",
        "topics[*].configs[0][retention.ms].config_source",
        "Ottla's controller does not know what its broker was started with",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "broker *",
        "results[*].configs[no.such.setting]*",
        "Kafka keeps dynamic settings that it does not know, and shows that there is one",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "broker \"1\" altered",
        "results[1].configs[log.retention.hours].value[0]",
        "Kafka shows the default instead of what it was started with, once log.retention.ms is set",
    ),
    differs(
        "configs",
        "DescribeConfigs",
        "broker \"1\" altered",
        "results[1].configs[log.retention.ms].synonyms[log.retention.hours]*",
        "Ottla lists the fallbacks of topic settings, not those among broker settings",
    ),
    differs(
        "batches",
        "Produce",
        "*length *",
        "responses[*].partition_responses[0].error_message",
        "Kafka says why it refuses bytes that do not even look like a batch, and only those",
    ),
    differs(
        "batches",
        "Produce",
        "*magic *",
        "responses[*].partition_responses[0].error_message",
        "Kafka says why it refuses bytes that do not even look like a batch, and only those",
    ),
    differs(
        "batches",
        "Produce",
        "*: only zeros",
        "responses[*].partition_responses[0].error_message",
        "Kafka says why it refuses bytes that do not even look like a batch, and only those",
    ),
    differs(
        "batches",
        "Produce",
        "*: cut to * with its length*",
        "responses[*].partition_responses[0].log_start_offset",
        "Kafka fails on half a header before it comes to the log",
    ),
];

/// Whether `text` is what `pattern` says, where `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))
}

#[test]
fn stars_match_any_text() {
    assert!(matches("a*c", "abc") && matches("*", "") && matches("x", "x"));
    assert!(matches("*[b]*d", "a[b]cd") && !matches("a*c", "ab") && !matches("x", "xy"));
}
