//! One partition: what was sent to it, what is known to be in it, and what a reader found. Must not
//! know how records travel.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::violation::{Rule, Violation};

/// What may vanish from a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing but what was asked to be deleted.
    Whole,
    /// A record that has a later one of its key.
    Compacted,
    /// The beginning, but never so much that less than this many bytes stay.
    Retained {
        /// `retention.bytes`.
        bytes: u64,
    },
    /// The end, as the operating system was trusted with it.
    Loose,
}

/// Who sent a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// One run of numbers; another one after the producer began anew.
    pub stream: u64,
    /// Counts the records of the stream in this partition.
    pub number: u64,
    /// Sent by an idempotent producer: no gaps, no duplicates.
    pub idempotent: bool,
}

/// What stands at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The record with this id, byte for byte.
    Record {
        /// Its id.
        id: u64,
        /// Hash of its key.
        key: u64,
        /// Its timestamp, in milliseconds.
        timestamp: i64,
    },
    /// Something else; the text says what is wrong with it.
    Broken(String),
}

/// One record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its offset.
    pub offset: i64,
    /// What it is.
    pub content: Content,
}

/// Everything that a reader found in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The log start offset.
    pub start: i64,
    /// The high watermark.
    pub end: i64,
    /// Bytes of all batches.
    pub bytes: u64,
    /// The records from start to end.
    pub records: Vec<FoundRecord>,
}

/// The memory of one partition.
#[derive(Clone, Debug)]
pub struct PartitionHistory {
    /// Its name in reports.
    name: String,
    policy: Policy,
    /// Origin and hash of the key, by id.
    sent: HashMap<u64, (Origin, u64)>,
    /// Those that were acknowledged or read at any time.
    seen: HashSet<u64>,
    /// By offset: what was acknowledged there, or read.
    known: BTreeMap<i64, u64>,
    /// The end that was acknowledged or read.
    end: i64,
    /// The highest offset up to which deletion was asked for.
    delete_asked: i64,
    /// The highest start that was read or acknowledged.
    start: i64,
    /// The start that the log had when the broker was last stopped cleanly. A later deletion of
    /// records is durable with the next checkpoint, as in Kafka: a crash may undo it.
    certain_start: i64,
}

impl PartitionHistory {
    /// A new partition.
    pub fn new(name: impl Into<String>, policy: Policy) -> Self {
        Self {
            name: name.into(),
            policy,
            sent: HashMap::new(),
            seen: HashSet::new(),
            known: BTreeMap::new(),
            end: 0,
            delete_asked: 0,
            start: 0,
            certain_start: 0,
        }
    }

    /// What may vanish from it.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The end that is certain.
    pub const fn end(&self) -> i64 {
        self.end
    }

    /// The start that is certain.
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// How many records must be there.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether a record was acknowledged or read at any time.
    pub fn was_seen(&self, id: u64) -> bool {
        self.seen.contains(&id)
    }

    /// A record is about to be sent.
    pub fn sent(&mut self, id: u64, key: u64, origin: Origin) {
        self.sent.insert(id, (origin, key));
    }

    /// A batch of these records was acknowledged at `base`.
    pub fn acked(&mut self, base: i64, ids: &[u64]) -> Result<(), Violation> {
        if self.policy == Policy::Loose {
            return Ok(());
        }
        for (offset, id) in (base..).zip(ids) {
            self.learn(offset, *id)?;
        }
        Ok(())
    }

    /// Records up to `offset` are about to be deleted.
    pub fn delete_asked(&mut self, offset: i64) {
        self.delete_asked = self.delete_asked.max(offset);
    }

    /// The start of the log was told.
    pub fn delete_acked(&mut self, start: i64) {
        self.start = self.start.max(start);
    }

    /// The broker was stopped cleanly.
    pub const fn stopped_cleanly(&mut self) {
        self.certain_start = self.start;
    }

    /// A consumer read these records: they are there for ever, acknowledged or not.
    pub fn observed(&mut self, found: &[FoundRecord]) -> Vec<Violation> {
        let mut wrong = Vec::new();
        for record in found {
            match &record.content {
                Content::Broken(what) => wrong.push(self.wrong(Rule::Damaged, record.offset, what)),
                Content::Record { id, .. } if !self.sent.contains_key(id) => {
                    wrong.push(self.wrong(Rule::Phantom, record.offset, &shown(*id)));
                }
                Content::Record { id, .. } if self.policy != Policy::Loose => {
                    wrong.extend(self.learn(record.offset, *id).err());
                }
                Content::Record { .. } => {}
            }
        }
        wrong
    }

    fn learn(&mut self, offset: i64, id: u64) -> Result<(), Violation> {
        self.end = self.end.max(offset + 1);
        self.seen.insert(id);
        match self.known.insert(offset, id) {
            Some(before) if before != id => {
                let what = format!("{}, which was {}", shown(id), shown(before));
                Err(self.wrong(Rule::Changed, offset, &what))
            }
            _ => Ok(()),
        }
    }

    /// Holds what was found against what must be there, may be there, and must not.
    pub fn check(&self, found: &Found) -> Vec<Violation> {
        let mut wrong: Vec<Violation> = self.check_bounds(found).into_iter().collect();
        wrong.extend(self.check_records(found));
        if self.policy != Policy::Loose {
            wrong.extend(self.check_known(found));
        }
        if !matches!(self.policy, Policy::Compacted) {
            wrong.extend(self.check_streams(found));
        }
        wrong
    }

