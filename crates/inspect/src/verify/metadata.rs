//! Metadata records and snapshots: every record is one that is known; a snapshot begins with its
//! header and ends with its footer. Must not apply them.

use std::path::Path;

use ottla_env::Disk;
use ottla_records::{Batch, ControlRecordType, Scratch};

use super::finding::{Finding, Severity};
use crate::error::InspectError;
use crate::schema;
use crate::walk::{Found, Walk};

/// Bytes that one batch may unpack to.
const UNPACKED_MAX: usize = 1 << 30;

/// The first record of a batch that is no metadata record.
pub(super) fn records(
    path: &Path,
    position: u64,
    batch: &Batch<'_>,
    scratch: &mut Scratch,
) -> Option<Finding> {
    let control = batch.header().attributes.is_control();
    let found = |offset, what: String| {
        let meaning = "a node that does not know the record cannot load the metadata";
        let finding = Finding::new(Severity::Damage, path, what, meaning).at(position);
        Some(finding.offsets(offset, offset))
    };
    let records = match batch.records(scratch, UNPACKED_MAX) {
        Ok(records) => records,
        Err(error) => return found(batch.header().base_offset, error.to_string()),
    };
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => return found(batch.header().base_offset, error.to_string()),
        };
        let fault = if control {
            ControlRecordType::parse_key(record.key)
                .map_err(|error| error.to_string())
                .and_then(|kind| schema::control(kind, record.value).map(|_| ()))
        } else {
            schema::metadata(record.value).map(|_| ())
        };
        if let Err(fault) = fault {
            return found(record.offset, fault);
        }
    }
    None
}

/// A `.checkpoint` file.
pub(super) fn snapshot(disk: &dyn Disk, path: &Path) -> Result<Vec<Finding>, InspectError> {
    let mut walk = Walk::open(disk, path)?;
    let mut scratch = Scratch::new();
    let mut found = Vec::new();
    let meaning = "a start takes an older snapshot and the log behind it, if they are there";
    let mut fault = |position, what: String| {
        found.push(Finding::new(Severity::Damage, path, what, meaning).at(position));
    };
    let mut first = None;
    let mut last = None;
    while let Some(next) = walk.next()? {
        match next {
            Found::Bad { position, error } => {
                fault(position, error.to_string());
                return Ok(found);
            }
            Found::Batch { batch, position } => {
                if let Err(error) = batch.verify_crc() {
                    fault(position, error.to_string());
                    return Ok(found);
                }
                if let Some(finding) = records(path, position, &batch, &mut scratch) {
                    fault(position, finding.what);
                }
                for kind in controls(&batch, &mut scratch) {
                    first = first.or(Some(kind));
                    last = Some(kind);
                }
            }
        }
    }
    if first != Some(ControlRecordType::SnapshotHeader) {
        fault(0, "it does not begin with a snapshot's header".to_owned());
    } else if last != Some(ControlRecordType::SnapshotFooter) {
        fault(walk.end(), "it does not end with a snapshot's footer".to_owned());
    }
    Ok(found)
}

/// The kinds of a batch's control records; for a batch of others one that is none of a snapshot.
fn controls(batch: &Batch<'_>, scratch: &mut Scratch) -> Vec<ControlRecordType> {
    if !batch.header().attributes.is_control() {
        return vec![ControlRecordType::Unknown(-1)];
    }
    let Ok(records) = batch.records(scratch, UNPACKED_MAX) else { return Vec::new() };
    records
        .filter_map(Result::ok)
        .filter_map(|record| ControlRecordType::parse_key(record.key).ok())
        .collect()
}
