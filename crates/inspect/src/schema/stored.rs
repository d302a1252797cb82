//! The frames around stored records: which message a key or value is, and in which version. In
//! the words of Kafka's DumpLogSegments. Must not know logs.

use std::sync::LazyLock;

use ottla_protocol::schema as text;
use ottla_records::ControlRecordType;

use super::parse::{Message, Messages, Role, parse};
use super::read::{Cursor, Fault, read};
use crate::json::Json;

static METADATA: LazyLock<Messages> = LazyLock::new(|| parse(text::METADATA_RECORDS));
static GROUPS: LazyLock<Messages> = LazyLock::new(|| parse(text::GROUP_RECORDS));
static MEMBERS: LazyLock<Messages> = LazyLock::new(|| parse(text::CONSUMER_PROTOCOL));
static TRANSACTIONS: LazyLock<Messages> = LazyLock::new(|| parse(text::TRANSACTION_RECORDS));
static SHARES: LazyLock<Messages> = LazyLock::new(|| parse(text::SHARE_RECORDS));
static REMOTE: LazyLock<Messages> = LazyLock::new(|| parse(text::REMOTE_LOG_METADATA));
static CONTROLS: LazyLock<Messages> = LazyLock::new(|| parse(text::CONTROL_RECORDS));

/// A record as it is shown: key and payload. Either may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shown {
    pub(crate) key: Option<Json>,
    pub(crate) payload: Option<Json>,
}

fn named<'m>(messages: &'m Messages, name: &str) -> Option<&'m Message> {
    messages.values().find(|message| message.name == name)
}

/// `RegisterBrokerRecord` as `REGISTER_BROKER_RECORD`.
fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// A record whose value has frame version, type and version in front.
fn framed(messages: &Messages, value: &[u8]) -> Result<Json, Fault> {
    let mut cursor = Cursor::new(value);
    let frame = cursor.uvarint()?;
    if frame != 1 {
        return Err(format!("its frame version is {frame}, and only 1 is known"));
    }
    let (kind, version) = (cursor.uvarint()?, cursor.uvarint()?);
    let kind = i16::try_from(kind).map_err(|_| format!("no record has type {kind}"))?;
    let version = i16::try_from(version).map_err(|_| format!("no record has version {version}"))?;
    let message = messages.get(&(Role::Metadata, kind));
    let message = message.ok_or_else(|| format!("no record has type {kind}"))?;
    let data = read(message, version, &mut cursor)?;
    if !cursor.is_empty() {
        return Err("bytes are left over".to_owned());
    }
    Ok(Json::object([
        ("type", upper_snake(&message.name).into()),
        ("version", version.into_json()),
        ("data", data),
    ]))
}

trait IntoJson {
    fn into_json(self) -> Json;
}

impl IntoJson for i16 {
    fn into_json(self) -> Json {
        Json::Int(self.into())
    }
}

/// A record of `__cluster_metadata`.
pub(crate) fn metadata(value: Option<&[u8]>) -> Result<Shown, Fault> {
    let value = value.ok_or("it has no value")?;
    framed(&METADATA, value).map(|payload| Shown { key: None, payload: Some(payload) })
}

/// A record of `__remote_log_metadata`.
pub(crate) fn remote_log(value: Option<&[u8]>) -> Result<Shown, Fault> {
    let value = value.ok_or("it has no value")?;
    framed(&REMOTE, value).map(|payload| Shown { key: None, payload: Some(payload) })
}

/// What is said of a key of a type that nothing is known of.
fn unknown(kind: i16) -> Fault {
    format!("Unknown record type {kind}")
}

/// A record whose key has its type in front, and whose value its version.
fn keyed(
    messages: &Messages,
    key: &[u8],
    value: Option<&[u8]>,
    version_name: &'static str,
    adorn: impl FnOnce(i16, &mut Json),
) -> Result<Shown, Fault> {
    let mut cursor = Cursor::new(key);
    let kind = cursor.i16()?;
    let message = messages.get(&(Role::Key, kind)).ok_or_else(|| unknown(kind))?;
    // Keys have one version each, whose number is that of the type for Kafka's readers.
    let data = read(message, message.versions.min, &mut cursor)?;
    let key = Json::object([("type", kind.to_string().into()), ("data", data)]);
    let payload = match value {
        None => Json::from("<DELETE>"),
        Some(value) => {
            let mut cursor = Cursor::new(value);
            let version = cursor.i16()?;
            let message = messages.get(&(Role::Value, kind)).ok_or_else(|| unknown(kind))?;
            let mut data = read(message, version, &mut cursor)?;
            adorn(kind, &mut data);
            let number = if version_name == "type" { kind } else { version };
            Json::object([(version_name, number.to_string().into()), ("data", data)])
        }
    };
    Ok(Shown { key: Some(key), payload: Some(payload) })
}

/// The type of classic groups' metadata.
const GROUP_METADATA: i16 = 2;

