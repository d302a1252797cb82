//! Fetch 4–18: records from the logs, at once or when there are enough of them.
//! 4 transactions · 5 log start · 7 sessions (KIP-227) · 9 leader epochs (KIP-320) · 11 rack ·
//! 12 flexible, diverging epochs · 13 topic ids · 15 replica state · 16 endpoints (KIP-951) ·
//! 17 directory ids · 18 followers' high watermarks (KIP-1166).

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_log::{Answer, AtHand, Fetched, Piece, ReadError, ReadRequest};
use ottla_protocol::k01_fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse,
    LeaderIdAndEpoch, PartitionData,
};
use ottla_protocol::{ErrorCode, LeaderEpoch, Millis, Offset, Records};
use ottla_records::Batches;
use tokio::time::{Instant, timeout_at};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::errors;
use crate::fetch_sessions::{
    Asked, FetchContext, PartitionKey, SessionRequest, Told, TopicKey, Wanted,
};
use crate::replica::{
    FetchFrom, FetchRead, FetchRefused, FetchWait, HostedPartition, Isolation, ReadTurn, Reading,
};

/// What one answer may carry from files. Batches of the tail are in memory anyway; these are
/// read for this answer alone.
const COLD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// With so much from files an answer has enough: it goes out while it is in the processor's cache,
/// and the reader works on it while the next is read.
const COLD_BYTES_ENOUGH: usize = 1024 * 1024;

/// So much is copied out of the page cache before the worker's other connections have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// What a waiting fetch has found is kept for its answer when it is no more than this; else it is
/// read again, so that those who wait hold no memory.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A read of the tail gives no more batches, whatever the client's limits: it has all it can get.
const PIECES_MAX: usize = 1000;

/// The terms of a fetch that are the same for all its partitions.
#[derive(Clone, Copy, Debug)]
struct Terms {
    min_bytes: usize,
    max_bytes: usize,
    isolation: Isolation,
}

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, FetchRequest);
    if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
        // A broker of a cluster: this one has no followers, and never leads in their view.
        return ready!(cx, refused(ErrorCode::NotLeaderOrFollower));
    }
    let now = cx.shared.now();
    let context = match begin(&cx, &request, now) {
        Ok(context) => context,
        Err(error) => return ready!(cx, refused(error)),
    };
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes.min(cx.shared.settings.fetch_bytes_max);
    let terms = Terms {
        // More than fits is not waited for, as in Kafka.
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
        max_bytes,
        isolation: if request.isolation_level == 1 {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        },
    };
    let mut pass = Pass::over_all(&context);
    let halt = pass.go_on(&cx, &context, terms);
    let at_once = request.max_wait_ms <= 0 || context.partitions.is_empty();
    if halt.is_none() && (at_once || pass.found.is_enough(terms)) {
        return ready!(cx, respond(&cx, &context, pass.found));
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait;
    let waiting = cx.clone();
    later!(cx, Later, async move {
        finish(&waiting, &context, terms, &mut pass, halt).await;
        if !at_once && !pass.found.is_enough(terms) {
            wait_for_data(&waiting, &context, terms, &mut pass, deadline).await;
        }
        respond(&waiting, &context, pass.found)
    })
}

fn refused(error: ErrorCode) -> FetchResponse {
    FetchResponse { error_code: error.into(), ..Default::default() }
}

fn begin(cx: &Context, request: &FetchRequest, now: Millis) -> Result<FetchContext, ErrorCode> {
    let uses_ids = cx.version >= 13;
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let key = if uses_ids {
            TopicKey::Id(topic.topic_id)
        } else {
            TopicKey::Name(topic.topic.detached())
        };
        for partition in &topic.partitions {
            let want = Wanted {
                fetch_offset: partition.fetch_offset,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                max_bytes: partition.partition_max_bytes,
            };
            wanted.push(((key.clone(), partition.partition), want));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = if uses_ids {
            TopicKey::Id(topic.topic_id)
        } else {
            TopicKey::Name(topic.topic.detached())
        };
        forgotten.extend(topic.partitions.iter().map(|index| (key.clone(), *index)));
    }
    let session = SessionRequest { id: request.session_id, epoch: request.session_epoch, uses_ids };
    cx.shared.sessions.begin(session, wanted, forgotten, now)
}

