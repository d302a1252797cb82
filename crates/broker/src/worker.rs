//! A worker: one thread with its own event loop, and the connections that were given to it.
//! A request stays on the worker of its connection. Must not know what requests mean.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tracing::{debug, error};

use crate::connection::{self, ConnectionInfo, Dispatch};
use crate::dispatch::Dispatcher;
use crate::limits::{Limits, QueuedBytes};
use crate::listener::Accepted;
use crate::mailbox::Mailbox;
use crate::shared::Shared;
use crate::turn::Turns;

/// How long a task of the broker that has panicked rests.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

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
    // What the worker leaves to other threads are reads of files for those who lag behind.
    let disk = start.shared.partitions.volumes.first().map(|volume| Arc::clone(volume.dir.disk()));
    let in_background = move || disk.iter().for_each(|disk| disk.work_in_background());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().on_thread_start(in_background).build()?;
    Builder::new().name(format!("ottla-worker-{}", start.index)).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, run(start));
    })
}

async fn run(start: WorkerStart) {
    let WorkerStart { index: _, shared, limits, queued, mut accepted, mut stopped, also } = start;
    let mailbox = Mailbox::new();
    let turns = Rc::new(Turns::begin());
    {
        let turns = Rc::clone(&turns);
        keep_running("a worker's commits", move || turns.commit());
    }
    {
        let mailbox = Arc::clone(&mailbox);
        keep_running("a worker's mailbox", move || Arc::clone(&mailbox).deliver());
    }
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

/// Serves a connection as a task of its own: a panic there ends that connection alone.
fn open<D: Dispatch + 'static>(
    accepted: Accepted,
    dispatcher: &Rc<D>,
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

/// Runs a task that the whole broker needs, again after a panic.
pub(crate) fn keep_running<F: Future<Output = ()> + 'static>(
    what: &'static str,
    make: impl Fn() -> F + 'static,
) {
    spawn_local(async move {
        while spawn_local(make()).await.is_err_and(|error| error.is_panic()) {
            error!("{what} has panicked, and is started again");
            // Not at full speed, should it panic for ever.
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use bytes::{Bytes, BytesMut};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::admission::{Admission, AdmissionLimits};
    use crate::connection::Handled;
    use ottla_metadata::Image;
    use ottla_metadata::configs::{BrokerProperties, Effective};
    use ottla_protocol::NodeId;

    thread_local! {
        static IS_SHARED: Cell<bool> = const { Cell::new(false) };
    }

    /// Sends frames back, and much at `much`; panics at `now`, and in the answer's future at `later`.
    struct Echo;

    impl Dispatch for Echo {
        fn dispatch(self: Rc<Self>, _: &Rc<ConnectionInfo>, frame: BytesMut) -> Handled {
            assert_ne!(&*frame, b"now", "asked for");
            if &*frame == b"later" {
                return Handled::Later(Box::pin(async { panic!("asked for") }));
            }
            if &*frame == b"much" {
                return Handled::Ready(much());
            }
            Handled::Ready(vec![frame.freeze()])
        }

        fn overlaps(&self, _: &[u8]) -> bool {
            true
        }

        fn place(&self, _: &[u8]) -> usize {
            0
        }

        fn is_shared(&self) -> bool {
            IS_SHARED.get()
        }
    }

    /// Segments whose ends lie anywhere in what is written at a time.
    fn much() -> Vec<Bytes> {
        let lengths = [1, 700_000, 524_287, 1, 1_048_576, 3, 100_000];
        let segment = |(at, len): (u8, &usize)| Bytes::from(vec![at; *len]);
        (1..).zip(&lengths).map(segment).collect()
    }

    fn run_local(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    async fn ask(at: SocketAddr, frame: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_u32(u32::try_from(frame.len()).unwrap()).await.unwrap();
        stream.write_all(frame).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    /// Echo behind a port.
    async fn serve() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (image, properties) = (Image::default(), BrokerProperties::default());
        let effective = Effective { image: &image, node: NodeId(1), properties: &properties };
        let admission = Admission::new(AdmissionLimits::read(&effective));
        let (dispatcher, limits) = (Rc::new(Echo), Rc::new(Limits::default()));
        let queued = QueuedBytes::new(&limits);
        spawn_local(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let stream = stream.into_std().unwrap();
                let slot = admission.take(peer.ip()).unwrap();
                let accepted = Accepted { stream, peer, listener: "A".into(), slot };
                open(accepted, &dispatcher, &limits, &queued).unwrap();
            }
        });
        at
    }

    #[test]
    fn a_panic_ends_its_connection_and_nothing_else() {
        run_local(async {
            let at = serve().await;
            assert_eq!(ask(at, b"before").await, b"before");
            assert_eq!(ask(at, b"now").await, b"");
            assert_eq!(ask(at, b"later").await, b"");
            assert_eq!(ask(at, b"after").await, b"after");
        });
    }

    #[test]
    fn a_long_answer_is_written_in_parts_and_arrives_whole() {
        run_local(async {
            let at = serve().await;
            let expected = much().concat();
            for is_shared in [false, true] {
                IS_SHARED.set(is_shared);
                let (first, second) = tokio::join!(ask(at, b"much"), ask(at, b"much"));
                assert!(first == expected && second == expected);
            }
        });
    }

    #[test]
    fn a_task_of_the_broker_is_started_again() {
        run_local(async {
            let (sender, mut receiver) = mpsc::unbounded_channel();
            let runs = Rc::new(Cell::new(0));
            keep_running("the test's task", move || {
                runs.set(runs.get() + 1);
                let (run, sender) = (runs.get(), sender.clone());
                async move {
                    sender.send(run).unwrap();
                    assert!(run == 3, "asked for");
                }
            });
            let mut seen = Vec::new();
            while let Some(run) = receiver.recv().await {
                seen.push(run);
            }
            assert_eq!(seen, [1, 2, 3]);
        });
    }
}
