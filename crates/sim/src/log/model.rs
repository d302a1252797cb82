//! What one partition should hold: a plain list of everything that was appended, and how far it
//! was acknowledged. The oracle; it shares no code with the log. Must not know files.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// A value, as the model remembers it.
pub(super) fn value_of(bytes: &[u8]) -> u64 {
    let mut trace = crate::disk::Trace::default();
    trace.bytes(bytes);
    trace.hash()
}

/// Who wrote a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) producer: i64,
    pub(super) epoch: i16,
    /// Of the first record; −1 in a marker.
    pub(super) sequence: i32,
    pub(super) transactional: bool,
}

/// A batch as it must be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) base: i64,
    pub(super) last: i64,
    pub(super) epoch: i32,
    /// Whole, with offsets and epoch.
    pub(super) bytes: Bytes,
    /// Of each record.
    pub(super) timestamps: Vec<i64>,
    /// Key and value of each record of data; `None` for a tombstone.
    pub(super) records: Vec<(u8, Option<u64>)>,
    pub(super) written: Option<Written>,
    /// The end of a transaction: whether it was committed.
    pub(super) marker: Option<bool>,
}

impl Entry {
    pub(super) fn next(&self) -> i64 {
        self.last + 1
    }
}

/// One partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) entries: Vec<Entry>,
    /// Where the log begins, as the process knows.
    pub(super) start: i64,
    /// Where it begins at least, after any crash.
    pub(super) start_safe: i64,
    /// Told to survive the end of the process.
    pub(super) written: i64,
    /// Told to survive a power cut.
    pub(super) durable: i64,
    pub(super) epoch: i32,
    /// Where the log ended when producers were last read from files.
    pub(super) since: i64,
    /// Up to here it was compacted, as the cleaner's checkpoint says.
    pub(super) clean: Option<i64>,
    /// A crash took batches after a compaction had counted on them: what is known of producers may
    /// be older.
    pub(super) unsure: bool,
    /// A start that came to nothing said that it cut something.
    pub(super) warned: bool,
    /// A truncation of everything was begun, to begin anew at this offset.
    pub(super) restart_at: Option<i64>,
}

/// What is known of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) epoch: i16,
    pub(super) next_sequence: i32,
    /// First offset of its open transaction.
    pub(super) open: Option<i64>,
    /// Base offset of its last data.
    pub(super) last_data: i64,
}

impl Model {
    /// The offset after everything appended.
    pub(super) fn end(&self) -> i64 {
        self.entries.last().map_or(self.start, |entry| entry.next().max(self.start))
    }

    /// Batches that end at or after `offset`.
    pub(super) fn from(&self, offset: i64) -> &[Entry] {
        let first = self.entries.partition_point(|entry| entry.last < offset);
        self.entries.get(first..).unwrap_or_default()
    }

    /// Takes away the batches that reach `offset` or beyond.
    pub(super) fn cut(&mut self, offset: i64) {
        self.entries.retain(|entry| entry.last < offset);
        let end = self.end();
        self.durable = self.durable.min(end);
        self.written = self.written.min(end);
    }

    /// Takes away everything.
    pub(super) fn begin_anew(&mut self, offset: i64) {
        self.entries.clear();
        self.start = offset;
        self.start_safe = 0;
        self.written = offset;
        self.durable = offset;
        self.restart_at = None;
    }

    /// The producers, from all that was appended.
    pub(super) fn producers(&self) -> BTreeMap<i64, Producer> {
        let mut found = BTreeMap::new();
        for entry in &self.entries {
            let Some(by) = entry.written else { continue };
            let known = found.entry(by.producer).or_insert(Producer {
                epoch: by.epoch,
                next_sequence: 0,
                open: None,
                last_data: -1,
            });
            if known.epoch != by.epoch {
                known.epoch = by.epoch;
                known.next_sequence = 0;
            }
            if entry.marker.is_some() {
                known.open = None;
                continue;
            }
            let count = i32::try_from(entry.last - entry.base + 1).unwrap_or(i32::MAX);
            known.next_sequence = by.sequence.wrapping_add(count);
            known.last_data = entry.base;
            if by.transactional {
                known.open = known.open.or(Some(entry.base));
            }
        }
        found
    }

    /// The last batches with data of a producer's epoch, newest first.
    pub(super) fn recent(&self, producer: i64, epoch: i16) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().filter(move |entry| {
            entry.marker.is_none()
                && entry.written.is_some_and(|by| by.producer == producer && by.epoch == epoch)
        })
    }

    /// The first record of a transaction that has no end below `up_to`, at or after `from`.
    pub(super) fn first_undecided(&self, from: i64, up_to: i64) -> Option<i64> {
        let decided = self.decisions(up_to);
        let open = |entry: &&Entry| {
            entry.marker.is_none()
                && entry.written.is_some_and(|by| by.transactional)
                && !decided.contains_key(&entry.base)
        };
        let first = self.from(from).iter().filter(|entry| entry.last < up_to).find(open);
        first.map(|entry| entry.base.max(from))
    }

    /// By base offset of transactional data, whether it was committed, for transactions that end
    /// below `up_to`.
    fn decisions(&self, up_to: i64) -> BTreeMap<i64, bool> {
        let mut open: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut decided = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.last < up_to) {
            let Some(by) = entry.written.filter(|by| by.transactional) else { continue };
            match entry.marker {
                None => open.entry(by.producer).or_default().push(entry.base),
                Some(commit) => {
                    let bases = open.remove(&by.producer).unwrap_or_default();
                    decided.extend(bases.into_iter().map(|base| (base, commit)));
                }
            }
        }
        decided
    }

    /// Offsets of the records that a reader of committed data gets from `from..up_to`.
    pub(super) fn committed(&self, from: i64, up_to: i64) -> BTreeSet<i64> {
        let decided = self.decisions(i64::MAX);
        let visible = |entry: &&Entry| {
            let transactional = entry.written.is_some_and(|by| by.transactional);
            entry.marker.is_none()
                && (!transactional || decided.get(&entry.base).copied().unwrap_or(false))
        };
        self.from(from)
            .iter()
            .filter(|entry| entry.last < up_to)
            .filter(visible)
            .flat_map(|entry| entry.base..=entry.last)
            .filter(|offset| *offset >= from)
            .collect()
    }

    /// Key and value of the record at an offset.
    pub(super) fn record_at(&self, offset: i64) -> Option<(u8, Option<u64>)> {
        let entry = self.from(offset).first().filter(|entry| entry.base <= offset)?;
        entry.records.get(usize::try_from(offset - entry.base).ok()?).copied()
    }

    /// Of each key what was last committed in `from..up_to`; `None` for a tombstone.
    pub(super) fn last_committed(&self, from: i64, up_to: i64) -> BTreeMap<u8, Option<u64>> {
        let visible = self.committed(from, up_to);
        let record = |offset: i64| self.record_at(offset);
        visible.into_iter().filter_map(record).collect()
    }

    /// The first record at or after `timestamp`: its timestamp and offset.
    pub(super) fn at_time(&self, timestamp: i64) -> Option<(i64, i64)> {
        let records = self.from(self.start).iter().flat_map(|entry| {
            entry.timestamps.iter().zip(entry.base..).map(|(time, offset)| (*time, offset))
        });
        records.into_iter().find(|(time, offset)| *time >= timestamp && *offset >= self.start)
    }
}
