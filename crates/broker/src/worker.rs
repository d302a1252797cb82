//! A worker: one thread with its own event loop, and the connections that were given to it.
//! A request stays on the worker of its connection. Must not know what requests mean.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tracing::debug;

use crate::connection::{self, ConnectionInfo};
use crate::dispatch::Dispatcher;
use crate::limits::{Limits, QueuedBytes};
use crate::listener::Accepted;
use crate::mailbox::Mailbox;
use crate::shared::Shared;

/// What a worker is started with.
pub(crate) struct WorkerStart {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: Limits,
    pub(crate) queued: QueuedBytes,
    pub(crate) accepted: mpsc::UnboundedReceiver<Accepted>,
    pub(crate) stopped: watch::Receiver<bool>,
    /// Tasks that belong to the whole broker; they run on the first worker.
    pub(crate) also: Option<Box<dyn FnOnce() + Send>>,
}

/// Starts a worker's thread.
pub(crate) fn start(start: WorkerStart) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Builder::new().name(format!("ottla-worker-{}", start.index)).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, run(start));
    })
}

async fn run(start: WorkerStart) {
    let WorkerStart { index: _, shared, limits, queued, mut accepted, mut stopped, also } = start;
    let mailbox = Mailbox::new();
    spawn_local(Arc::clone(&mailbox).deliver());
    if let Some(also) = also {
        also();
    }
    let limits = Rc::new(limits);
    let dispatcher = Rc::new(Dispatcher::new(shared, mailbox));
    loop {
        let next = tokio::select! {
            next = accepted.recv() => next,
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        // When the worker returns, its connections are dropped, and with that closed.
        let Some(next) = next else { return };
        match open(next, &dispatcher, &limits, &queued) {
            Ok(()) => {}
            Err(error) => debug!(%error, "connection lost before it was served"),
        }
    }
}

fn open(
    accepted: Accepted,
    dispatcher: &Rc<Dispatcher>,
    limits: &Rc<Limits>,
    queued: &QueuedBytes,
) -> io::Result<()> {
    let Accepted { stream, peer, listener, slot } = accepted;
    stream.set_nodelay(true)?;
    let info = Rc::new(ConnectionInfo {
        peer,
        local: stream.local_addr()?,
        listener: Rc::from(&*listener),
        proven: Cell::new(false),
        client_id: RefCell::default(),
        software: RefCell::default(),
    });
    let stream = tokio::net::TcpStream::from_std(stream)?;
    spawn_local(connection::serve(
        stream,
        info,
        Rc::clone(dispatcher),
        Rc::clone(limits),
        queued.clone(),
        slot,
    ));
    Ok(())
}
