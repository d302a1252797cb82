//! Batches of the metadata log and its snapshots: metadata records and control records, written
//! and read. Must not know files.

use bytes::Bytes;
use ottla_metadata::VersionedRecord;
use ottla_protocol::{
    KRaftVersionRecord, LeaderChangeMessage, LeaderEpoch, MetadataRecord, Millis, Offset, Reader,
    SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord, Writer,
};
use ottla_records::{Batch, BatchBuilder, BatchOptions, Compression, ControlRecordType, Scratch};

use crate::error::ControllerError;

/// Most records in a batch, as in Kafka.
pub(crate) const RECORDS_MAX: usize = 10_000;
/// Decompressed size of a batch that is read. Kafka writes the metadata log uncompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// A control record of the quorum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Control {
    LeaderChange(LeaderChangeMessage),
    KRaftVersion(KRaftVersionRecord),
    Voters(VotersRecord),
    SnapshotHeader(SnapshotHeaderRecord),
    SnapshotFooter(SnapshotFooterRecord),
    /// One that this version does not know; it says nothing of metadata.
    Other,
}

/// What stands at an offset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Record(MetadataRecord),
    Control(Control),
}

fn options(base_offset: Offset, epoch: LeaderEpoch, control: bool) -> BatchOptions {
    BatchOptions { base_offset, partition_leader_epoch: epoch, control, ..BatchOptions::default() }
}

/// One batch of metadata records.
pub(crate) fn records(
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: Millis,
    records: &[VersionedRecord],
) -> Result<Bytes, String> {
    let failed = |what: &dyn std::fmt::Display| {
        format!("a batch of metadata records cannot be written: {what}")
    };
    let mut builder =
        BatchBuilder::new(options(base_offset, epoch, false)).map_err(|error| failed(&error))?;
    for record in records {
        let value = record.record.encode(record.version).map_err(|error| failed(&error))?;
        builder.append(now, None, Some(&value), &[]).map_err(|error| failed(&error))?;
    }
    builder.build().map(Bytes::from).map_err(|error| failed(&error))
}

/// One batch of control records.
pub(crate) fn controls(
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: Millis,
    controls: &[Control],
) -> Result<Bytes, String> {
    let failed = |what: &dyn std::fmt::Display| {
        format!("a batch of control records cannot be written: {what}")
    };
    let mut builder =
        BatchBuilder::new(options(base_offset, epoch, true)).map_err(|error| failed(&error))?;
    for control in controls {
        let mut writer = Writer::new();
        let (kind, written) = match control {
            Control::LeaderChange(message) => {
                (ControlRecordType::LeaderChange, message.encode(&mut writer, 0))
            }
            Control::KRaftVersion(message) => {
                (ControlRecordType::KRaftVersion, message.encode(&mut writer, 0))
            }
            Control::Voters(message) => {
                (ControlRecordType::KRaftVoters, message.encode(&mut writer, 0))
            }
            Control::SnapshotHeader(message) => {
                (ControlRecordType::SnapshotHeader, message.encode(&mut writer, 0))
            }
            Control::SnapshotFooter(message) => {
                (ControlRecordType::SnapshotFooter, message.encode(&mut writer, 0))
            }
            Control::Other => (ControlRecordType::Unknown(-1), Ok(())),
        };
        written.map_err(|error| failed(&error))?;
        let value = writer.finish().to_bytes();
        builder.append_control(now, kind, &value).map_err(|error| failed(&error))?;
    }
    builder.build().map(Bytes::from).map_err(|error| failed(&error))
}

/// Gives what a batch holds, by offset, to `visit`. `batch` has passed its CRC.
pub(crate) fn each(
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    damaged: impl Fn(String) -> ControllerError,
    mut visit: impl FnMut(Offset, Content) -> Result<(), ControllerError>,
) -> Result<(), ControllerError> {
    let base = batch.header().base_offset;
    let failed = |what: &dyn std::fmt::Display| {
        damaged(format!("the batch at offset {base} cannot be read: {what}"))
    };
    // Records share one copy of their batch, where that is theirs.
    let plain = batch.header().compression().map_err(|error| failed(&error))? == Compression::None;
    let bytes = if plain { Bytes::copy_from_slice(batch.bytes()) } else { Bytes::new() };
    let shared = if plain { Batch::parse(&bytes).map_err(|error| failed(&error))? } else { *batch };
    let is_control = shared.header().attributes.is_control();
    let records =
        shared.records(scratch, DECOMPRESSED_BYTES_MAX).map_err(|error| failed(&error))?;
    for record in records {
        let record = record.map_err(|error| failed(&error))?;
        let value = record.value.unwrap_or_default();
        let content = if is_control {
            let kind = ControlRecordType::parse_key(record.key).map_err(|error| failed(&error))?;
            Content::Control(control(kind, value).map_err(|error| failed(&error))?)
        } else {
            let own = || Bytes::copy_from_slice(value);
            let value = if plain { bytes.slice_ref(value) } else { own() };
            let decoded = MetadataRecord::decode(value).map_err(|error| failed(&error))?;
            match keeps_bytes(&decoded) {
                true => {
                    Content::Record(MetadataRecord::decode(own()).map_err(|error| failed(&error))?)
                }
                false => Content::Record(decoded),
            }
        };
        visit(record.offset, content)?;
    }
    Ok(())
}

/// Whether an image keeps the record as it is, and with it the bytes that it was read from: it must
/// not keep a whole batch.
fn keeps_bytes(record: &MetadataRecord) -> bool {
    matches!(
        record,
        MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
    )
}

fn control(kind: ControlRecordType, value: &[u8]) -> Result<Control, ottla_protocol::DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(value));
    // The value's first field is its version.
    let version = value.first_chunk().map_or(0, |version| i16::from_be_bytes(*version));
    Ok(match kind {
        ControlRecordType::LeaderChange => {
            Control::LeaderChange(LeaderChangeMessage::decode(&mut reader, version)?)
        }
        ControlRecordType::KRaftVersion => {
            Control::KRaftVersion(KRaftVersionRecord::decode(&mut reader, version)?)
        }
        ControlRecordType::KRaftVoters => {
            Control::Voters(VotersRecord::decode(&mut reader, version)?)
        }
        ControlRecordType::SnapshotHeader => {
            Control::SnapshotHeader(SnapshotHeaderRecord::decode(&mut reader, version)?)
        }
        ControlRecordType::SnapshotFooter => {
            Control::SnapshotFooter(SnapshotFooterRecord::decode(&mut reader, version)?)
        }
        ControlRecordType::Abort | ControlRecordType::Commit | ControlRecordType::Unknown(_) => {
            Control::Other
        }
    })
}
