//! A partition as the committer sees it, and what it was told. Must not know what should be true.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_log::{CommitEvent, CommitTarget, LogDir, PartitionLog, WriteSet};

/// What the committer told a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Told to be with the operating system.
    pub(super) written: i64,
    /// Told to be on stable storage.
    pub(super) durable: i64,
    /// A commit failed, for good.
    pub(super) failed: bool,
    /// A commit found no space and was undone.
    pub(super) no_space: bool,
    /// Something was told to be durable after a failure.
    pub(super) durable_after_failure: bool,
}

/// A partition.
#[derive(Debug)]
pub(super) struct Host {
    log: Mutex<PartitionLog>,
    told: Mutex<Told>,
}

impl Host {
    pub(super) fn new(log: PartitionLog) -> Self {
        let end = log.log_end().0;
        let told = Told { written: end, durable: log.durable_end().0, ..Told::default() };
        Self { log: Mutex::new(log), told: Mutex::new(told) }
    }

    pub(super) fn log(&self) -> MutexGuard<'_, PartitionLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitTarget for Host {
    fn take(&self) -> Option<WriteSet> {
        self.log().take_pending()
    }

    fn take_for(&self, log_dir: &Arc<LogDir>) -> Option<WriteSet> {
        let mut log = self.log();
        if Arc::ptr_eq(log.log_dir(), log_dir) { log.take_pending() } else { None }
    }

    fn on_commit(&self, event: &CommitEvent) {
        let mut log = self.log();
        log.on_commit(event);
        let mut told = self.told();
        match event {
            CommitEvent::Written { end } => told.written = told.written.max(end.0),
            CommitEvent::Durable { end } => {
                told.durable = told.durable.max(end.0);
                told.durable_after_failure |= told.failed;
                // Consumers see what is durable (with flush.mode=os: written).
                let high_watermark = log.durable_end();
                log.producers_mut().on_high_watermark(high_watermark);
            }
            CommitEvent::Failed(_) => told.failed = true,
            CommitEvent::NoSpace(_) => told.no_space = true,
        }
    }
}
