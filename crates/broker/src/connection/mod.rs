//! One client connection: frames in, answers out, in order. Must not know what the frames
//! mean: that is [`crate::dispatch`]'s.

mod answers;
mod frame;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_local::LocalBoxFuture;
use ottla_protocol::StrBytes;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tracing::debug;

use self::answers::Answers;
use self::frame::{FrameError, FrameReader};
use crate::admission::ConnectionSlot;
use crate::limits::{Limits, QueuedBytes};

/// How long a client that has stopped to ask is waited for: it may be gone, and a request of its
/// waiting for hours.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// So much is copied into a socket before the worker's other connections have their turn.
const TURN_BYTES: usize = 1 << 20;
/// The same while somebody produces, and waits for the worker. Reading alone would lose a fifth of
/// its speed by it, above all where waking a processor is dear.
const TURN_BYTES_SHARED: usize = 256 << 10;

/// Alignment of files that are written past the page cache.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// A future that stays on its worker.
pub(crate) mod futures_local {
    use std::future::Future;
    use std::pin::Pin;

    pub(crate) type LocalBoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;
}

/// The bytes of an answer, length prefix included, in the order in which they are sent.
pub(crate) type Segments = Vec<Bytes>;

/// What became of one request.
pub(crate) enum Handled {
    /// The answer is there.
    Ready(Segments),
    /// The answer comes later, and the next request may start now: Produce, whose appends are
    /// in order and whose commits overlap. Without segments no answer is owed (acks=0).
    Pipelined(LocalBoxFuture<Result<Segments, CloseReason>>),
    /// The answer comes later, and the connection's next request starts after it, as in Kafka.
    Later(LocalBoxFuture<Result<Segments, CloseReason>>),
    /// The connection ends: the request cannot be read or answered.
    Close(CloseReason),
}

/// Why the broker ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CloseReason {
    #[error("the request cannot be read: {0}")]
    Malformed(String),
    #[error("API key {0} is unknown or not served on this listener")]
    UnknownApi(i16),
    #[error("{api} version {version} is not supported")]
    UnsupportedVersion { api: &'static str, version: i16 },
    #[error("Produce with acks=0 failed: {0}")]
    AcksZeroFailed(String),
    #[error("the answer cannot be encoded: {0}")]
    Encode(String),
}

/// What is known about a connection and its client.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// The address that the client dialled.
    pub(crate) local: SocketAddr,
    /// Name of the listener that accepted it.
    pub(crate) listener: Rc<str>,
    /// Whether a valid request was seen; larger frames are read from then on.
    pub(crate) proven: Cell<bool>,
    /// `client.id`, from its last request.
    pub(crate) client_id: RefCell<StrBytes>,
    /// `client.software.name` and version, from ApiVersions 3 and later.
    pub(crate) software: RefCell<Option<(StrBytes, StrBytes)>>,
}

impl ConnectionInfo {
    /// Notes the client id of a request; allocates only when it changes.
    pub(crate) fn set_client_id(&self, client_id: Option<&str>) {
        let client_id = client_id.unwrap_or_default();
        let mut known = self.client_id.borrow_mut();
        if *known != *client_id {
            *known = StrBytes::from(client_id);
        }
    }
}

/// Turns frames into answers.
pub(crate) trait Dispatch {
    /// Starts the request in `frame` (header and body, without the length) and gives its
    /// answer, now or later.
    fn dispatch(self: Rc<Self>, connection: &Rc<ConnectionInfo>, frame: BytesMut) -> Handled;

    /// Whether the request in `frame` may start before those ahead of it are answered.
    fn overlaps(&self, frame: &[u8]) -> bool;

    /// How many bytes behind a boundary of [`BLOCK_BYTES`] the memory of a large frame that begins
    /// so should begin, for what is in it to be written to a file from where it is. Only a wish: 0
    /// when it does not matter.
    fn place(&self, beginning: &[u8]) -> usize;

    /// Whether somebody produces at the moment: large answers let others have their turn more often.
    fn is_shared(&self) -> bool;
}

