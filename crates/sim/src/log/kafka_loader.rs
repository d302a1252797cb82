//! What Apache Kafka would serve from a partition's directory as it is found: a small model of its
//! loader's passes, with what it trusts and what it reads again. It shares no code with the log.
//! Must not know what should be there.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_log::AbortedTransaction;
use ottla_partition::{ProducerEntry, decode_snapshot};
use ottla_protocol::{Offset, ProducerId};
use ottla_records::{Batch, ControlRecordType, Scratch};

/// Files of a partition's directory, by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What is written beside it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    /// The marker of a clean stop is there.
    pub(super) clean: bool,
    pub(super) recovery_point: i64,
    pub(super) log_start: i64,
}

/// What it serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub(super) log_start: i64,
    pub(super) log_end: i64,
    /// All batches, in the order of the segments.
    pub(super) batches: Vec<Bytes>,
    pub(super) aborted: Vec<AbortedTransaction>,
    /// What it trusts and should not, each a sentence.
    pub(super) misled: Vec<String>,
}

const TXN_ENTRY: usize = 34;

/// By producer, where its open transaction begins.
type Open = BTreeMap<i64, i64>;

struct Segment {
    base: i64,
    batches: Vec<(usize, Bytes)>,
    /// Of its index, or as it makes it anew.
    aborted: Vec<AbortedTransaction>,
    /// Bytes at its end are no batches.
    cut: bool,
}

/// Loads a log.
pub(super) fn load(mut files: Files, beside: &Beside) -> Served {
    finish_swaps(&mut files);
    let (mut segments, misled) = open_segments(&files, beside);
    let end = segments.last().map_or(0, |s| s.end());
    if segments.is_empty() || end < beside.log_start {
        let at = beside.log_start;
        return Served { log_start: at, log_end: at, misled, ..Served::default() };
    }
    let first = segments.first().map_or(0, |s| s.base);
    let mut served = Served {
        log_start: first.max(beside.log_start),
        log_end: end,
        misled,
        ..Served::default()
    };
    for segment in &mut segments {
        served.batches.extend(segment.batches.drain(..).map(|(_, bytes)| bytes));
        served.aborted.append(&mut segment.aborted);
    }
    served
}

/// The offset that a name begins with.
fn offset_of(name: &str) -> Option<i64> {
    name.split_once('.').and_then(|(offset, _)| offset.parse().ok())
}

/// The loader's first three passes.
fn finish_swaps(files: &mut Files) {
    files.retain(|name, _| !name.ends_with(".deleted") || name.ends_with(".checkpoint.deleted"));
    let cleaned = files.keys().filter(|name| name.ends_with(".cleaned"));
    let lowest = cleaned.filter_map(|name| offset_of(name)).min().unwrap_or(i64::MAX);
    files.retain(|name, _| {
        let undone = name.ends_with(".swap") && offset_of(name).is_some_and(|o| o >= lowest);
        !undone && !name.ends_with(".cleaned")
    });
    let covered = files.iter().filter(|(name, _)| name.ends_with(".log.swap"));
    let covered = covered.filter_map(|(name, log)| {
        let base = offset_of(name)?;
        let end = batches(log).0.last().map_or(base, |(_, bytes)| end_of(bytes));
        Some((base, end))
    });
    let covered: Vec<_> = covered.collect();
    let low = covered.iter().map(|(low, _)| *low).min().unwrap_or(i64::MAX);
    let high = covered.iter().map(|(_, high)| *high).max().unwrap_or(i64::MIN);
    files.retain(|name, _| {
        name.ends_with(".swap") || offset_of(name).is_none_or(|o| o < low || o >= high)
    });
    let swaps: Vec<_> = files.extract_if(.., |name, _| name.ends_with(".swap")).collect();
    for (name, content) in swaps {
        let name = name.strip_suffix(".swap").unwrap_or(&name).to_owned();
        files.insert(name, content);
    }
}

