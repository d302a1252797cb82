//! Going back when there was no space: the log ends again where its last written batch does, its
//! files are cut to that, and nothing is appended until the host says that there is space
//! ([`PartitionLog::resume`]). Nobody was told of what is cut, so nothing is lost. Must not know
//! how the host finds out about space.
//!
//! Files are read and cut without the log's lock, for a host that must not block under it:
//! [`PartitionLog::begin_rollback`], [`Rollback::run`], [`PartitionLog::finish_rollback`]; later
//! [`PartitionLog::begin_resume`], [`Reload::run`], [`PartitionLog::finish_resume`]. In between,
//! reads go on and appends are refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_env::{OpenMode, planted};
use ottla_partition::{ProducerRules, ProducerStates};
use ottla_protocol::{Millis, Offset};

use super::{Active, PartitionLog};
use crate::commit::{Op, remove};
use crate::error::LogError;
use crate::load;
use crate::names;
use crate::segment::{PartitionDir, Segment};
use crate::view::LogView;

/// What is to be cut.
#[derive(Debug)]
pub struct Rollback {
    view: LogView,
    to: Offset,
}

/// What was cut.
#[derive(Debug)]
pub struct RolledBack {
    /// In place of the only segment.
    instead: Option<Arc<Segment>>,
    active: Active,
    to: Offset,
}

/// What is to be read again before the log takes appends.
#[derive(Debug)]
pub struct Reload {
    dir: Arc<PartitionDir>,
    segments: Arc<Vec<Arc<Segment>>>,
    log_start: Offset,
    log_end: Offset,
    rules: ProducerRules,
}

/// What was read.
#[derive(Debug)]
pub struct Reloaded {
    producers: ProducerStates,
    log_end: Offset,
}

impl PartitionLog {
    /// Whether the log takes no appends because there was no space.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// After [`crate::CommitEvent::NoSpace`]: from here on appends are refused.
    pub fn begin_rollback(&mut self) -> Rollback {
        self.halted = true;
        // What makes room is still to be done; a small file is written with the next commit.
        self.pending.retain(|op| matches!(op, Op::Bury { .. }));
        self.dir.stale.store(true, Ordering::Release);
        self.dir.log_dir.note_halted();
        Rollback { view: self.view(), to: self.written_end }
    }

    /// The files are cut: so is the log. When they could not be, the log directory is out of
    /// service. What may still be done is given to the committer that looks again after
    /// [`crate::CommitEvent::NoSpace`].
    ///
    /// # Errors
    /// The failure that [`Rollback::run`] ended with.
    pub fn finish_rollback(&mut self, cut: Result<RolledBack, LogError>) -> Result<(), LogError> {
        self.in_flight = false;
        let cut = match cut {
            Ok(cut) => cut,
            // Its files may be gone.
            Err(_) if self.dir.is_retired() => return Ok(()),
            Err(error) => return self.fail_on(Err(error)),
        };
        let end = cut.to;
        let mut segments: Vec<_> = self.segments.iter().cloned().collect();
        while segments.len() > 1 && segments.pop_if(|s| s.base > end).is_some() {}
        if let Some(instead) = cut.instead {
            segments = vec![instead];
        }
        self.segments = Arc::new(segments);
        self.active = cut.active;
        self.tail.cut(end);
        let epoch = self.epochs.latest().map(|latest| latest.epoch);
        self.epochs.truncate_from_end(end);
        if let Some(epoch) = epoch {
            // The leader stays the same: its epoch begins here, if nothing of it is left.
            self.epochs.assign(epoch, end);
        }
        self.log_end = end;
        self.durable_end = self.durable_end.min(end);
        // What is left was written by commits that went through.
        (self.uncommitted_bytes, self.taken_bytes) = (0, 0);
        self.closing.clear();
        Ok(())
    }

