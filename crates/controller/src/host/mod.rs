//! The controller's thread: executes what raft and the metadata machine want. Commands that arrive
//! together are decided one after the other, appended and synced together, and only then seen by
//! anybody and answered. A failed write ends the controller: what is on disk is then unknown, and
//! nothing is decided on what may not be there. Must not know what the decisions are.

mod append;
mod by_hand;
mod open;
mod quorum;
mod snapshots;
mod space;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::{Clock, Disk, Rng};
use ottla_metadata::{Machine, Refusal, Reply};
use ottla_protocol::{ErrorCode, Millis, Offset};
use ottla_raft::{LogEnd, Raft};
use tracing::{error, warn};

use crate::error::ControllerError;
use crate::handle::{ControllerHandle, Message, OnReply, Shared, Subscriber};
use crate::metadata_log::MetadataLog;
use crate::options::{ControllerOptions, MetadataLogSettings};
use crate::reserve::Reserve;
use crate::voters::Voter;

/// Commands that one sync may carry.
const GROUP_MAX: usize = 512;
/// Snapshots that are kept: the newest, and one to fall back on.
const SNAPSHOTS_KEPT: usize = 2;
/// How often a full disk is tried again, and how often the reserve is looked at while it is not
/// there; milliseconds.
const STALLED_MS: i64 = 250;
const RESERVE_MS: i64 = 10_000;

/// Everything the thread owns.
struct Host {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    dir: PathBuf,
    log: MetadataLog,
    machine: Machine,
    raft: Raft,
    kraft_version: i16,
    voters: Vec<Voter>,
    /// What the next epoch's first batch must say beside the leader change.
    voters_to_log: bool,
    settings: MetadataLogSettings,
    shared: Arc<Shared>,
    sender: Sender<Message>,
    subscribers: Vec<Subscriber>,
    /// Batches applied and not yet written.
    unwritten: Vec<Bytes>,
    /// Their time: one for all that one append writes, so that what a crash leaves of it can be
    /// told from later appends.
    append_time: Option<Millis>,
    /// Where the log ends with them.
    end: LogEnd,
    /// Answers that wait for the log to be committed up to an offset.
    owed: Vec<(Offset, Result<Reply, Refusal>, OnReply)>,
    /// Everything before it is committed.
    committed: Offset,
    /// Bytes appended since the last snapshot was begun, and when that was.
    bytes_after_snapshot: u64,
    snapshot_at: Millis,
    /// Snapshots that are to be written, for an owner who does that; `None`: a thread does.
    snapshots_by_hand: Option<Vec<by_hand::Write>>,
    /// The thread that writes a snapshot.
    snapshot_thread: Option<JoinHandle<()>>,
    snapshots: Vec<LogEnd>,
    reserve: Reserve,
    /// When the reserve is looked at again.
    reserve_at: Millis,
    /// There is no space for what was decided: nothing more is until it is written.
    stalled: bool,
}

pub use by_hand::ByHand;

/// Loads snapshot and log, elects, brings the log up to date, and runs the controller on a thread
/// of its own. When it returns the image is readable.
///
/// # Errors
/// When the disk fails, its content is damaged, or the quorum is one that this version cannot run.
pub fn start(options: ControllerOptions) -> Result<ControllerHandle, ControllerError> {
    let (sender, receiver) = mpsc::channel();
    let clock = Arc::clone(&options.clock);
    let mut host = Host::load(options, sender.clone())?;
    host.lead()?;
    let shared = Arc::clone(&host.shared);
    let watched = Arc::clone(&shared);
    let run = move || {
        if catch_unwind(AssertUnwindSafe(|| host.run(&receiver))).is_err() {
            // A node whose controller is gone must end, and nobody wait for it.
            let why = "the controller has panicked";
            watched.fail(why);
            refuse_rest(&receiver, &Refusal::new(ErrorCode::UnknownServerError, why));
        }
    };
    let thread = thread::Builder::new()
        .name("controller".to_owned())
        .spawn(run)
        .map_err(|error| ControllerError::Thread(error.to_string()))?;
    Ok(ControllerHandle::new(sender, shared, clock, thread))
}