/// The fourth pass, and recovery.
fn open_segments(files: &Files, beside: &Beside) -> (Vec<Segment>, Vec<String>) {
    let bases: Vec<i64> = files.keys().filter_map(|name| base_of(name)).collect();
    let floor = bases.iter().rev().find(|base| **base <= beside.recovery_point).copied();
    let floor = floor.or(bases.first().copied()).unwrap_or(0);
    let mut segments: Vec<Segment> = Vec::new();
    let mut misled = Vec::new();
    for (at, base) in bases.iter().copied().enumerate() {
        let file = |suffix: &str| files.get(&format!("{base:020}.{suffix}"));
        let (found, valid) = batches(file("log").map(Vec::as_slice).unwrap_or_default());
        let cut = file("log").is_some_and(|log| log.len() > valid);
        let txn_index = file("txnindex").map(|bytes| aborted_in(bytes)).unwrap_or_default();
        let sound = txn_index.iter().all(|entry| entry.last_offset.0 >= base);
        let is_read = !beside.clean && base >= floor;
        let mut segment = Segment { base, batches: found, aborted: txn_index, cut };
        if is_read || !sound || file("index").is_none() {
            segment.aborted = aborted_by(files, &segments, &segment, beside.log_start);
        } else if bases.get(at + 1).is_none_or(|next| *next > beside.log_start) {
            // What lies below the log's start goes, and nobody asks for it.
            misled.extend(segment.what_misleads(file("index"), file("timeindex")));
        }
        let ends_here = is_read && segment.cut;
        segments.push(segment);
        if ends_here {
            break;
        }
    }
    (segments, misled)
}

fn base_of(name: &str) -> Option<i64> {
    name.strip_suffix(".log").and_then(|base| base.parse().ok())
}

/// Sound batches from the front, with their places, and how many bytes these are.
fn batches(log: &[u8]) -> (Vec<(usize, Bytes)>, usize) {
    let mut found = Vec::new();
    let mut at = 0;
    while let Ok(batch) = Batch::parse(log.get(at..).unwrap_or_default()) {
        if batch.verify_crc().is_err() {
            break;
        }
        found.push((at, Bytes::copy_from_slice(batch.bytes())));
        at += batch.size();
    }
    (found, at)
}

fn end_of(bytes: &Bytes) -> i64 {
    Batch::parse(bytes).map_or(0, |batch| batch.header().next_offset().0)
}

impl Segment {
    fn end(&self) -> i64 {
        self.batches.last().map_or(self.base, |(_, bytes)| end_of(bytes))
    }

    /// What of a segment that is not read again leads astray.
    fn what_misleads(&self, index: Option<&Vec<u8>>, times: Option<&Vec<u8>>) -> Option<String> {
        let base = self.base;
        if self.cut {
            return Some(format!("segment {base} ends with what is no batch"));
        }
        let headers: Vec<_> = self
            .batches
            .iter()
            .filter_map(|(at, bytes)| Batch::parse(bytes).ok().map(|batch| (*at, *batch.header())))
            .collect();
        let (entries, _) = index.map(Vec::as_slice).unwrap_or_default().as_chunks::<8>();
        for entry in entries {
            let (offset, at) = (big_endian(entry.get(..4)), big_endian(entry.get(4..)));
            let found = headers.iter().find(|(place, _)| i64::try_from(*place) == Ok(at));
            if found.is_none_or(|(_, header)| header.last_offset().0 != base + offset) {
                return Some(format!("an index of {base} has offset {offset} at byte {at}"));
            }
        }
        let largest = headers.iter().map(|(_, header)| header.max_timestamp.0).max()?;
        let (entries, _) = times.map(Vec::as_slice).unwrap_or_default().as_chunks::<12>();
        let last = entries.last().map(|entry| big_endian(entry.get(..8)));
        if last != Some(largest) {
            return Some(format!("the largest timestamp of {base} is {largest}, and not {last:?}"));
        }
        None
    }
}

fn big_endian(bytes: Option<&[u8]>) -> i64 {
    let bytes = bytes.unwrap_or_default();
    bytes.iter().fold(0, |number: i64, byte| (number << 8) | i64::from(*byte))
}

