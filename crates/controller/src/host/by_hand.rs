//! The same controller without threads, for a simulator: its owner decides when it does what. Must
//! not know what the owner looks for.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use ottla_metadata::{Command, Image, Refusal, Reply};
use ottla_protocol::{LeaderEpoch, Offset};

use super::Host;
use crate::error::ControllerError;
use crate::handle::Message;
use crate::options::ControllerOptions;

/// Writes a snapshot.
pub(super) type Write = Box<dyn FnOnce() + Send>;

/// A controller that does something only when it is called.
pub struct ByHand {
    host: Host,
    messages: Receiver<Message>,
}

impl fmt::Debug for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHand").field("end", &self.host.end).finish_non_exhaustive()
    }
}

impl ByHand {
    /// As [`crate::start`].
    ///
    /// # Errors
    /// As [`crate::start`].
    pub fn start(options: ControllerOptions) -> Result<Self, ControllerError> {
        let (sender, messages) = mpsc::channel();
        let mut host = Host::load(options, sender)?;
        host.snapshots_by_hand = Some(Vec::new());
        host.lead()?;
        Ok(Self { host, messages })
    }

    /// Decides, appends, syncs, publishes and answers, together with whatever waits. An error ends
    /// the controller.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn call(&mut self, command: Command) -> Result<Result<Reply, Refusal>, ControllerError> {
        let (answer, answered) = mpsc::channel();
        let on_reply = Box::new(move |reply| {
            // The other end is in this very function.
            let _ = answer.send(reply);
        });
        self.host.turn(Some(Message::Command(Box::new(command), on_reply)), &self.messages)?;
        answered.try_recv().map_err(|_| {
            ControllerError::Damaged("a command was decided, and not answered".to_owned())
        })
    }

    /// What time alone asks for.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn tick(&mut self) -> Result<(), ControllerError> {
        self.host.turn(None, &self.messages).map(drop)
    }

    /// Writes the snapshots that are due; whether there was one. What follows from it happens with
    /// the next call.
    pub fn write_snapshots(&mut self) -> bool {
        let waiting = self.host.snapshots_by_hand.as_mut().map(std::mem::take).unwrap_or_default();
        let any = !waiting.is_empty();
        waiting.into_iter().for_each(|write| write());
        any
    }

    /// The last committed image.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        Arc::new(self.host.machine.visible().clone())
    }

    /// The epoch that this controller leads.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.host.raft.epoch()
    }

    /// Where the log begins and ends.
    #[must_use]
    pub fn log_range(&self) -> (Offset, Offset) {
        (self.host.log.start(), self.host.log.end().offset)
    }
}
