//! What compaction leaves of a batch, byte for byte as Java's `MemoryRecords.filterTo` does where
//! nothing is compressed. Must not know which records stay, nor why.

use ottla_protocol::Millis;

use crate::builder::{BatchBuilder, BatchOptions, BuildError};
use crate::header::{BatchHeader, TimestampType};
use crate::record::Record;

/// The batch with only these records of it, in their order: offsets, producer, sequence and codec
/// stay; timestamps are counted from the first record, or from `delete_horizon` (KIP-534).
///
/// # Errors
/// [`BuildError`]: a header that no batch should have, a codec that fails.
pub fn retained_batch(
    of: &BatchHeader,
    records: &[Record<'_>],
    delete_horizon: Option<Millis>,
) -> Result<Vec<u8>, BuildError> {
    let attributes = of.attributes;
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: of.base_offset,
        partition_leader_epoch: of.partition_leader_epoch,
        // The records were read by it, so it is known.
        compression: of.compression().unwrap_or_default(),
        compression_level: None,
        log_append_time: match attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(of.max_timestamp),
        },
        producer_id: of.producer_id,
        producer_epoch: of.producer_epoch,
        base_sequence: of.base_sequence,
        transactional: attributes.is_transactional(),
        control: attributes.is_control(),
        delete_horizon,
    })?;
    builder.reserve(records.iter().map(|record| record.size).sum());
    for record in records {
        builder.push(
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            record.headers.iter(),
        )?;
    }
    builder.override_last_offset(of.last_offset());
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Compression, Scratch};
    use ottla_protocol::{Offset, ProducerEpoch, ProducerId};

    fn batch(compression: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: Offset(10),
            compression,
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(1),
            base_sequence: 3,
            transactional: true,
            ..BatchOptions::default()
        })
        .unwrap();
        for i in 0..5_u8 {
            let value = (i != 3).then_some(&b"value"[..]);
            let time = Millis(1000 + i64::from(i));
            builder.append(time, Some(&[b'k', i]), value, &[]).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn all_but_the_records_stays() {
        for compression in Compression::ALL {
            let before = batch(compression);
            let before = Batch::parse(&before).unwrap();
            let mut scratch = Scratch::new();
            let records: Vec<_> =
                before.records(&mut scratch, 1 << 20).unwrap().map(Result::unwrap).collect();
            let bytes = retained_batch(before.header(), &records[1..4], None).unwrap();
            let after = Batch::parse(&bytes).unwrap();
            after.verify_crc().unwrap();
            let (a, b) = (after.header(), before.header());
            assert_eq!((a.base_offset, a.last_offset_delta), (b.base_offset, 4));
            assert_eq!((a.producer_id, a.base_sequence), (b.producer_id, 3));
            assert_eq!((a.attributes, a.record_count), (b.attributes, 3));
            assert_eq!((a.base_timestamp, a.max_timestamp), (Millis(1001), Millis(1003)));
            let mut scratch = Scratch::new();
            let kept: Vec<_> =
                after.records(&mut scratch, 1 << 20).unwrap().map(Result::unwrap).collect();
            let plain = |r: &Record<'_>| (r.offset, r.timestamp, r.key.map(<[u8]>::to_vec));
            assert!(kept.iter().map(plain).eq(records[1..4].iter().map(plain)));
        }
    }

    #[test]
    fn a_delete_horizon_is_the_base_timestamp() {
        let before = batch(Compression::None);
        let before = Batch::parse(&before).unwrap();
        let mut scratch = Scratch::new();
        let records: Vec<_> =
            before.records(&mut scratch, 1 << 20).unwrap().map(Result::unwrap).collect();
        let bytes = retained_batch(before.header(), &records, Some(Millis(5000))).unwrap();
        let after = Batch::parse(&bytes).unwrap();
        assert_eq!(after.header().delete_horizon(), Some(Millis(5000)));
        assert_eq!(after.header().max_timestamp, Millis(1004));
        let mut scratch = Scratch::new();
        let times: Vec<_> =
            after.records(&mut scratch, 1 << 20).unwrap().map(|r| r.unwrap().timestamp.0).collect();
        assert_eq!(times, [1000, 1001, 1002, 1003, 1004]);
    }
}