/// What is to be answered.
#[derive(Debug, Default)]
struct Found {
    /// Partitions of which there is something to tell, by their place in the fetch, in order.
    answers: Vec<(usize, PartitionData)>,
    bytes: usize,
    /// An error, a divergence, or data that the client need not wait for more of: it is answered
    /// now.
    urgent: bool,
}

impl Found {
    fn is_enough(&self, terms: Terms) -> bool {
        self.urgent || self.bytes >= terms.min_bytes
    }

    /// Puts what is told of a partition in the place of what was found before.
    fn put(&mut self, index: usize, data: Option<PartitionData>) {
        let len = |data: &PartitionData| data.records.as_ref().map_or(0, Records::len);
        let place = self.answers.binary_search_by_key(&index, |(index, _)| *index);
        if let Ok(place) = place {
            let (_, old) = self.answers.remove(place);
            self.bytes -= len(&old);
        }
        if let Some(data) = data {
            self.bytes += len(&data);
            let place = place.unwrap_or_else(|place| place);
            self.answers.insert(place, (index, data));
        }
    }
}

/// A pass over partitions of a fetch, in their order. It stops where files have to be read, and
/// goes on when they are.
struct Pass {
    found: Found,
    /// Places of the partitions to look at, last first.
    left: Vec<usize>,
    /// What each partition was when it was read, by place.
    versions: Vec<u64>,
    /// Bytes that came from files.
    cold_bytes: usize,
    /// Those that were read since others had their turn.
    turn_bytes: usize,
}

/// Why a pass has stopped.
enum Halt {
    /// [`complete`] has to read files.
    Files(Box<FetchRead>),
    /// Others have their turn.
    Turn,
}

/// What has to be done for a partition.
enum Next {
    Complete,
    /// Completing it may wait for the disk.
    CompleteElsewhere,
    /// Nothing before others had their turn.
    Yield,
}

impl Pass {
    fn over_all(context: &FetchContext) -> Self {
        let count = context.partitions.len();
        Self {
            found: Found::default(),
            left: (0..count).rev().collect(),
            versions: vec![0; count],
            cold_bytes: 0,
            turn_bytes: 0,
        }
    }

    /// Goes on to the end, or to where it has to stop.
    fn go_on(&mut self, cx: &Context, context: &FetchContext, terms: Terms) -> Option<Halt> {
        while let Some((index, asked)) = self.here(context) {
            // What was found of it before gives way.
            self.found.put(index, None);
            let room = terms.max_bytes.saturating_sub(self.found.bytes);
            let from = fetch_from(&asked.wanted, terms, room, self.found.bytes == 0);
            match resolve(cx, &asked.key).map(|partition| partition.fetch(&from)) {
                Ok(Ok(mut read)) => {
                    if let Some(version) = self.versions.get_mut(index) {
                        *version = read.version;
                    }
                    match self.read_files(cx, &mut read) {
                        Next::Complete => self.take(cx, context, complete(read, &|| Piece::ANY)),
                        Next::CompleteElsewhere => return Some(Halt::Files(Box::new(read))),
                        Next::Yield => return Some(Halt::Turn),
                    }
                }
                Ok(Err(refused)) => self.take(cx, context, Err(refused)),
                Err(error @ (ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError)) => {
                    self.push(context, unread(cx, &asked.key, error), true)
                }
                Err(error) => self.push(context, failed(cx, &asked.key, error), true),
            }
        }
        None
    }