    /// What was found is certain from now on. Records that were not found and may be gone are
    /// forgotten. Whether a deletion of records was undone.
    pub fn settle(&mut self, found: &Found) -> bool {
        let is_undone = found.start < self.start;
        self.start = found.start;
        self.end = found.end;
        self.known.clear();
        if self.policy == Policy::Loose {
            return is_undone;
        }
        for record in &found.records {
            if let Content::Record { id, .. } = record.content {
                self.known.insert(record.offset, id);
                self.seen.insert(id);
            }
        }
        is_undone
    }

    fn check_bounds(&self, found: &Found) -> Option<Violation> {
        let lowest = match self.policy {
            // After a crash the start may be that of before the deletion.
            Policy::Whole | Policy::Compacted | Policy::Loose => self.delete_asked.max(self.start),
            Policy::Retained { .. } => i64::MAX,
        };
        if found.start > lowest {
            let what = format!("the log begins at {}, {lowest} at most", found.start);
            return Some(self.at(Rule::Start, &what));
        }
        if found.start < self.certain_start {
            let what = format!("the log begins at {}, {} before", found.start, self.certain_start);
            return Some(self.at(Rule::Start, &what));
        }
        if found.start > found.end {
            let what = format!("the log begins at {} and ends at {}", found.start, found.end);
            return Some(self.at(Rule::Start, &what));
        }
        if found.end < self.end && self.policy != Policy::Loose {
            let what = format!("the log ends at {}, {} is certain", found.end, self.end);
            return Some(self.at(Rule::End, &what));
        }
        let Policy::Retained { bytes } = self.policy else { return None };
        let deleted = found.start > self.delete_asked.max(self.start);
        (deleted && found.bytes < bytes).then(|| {
            let what = format!("{} bytes stay, and {bytes} should", found.bytes);
            self.at(Rule::Start, &what)
        })
    }

    /// Each record for itself, and the offsets.
    fn check_records(&self, found: &Found) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let mut next = found.start;
        let mut seen = HashSet::new();
        for record in &found.records {
            let offset = record.offset;
            if offset < next || offset >= found.end {
                let what = format!("after {}, in {}..{}", next - 1, found.start, found.end);
                wrong.push(self.wrong(Rule::Offsets, offset, &what));
            } else if offset > next && !matches!(self.policy, Policy::Compacted) {
                let what = format!("follows {}", next - 1);
                wrong.push(self.wrong(Rule::Offsets, offset, &what));
            }
            next = offset + 1;
            match &record.content {
                Content::Broken(what) => wrong.push(self.wrong(Rule::Damaged, offset, what)),
                Content::Record { id, .. } => {
                    if !self.sent.contains_key(id) {
                        wrong.push(self.wrong(Rule::Phantom, offset, &shown(*id)));
                    }
                    if !seen.insert(*id) {
                        wrong.push(self.wrong(Rule::Duplicate, offset, &shown(*id)));
                    }
                }
            }
        }
        if next < found.end && !matches!(self.policy, Policy::Compacted) {
            let what = format!("records end at {next}, the log at {}", found.end);
            wrong.push(self.at(Rule::Offsets, &what));
        }
        wrong
    }

    /// What is certain must be there, unless it may be gone.
    fn check_known(&self, found: &Found) -> Vec<Violation> {
        let at: HashMap<i64, &Content> =
            found.records.iter().map(|record| (record.offset, &record.content)).collect();
        let mut lost: Vec<(i64, u64)> = Vec::new();
        let mut wrong = Vec::new();
        for (offset, id) in self.known.range(found.start..) {
            match at.get(offset) {
                Some(Content::Record { id: other, .. }) if other == id => {}
                Some(Content::Record { id: other, .. }) => {
                    let what = format!("{}, which was {}", shown(*other), shown(*id));
                    wrong.push(self.wrong(Rule::Changed, *offset, &what));
                }
                Some(Content::Broken(_)) => {}
                None => lost.push((*offset, *id)),
            }
        }
        wrong.extend(lost.into_iter().filter_map(|(offset, id)| self.lost(offset, id, found)));
        wrong
    }

    /// A record that is not there: lost, unless a later one has its key.
    fn lost(&self, offset: i64, id: u64, found: &Found) -> Option<Violation> {
        let own = self.sent.get(&id).map(|(_, key)| *key);
        let mut later = found.records.iter().rev().take_while(|later| later.offset > offset);
        let replaced = self.policy == Policy::Compacted
            && later.any(
                |later| matches!(later.content, Content::Record { key, .. } if Some(key) == own),
            );
        (!replaced).then(|| self.wrong(Rule::Lost, offset, &shown(id)))
    }

    /// Each producer's records in their order; an idempotent one's without a gap.
    fn check_streams(&self, found: &Found) -> Vec<Violation> {
        let mut last: HashMap<u64, u64> = HashMap::new();
        let mut wrong = Vec::new();
        for record in &found.records {
            let Content::Record { id, .. } = &record.content else { continue };
            let Some((origin, _)) = self.sent.get(id) else { continue };
            let before = last.insert(origin.stream, origin.number);
            let fits = match before {
                None => true,
                Some(before) if origin.idempotent && self.policy != Policy::Loose => {
                    origin.number == before + 1
                }
                Some(before) => origin.number > before,
            };
            if !fits {
                let what = format!("{} is {origin:?}, after {before:?}", shown(*id));
                wrong.push(self.wrong(Rule::Order, record.offset, &what));
            }
        }
        wrong
    }

    fn at(&self, rule: Rule, what: &str) -> Violation {
        Violation::new(rule, format!("{}: {what}", self.name))
    }

    fn wrong(&self, rule: Rule, offset: i64, what: &str) -> Violation {
        Violation::new(rule, format!("{} at {offset}: {what}", self.name))
    }
}

fn shown(id: u64) -> String {
    format!("record {}", id >> 2)
}
