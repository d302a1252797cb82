//! One partition's copy being filled. Must not know how the copy takes the log's place.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use ottla_log::{
    Claim, CopyError, FutureLog, LogError, LogView, OpenOptions, PartitionLog, TopicPartition,
    future_dir,
};
use ottla_protocol::{Millis, Offset, Uuid};
use tracing::{info, warn};

use super::super::volume::{Key, Volume};
use super::{Begun, Move};
use crate::shared::Shared;

/// Bytes copied at a time.
pub(super) const CHUNK: usize = 1 << 20;

/// What the thread has in hand for one move.
pub(super) struct Work {
    pub(super) key: Key,
    pub(super) of: Arc<Move>,
    /// What the last run copied, until it is looked at.
    pub(super) begun: Option<Begun>,
    pub(super) copy: Option<FutureLog>,
    /// Nobody else removes, replaces or cuts segments of the log: the copy has it as it was, and
    /// compaction must not take a marker whose transaction was copied.
    pub(super) claim: Option<Claim>,
    /// The controller was asked to note the new place.
    pub(super) asked: Option<Receiver<bool>>,
    pub(super) told: bool,
}

/// How a copy stands.
pub(super) enum Copied {
    /// So many bytes were copied, and there may be more.
    Some(usize),
    /// It has everything that is written.
    All,
}

/// Why a move ends before it is done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the partition is not here, or not wanted elsewhere, any more")]
    Gone,
    #[error("its directory's name would be too long")]
    Name,
    #[error("a directory of its name is in the other log directory: a start decides which counts")]
    Taken,
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Work {
    pub(super) fn new(key: Key, of: Arc<Move>) -> Self {
        let begun = of.begun.lock().take();
        Self { key, of, begun, copy: None, claim: None, asked: None, told: false }
    }

    /// Copies a piece.
    pub(super) fn step(
        &mut self,
        shared: &Shared,
        volume: &Volume,
        now: Millis,
    ) -> Result<Copied, Ended> {
        self.keep_claim(shared)?;
        let copy = match self.copy.take() {
            Some(copy) => copy,
            None => self.begin(shared, volume, now)?,
        };
        let copy = self.copy.insert(copy);
        let (view, written) = self.of.hosted.view_for_moving();
        let copied = match copy.copy(&view, written, CHUNK, now) {
            Ok(bytes) => Copied::Some(bytes),
            // Who wants the log changes its files: looked at anew when that is done.
            Err(CopyError::Read(_)) if self.claim.as_ref().is_some_and(Claim::is_wanted) => {
                Copied::Some(0)
            }
            Err(error) => return Err(error.into()),
        };
        let end = copy.log_end();
        self.of.set_progress(end.get(), copy.size_bytes());
        let all = end >= written;
        Ok(if all { Copied::All } else { copied })
    }

    /// Holds the claim, and gives it to whoever waits for it.
    fn keep_claim(&mut self, shared: &Shared) -> Result<(), Ended> {
        let wanted = self.claim.as_ref().is_some_and(Claim::is_wanted);
        if !wanted && self.claim.is_some() {
            return Ok(());
        }
        self.claim = None;
        self.claim = Some(self.of.hosted.maintenance.claim().ok_or(Ended::Gone)?);
        // In between compaction may have changed what was copied.
        if wanted
            && self.of.hosted.config().cleaning.compact
            && let Some(copy) = self.copy.take()
        {
            info!(partition = %self.of.hosted.name, "its log is copied anew");
            self.told = false;
            discard(copy, shared, self.of.target);
        }
        Ok(())
    }

    fn begin(&mut self, shared: &Shared, volume: &Volume, now: Millis) -> Result<FutureLog, Ended> {
        let partition = &self.of.hosted.name;
        if is_taken(volume, partition) {
            return Err(Ended::Taken);
        }
        if let Some(begun) = &self.begun {
            match self.go_on(volume, begun, now) {
                Ok(Some(copy)) => {
                    self.begun = None;
                    return Ok(copy);
                }
                Ok(None) => info!(%partition, "its log is copied anew"),
                Err(error) => warn!(%partition, %error, "its log is copied anew"),
            }
            match volume.dir.remove(&begun.name) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(()) | Err(_) => self.begun = None,
            }
        }
        let unique = Uuid(shared.rng.bytes16());
        let name = future_dir(partition, unique).ok_or(Ended::Name)?;
        let target = volume.dir.path().display().to_string();
        info!(%partition, %target, "its log is copied");
        Ok(FutureLog::open(&volume.dir, partition, &name, self.options(now))?)
    }

    /// What the last run copied, if it is of use still.
    fn go_on(
        &self,
        volume: &Volume,
        begun: &Begun,
        now: Millis,
    ) -> Result<Option<FutureLog>, Ended> {
        let hosted = &self.of.hosted;
        // It may have been compacted since.
        if hosted.config().cleaning.compact {
            return Ok(None);
        }
        // From its start: no recovery point is kept of copies, and that the last stop was clean says
        // nothing of one that it had not taken up.
        let copy = FutureLog::open(&volume.dir, &hosted.name, &begun.name, self.options(now))?;
        let (view, written) = hosted.view_for_moving();
        let same = copy.is_copy_of(&view, written).map_err(CopyError::from)?;
        Ok(same.then_some(copy))
    }

    pub(super) fn options(&self, now: Millis) -> OpenOptions {
        let config = self.of.hosted.config();
        let mut options = OpenOptions::new(Some(self.key.0), config.log.clone(), now);
        options.producer_rules = config.producers;
        options
    }

    /// What the controller says of the new place; `None` while it has not answered.
    pub(super) fn answer(&mut self) -> Option<bool> {
        let answer = match self.asked.as_ref()?.try_recv() {
            Ok(taken) => taken,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => false,
        };
        self.asked = None;
        self.told = answer;
        Some(answer)
    }
}

/// Whether the partition's name is in use there: of a log that could not be put aside.
pub(super) fn is_taken(volume: &Volume, partition: &TopicPartition) -> bool {
    let path = volume.dir.path().join(partition.to_string());
    volume.dir.disk().exists(&path).is_ok_and(|exists| exists)
}

/// Removes a copy that nobody wants.
pub(super) fn discard(copy: FutureLog, shared: &Shared, volume: usize) {
    let name = copy.name().to_owned();
    removed(shared, volume, &name, copy.discard());
}

/// Removes one that was not opened.
pub(super) fn remove(shared: &Shared, begun: &Begun) {
    if let Some(volume) = shared.partitions.volumes.get(begun.volume) {
        removed(shared, begun.volume, &begun.name, volume.dir.remove(&begun.name));
    }
}

fn removed(shared: &Shared, volume: usize, name: &str, outcome: Result<(), LogError>) {
    if let Err(error) = outcome
        && shared.partitions.volumes.get(volume).is_some_and(|v| v.dir.failure().is_none())
    {
        warn!(%name, %error, "a copy that is not wanted any more stays until the next start");
    }
}

impl super::HostedPartition {
    /// The log's files, and up to where they are written.
    pub(super) fn view_for_moving(&self) -> (LogView, Offset) {
        self.with_log(|log: &PartitionLog| (log.view(), log.written_end()))
    }
}
