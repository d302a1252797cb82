//! Which transaction a batch belongs to while the log is walked from its start, and so what may
//! go: records of aborted transactions, and markers of which no record is left. Must not know
//! records, except a marker's kind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use ottla_protocol::{Offset, ProducerId};
use ottla_records::BatchHeader;

use crate::txn_index::AbortedTransaction;

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Commit,
    Abort,
    /// Control records that end no transaction.
    Other,
    /// Its records are gone already.
    Empty,
}

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Aborted ones that begin later, earliest first.
    to_come: BinaryHeap<Reverse<ByFirst>>,
    committed: BTreeSet<ProducerId>,
    aborted: BTreeMap<ProducerId, Aborted>,
}

#[derive(Debug)]
struct Aborted {
    entry: AbortedTransaction,
    /// A batch of it was there.
    seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ByFirst(AbortedTransaction);

impl Ord for ByFirst {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |t: &Self| (t.0.first_offset, t.0.last_offset);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for ByFirst {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Transactions {
    /// Tells of aborted transactions that are in the segment to come.
    pub(super) fn expect(&mut self, aborted: impl IntoIterator<Item = AbortedTransaction>) {
        self.to_come.extend(aborted.into_iter().map(|t| Reverse(ByFirst(t))));
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while self.to_come.peek().is_some_and(|t| t.0.0.first_offset <= offset) {
            let Some(Reverse(ByFirst(entry))) = self.to_come.pop() else { break };
            self.aborted.entry(entry.producer_id).or_insert(Aborted { entry, seen: false });
        }
    }

    /// A batch of records. Whether it belongs to an aborted transaction, so that it may go.
    pub(super) fn on_batch(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(aborted) => {
                aborted.seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A control batch. Whether nothing of its transaction was seen, so that it may go; and the
    /// entry that the index of aborted transactions still needs.
    pub(super) fn on_control(
        &mut self,
        header: &BatchHeader,
        control: Control,
    ) -> (bool, Option<AbortedTransaction>) {
        self.begin_up_to(header.last_offset());
        match control {
            Control::Abort => match self.aborted.remove(&header.producer_id) {
                Some(Aborted { entry, seen: true }) => (false, Some(entry)),
                Some(Aborted { seen: false, .. }) | None => (true, None),
            },
            Control::Commit => (!self.committed.remove(&header.producer_id), None),
            Control::Other => (false, None),
            Control::Empty => (true, None),
        }
    }
}
