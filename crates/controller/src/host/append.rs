//! Commands decided, appended together, synced once, shown and answered. Must not know what they
//! ask.

use std::sync::Arc;

use bytes::Bytes;
use ottla_metadata::{Command, Delta, Image, Position, Refusal, VersionedRecord};
use ottla_protocol::{ErrorCode, Millis};
use ottla_raft::{Input, LogEnd};

use super::Host;
use crate::batch;
use crate::error::ControllerError;
use crate::format::Draw;
use crate::handle::{OnReply, Published, Subscriber};

impl Host {
    pub(super) fn decide(
        &mut self,
        command: &Command,
        on_reply: OnReply,
    ) -> Result<(), ControllerError> {
        if self.stalled {
            self.decide_stalled(command, on_reply);
            return Ok(());
        }
        let (now, next) = (self.now(), self.end.offset);
        let rng = Arc::clone(&self.rng);
        let outcome = match self.machine.plan(now, next, command, &mut Draw(rng.as_ref())) {
            Ok(plan) => match self.encode(&plan.records) {
                Ok(batches) => {
                    self.apply(&plan.records, batches)?;
                    Ok(plan.reply)
                }
                Err(why) => Err(Refusal::new(ErrorCode::UnknownServerError, why)),
            },
            Err(refusal) => Err(refusal),
        };
        self.owed.push((self.end.offset, outcome, on_reply));
        Ok(())
    }

    pub(super) fn append(&mut self, records: &[VersionedRecord]) -> Result<(), ControllerError> {
        let batches = self.encode(records).map_err(ControllerError::Damaged)?;
        self.apply(records, batches)
    }

    /// The time of the append that is being gathered.
    pub(super) fn append_time(&mut self) -> Millis {
        let now = Millis(self.clock.wall_ms());
        *self.append_time.get_or_insert(now)
    }

    /// The batches that hold the records, from the log's end on.
    pub(super) fn encode(&mut self, records: &[VersionedRecord]) -> Result<Vec<Bytes>, String> {
        let now = self.append_time();
        let mut base = self.end.offset;
        let mut batches = Vec::new();
        for chunk in records.chunks(batch::RECORDS_MAX) {
            batches.push(batch::records(base, self.raft.epoch(), now, chunk)?);
            base = base.plus(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
        }
        Ok(batches)
    }

    /// Applies records that are about to be written.
    pub(super) fn apply(
        &mut self,
        records: &[VersionedRecord],
        batches: Vec<Bytes>,
    ) -> Result<(), ControllerError> {
        let (epoch, timestamp) = (self.raft.epoch(), self.append_time());
        for record in records {
            let position = Position { offset: self.end.offset, epoch, timestamp };
            self.machine.apply(position, &record.record).map_err(|error| {
                ControllerError::Damaged(format!("a decision was wrong: {error}"))
            })?;
            self.end = LogEnd { epoch, offset: self.end.offset.plus(1) };
        }
        self.unwritten.extend(batches);
        Ok(())
    }

    /// Writes and syncs what was appended, and lets raft say what is committed.
    pub(super) fn flush(&mut self) -> Result<(), ControllerError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let batches = std::mem::take(&mut self.unwritten);
        let bytes: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
        match self.write_to_log(&batches, self.end) {
            Err(error) if error.is_no_space() => {
                self.stall(&error);
                self.unwritten = batches;
                return Ok(());
            }
            other => other?,
        }
        self.append_time = None;
        self.go_on();
        self.bytes_after_snapshot = self.bytes_after_snapshot.saturating_add(bytes);
        if self.log.active_bytes() >= self.settings.segment_bytes {
            self.log.roll()?;
        }
        let end = self.end;
        self.drive(Input::Appended(end))?;
        self.drive(Input::Durable(end.offset))
    }

    /// Shows everybody the image, when it is committed and something changed.
    pub(super) fn publish(&mut self) {
        if self.committed < self.end.offset {
            return;
        }
        let delta = self.machine.take_delta();
        let image = Arc::new(self.machine.visible().clone());
        let is_news = !delta.is_empty();
        self.shared.publish(Arc::clone(&image));
        if is_news {
            let published = Published { image, delta };
            self.subscribers.iter_mut().for_each(|subscriber| subscriber(&published));
        }
    }

    pub(super) fn subscribe(&mut self, seen: Option<&Image>, mut subscriber: Subscriber) {
        // What is not on disk is nobody's business.
        let image = match self.stalled {
            true => self.shared.image(),
            false => Arc::new(self.machine.visible().clone()),
        };
        let delta = seen.map(|seen| Delta::between(seen, &image)).unwrap_or_default();
        subscriber(&Published { image, delta });
        self.subscribers.push(subscriber);
    }

    /// Answers what is committed.
    pub(super) fn answer(&mut self) {
        let committed = self.committed;
        for (end, outcome, on_reply) in std::mem::take(&mut self.owed) {
            if end <= committed {
                on_reply(outcome);
            } else {
                self.owed.push((end, outcome, on_reply));
            }
        }
    }
}