/// A record of `__consumer_offsets`.
pub(crate) fn group_record(key: &[u8], value: Option<&[u8]>) -> Result<Shown, Fault> {
    keyed(&GROUPS, key, value, "version", |kind, data| {
        if kind == GROUP_METADATA
            && data.field_mut("protocolType") == Some(&mut Json::from("consumer"))
            && let Some(Json::List(members)) = data.field_mut("members")
        {
            for member in members {
                replace(member, "subscription", "ConsumerProtocolSubscription");
                replace(member, "assignment", "ConsumerProtocolAssignment");
            }
        }
    })
}

/// Shows bytes inside a member as the message they are; leaves them when they are none.
fn replace(member: &mut Json, field: &str, message: &str) {
    let Some(value) = member.field_mut(field) else { return };
    let Json::Text(encoded) = &*value else { return };
    let Some(bytes) = from_base64(encoded) else { return };
    let mut cursor = Cursor::new(&bytes);
    let Some(message) = named(&MEMBERS, message) else { return };
    let read = cursor.i16().and_then(|version| {
        read(message, version.clamp(message.versions.min, message.versions.max), &mut cursor)
    });
    if let Ok(shown) = read {
        *value = shown;
    }
}

/// The bytes that [`crate::json::base64`] made a text of.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        let mut number = 0_u32;
        let mut there = 0_usize;
        for byte in group {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => 0,
                _ => return None,
            };
            there += usize::from(*byte != b'=');
            number = number << 6 | u32::from(digit);
        }
        bytes.extend(number.to_be_bytes().get(1..there)?);
    }
    Some(bytes)
}

/// A record of `__transaction_state`.
pub(crate) fn transaction(key: &[u8], value: Option<&[u8]>) -> Result<Shown, Fault> {
    keyed(&TRANSACTIONS, key, value, "version", |_, _| {})
}

/// A record of `__share_group_state`.
pub(crate) fn share(key: &[u8], value: Option<&[u8]>) -> Result<Shown, Fault> {
    keyed(&SHARES, key, value, "type", |_, _| {})
}

/// A control record: what it is called, and what it says.
pub(crate) fn control(
    kind: ControlRecordType,
    value: Option<&[u8]>,
) -> Result<(&'static str, Json), Fault> {
    let (word, name) = match kind {
        ControlRecordType::Abort => ("ABORT", "EndTxnMarker"),
        ControlRecordType::Commit => ("COMMIT", "EndTxnMarker"),
        ControlRecordType::LeaderChange => ("LeaderChange", "LeaderChangeMessage"),
        ControlRecordType::SnapshotHeader => ("SnapshotHeader", "SnapshotHeaderRecord"),
        ControlRecordType::SnapshotFooter => ("SnapshotFooter", "SnapshotFooterRecord"),
        ControlRecordType::KRaftVersion => ("KRaftVersion", "KRaftVersionRecord"),
        ControlRecordType::KRaftVoters => ("KRaftVoters", "VotersRecord"),
        ControlRecordType::Unknown(number) => {
            return Ok(("UNKNOWN", Json::Int(number.into())));
        }
    };
    let value = value.ok_or("it has no value")?;
    let mut cursor = Cursor::new(value);
    // A marker's version stands before it; the others carry theirs as their first field.
    let version = cursor.i16()?;
    let message = named(&CONTROLS, name).ok_or_else(|| format!("nothing is known of {name}"))?;
    if name != "EndTxnMarker" {
        cursor = Cursor::new(value);
    }
    let version = version.min(message.versions.max);
    read(message, version, &mut cursor).map(|data| (word, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::base64;

    #[test]
    fn base64_comes_back() {
        for len in 0..20_u8 {
            let bytes: Vec<u8> = (0..len).map(|i| i.wrapping_mul(91)).collect();
            assert_eq!(from_base64(&base64(&bytes)), Some(bytes));
        }
        assert_eq!(from_base64("!!!!"), None);
    }

    #[test]
    fn names_of_records_are_kafkas() {
        assert_eq!(upper_snake("NoOpRecord"), "NO_OP_RECORD");
        assert_eq!(upper_snake("RegisterBrokerRecord"), "REGISTER_BROKER_RECORD");
    }

    #[test]
    fn damage_is_a_sentence() {
        assert_eq!(metadata(None).unwrap_err(), "it has no value");
        assert_eq!(
            metadata(Some(&[2, 0, 0])).unwrap_err(),
            "its frame version is 2, and only 1 is known"
        );
        assert_eq!(metadata(Some(&[1, 99, 0])).unwrap_err(), "no record has type 99");
        assert_eq!(
            metadata(Some(&[1, 2, 0, 9, b'a'])).unwrap_err(),
            "name: 8 bytes are needed and 1 are left"
        );
        assert_eq!(group_record(&[0, 99], None).unwrap_err(), "Unknown record type 99");
        assert!(group_record(&[0], None).is_err());
        let huge = [1, 3, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(metadata(Some(&huge)).is_err(), "a count that nothing can hold");
    }
}
