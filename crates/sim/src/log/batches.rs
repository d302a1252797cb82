//! Batches as clients send them, and what the model must remember of them. Must not know logs.

use bytes::BytesMut;
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    BatchBuilder, BatchOptions, Compression, EndTransactionMarker, end_transaction_batch,
    set_base_offset_and_epoch,
};

use super::model::{Entry, Written, value_of};
use crate::choose::{Choose, Draw};

/// A batch before it is appended.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// As a client sends it: base offset 0.
    pub(super) bytes: BytesMut,
    pub(super) timestamps: Vec<i64>,
    pub(super) records: Vec<(u8, Option<u64>)>,
    pub(super) written: Option<Written>,
    pub(super) marker: Option<bool>,
}

impl Made {
    /// What must be found when it was appended at `base`, by the leader of `epoch`.
    pub(super) fn at(&self, base: i64, epoch: i32) -> Entry {
        let mut bytes = self.bytes.clone();
        set_base_offset_and_epoch(&mut bytes, Offset(base), LeaderEpoch(epoch));
        let count = i64::try_from(self.timestamps.len()).unwrap_or(i64::MAX);
        Entry {
            base,
            last: base + count - 1,
            epoch,
            bytes: bytes.freeze(),
            timestamps: self.timestamps.clone(),
            records: self.records.clone(),
            written: self.written,
            marker: self.marker,
        }
    }
}

/// A batch of data; `None` only when the builder refuses it, which is a bug of the simulator.
pub(super) fn data(
    draw: &mut Draw,
    now: i64,
    size_max: usize,
    by: Option<Written>,
) -> Option<Made> {
    let compression = match draw.below(12) {
        0 => Compression::Lz4,
        1 => Compression::Zstd,
        _ => Compression::None,
    };
    let options = BatchOptions {
        compression,
        producer_id: ProducerId(by.map_or(-1, |by| by.producer)),
        producer_epoch: ProducerEpoch(by.map_or(-1, |by| by.epoch)),
        base_sequence: by.map_or(-1, |by| by.sequence),
        transactional: by.is_some_and(|by| by.transactional),
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options).ok()?;
    let count = 1 + draw.below(4);
    let mut timestamps = Vec::with_capacity(count);
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let time = now + draw.span(-300, 300);
        let size = draw.below(size_max / count + 1);
        let value: Vec<u8> =
            (0..size).map(|_| u8::try_from(draw.below(256)).unwrap_or(0)).collect();
        let key = b'a' + u8::try_from(draw.below(8)).unwrap_or(0);
        let value = (!draw.one_in(8)).then_some(value.as_slice());
        builder.append(Millis(time), Some(&[key]), value, &[]).ok()?;
        timestamps.push(time);
        records.push((key, value.map(value_of)));
    }
    let bytes = BytesMut::from(builder.build().ok()?.as_slice());
    Some(Made { bytes, timestamps, records, written: by, marker: None })
}

/// The end of a transaction.
pub(super) fn marker(now: i64, by: Written, commit: bool) -> Option<Made> {
    let bytes = end_transaction_batch(
        Millis(now),
        ProducerId(by.producer),
        ProducerEpoch(by.epoch),
        commit,
        EndTransactionMarker { coordinator_epoch: 0 },
        LeaderEpoch(0),
    );
    let bytes = BytesMut::from(bytes.ok()?.as_slice());
    let written = Some(Written { sequence: -1, transactional: true, ..by });
    Some(Made { bytes, timestamps: vec![now], records: Vec::new(), written, marker: Some(commit) })
}