    /// The partition at which it stands, with its place.
    fn here<'a>(&self, context: &'a FetchContext) -> Option<(usize, &'a Asked)> {
        let index = *self.left.last()?;
        context.partitions.get(index).map(|asked| (index, asked))
    }

    /// Reads from files what waits for no disk.
    fn read_files(&mut self, cx: &Context, read: &mut FetchRead) -> Next {
        if matches!(read.batches, Answer::Lookup(_)) {
            let enough = self.cold_bytes >= COLD_BYTES_ENOUGH;
            let room = if enough { 0 } else { COLD_BYTES_MAX - self.cold_bytes };
            let request = &mut read.request;
            request.max_bytes = request.max_bytes.min(room);
            if request.max_bytes == 0 && !request.at_least_one {
                read.batches = Answer::Ready(nothing(request));
                return Next::Complete;
            }
            if self.turn_bytes >= TURN_BYTES {
                self.turn_bytes = 0;
                return Next::Yield;
            }
            if let Some(reading) = reading(cx, read) {
                let bytes = read_at_hand(read, reading.at_hand());
                self.turn_bytes += bytes;
                self.note_cold(bytes);
            }
        }
        if needs_files(read) { Next::CompleteElsewhere } else { Next::Complete }
    }

    fn note_cold(&mut self, bytes: usize) {
        self.cold_bytes += bytes;
        // A reader that lags behind is not kept waiting for more, as in Kafka.
        self.found.urgent |= bytes > 0;
    }

    /// What the partition gave at which the pass stands.
    fn take(
        &mut self,
        cx: &Context,
        context: &FetchContext,
        read: Result<PartitionData, FetchRefused>,
    ) {
        let Some((_, asked)) = self.here(context) else { return };
        let (data, urgent) = match read {
            Ok(data) => {
                let pieces = data.records.as_ref().map_or(0, |records| records.pieces().count());
                (data, pieces >= PIECES_MAX)
            }
            Err(refused) => refuse_read(cx, &asked.key, &refused),
        };
        self.push(context, data, urgent);
    }

    fn push(&mut self, context: &FetchContext, data: PartitionData, urgent: bool) {
        let Some((index, asked)) = self.here(context) else { return };
        self.left.pop();
        self.found.urgent |= urgent;
        let anew = |known| !is_good(&data) || has_records(&data) || known != told(&data);
        let tell = asked.told.is_none_or(anew);
        let data = PartitionData { partition_index: asked.key.1, ..data };
        self.found.put(index, tell.then_some(data));
    }

    /// Looks again at these partitions, given in order.
    fn look_again(&mut self, changed: Vec<usize>) {
        self.left = changed;
        self.left.reverse();
    }
}

/// Finishes a pass. Files are read on other threads: the worker serves others meanwhile.
async fn finish(
    cx: &Context,
    context: &FetchContext,
    terms: Terms,
    pass: &mut Pass,
    mut halt: Option<Halt>,
) {
    while let Some(stopped) = halt {
        match stopped {
            Halt::Turn => tokio::task::yield_now().await,
            Halt::Files(read) => read_elsewhere(cx, context, pass, read).await,
        }
        halt = pass.go_on(cx, context, terms);
    }
}

async fn read_elsewhere(
    cx: &Context,
    context: &FetchContext,
    pass: &mut Pass,
    read: Box<FetchRead>,
) {
    let (before, from_files) = (pass.found.bytes, matches!(read.batches, Answer::Lookup(_)));
    let turn = match reading(cx, &read) {
        Some(reading) => Some(Arc::clone(reading).turn().await),
        None => None,
    };
    let work = move || complete(*read, &|| turn.as_ref().map_or(Piece::ANY, ReadTurn::give_way));
    match tokio::task::spawn_blocking(work).await {
        // Compaction replaced the segment meanwhile: the pass looks again.
        Ok(Err(FetchRefused::Read(error))) if error.is_replaced() => {}
        Ok(read) => pass.take(cx, context, read),
        Err(panicked) => {
            tracing::error!(%panicked, "a read of a log has failed");
            if let Some((_, asked)) = pass.here(context) {
                pass.push(context, failed(cx, &asked.key, ErrorCode::UnknownServerError), true);
            }
        }
    }
    if from_files {
        pass.note_cold(pass.found.bytes.saturating_sub(before));
    }
    pass.turn_bytes = 0;
}

/// Those who read in the log directory of what was found.
fn reading<'a>(cx: &'a Context, read: &FetchRead) -> Option<&'a Arc<Reading>> {
    Some(cx.shared.partitions.volumes.get(read.dir)?.reading())
}

