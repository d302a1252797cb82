//! A metadata record with the version it is written in. Must not know where it is written.

use ottla_protocol::MetadataRecord;

/// A record and its version.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionedRecord {
    /// The record.
    pub record: MetadataRecord,
    /// The version of its type.
    pub version: i16,
}

impl VersionedRecord {
    pub(crate) fn new(record: MetadataRecord, version: i16) -> Self {
        Self { record, version }
    }
}
