//! What the threads of one cycle share: the broker's address, what is known, and whether something
//! has been done to the broker that excuses a failed request. Must not know who sends what.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::faults::Control;
use crate::history::Rule;
use crate::wire::Code;
use crate::world::World;

/// `KAFKA_STORAGE_ERROR`, and what a partition without a leader is answered with.
pub const OFFLINE: [Code; 3] = [56, 6, 5];

/// `POLICY_VIOLATION`: what a full disk is answered with.
pub const FULL: Code = 44;

/// What is shared.
#[derive(Debug)]
pub struct Scene {
    /// What is known.
    pub world: Mutex<World>,
    /// How the shim is told.
    pub control: Control,
    /// The broker was killed, its power was cut, or it was asked to stop.
    struck: AtomicBool,
    /// No more is to be sent.
    stopped: AtomicBool,
    /// A fault is a cut of the power.
    power: AtomicBool,
    /// Partitions move between log directories all the time.
    moves: AtomicBool,
    /// The disk may be full.
    may_be_full: AtomicBool,
    /// Appends that were refused because the disk is full.
    full: AtomicU64,
    /// Nothing that is sent after the fault may be granted where the disk fails.
    judges_late: AtomicBool,
    /// The partitions whose disk fails when the fault fires.
    pub failing: Mutex<BTreeSet<(String, i32)>>,
}

impl Scene {
    /// A scene in which nothing has happened.
    #[must_use]
    pub fn new(world: World, control: Control) -> Self {
        Self {
            world: Mutex::new(world),
            control,
            struck: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            power: AtomicBool::new(false),
            moves: AtomicBool::new(false),
            may_be_full: AtomicBool::new(false),
            full: AtomicU64::new(0),
            judges_late: AtomicBool::new(false),
            failing: Mutex::default(),
        }
    }

    /// A new cycle: nothing has been done to the broker, requests may be sent.
    pub fn begin(&self) {
        self.struck.store(false, Ordering::SeqCst);
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// From now on failed requests are excused.
    pub fn strike(&self) {
        self.struck.store(true, Ordering::SeqCst);
    }

    /// No more is to be sent.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether no more is to be sent.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether the fault has happened.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.control.fired().unwrap_or(false)
    }

    /// Whether what goes wrong is the power.
    fn has_power(&self) -> bool {
        self.power.load(Ordering::SeqCst)
    }

    /// From now on a fault is a cut of the power.
    pub fn power(&self) {
        self.power.store(true, Ordering::SeqCst);
    }

    /// From now on partitions move between log directories.
    pub fn let_move(&self) {
        self.moves.store(true, Ordering::SeqCst);
    }

    /// Whether partitions move between log directories.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.moves.load(Ordering::SeqCst)
    }

    /// Whether the whole broker may fail.
    #[must_use]
    pub fn is_struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst) || (self.has_fired() && self.failing().is_empty())
    }

    /// What is known, to read or change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions that fail.
    pub fn failing(&self) -> MutexGuard<'_, BTreeSet<(String, i32)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an append may be refused because the disk is full.
    pub fn may_be_full(&self, may: bool) {
        self.may_be_full.store(may, Ordering::SeqCst);
    }

    /// How many appends were refused because the disk is full.
    #[must_use]
    pub fn refused_as_full(&self) -> u64 {
        self.full.load(Ordering::SeqCst)
    }

    /// Whether what is sent after the fault must not be granted where the disk fails.
    pub fn judge_late(&self, judges: bool) {
        self.judges_late.store(judges, Ordering::SeqCst);
    }

    /// Whether a request that is sent now to a partition must not be granted.
    #[must_use]
    pub fn is_late(&self, topic: &str, index: i32) -> bool {
        let after_cut = self.has_power() && self.control.is_cut().unwrap_or(false);
        let after_failure = self.judges_late.load(Ordering::SeqCst)
            && self.is_offline(topic, index)
            && !topic.starts_with("comes");
        after_cut || after_failure
    }

    /// Whether a partition's disk has failed.
    #[must_use]
    pub fn is_offline(&self, topic: &str, index: i32) -> bool {
        self.has_fired() && self.failing().contains(&(topic.to_owned(), index))
    }

    /// Whether the power is being cut, or was: a sync that was under way then may be reported as
    /// done although it was not, by ext4 itself, so that no answer from now on says anything.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.has_power() && self.has_fired()
    }

    /// Ends a client that heard something when the power was cut.
    ///
    /// # Errors
    /// The power is cut.
    pub fn still_powered(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_cut(), "the power was cut meanwhile");
        Ok(())
    }

    /// Judges the refusal of a request to a partition: a reason, or a violation.
    pub fn refused(&self, what: &str, topic: &str, index: i32, code: Code) {
        if code == FULL && self.may_be_full.load(Ordering::SeqCst) {
            self.full.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let excused =
            self.is_struck() || (OFFLINE.contains(&code) && self.is_offline(topic, index));
        if !excused {
            let text = format!("{what} to {topic}-{index} is refused with error {code}");
            self.world().wrong(Rule::Refused, text);
        }
    }

    /// Judges the end of a connection.
    pub fn failed(&self, who: &str, error: &anyhow::Error) {
        if self.is_struck() {
            return;
        }
        let text = format!("{who}: {error:#}");
        let rule = if text.contains("no answer") { Rule::Hung } else { Rule::Refused };
        self.world().wrong(rule, text);
    }
}
