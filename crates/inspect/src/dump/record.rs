//! Keys, values and control records in words. Must not know where a record stands.

use ottla_records::{Batch, ControlRecordType, EndTransactionMarker, Record};

use crate::json::{Json, base64};
use crate::schema::{self, Shown};

/// How the records of a log are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Keys and values by themselves.
    Fields {
        /// How keys are read.
        key: FieldDecoder,
        /// How values are read.
        value: FieldDecoder,
    },
    /// As `__consumer_offsets`.
    Offsets,
    /// As `__transaction_state`.
    TransactionLog,
    /// As `__cluster_metadata`.
    ClusterMetadata,
    /// As `__remote_log_metadata`.
    RemoteLogMetadata,
    /// As `__share_group_state`.
    ShareGroupState,
}

/// How a key or value is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldDecoder {
    /// As UTF-8; what is none has replacement characters.
    #[default]
    Text,
    /// As a whole number of four bytes.
    Integer,
    /// As a whole number of eight bytes.
    Long,
    /// As hexadecimal digits.
    Hex,
    /// As base64.
    Base64,
}

impl Decoder {
    /// Text for keys and values.
    pub(super) const TEXT: Self =
        Self::Fields { key: FieldDecoder::Text, value: FieldDecoder::Text };

    /// The decoder for a partition of this topic.
    pub(super) fn of_topic(topic: &str) -> Self {
        match topic {
            "__consumer_offsets" => Self::Offsets,
            "__transaction_state" => Self::TransactionLog,
            "__cluster_metadata" => Self::ClusterMetadata,
            "__remote_log_metadata" => Self::RemoteLogMetadata,
            "__share_group_state" => Self::ShareGroupState,
            _ => Self::TEXT,
        }
    }

    /// Key and payload of a record. What cannot be read says so in their place.
    pub(super) fn show(self, record: &Record<'_>) -> Shown {
        let (read, in_key) = match self {
            Self::Fields { key, value } => {
                return Shown {
                    key: record.key.map(|bytes| key.show(bytes)),
                    payload: record.value.map(|bytes| value.show(bytes)),
                };
            }
            Self::Offsets => (with_key(record, schema::group_record), true),
            Self::TransactionLog => (with_key(record, schema::transaction), true),
            Self::ShareGroupState => (with_key(record, schema::share), true),
            Self::ClusterMetadata => (schema::metadata(record.value), false),
            Self::RemoteLogMetadata => (schema::remote_log(record.value), false),
        };
        read.unwrap_or_else(|fault| {
            let unknown = fault.starts_with("Unknown record type");
            let fault = if unknown {
                Json::from(format!("{fault} at offset {}, skipping.", record.offset))
            } else {
                Json::from(format!("Error at offset {}, skipping. {fault}", record.offset))
            };
            if in_key {
                Shown { key: Some(fault), payload: None }
            } else {
                Shown { key: None, payload: Some(fault) }
            }
        })
    }
}

/// Reads a key or value as a message.
type Keyed = fn(&[u8], Option<&[u8]>) -> Result<Shown, String>;

fn with_key(record: &Record<'_>, read: Keyed) -> Result<Shown, String> {
    record.key.map_or_else(|| Err("it has no key".to_owned()), |key| read(key, record.value))
}

impl FieldDecoder {
    fn show(self, bytes: &[u8]) -> Json {
        let number = |size: usize| {
            format!("{} bytes are no number of {size}: {}", bytes.len(), hex(bytes)).into()
        };
        match self {
            Self::Text => String::from_utf8_lossy(bytes).into_owned().into(),
            Self::Integer => bytes
                .try_into()
                .map_or_else(|_| number(4), |b| Json::Int(i32::from_be_bytes(b).into())),
            Self::Long => {
                bytes.try_into().map_or_else(|_| number(8), |b| Json::Int(i64::from_be_bytes(b)))
            }
            Self::Hex => hex(bytes).into(),
            Self::Base64 => base64(bytes).into(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as text has it: strings without quotes, everything else as JSON.
pub(super) fn plain(value: &Json) -> String {
    match value {
        Json::Text(text) => text.clone().into_owned(),
        Json::Null
        | Json::Bool(_)
        | Json::Int(_)
        | Json::Float(_)
        | Json::List(_)
        | Json::Object(_) => value.to_string(),
    }
}

/// A control record, as text and as JSON.
pub(super) fn control(record: &Record<'_>) -> (String, Json) {
    let kind = match ControlRecordType::parse_key(record.key) {
        Ok(kind) => kind,
        Err(error) => {
            let text = format!("controlType: unreadable ({error})");
            return (text, Json::object([("error", error.to_string().into())]));
        }
    };
    if let ControlRecordType::Abort | ControlRecordType::Commit = kind
        && let Ok(marker) = EndTransactionMarker::parse(record.value)
    {
        let word = if kind == ControlRecordType::Commit { "COMMIT" } else { "ABORT" };
        let text = format!("endTxnMarker: {word} coordinatorEpoch: {}", marker.coordinator_epoch);
        let epoch = Json::from(marker.coordinator_epoch);
        return (text, Json::object([("type", word.into()), ("coordinatorEpoch", epoch)]));
    }
    match schema::control(kind, record.value) {
        Ok(("UNKNOWN", number)) => (
            format!("controlType: UNKNOWN({number})"),
            Json::object([("type", "UNKNOWN".into()), ("id", number)]),
        ),
        Ok((word, data)) => {
            // Kafka's tool writes this one with a colon, and the others without.
            let colon = if word == "LeaderChange" { ":" } else { "" };
            (format!("{word}{colon} {data}"), Json::object([("type", word.into()), ("data", data)]))
        }
        Err(fault) => {
            (format!("controlType: unreadable ({fault})"), Json::object([("error", fault.into())]))
        }
    }
}

/// The sequence of a record, −1 without one.
pub(super) fn sequence(batch: &Batch<'_>, record: &Record<'_>) -> i32 {
    let base = batch.header().base_sequence;
    if base < 0 { -1 } else { ottla_records::increment_sequence(base, record.offset_delta) }
}
