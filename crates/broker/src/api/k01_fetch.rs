//! Fetch 4–18: records from the logs, at once or when there are enough of them.
//! 4 transactions · 5 log start · 7 sessions (KIP-227) · 9 leader epochs (KIP-320) · 11 rack ·
//! 12 flexible, diverging epochs · 13 topic ids · 15 replica state · 16 endpoints (KIP-951) ·
//! 17 directory ids · 18 followers' high watermarks (KIP-1166).

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_log::{Answer, Fetched, ReadError};
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
use crate::fetch_sessions::{FetchContext, PartitionKey, SessionRequest, Told, TopicKey, Wanted};
use crate::mailbox::Signal;
use crate::replica::{FetchFrom, FetchRead, FetchRefused, HostedPartition, Isolation};

/// What one answer may carry from files. Batches of the tail are in memory anyway; these are
/// read for this answer alone.
const COLD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// So much of a partition is read on the worker itself when it is in the page cache: copying it
/// takes less than waking another thread and the other connections notice. Consumers ask for no
/// more by default.
const AT_HAND_BYTES_MAX: usize = 1024 * 1024;

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
    let mut pass = Pass::default();
    let cold = pass.go_on(&cx, &context, terms);
    let at_once = request.max_wait_ms <= 0 || context.partitions.is_empty();
    if cold.is_none() && (at_once || pass.found.is_enough(terms)) {
        return ready!(cx, respond(&cx, &context, pass.found));
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait;
    let waiting = cx.clone();
    later!(cx, Later, async move {
        let mut found = finish(&waiting, &context, terms, pass, cold).await;
        if !at_once && !found.is_enough(terms) {
            found = wait_for_data(&waiting, &context, terms, deadline).await;
        }
        respond(&waiting, &context, found)
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

/// What a pass over the partitions has found.
#[derive(Debug, Default)]
struct Found {
    partitions: Vec<(PartitionKey, PartitionData)>,
    bytes: usize,
    /// An error, a divergence, or data that the client need not wait for more of: it is answered
    /// now.
    urgent: bool,
}

impl Found {
    fn is_enough(&self, terms: Terms) -> bool {
        self.urgent || self.bytes >= terms.min_bytes
    }
}

/// A pass over the partitions of a fetch, in their order. It stops where files have to be read,
/// and goes on when they are.
#[derive(Default)]
struct Pass {
    found: Found,
    next: usize,
    /// Bytes that came from files.
    cold_bytes: usize,
}

impl Pass {
    /// Goes on to the end, or to a partition that [`complete`] has to read from files.
    fn go_on(&mut self, cx: &Context, context: &FetchContext, terms: Terms) -> Option<FetchRead> {
        while let Some((key, wanted)) = context.partitions.get(self.next) {
            let room = terms.max_bytes.saturating_sub(self.found.bytes);
            let read = resolve(cx, key).map(|partition| {
                partition.fetch(&fetch_from(wanted, terms, room, self.found.bytes == 0))
            });
            match read {
                Ok(Ok(mut read)) if needs_files(&read) => {
                    let room = COLD_BYTES_MAX.saturating_sub(self.cold_bytes);
                    read.request.max_bytes = read.request.max_bytes.min(room);
                    self.cold_bytes += read_at_hand(&mut read);
                    // A reader that lags behind is not kept waiting for more, as in Kafka.
                    self.found.urgent |= self.cold_bytes > 0;
                    if needs_files(&read) {
                        return Some(read);
                    }
                    self.take(cx, context, complete(read));
                }
                Ok(read) => self.take(cx, context, read.and_then(complete)),
                Err(error @ (ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError)) => {
                    self.push(key, unread(cx, key, error), true)
                }
                Err(error) => self.push(key, failed(cx, key, error), true),
            }
        }
        None
    }

    /// What the partition gave at which the pass stands.
    fn take(
        &mut self,
        cx: &Context,
        context: &FetchContext,
        read: Result<PartitionData, FetchRefused>,
    ) {
        let Some((key, _)) = context.partitions.get(self.next) else { return };
        let (data, urgent) = match read {
            Ok(data) => {
                let pieces = data.records.as_ref().map_or(0, |records| records.pieces().count());
                (data, pieces >= PIECES_MAX)
            }
            Err(refused) => refuse_read(cx, key, &refused),
        };
        self.push(key, data, urgent);
    }

    fn push(&mut self, key: &PartitionKey, data: PartitionData, urgent: bool) {
        let data = PartitionData { partition_index: key.1, ..data };
        self.found.bytes += data.records.as_ref().map_or(0, Records::len);
        self.found.urgent |= urgent;
        self.found.partitions.push((key.clone(), data));
        self.next += 1;
    }
}

/// Finishes a pass. Files are read on other threads: the worker serves others meanwhile.
async fn finish(
    cx: &Context,
    context: &FetchContext,
    terms: Terms,
    mut pass: Pass,
    mut cold: Option<FetchRead>,
) -> Found {
    while let Some(read) = cold {
        let (before, from_files) = (pass.found.bytes, matches!(read.batches, Answer::Lookup(_)));
        match tokio::task::spawn_blocking(move || complete(read)).await {
            // Compaction replaced the segment meanwhile: the pass looks again.
            Ok(Err(FetchRefused::Read(error))) if error.is_replaced() => {}
            Ok(read) => pass.take(cx, context, read),
            Err(panicked) => {
                tracing::error!(%panicked, "a read of a log has failed");
                if let Some((key, _)) = context.partitions.get(pass.next) {
                    pass.push(key, failed(cx, key, ErrorCode::UnknownServerError), true);
                }
            }
        }
        if from_files && pass.found.bytes > before {
            pass.cold_bytes += pass.found.bytes - before;
            // A reader that lags behind is not kept waiting for more, as in Kafka.
            pass.found.urgent = true;
        }
        cold = pass.go_on(cx, context, terms);
    }
    pass.found
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

/// Reads from files what waits for no disk; how many bytes that was.
fn read_at_hand(read: &mut FetchRead) -> usize {
    let Answer::Lookup(lookup) = &read.batches else { return 0 };
    if read.request.max_bytes > AT_HAND_BYTES_MAX {
        return 0;
    }
    let Some(fetched) = lookup.read_at_hand(&read.request) else { return 0 };
    let bytes = fetched.bytes;
    read.batches = Answer::Ready(fetched);
    bytes
}

/// What a partition gives. Reads files, where the batches are not in memory or transactions may
/// have been aborted.
fn complete(read: FetchRead) -> Result<PartitionData, FetchRefused> {
    let FetchRead { ends, last_stable, request, batches, view } = read;
    let fetched = match batches {
        Answer::Ready(fetched) => fetched,
        // Nothing fits into the answer.
        Answer::Lookup(_) if request.max_bytes == 0 && !request.at_least_one => {
            Fetched { batches: Vec::new(), bytes: 0, next_offset: request.from }
        }
        Answer::Lookup(lookup) => lookup.read(&request)?,
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

async fn wait_for_data(
    cx: &Context,
    context: &FetchContext,
    terms: Terms,
    deadline: Instant,
) -> Found {
    let signal = Signal::new(&cx.mailbox);
    let hosted = context.partitions.iter().filter_map(|(key, _)| resolve(cx, key).ok());
    let _registered = Registered(
        hosted
            .map(|partition| {
                let id = partition.wait_for_data(Arc::clone(&signal));
                (partition, id)
            })
            .collect(),
    );
    let timed_out = Cell::new(false);
    loop {
        // Read after registering: what came in between is seen now or raises the signal.
        let mut pass = Pass::default();
        let cold = pass.go_on(cx, context, terms);
        let found = finish(cx, context, terms, pass, cold).await;
        if found.is_enough(terms) || timed_out.get() || cx.shared.is_stopping() {
            return found;
        }
        timed_out.set(timeout_at(deadline, signal.wait()).await.is_err());
    }
}

fn respond(cx: &Context, context: &FetchContext, found: Found) -> FetchResponse {
    let mut told = Vec::with_capacity(found.partitions.len());
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    for (key, data) in found.partitions {
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let failed = data.error_code != 0 || data.diverging_epoch.epoch >= 0;
        let known = if failed {
            Told::NOTHING
        } else {
            Told { high_watermark: data.high_watermark, log_start: data.log_start_offset }
        };
        let omitted = !has_records && !failed && context.omits(&key, known);
        told.push((key.clone(), known, has_records));
        if omitted {
            continue;
        }
        let (topic, _) = &key;
        match responses.last_mut() {
            Some(last) if is_of(last, topic) => last.partitions.push(data),
            _ => responses.push(answer_topic(topic, data)),
        }
    }
    let session_id = cx.shared.sessions.end(context, told.into_iter(), cx.shared.now());
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