/// What an index of aborted transactions says.
fn aborted_in(bytes: &[u8]) -> Vec<AbortedTransaction> {
    let (entries, _) = bytes.as_chunks::<TXN_ENTRY>();
    let offset = |entry: &[u8], at: usize| Offset(big_endian(entry.get(at..at + 8)));
    let entry = |entry: &[u8; TXN_ENTRY]| AbortedTransaction {
        producer_id: ProducerId(big_endian(entry.get(2..10))),
        first_offset: offset(entry, 10),
        last_offset: offset(entry, 18),
        last_stable_offset: offset(entry, 26),
    };
    entries.iter().map(entry).collect()
}

/// Transactions that were aborted in a segment that is read again: producers come from the newest
/// snapshot at its base or before, and the batches after that.
fn aborted_by(
    files: &Files,
    before: &[Segment],
    segment: &Segment,
    log_start: i64,
) -> Vec<AbortedTransaction> {
    let first = before.first().map_or(segment.base, |s| s.base);
    let snapshots = files.iter().filter_map(|(name, content)| {
        let offset: i64 = name.strip_suffix(".snapshot")?.parse().ok()?;
        let in_range = offset > log_start.max(first) && offset <= segment.base;
        in_range.then(|| producers_in(content))?.map(|open| (offset, open))
    });
    let (from, mut open) = snapshots.max_by_key(|(offset, _)| *offset).unwrap_or_default();
    for (_, bytes) in before.iter().flat_map(|s| &s.batches) {
        if end_of(bytes) > from {
            follow(&mut open, bytes);
        }
    }
    segment.batches.iter().filter_map(|(_, bytes)| follow(&mut open, bytes)).collect()
}

/// The open transactions of a snapshot; `None` when it is damaged.
fn producers_in(content: &[u8]) -> Option<Open> {
    let entries = decode_snapshot(content).ok()?;
    let first = |entry: &ProducerEntry| entry.current_txn_first_offset.map(|first| first.0);
    Some(entries.iter().filter_map(|e| first(e).map(|first| (e.producer_id.0, first))).collect())
}

