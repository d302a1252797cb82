//! Batches as they come from a fetch, held byte for byte against what was sent. Must not know what
//! should be there.

use ottla_records::{Batches, Scratch};

use crate::history::{Content, FoundRecord};
use crate::payload::{Payload, Place, claimed_id};
use crate::world::hash;

/// Uncompressed bytes that one batch may have.
const LIMIT: usize = 64 << 20;

/// What a fetch of a partition brought.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records at or after the offset that was asked for.
    pub records: Vec<FoundRecord>,
    /// Where to go on.
    pub next: i64,
    /// Bytes of the batches.
    pub bytes: u64,
}

/// Reads batches of `place` that were asked for from `offset` on.
#[must_use]
pub fn read(seed: u64, epoch_ms: i64, place: Place, offset: i64, bytes: &[u8]) -> Batch {
    let mut found = Batch { next: offset, ..Batch::default() };
    let mut scratch = Scratch::default();
    for batch in Batches::new(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            // A fetch ends within a batch when its limit does.
            Err(_) => break,
        };
        found.bytes += batch.size() as u64;
        let broken =
            |what: String| FoundRecord { offset: found.next, content: Content::Broken(what) };
        if let Err(error) = batch.verify_crc() {
            found.records.push(broken(format!("a batch: {error}")));
        }
        let header = batch.header();
        let last = header.last_offset().get();
        if header.attributes.is_control() {
            found.next = last + 1;
            continue;
        }
        match batch.records(&mut scratch, LIMIT) {
            Err(error) => found.records.push(broken(format!("a batch: {error}"))),
            Ok(records) => {
                for record in records {
                    match record {
                        Err(error) => {
                            found.records.push(broken(format!("a record: {error}")));
                            break;
                        }
                        Ok(record) if record.offset.get() < offset => {}
                        Ok(record) => found.records.push(FoundRecord {
                            offset: record.offset.get(),
                            content: content(seed, epoch_ms, place, &record),
                        }),
                    }
                }
            }
        }
        found.next = last + 1;
    }
    found
}

fn content(seed: u64, epoch_ms: i64, place: Place, record: &ottla_records::Record<'_>) -> Content {
    let Some(id) = claimed_id(record) else {
        return Content::Broken("a record without an id".to_owned());
    };
    let sent = Payload::of(seed, epoch_ms, place, id);
    let same = record.key == Some(&sent.key[..])
        && record.value == sent.value.as_deref()
        && record.timestamp.0 == sent.timestamp
        && record.headers.len() == 1;
    if same {
        Content::Record { id, key: hash(&sent.key), timestamp: sent.timestamp }
    } else {
        Content::Broken(format!("not what record {} of this place is", id >> 2))
    }
}
