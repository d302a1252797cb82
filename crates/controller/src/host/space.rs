//! A full disk: the space kept back is used, and when that is not enough the controller stands still
//! with what it has decided until it can be written. Nobody is told of what is not on disk. Must
//! not know what is decided.

use std::sync::Arc;

use bytes::Bytes;
use ottla_metadata::{Command, Refusal};
use ottla_protocol::{ErrorCode, Millis};
use ottla_raft::LogEnd;
use tracing::{error, info};

use super::{Host, RESERVE_MS};
use crate::error::ControllerError;
use crate::format::Draw;
use crate::handle::OnReply;

impl Host {
    /// Appends to the log; without space after giving up what was kept back.
    pub(super) fn write_to_log(
        &mut self,
        batches: &[Bytes],
        end: LogEnd,
    ) -> Result<(), ControllerError> {
        match self.log.append(batches, end) {
            Err(error) if error.is_no_space() && self.reserve.give_up() => {
                self.reserve_at = Millis(self.now().get().saturating_add(RESERVE_MS));
                self.log.append(batches, end)
            }
            other => other,
        }
    }

    /// What was decided cannot be written now.
    pub(super) fn stall(&mut self, why: &ControllerError) {
        if !std::mem::replace(&mut self.stalled, true) {
            error!("nothing is decided any more until there is space: {why}");
        }
    }

    /// It is written.
    pub(super) fn go_on(&mut self) {
        if std::mem::take(&mut self.stalled) {
            info!("there is space for the metadata log: it goes on");
        }
    }

    /// Refuses what would be written. Brokers that only say that they are alive are answered.
    pub(super) fn decide_stalled(&mut self, command: &Command, on_reply: OnReply) {
        let rng = Arc::clone(&self.rng);
        let (now, next) = (self.now(), self.end.offset);
        let alive = matches!(command, Command::BrokerHeartbeat(_));
        let plan = match alive {
            true => self.machine.plan(now, next, command, &mut Draw(rng.as_ref())).ok(),
            false => None,
        };
        match plan.filter(|plan| plan.records.is_empty()) {
            Some(plan) => on_reply(Ok(plan.reply)),
            None => on_reply(Err(self.full())),
        }
    }

    fn full(&self) -> Refusal {
        Refusal::new(
            ErrorCode::PolicyViolation,
            format!("No space is left for the metadata log in {}.", self.dir.display()),
        )
    }

    /// Whoever waits for what is not written is not kept: it may come yet.
    pub(super) fn answer_stalled(&mut self) {
        let refusal = Refusal::new(
            ErrorCode::RequestTimedOut,
            format!(
                "No space is left for the metadata log in {}: this is done when there is.",
                self.dir.display()
            ),
        );
        let committed = self.committed;
        for (end, outcome, on_reply) in std::mem::take(&mut self.owed) {
            on_reply(if end <= committed { outcome } else { Err(refusal.clone()) });
        }
    }

    /// Makes the reserve when it is not there, now and then.
    pub(super) fn keep_reserve(&mut self) {
        let now = self.now();
        if !self.reserve.is_complete() && now >= self.reserve_at {
            self.reserve.keep();
            self.reserve_at = Millis(now.get().saturating_add(RESERVE_MS));
        }
    }
}