/// Follows the producers; gives what a batch ends by aborting it.
fn follow(open: &mut Open, bytes: &Bytes) -> Option<AbortedTransaction> {
    let batch = Batch::parse(bytes).ok()?;
    let header = *batch.header();
    if !header.attributes.is_transactional() {
        return None;
    }
    let producer = header.producer_id;
    if !header.attributes.is_control() {
        open.entry(producer.0).or_insert(header.base_offset.0);
        return None;
    }
    let mut scratch = Scratch::new();
    let marker = batch.records(&mut scratch, 1 << 16).ok()?.next()?.ok()?;
    let first = open.remove(&producer.0)?;
    (ControlRecordType::parse_key(marker.key) == Ok(ControlRecordType::Abort)).then_some(
        AbortedTransaction {
            producer_id: producer,
            first_offset: Offset(first),
            last_offset: header.last_offset(),
            last_stable_offset: header.next_offset(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Draw;
    use crate::log::batches::{data, marker};
    use crate::log::model::Written;

    const ABORTING: Written = Written { producer: 5, epoch: 0, sequence: 0, transactional: true };

    /// Batches at these offsets, one after the other.
    fn log(made: &[Bytes]) -> Vec<u8> {
        made.concat()
    }

    fn plain(at: i64) -> Bytes {
        data(&mut Draw::new(1), 1000 + at, 20, None).unwrap().at(at, 0).bytes
    }

    fn files(of: &[(&str, Vec<u8>)]) -> Files {
        of.iter().map(|(name, content)| (format!("{:020}", 0) + name, content.clone())).collect()
    }

    fn offsets(served: &Served) -> Vec<(i64, i64)> {
        let header = |bytes: &Bytes| *Batch::parse(bytes).unwrap().header();
        let range = |bytes| (header(bytes).base_offset.0, header(bytes).last_offset().0);
        served.batches.iter().map(range).collect()
    }

    #[test]
    fn an_interrupted_swap_is_finished_or_undone() {
        let (old, new) = (plain(0), plain(100));
        let end = end_of(&new);
        let mut found = files(&[(".log", old.to_vec()), (".index", vec![])]);
        for name in [".log", ".index", ".timeindex"] {
            let content = if name == ".log" { new.to_vec() } else { vec![] };
            found.insert(format!("{:020}{name}.swap", 0), content);
        }
        // A segment behind that the new one covers, and one that it does not.
        found.insert(format!("{:020}.log", end - 1), plain(end - 1).to_vec());
        found.insert(format!("{end:020}.log"), plain(end).to_vec());
        let served = load(found.clone(), &Beside::default());
        assert_eq!(offsets(&served).first(), Some(&(100, end - 1)));
        assert_eq!((served.batches.len(), served.log_start), (2, 0));
        // One file that is not renamed yet, and the old ones count.
        found.insert(format!("{:020}.timeindex.cleaned", 0), vec![]);
        let served = load(found, &Beside::default());
        assert_eq!(offsets(&served).first().map(|(base, _)| *base), Some(0));
    }

    #[test]
    fn indexes_that_come_before_their_log_are_lost() {
        let aborted = data(&mut Draw::new(2), 1000, 20, Some(ABORTING)).unwrap().at(0, 0);
        let end = marker(2000, ABORTING, false).unwrap().at(aborted.next(), 0);
        let content = log(&[aborted.bytes, end.bytes.clone()]);
        let mut entry = vec![0, 0];
        for number in [5, 0, end.base, end.next()] {
            entry.extend(number.to_be_bytes());
        }
        let beside = Beside { recovery_point: end.next(), ..Beside::default() };
        let behind = (format!("{:020}.log", end.next()), Vec::new());
        let empty_index = (".index", vec![]);
        let with = |names: [&str; 2]| {
            let mut found = files(&[
                (names[0], content.clone()),
                (names[1], entry.clone()),
                empty_index.clone(),
            ]);
            found.insert(behind.0.clone(), behind.1.clone());
            load(found, &beside)
        };
        let known = with([".log", ".txnindex"]);
        assert_eq!(known.aborted.len(), 1);
        assert_eq!(
            (known.aborted[0].first_offset.0, known.aborted[0].last_offset.0),
            (0, end.base)
        );
        // Its `.log` is still a `.swap`: the index goes with the files that it replaces. What is left
        // has no offset index, so it is read again, and that is what finds the transaction.
        assert_eq!(with([".log.swap", ".txnindex"]).aborted.len(), 1);
        let mut found = files(&[(".log.swap", content.clone()), (".txnindex", entry.clone())]);
        found.insert(format!("{:020}.index.swap", 0), vec![]);
        found.insert(behind.0.clone(), behind.1.clone());
        assert_eq!(load(found, &beside).aborted, []);
    }

    #[test]
    fn what_is_trusted_must_be_right() {
        let (batch, behind) = (plain(0), format!("{:020}.log", 1_000));
        let largest = Batch::parse(&batch).unwrap().header().max_timestamp.0;
        let times = |time: i64| [&time.to_be_bytes()[..], &[0; 4]].concat();
        let beside = Beside { recovery_point: 1_000, ..Beside::default() };
        let load = |index: Vec<u8>, time: i64, beside: &Beside| {
            let times = (".timeindex", times(time));
            let mut found = files(&[(".log", batch.to_vec()), (".index", index), times]);
            found.insert(behind.clone(), Vec::new());
            load(found, beside).misled
        };
        assert_eq!(load(vec![], largest, &beside), Vec::<String>::new());
        assert!(load(vec![], 0, &beside)[0].contains("largest timestamp"));
        assert!(load(vec![0, 0, 0, 9, 0, 0, 0, 0], largest, &beside)[0].contains("has offset 9"));
        // What is read again gets new indexes.
        assert_eq!(load(vec![], 0, &Beside::default()), Vec::<String>::new());
    }

    #[test]
    fn a_bad_batch_is_the_end_where_batches_are_read_again() {
        let (first, second) = (plain(0), plain(50));
        let mut torn = second.to_vec();
        torn.pop();
        let mut found = files(&[(".log", log(&[first, torn.into()])), (".index", vec![])]);
        found.insert(format!("{:020}.log", 90), plain(90).to_vec());
        let served = load(found, &Beside::default());
        assert_eq!(served.batches.len(), 1);
        let beyond = Beside { log_start: 1_000, ..Beside::default() };
        let served = load(files(&[(".log", plain(0).to_vec())]), &beyond);
        assert_eq!((served.log_start, served.log_end, served.batches.len()), (1_000, 1_000, 0));
    }
}
