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

#[cfg(test)]
mod tests {
    use ottla_protocol::{Millis, Offset};
    use ottla_records::{BatchBuilder, BatchOptions, refresh_crc};

    use super::*;
    use crate::payload::{Shape, id};

    /// A batch of two records of place 7 at offset 10.
    fn batch() -> Vec<u8> {
        let options = BatchOptions { base_offset: Offset(10), ..BatchOptions::default() };
        let mut batch = BatchBuilder::new(options).unwrap();
        for number in [1, 2] {
            let record = Payload::of(5, 1_000, 7, id(number, Shape::Middle));
            let (own, value) = (record.id_bytes(), record.value.as_deref());
            let time = Millis(record.timestamp);
            batch.append(time, Some(&record.key), value, &Payload::headers(&own)).unwrap();
        }
        batch.build().unwrap()
    }

    fn contents(found: &Batch) -> Vec<Result<u64, &str>> {
        let records = found.records.iter();
        let read = records.map(|record| match &record.content {
            Content::Record { id, .. } => Ok(*id),
            Content::Broken(what) => Err(what.as_str()),
        });
        read.collect()
    }

    #[test]
    fn what_was_sent_is_recognised() {
        let found = read(5, 1_000, 7, 10, &batch());
        assert_eq!(contents(&found), [Ok(id(1, Shape::Middle)), Ok(id(2, Shape::Middle))]);
        assert_eq!((found.next, found.records[1].offset), (12, 11));
        // From the middle of a batch on.
        let found = read(5, 1_000, 7, 11, &batch());
        assert_eq!(contents(&found), [Ok(id(2, Shape::Middle))]);
    }

    #[test]
    fn a_changed_byte_is_seen_with_and_without_the_checksum() {
        for at in [100, 2_000, 4_000] {
            let mut bytes = batch();
            bytes[at] ^= 4;
            assert!(contents(&read(5, 1_000, 7, 10, &bytes)).iter().any(Result::is_err), "{at}");
            refresh_crc(&mut bytes);
            assert!(contents(&read(5, 1_000, 7, 10, &bytes)).iter().any(Result::is_err), "{at}");
        }
    }

    #[test]
    fn a_record_of_another_partition_is_seen() {
        let found = read(5, 1_000, 8, 10, &batch());
        assert!(contents(&found).iter().all(Result::is_err), "{found:?}");
    }

    #[test]
    fn a_torn_batch_brings_nothing() {
        let bytes = batch();
        let found = read(5, 1_000, 7, 10, &bytes[..bytes.len() - 1]);
        assert_eq!((found.next, found.records.len()), (10, 0));
    }
}