    /// All of it at once: blocks. For [`crate::CommitEvent::NoSpace`].
    ///
    /// # Errors
    /// When the disk fails; then the log directory is out of service.
    pub fn roll_back(&mut self) -> Result<(), LogError> {
        let cut = self.begin_rollback().run();
        self.finish_rollback(cut)
    }

    /// There may be space again; `None` when the log is not halted, or still going back. Segments
    /// must stay as they are until it is finished.
    #[must_use]
    pub fn begin_resume(&self) -> Option<Reload> {
        (self.halted && !self.in_flight && self.check().is_ok()).then(|| Reload {
            dir: Arc::clone(&self.dir),
            segments: Arc::clone(&self.segments),
            log_start: self.log_start,
            log_end: self.log_end,
            rules: *self.producers.rules(),
        })
    }

    /// From here on appends are taken. Where the high watermark is, the host tells the producers
    /// again. Returns whether a commit is needed.
    pub fn finish_resume(&mut self, read: Reloaded) -> bool {
        if !self.halted || self.log_end != read.log_end {
            return false;
        }
        let rules = *self.producers.rules();
        self.producers = read.producers;
        self.producers.set_rules(rules);
        self.producers.on_log_start(self.log_start);
        self.halted = false;
        let closed = self.segments.split_last().map_or(&[][..], |(_, closed)| closed);
        // There was no space to close them with.
        let open = closed.iter().filter(|s| !s.is_sealed()).cloned();
        self.pending.extend(open.map(Op::Seal));
        self.queue()
    }

    /// All of it at once: blocks.
    ///
    /// # Errors
    /// [`LogError::is_no_space`] when there is still no space; other failures of the disk.
    pub fn resume(&mut self, now: Millis) -> Result<(), LogError> {
        let Some(reload) = self.begin_resume() else { return Ok(()) };
        let read = reload.run(now)?;
        let _with_the_next = self.finish_resume(read);
        self.queued = false;
        Ok(())
    }
}

impl Rollback {
    /// Cuts the files; durable when it returns. Blocks.
    ///
    /// # Errors
    /// When the disk fails: the log directory cannot be used any more.
    pub fn run(self) -> Result<RolledBack, LogError> {
        let Self { view, to } = self;
        let beyond = view.segments.iter().rev().take_while(|s| s.base > to);
        for segment in beyond {
            remove(segment, true)?;
            // One by one, and before what is cut below: there may be no hole after a power cut.
            if !planted("rollback-names-not-synced") {
                view.dir.disk().sync_dir(&view.dir.path)?;
            }
        }
        let mut cut = RolledBack { instead: None, active: Active::empty(Millis(0)), to };
        match view.segments.iter().rfind(|s| s.base <= to) {
            Some(last) if last.base == to => last.make_empty()?,
            Some(last) => {
                last.forget_waiting_entries();
                let position = view.locate(last, to)?.unwrap_or_else(|| last.written());
                last.truncate(to, position)?;
                (cut.active, _) = load::resume(last, Millis(0))?;
            }
            // The only one took the place of an empty one: there is none until there is space.
            None => cut.instead = Some(Arc::new(Segment::new(&view.dir, to))),
        }
        view.dir.disk().sync_dir(&view.dir.path)?;
        Ok(cut)
    }
}

impl Reload {
    /// Reads the producers' states again, and makes the last segment's files where there was no
    /// space for them. Blocks.
    ///
    /// # Errors
    /// When the disk fails, or has no space still.
    pub fn run(self, now: Millis) -> Result<Reloaded, LogError> {
        if let Some(last) = self.segments.last().filter(|s| s.written() == 0) {
            for suffix in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX] {
                self.dir.disk().open(&last.path(suffix), OpenMode::Create)?;
            }
            self.dir.disk().sync_dir(&self.dir.path)?;
        }
        let producers = load::producers(
            &self.dir,
            &self.segments,
            self.log_start,
            self.log_end,
            self.rules,
            now,
        )?;
        Ok(Reloaded { producers, log_end: self.log_end })
    }
}
