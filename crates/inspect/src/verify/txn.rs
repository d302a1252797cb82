//! `.txnindex` against the transactions that the log's markers abort. Must not know how readers
//! use it.

use std::path::Path;

use ottla_env::Disk;
use ottla_log::AbortedTransaction;
use ottla_partition::CompletedTxn;

use super::finding::{Finding, Severity};
use crate::error::InspectError;
use crate::indexes::entries;

/// Holds a segment's index against the transactions that end in the segment.
pub(super) fn verify(
    disk: &dyn Disk,
    path: &Path,
    ended: &[CompletedTxn],
) -> Result<Vec<Finding>, InspectError> {
    let mut found = Vec::new();
    let read = if disk.exists(path)? {
        entries::aborted(disk, path)?
    } else {
        entries::Aborted { entries: Vec::new(), torn: 0 }
    };
    if read.torn > 0 {
        found.push(Finding::new(
            Severity::Repairable,
            path,
            format!("it ends with {} bytes of a torn entry", read.torn),
            "a start makes the index anew",
        ));
    }
    let indexed: Vec<&AbortedTransaction> = read.entries.iter().map(|entry| &entry.txn).collect();
    if let Some(version) = read.entries.iter().map(|e| e.version).find(|version| *version != 0) {
        found.push(Finding::new(
            Severity::Repairable,
            path,
            format!("an entry has version {version}, and only 0 is known"),
            "readers of committed data cannot use the index",
        ));
    }
    if !indexed.is_sorted_by(|a, b| a.last_offset < b.last_offset) {
        found.push(Finding::new(
            Severity::Repairable,
            path,
            "its entries are out of order",
            "readers of committed data cannot use the index",
        ));
    }
    for txn in ended.iter().filter(|txn| txn.is_aborted) {
        let entry = indexed.iter().find(|entry| {
            entry.producer_id == txn.producer_id && entry.last_offset == txn.last_offset
        });
        let (what, meaning) = match entry {
            None => ("has no entry", "readers of committed data are given its aborted records"),
            Some(entry) if entry.first_offset > txn.first_offset => (
                "has an entry that begins too late",
                "readers of committed data are given some of its aborted records",
            ),
            Some(_) => continue,
        };
        let what = format!("the aborted transaction of producer {} {what}", txn.producer_id);
        let finding = Finding::new(Severity::Repairable, path, what, meaning);
        found.push(finding.offsets(txn.first_offset, txn.last_offset));
    }
    for entry in indexed {
        let committed = ended.iter().any(|txn| {
            !txn.is_aborted
                && txn.producer_id == entry.producer_id
                && txn.last_offset == entry.last_offset
        });
        if committed {
            let what =
                format!("the committed transaction of producer {} has an entry", entry.producer_id);
            let meaning = "readers of committed data are not given its records";
            let finding = Finding::new(Severity::Repairable, path, what, meaning);
            found.push(finding.offsets(entry.first_offset, entry.last_offset));
        }
    }
    Ok(found)
}