fn resolve(cx: &Context, (topic, index): &PartitionKey) -> Result<Arc<HostedPartition>, ErrorCode> {
    let partitions = &cx.shared.partitions;
    let hosted = match topic {
        TopicKey::Id(id) => partitions.by_id(*id, *index),
        TopicKey::Name(name) => partitions.by_name(name, *index),
    };
    if let Some(hosted) = hosted {
        return Ok(hosted);
    }
    let image = cx.shared.image.load();
    let topic = match topic {
        TopicKey::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId)?,
        TopicKey::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
    };
    match topic.partition(*index) {
        Some(_) => Err(partitions.why_absent(topic.id, *index)),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

fn fetch_from(wanted: &Wanted, terms: Terms, room: usize, first: bool) -> FetchFrom {
    // Unlike elsewhere, every number below 0 is none here, as in Kafka.
    let known = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
    FetchFrom {
        offset: Offset(wanted.fetch_offset),
        current_leader_epoch: known(wanted.current_leader_epoch),
        last_fetched_epoch: known(wanted.last_fetched_epoch),
        max_bytes: usize::try_from(wanted.max_bytes).unwrap_or(0).min(room),
        // The first batch of an answer is sent whole, whatever its size: consumers make progress.
        at_least_one: first,
        isolation: terms.isolation,
    }
}

/// Whether [`complete`] reads files.
fn needs_files(read: &FetchRead) -> bool {
    match &read.batches {
        Answer::Lookup(_) => true,
        Answer::Ready(fetched) => {
            read.view.is_some() && fetched.batches.iter().any(|bytes| has_transactions(bytes))
        }
    }
}

/// Whether a reader of these batches has to know about aborted transactions.
fn has_transactions(batches: &[u8]) -> bool {
    Batches::new(batches)
        .any(|batch| batch.map_or(true, |batch| batch.header().attributes.is_transactional()))
}

/// When nothing fits into the answer.
fn nothing(request: &ReadRequest) -> Fetched {
    Fetched { batches: Vec::new(), bytes: 0, next_offset: request.from }
}

/// Reads from files what waits for no disk; how many bytes that was.
fn read_at_hand(read: &mut FetchRead, limit: AtHand) -> usize {
    let Answer::Lookup(lookup) = &read.batches else { return 0 };
    let Some(fetched) = lookup.read_at_hand(&read.request, limit) else { return 0 };
    let bytes = fetched.bytes;
    read.batches = Answer::Ready(fetched);
    bytes
}

/// What a partition gives. Reads files, where the batches are not in memory or transactions may
/// have been aborted; `give_way` is that of [`ottla_log::LogView::read_giving_way`].
fn complete(read: FetchRead, give_way: &dyn Fn() -> Piece) -> Result<PartitionData, FetchRefused> {
    let FetchRead { dir: _, ends, last_stable, request, batches, view, version: _ } = read;
    let fetched = match batches {
        Answer::Ready(fetched) => fetched,
        Answer::Lookup(lookup) => lookup.read_giving_way(&request, give_way)?,
    };
    let aborted = match &view {
        Some(view) if fetched.batches.iter().any(|bytes| has_transactions(bytes)) => {
            let up_to = fetched.next_offset.min(last_stable);
            let found = view.aborted_transactions(request.from, up_to);
            let found = found.map_err(|e| FetchRefused::Read(e.into()))?;
            let aborted = |t: &ottla_log::AbortedTransaction| AbortedTransaction {
                producer_id: t.producer_id.get(),
                first_offset: t.first_offset.get(),
                ..Default::default()
            };
            Some(found.iter().map(aborted).collect())
        }
        Some(_) => Some(Vec::new()),
        None => None,
    };
    Ok(PartitionData {
        high_watermark: ends.high_watermark.get(),
        last_stable_offset: last_stable.get(),
        log_start_offset: ends.log_start.get(),
        aborted_transactions: aborted,
        records: Some(fetched.batches.into_iter().collect::<Records>()),
        ..Default::default()
    })
}

fn refuse_read(cx: &Context, key: &PartitionKey, refused: &FetchRefused) -> (PartitionData, bool) {
    let data = match refused {
        // The reader has an epoch that this log knows nothing of.
        FetchRefused::Diverging { epoch, .. } if *epoch == LeaderEpoch::NONE => {
            unread(cx, key, ErrorCode::OffsetOutOfRange)
        }
        FetchRefused::Diverging { epoch, end, ends } => PartitionData {
            high_watermark: ends.high_watermark.get(),
            last_stable_offset: -1,
            log_start_offset: ends.log_start.get(),
            diverging_epoch: EpochEndOffset {
                epoch: epoch.get(),
                end_offset: end.get(),
                ..Default::default()
            },
            records: Some(Records::new()),
            ..Default::default()
        },
        FetchRefused::Replica(error) => unread(cx, key, errors::replica(*error)),
        FetchRefused::Read(error) => {
            if let ReadError::Failed(failed) = error {
                cx.shared.partitions.on_failed_read(failed);
            }
            unread(cx, key, errors::read(error))
        }
    };
    (data, true)
}

/// A partition that is here and gave nothing.
fn unread(cx: &Context, key: &PartitionKey, error: ErrorCode) -> PartitionData {
    PartitionData { aborted_transactions: None, ..failed(cx, key, error) }
}

fn failed(cx: &Context, key: &PartitionKey, error: ErrorCode) -> PartitionData {
    let moved = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    PartitionData {
        error_code: error.into(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        current_leader: if moved && cx.version >= 16 {
            leader(cx, key)
        } else {
            LeaderIdAndEpoch::default()
        },
        records: Some(Records::new()),
        ..Default::default()
    }
}

/// Who leads instead.
fn leader(cx: &Context, (topic, index): &PartitionKey) -> LeaderIdAndEpoch {
    let image = cx.shared.image.load();
    let topic = match topic {
        TopicKey::Id(id) => image.topic_by_id(*id),
        TopicKey::Name(name) => image.topic(name),
    };
    topic.and_then(|topic| topic.partition(*index)).map_or_else(LeaderIdAndEpoch::default, |p| {
        LeaderIdAndEpoch {
            leader_id: p.leader.get(),
            leader_epoch: p.leader_epoch.get(),
            ..Default::default()
        }
    })
}

/// Registrations of a waiting fetch with its partitions; taken back on drop.
struct Registered(Vec<(Arc<HostedPartition>, u64)>);

impl Drop for Registered {
    fn drop(&mut self) {
        for (partition, id) in &self.0 {
            partition.stop_waiting(*id);
        }
    }
}

/// Waits for data on the partitions of the fetch. Those that have changed are looked at again, and
/// no others.
async fn wait_for_data(
    cx: &Context,
    context: &FetchContext,
    terms: Terms,
    pass: &mut Pass,
    deadline: Instant,
) {
    let count = context.partitions.len();
    let wait = FetchWait::new(count, &cx.mailbox);
    let mut registered = Registered(Vec::with_capacity(count));
    for (index, (asked, version)) in context.partitions.iter().zip(&pass.versions).enumerate() {
        match resolve(cx, &asked.key) {
            // What came since it was read is noted now, what comes later then.
            Ok(partition) => {
                let id = partition.wait_for_data(&wait, index, *version);
                registered.0.push((partition, id));
            }
            Err(_gone) => wait.note(index),
        }
    }
    let mut in_time = true;
    while in_time && !cx.shared.is_stopping() {
        let held = pass.found.bytes <= KEPT_BYTES_MAX;
        if !held {
            pass.found = Found::default();
        }
        in_time = timeout_at(deadline, wait.changed()).await.is_ok();
        let changed = wait.take();
        if held {
            pass.look_again(changed);
        } else {
            *pass = Pass::over_all(context);
        }
        let halt = pass.go_on(cx, context, terms);
        finish(cx, context, terms, pass, halt).await;
        if pass.found.is_enough(terms) {
            return;
        }
    }
}

/// Neither an error nor a divergence.
fn is_good(data: &PartitionData) -> bool {
    data.error_code == 0 && data.diverging_epoch.epoch < 0
}

fn has_records(data: &PartitionData) -> bool {
    data.records.as_ref().is_some_and(|records| !records.is_empty())
}

/// What a client knows of a partition that was told this.
fn told(data: &PartitionData) -> Told {
    if !is_good(data) {
        return Told::NOTHING;
    }
    Told { high_watermark: data.high_watermark, log_start: data.log_start_offset }
}

fn respond(cx: &Context, context: &FetchContext, found: Found) -> FetchResponse {
    let key = |index: usize| context.partitions.get(index).map(|asked| &asked.key);
    let answers = found.answers.iter();
    let known = answers.filter_map(|(i, data)| Some((key(*i)?, told(data), has_records(data))));
    let session_id = cx.shared.sessions.end(context, known, cx.shared.now());
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    for (index, data) in found.answers {
        let Some((topic, _)) = key(index) else { continue };
        match responses.last_mut() {
            Some(last) if is_of(last, topic) => last.partitions.push(data),
            _ => responses.push(answer_topic(topic, data)),
        }
    }
    FetchResponse { session_id, responses, ..Default::default() }
}

fn is_of(response: &FetchableTopicResponse, topic: &TopicKey) -> bool {
    match topic {
        TopicKey::Id(id) => response.topic_id == *id,
        TopicKey::Name(name) => response.topic == *name,
    }
}

fn answer_topic(topic: &TopicKey, data: PartitionData) -> FetchableTopicResponse {
    let partitions = vec![data];
    match topic {
        TopicKey::Id(id) => {
            FetchableTopicResponse { topic_id: *id, partitions, ..Default::default() }
        }
        TopicKey::Name(name) => {
            FetchableTopicResponse { topic: name.clone(), partitions, ..Default::default() }
        }
    }
}