impl Host {
    fn now(&self) -> Millis {
        monotonic(self.clock.as_ref())
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.recv_timeout(self.wait()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                // Not while this host has a sender of its own; then it is over all the same.
                Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
            };
            match self.turn(message, messages) {
                Ok(true) => {}
                Ok(false) => {
                    let stopped =
                        Refusal::new(ErrorCode::NotController, "the controller has stopped");
                    refuse_rest(messages, &stopped);
                    break;
                }
                Err(failure) => {
                    self.fail(&failure, messages);
                    break;
                }
            }
        }
        // Whoever opens the directory next must not find it still being written to.
        self.wait_for_snapshot();
    }

    /// How long nothing needs to be done.
    fn wait(&self) -> Duration {
        const LONGEST: i64 = 3_600_000;
        let now = self.now().get();
        let session = self
            .machine
            .next_deadline()
            .map_or(LONGEST, |deadline| deadline.get().saturating_sub(now));
        let snapshot = match i64::try_from(self.settings.snapshot_interval_ms) {
            Ok(interval) if interval > 0 && self.snapshot_thread.is_none() => {
                self.snapshot_at.get().saturating_add(interval).saturating_sub(now)
            }
            Ok(_) | Err(_) => LONGEST,
        };
        let reserve = match self.reserve.is_complete() {
            true => LONGEST,
            false => self.reserve_at.get().saturating_sub(now),
        };
        let stalled = if self.stalled { STALLED_MS } else { LONGEST };
        let wait = session.min(snapshot).min(reserve).min(stalled);
        Duration::from_millis(wait.clamp(1, LONGEST).unsigned_abs())
    }

    /// Handles a message and those that wait behind it. `false` when it is over.
    fn turn(
        &mut self,
        first: Option<Message>,
        messages: &Receiver<Message>,
    ) -> Result<bool, ControllerError> {
        let mut goes_on = true;
        let waiting = std::iter::from_fn(|| messages.try_recv().ok());
        for message in first.into_iter().chain(waiting).take(GROUP_MAX) {
            match message {
                Message::Command(command, on_reply) => self.decide(&command, on_reply)?,
                Message::Subscribe(seen, subscriber) => {
                    // What was decided before belongs to the image it begins with.
                    self.flush()?;
                    self.publish();
                    self.subscribe(seen.as_deref(), subscriber);
                }
                Message::SnapshotDone(outcome) => self.snapshot_done(outcome)?,
                Message::Stop => {
                    goes_on = false;
                    break;
                }
            }
        }
        if !self.stalled {
            self.tick()?;
        }
        self.flush()?;
        if self.stalled {
            self.answer_stalled();
            return Ok(goes_on);
        }
        self.publish();
        self.answer();
        self.take_snapshot()?;
        self.keep_reserve();
        Ok(goes_on)
    }

    fn tick(&mut self) -> Result<(), ControllerError> {
        loop {
            let records = self.machine.tick(self.now());
            if records.is_empty() {
                return Ok(());
            }
            warn!("a broker has not been heard of for too long: it is fenced");
            self.append(&records)?;
        }
    }

    /// The disk failed: nothing more is decided, and everybody who waits is told.
    fn fail(&mut self, failure: &ControllerError, messages: &Receiver<Message>) {
        let why = format!("the controller has failed: {failure}");
        error!("{why}");
        self.shared.fail(&why);
        let refusal = Refusal::new(ErrorCode::UnknownServerError, why);
        self.owed.drain(..).for_each(|(_, _, on_reply)| on_reply(Err(refusal.clone())));
        refuse_rest(messages, &refusal);
    }
}

/// Answers commands that nobody will decide on.
fn refuse_rest(messages: &Receiver<Message>, refusal: &Refusal) {
    while let Ok(message) = messages.try_recv() {
        if let Message::Command(_, on_reply) = message {
            on_reply(Err(refusal.clone()));
        }
    }
}

/// Milliseconds that never go back.
fn monotonic(clock: &dyn Clock) -> Millis {
    Millis(i64::try_from(clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX))
}