/// Serves one connection until it ends.
pub(crate) async fn serve<D: Dispatch>(
    mut stream: TcpStream,
    info: Rc<ConnectionInfo>,
    dispatch: Rc<D>,
    limits: Rc<Limits>,
    queued: QueuedBytes,
    slot: ConnectionSlot,
) {
    let peer = info.peer;
    let answers = Answers::new(limits.pipelined_requests_max);
    let (read_half, write_half) = stream.split();
    let end = tokio::select! {
        end = read_requests(read_half, &info, &dispatch, &limits, &queued, &answers) => end,
        end = write_answers(write_half, &dispatch, &limits, &answers) => end,
    };
    debug!(%peer, reason = %end, "connection closed");
    drop(slot);
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client closed it")]
    Client,
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(#[from] CloseReason),
    #[error("writing failed: {0}")]
    Write(std::io::Error),
    #[error("the client did not read its answers for connections.max.idle.ms")]
    NeverReads,
}

async fn read_requests<D: Dispatch>(
    mut half: ReadHalf<'_>,
    info: &Rc<ConnectionInfo>,
    dispatch: &Rc<D>,
    limits: &Limits,
    queued: &QueuedBytes,
    answers: &Answers,
) -> End {
    let mut reader = FrameReader::default();
    let place = |beginning: &[u8]| dispatch.place(beginning);
    loop {
        answers.room().await;
        let bytes_max = if info.proven.get() {
            limits.request_bytes_max
        } else {
            limits.first_request_bytes_max
        };
        let busy = || !answers.is_empty();
        let frame = match reader.next(&mut half, bytes_max, (limits, queued), busy, place).await {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                // The client may have shut only its sending side: what it asked is answered.
                last_answers(answers).await;
                return End::Client;
            }
            Err(error) => {
                last_answers(answers).await;
                return error.into();
            }
        };
        if !dispatch.overlaps(&frame.bytes) {
            answers.settled().await;
        }
        match Rc::clone(dispatch).dispatch(info, frame.bytes) {
            Handled::Ready(segments) => answers.push_ready(segments),
            Handled::Pipelined(future) => answers.push_later(future, frame.share),
            Handled::Later(future) => {
                answers.push_later(future, frame.share);
                answers.drained().await;
            }
            Handled::Close(reason) => {
                last_answers(answers).await;
                return reason.into();
            }
        }
    }
}

/// Lets the answers out that are owed to a client that asks nothing any more.
async fn last_answers(answers: &Answers) {
    let _in_time = tokio::time::timeout(LAST_ANSWERS, answers.drained()).await;
}

async fn write_answers<D: Dispatch>(
    half: WriteHalf<'_>,
    dispatch: &Rc<D>,
    limits: &Limits,
    answers: &Answers,
) -> End {
    loop {
        let mut batch = match answers.next_batch().await {
            Ok(batch) => batch,
            Err(reason) => return reason.into(),
        };
        let segments = batch.bytes_mut();
        let much = segments.iter().map(Bytes::len).sum::<usize>() > TURN_BYTES_SHARED;
        let shared = much && dispatch.is_shared();
        let turn_bytes = if shared { TURN_BYTES_SHARED } else { TURN_BYTES };
        if let Err(end) = write_all(&half, segments, turn_bytes, limits.idle).await {
            return end;
        }
        answers.written(batch);
    }
}

/// Writes all segments, as much per system call as the worker's other connections may be kept waiting
/// for. A client may be slow, but not stand still for `idle`.
async fn write_all(
    half: &WriteHalf<'_>,
    segments: &mut [Bytes],
    turn_bytes: usize,
    idle: Duration,
) -> Result<(), End> {
    const SLICES_MAX: usize = 64;
    let mut first = 0;
    while first < segments.len() {
        let mut slices = [std::io::IoSlice::new(&[]); SLICES_MAX];
        let (mut count, mut room) = (0, turn_bytes);
        for (slice, segment) in slices.iter_mut().zip(segments.iter().skip(first)) {
            let now = segment.get(..room).unwrap_or(segment);
            *slice = std::io::IoSlice::new(now);
            count += 1;
            room -= now.len();
            if room == 0 {
                break;
            }
        }
        let written = half.try_write_vectored(slices.get(..count).unwrap_or_default());
        let mut written = match written {
            Ok(0) => return Err(End::Write(std::io::ErrorKind::WriteZero.into())),
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let writable = tokio::time::timeout(idle, half.writable()).await;
                writable.map_err(|_| End::NeverReads)?.map_err(End::Write)?;
                continue;
            }
            Err(error) => return Err(End::Write(error)),
        };
        while let Some(segment) = segments.get_mut(first) {
            if written < segment.len() {
                let _sent = segment.split_to(written);
                break;
            }
            written -= segment.len();
            *segment = Bytes::new();
            first += 1;
        }
        if room == 0 && first < segments.len() {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
