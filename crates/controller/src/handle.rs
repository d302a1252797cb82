//! How others talk to the controller's thread. Must not know what it does with what it is told.

use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;

use ottla_env::Clock;
use ottla_log::Failure;
use ottla_metadata::{Command, Delta, Image, Refusal, Reply};
use ottla_protocol::{ErrorCode, Millis};
use ottla_raft::LogEnd;

use crate::error::ControllerError;
use crate::quorum::QuorumInfo;

/// A committed image, and what changed since the one before it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The image.
    pub image: Arc<Image>,
    /// What changed.
    pub delta: Delta,
}

pub(crate) type OnReply = Box<dyn FnOnce(Result<Reply, Refusal>) + Send>;
pub(crate) type Subscriber = Box<dyn FnMut(&Published) + Send>;

/// What the thread is told.
pub(crate) enum Message {
    Command(Box<Command>, OnReply),
    Subscribe(Option<Arc<Image>>, Subscriber),
    SnapshotDone(Result<LogEnd, ControllerError>),
    Stop,
}

/// What the thread tells everybody.
pub(crate) struct Shared {
    image: RwLock<Arc<Image>>,
    quorum: RwLock<QuorumInfo>,
    failure: Failure,
}

impl Shared {
    pub(crate) fn new(image: Arc<Image>, quorum: QuorumInfo) -> Self {
        Self { image: RwLock::new(image), quorum: RwLock::new(quorum), failure: Failure::default() }
    }

    pub(crate) fn publish(&self, image: Arc<Image>) {
        *self.image.write().unwrap_or_else(PoisonError::into_inner) = image;
    }

    pub(crate) fn set_quorum(&self, quorum: QuorumInfo) {
        *self.quorum.write().unwrap_or_else(PoisonError::into_inner) = quorum;
    }

    pub(crate) fn fail(&self, why: &str) {
        self.failure.set(|| Arc::from(why));
    }

    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The controller's thread; stopped when nobody refers to it any more.
struct Running {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that has ended already needs no word.
        let _ = self.sender.send(Message::Stop);
        if let Some(thread) =
            thread.filter(|thread| thread.thread().id() != std::thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The controller, for those who ask it and follow it. A copy is the same controller.
#[derive(Clone)]
pub struct ControllerHandle {
    running: Arc<Running>,
}

impl fmt::Debug for ControllerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerHandle")
            .field("position", &self.image().position())
            .finish_non_exhaustive()
    }
}

impl ControllerHandle {
    pub(crate) fn new(
        sender: Sender<Message>,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            running: Arc::new(Running { sender, shared, clock, thread: Mutex::new(Some(thread)) }),
        }
    }

    /// Asks for something. `on_reply` runs on the controller's thread once what was decided is
    /// durable, applied and published; it must be quick and must not wait for the controller.
    /// When the controller has stopped it runs at once, with a refusal.
    pub fn submit(
        &self,
        command: Command,
        on_reply: impl FnOnce(Result<Reply, Refusal>) + Send + 'static,
    ) {
        let message = Message::Command(Box::new(command), Box::new(on_reply));
        if let Err(mpsc::SendError(Message::Command(_, on_reply))) =
            self.running.sender.send(message)
        {
            on_reply(Err(self.stopped()));
        }
    }

    /// Asks for something and waits for the answer. Not for the controller's own thread.
    ///
    /// # Errors
    /// What the controller refuses as a whole; `NOT_CONTROLLER` when it has stopped.
    pub fn call(&self, command: Command) -> Result<Reply, Refusal> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(command, move |reply| {
            // Nobody waits any more: then nobody wants to know.
            let _ = sender.send(reply);
        });
        receiver.recv().unwrap_or_else(|_| Err(self.stopped()))
    }

    /// The last committed image.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.running.shared.image()
    }

    /// Follows the images: `callback` runs on the controller's thread, first with the present
    /// image and no changes, then with each that is published, before replies are given. It must
    /// not wait for the controller.
    pub fn subscribe(&self, callback: impl FnMut(&Published) + Send + 'static) {
        // A controller that has stopped publishes nothing more.
        let _ = self.running.sender.send(Message::Subscribe(None, Box::new(callback)));
    }

    /// As [`ControllerHandle::subscribe`], but the first call has the changes since `seen`.
    pub fn subscribe_since(
        &self,
        seen: Arc<Image>,
        callback: impl FnMut(&Published) + Send + 'static,
    ) {
        let _ = self.running.sender.send(Message::Subscribe(Some(seen), Box::new(callback)));
    }

    /// The quorum, for DescribeQuorum.
    #[must_use]
    pub fn quorum(&self) -> QuorumInfo {
        let running = &self.running;
        let mut quorum =
            running.shared.quorum.read().unwrap_or_else(PoisonError::into_inner).clone();
        let now = Millis(running.clock.wall_ms());
        let leader = quorum.leader;
        // A leader has everything, always.
        for voter in quorum.voters.iter_mut().filter(|voter| voter.id == leader) {
            voter.last_fetch = now;
            voter.last_caught_up = now;
        }
        quorum
    }

    /// Why the controller has failed, if it has: it decides nothing more.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<str>> {
        self.running.shared.failure.why()
    }

    /// Calls `tell` when the controller fails ([`Failure::on_set`]).
    pub fn on_failure(&self, tell: impl FnOnce(&str) + Send + 'static) {
        self.running.shared.failure.on_set(tell);
    }

    /// Stops the controller and waits until it has; what was asked before is still answered.
    pub fn stop(&self) {
        self.running.stop();
    }

    fn stopped(&self) -> Refusal {
        match self.failure() {
            Some(why) => Refusal::new(ErrorCode::UnknownServerError, &*why),
            None => Refusal::new(ErrorCode::NotController, "the controller has stopped"),
        }
    }
}
