//! Produce 3–13: appends batches, answered when they are as safe as `acks` asks.
//! 3 batches v2 · 5 log start · 7 zstd · 8 errors of single records · 9 flexible · 10 who leads
//! (KIP-951) · 11–12 transactions V2 · 13 topic ids.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_log::{AppendError, PartitionLog};
use ottla_metadata::Topic;
use ottla_partition::{Acks, AppendContext, ReplicaError};
use ottla_protocol::k00_produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, ProduceResponse,
    TopicProduceResponse,
};
use ottla_protocol::{
    ApiKey, DecodeError, ErrorCode, Millis, ProduceBeginning, ProduceRequestView, StrBytes, TopicId,
};
use ottla_records::{Refusal, Scratch, check_produced, claims_transaction, validate};
use tokio::time::{Instant, timeout_at};

use crate::connection::{BLOCK_BYTES, CloseReason, Handled, Segments};
use crate::dispatch::Context;
use crate::errors;
use crate::replica::{AckToken, HostedPartition, ProduceWait, Refused};
use crate::request_header::{HeaderView, key_and_version};
use crate::shared::Shared;
use crate::space::Space;
use crate::topics;

/// Batches below this size are copied out of their frame, and so are those of less than half of
/// it, so that a batch in the tail of a log does not hold much more memory than its own.
const COPIED_BYTES_MAX: usize = 8 * 1024;
/// The client's time-out bounds the wait for other replicas; writing here is given this long at
/// least, as Kafka does not count it at all.
const COMMIT_WAIT_MIN: Duration = Duration::from_secs(10);

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A partition of the request.
struct Wanted {
    topic: usize,
    index: i32,
    records: Option<Range<usize>>,
}

/// A request taken apart: its topics, its partitions, and the frame that holds their batches.
struct Parts {
    acks: i16,
    timeout_ms: i32,
    /// It has a transactional id.
    transactional: bool,
    /// A batch of it is part of a transaction.
    claims_transaction: bool,
    topics: Vec<(StrBytes, TopicId)>,
    wanted: Vec<Wanted>,
}

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let parts = match take_apart(&body, cx.version) {
        Ok(parts) => parts,
        Err(error) => return crate::api::undecodable(&error),
    };
    if parts.claims_transaction {
        return refuse_transaction(&cx, &parts);
    }
    let level = match parts.acks {
        0 | 1 => Acks::Leader,
        -1 => Acks::All,
        _ => return invalid_acks(&cx, &parts),
    };
    let wait = ProduceWait::new(parts.wanted.len(), &cx.mailbox);
    let answers = append_all(&cx, &parts, body, level, &wait);
    if parts.acks == 0 {
        return unanswered(&answers, wait);
    }
    let timeout = Duration::from_millis(u64::try_from(parts.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + timeout.max(COMMIT_WAIT_MIN);
    let context = cx.clone();
    later!(cx, Pipelined, async move {
        let mut answers = answers;
        match level {
            // As in Kafka, who waits for nobody else has no time-out.
            Acks::Leader => wait.done().await,
            Acks::All => {
                let _in_time = timeout_at(deadline, wait.done()).await;
            }
        }
        for (answer, outcome) in answers.iter_mut().zip(wait.outcomes()) {
            let outcome = outcome.unwrap_or(Err(ReplicaError::RequestTimedOut));
            if let (0, Err(error)) = (answer.error_code, outcome) {
                answer.error_code = errors::replica(error).into();
                answer.base_offset = -1;
                if error == ReplicaError::NoSpace {
                    answer.error_message = Some(StrBytes::from(error.to_string()));
                }
            }
        }
        respond(&context, &parts, answers)
    })
}

/// Where the frame of a request that begins so should lie, for its first batch to lie within blocks
/// of memory as it will in those of its file ([`crate::connection::Dispatch::place`]). It is a
/// guess: the batch may be refused, and others may be appended before it.
pub(crate) fn place(shared: &Shared, beginning: &[u8]) -> Option<usize> {
    let (key, version) = key_and_version(beginning)?;
    let api = ApiKey::try_from(key).ok().filter(|api| *api == ApiKey::Produce)?;
    let header = HeaderView::parse(beginning, api.request_header_version(version) >= 2)?;
    let first = ProduceBeginning::parse(beginning, header.body_at, version)?;
    let partition = if version >= 13 {
        shared.partitions.by_id(first.topic_id, first.index)
    } else {
        shared.partitions.by_name(first.name, first.index)
    };
    let position = partition?.with_log(PartitionLog::next_position);
    let in_block = usize::try_from(position % BLOCK_BYTES as u64).ok()?;
    Some((in_block + BLOCK_BYTES - first.records_at % BLOCK_BYTES) % BLOCK_BYTES)
}

/// With acks=0 nobody is told: a client that lost records must at least see the connection end.
/// Until the records are written, the request counts as unanswered, so that a client cannot send
/// faster than the disk takes.
fn unanswered(answers: &[PartitionProduceResponse], wait: Arc<ProduceWait>) -> Handled {
    let close = |error: ErrorCode| CloseReason::AcksZeroFailed(error.to_string());
    if let Some(failed) = answers.iter().find(|answer| answer.error_code != 0) {
        return Handled::Close(close(ErrorCode::from(failed.error_code)));
    }
    Handled::Pipelined(Box::pin(async move {
        wait.done().await;
        let failed = wait.outcomes().into_iter().flatten().find_map(Result::err);
        failed.map_or(Ok(Segments::new()), |error| Err(close(errors::replica(error))))
    }))
}

/// There are no transactions yet. What a stock client cannot send is refused as Kafka does it.
fn refuse_transaction(cx: &Context, parts: &Parts) -> Handled {
    let (error, message) = if parts.transactional {
        (ErrorCode::InvalidTxnState, Some("Transactions are not supported yet."))
    } else {
        (ErrorCode::TransactionalIdAuthorizationFailed, None)
    };
    if parts.acks == 0 {
        return Handled::Close(CloseReason::AcksZeroFailed(error.to_string()));
    }
    let refused = |wanted: &Wanted| PartitionProduceResponse {
        index: wanted.index,
        ..refuse(error, message.map(StrBytes::from_static))
    };
    let answers = parts.wanted.iter().map(refused).collect();
    ready!(*cx, respond(cx, parts, answers))
}

fn take_apart(body: &[u8], version: i16) -> Result<Parts, DecodeError> {
    let view = ProduceRequestView::parse(body, 0, version)?;
    let mut parts = Parts {
        acks: view.acks(),
        timeout_ms: view.timeout_ms(),
        transactional: view.transactional_id().is_some(),
        claims_transaction: false,
        topics: Vec::new(),
        wanted: Vec::new(),
    };
    for topic in view.topics() {
        let index = parts.topics.len();
        parts.topics.push((StrBytes::from(topic.name), topic.topic_id));
        for partition in topic.partitions() {
            let records = partition.records.clone().and_then(|range| body.get(range));
            parts.claims_transaction |= records.is_some_and(claims_transaction);
            parts.wanted.push(Wanted {
                topic: index,
                index: partition.index,
                records: partition.records,
            });
        }
    }
    Ok(parts)
}

/// Appends what can be appended; the answers stand in the order of the request. Every partition
/// that was not handed to its replica is complete in `wait`.
fn append_all(
    cx: &Context,
    parts: &Parts,
    mut body: BytesMut,
    level: Acks,
    wait: &Arc<ProduceWait>,
) -> Vec<PartitionProduceResponse> {
    let frame_bytes = body.len();
    // The batches are cut out of the frame from its end, so that the ranges stay right.
    let mut batches: Vec<Option<BytesMut>> = Vec::with_capacity(parts.wanted.len());
    for wanted in parts.wanted.iter().rev() {
        batches.push(wanted.records.as_ref().map(|range| {
            let mut batch = body.split_off(range.start);
            batch.truncate(range.len());
            let small = batch.len() < COPIED_BYTES_MAX || batch.len() < frame_bytes / 2;
            if small { BytesMut::from(&batch[..]) } else { batch }
        }));
    }
    let mut answers = Vec::with_capacity(parts.wanted.len());
    let wanted = parts.wanted.iter().zip(batches.into_iter().rev());
    for (slot, (wanted, batch)) in wanted.enumerate() {
        let token = AckToken::Produce(Arc::clone(wait), slot);
        let mut answer = append_one(cx, parts, wanted, batch, Some((level, token)));
        answer.index = wanted.index;
        if answer.error_code != 0 {
            answer.base_offset = -1;
            wait.complete(slot, Ok(()));
        }
        answers.push(answer);
    }
    answers
}

fn append_one(
    cx: &Context,
    parts: &Parts,
    wanted: &Wanted,
    batch: Option<BytesMut>,
    token: Option<(Acks, AckToken)>,
) -> PartitionProduceResponse {
    let Some((name, id)) = parts.topics.get(wanted.topic) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, None);
    };
    let partition = match find(cx, name, *id, wanted.index) {
        Ok(partition) => partition,
        Err(error) => return refuse(error, None),
    };
    if topics::is_internal(&partition.name.topic) {
        return refuse(ErrorCode::InvalidTopicException, None);
    }
    let space = cx.shared.space.get(partition.dir());
    if let Some(full) = space.and_then(Space::refusal) {
        cx.shared.storage.is_full();
        return refuse(ErrorCode::PolicyViolation, Some(StrBytes::from(full)));
    }
    // An absent batch is refused as an empty one, as in Kafka.
    let mut batch = batch.unwrap_or_default();
    if let Err(refusal) = check_produced(cx.version, &batch) {
        return refuse_batch(cx, &refusal);
    }
    let now = cx.shared.now();
    let rules = partition.config().rules(now);
    let validated = SCRATCH.with_borrow_mut(|scratch| validate(&mut batch, &rules, scratch));
    let validated = match validated {
        Ok(validated) => validated,
        Err(refusal) => return at_log(&partition, refuse_batch(cx, &refusal)),
    };
    let log_append_time = validated.log_append_time;
    match validated.rebuilt {
        Some(rebuilt) => batch = BytesMut::from(&rebuilt[..]),
        None => batch.truncate(validated.size),
    }
    if let Some(space) = space {
        space.on_append(batch.len());
    }
    match partition.append(batch, &AppendContext::CLIENT, now, token) {
        Ok((appended, log_start)) => PartitionProduceResponse {
            base_offset: appended.base_offset.get(),
            log_append_time_ms: log_append_time.map_or(-1, Millis::get),
            log_start_offset: log_start.get(),
            ..Default::default()
        },
        Err(Refused::Replica(error)) => refuse(errors::replica(error), None),
        Err(Refused::Log(error @ AppendError::NoSpace { .. })) => {
            refuse(errors::append(&error), Some(StrBytes::from(error.to_string())))
        }
        Err(Refused::Log(error)) => at_log(&partition, refuse(errors::append(&error), None)),
    }
}

/// With most errors of a log Kafka says where it begins.
fn at_log(
    partition: &HostedPartition,
    answer: PartitionProduceResponse,
) -> PartitionProduceResponse {
    const SILENT: [ErrorCode; 4] = [
        ErrorCode::CorruptMessage,
        ErrorCode::MessageTooLarge,
        ErrorCode::RecordListTooLarge,
        ErrorCode::KafkaStorageError,
    ];
    if SILENT.contains(&ErrorCode::from(answer.error_code)) {
        return answer;
    }
    let log_start_offset = partition.ends().0.log_start.get();
    PartitionProduceResponse { log_start_offset, ..answer }
}

fn find(
    cx: &Context,
    name: &str,
    id: TopicId,
    index: i32,
) -> Result<Arc<HostedPartition>, ErrorCode> {
    if cx.version >= 13 {
        if let Some(partition) = cx.shared.partitions.by_id(id, index) {
            return Ok(partition);
        }
        let image = cx.shared.image.load();
        let topic = image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId)?;
        return Err(missing(cx, topic, index));
    }
    if let Some(partition) = cx.shared.partitions.by_name(name, index) {
        return Ok(partition);
    }
    let image = cx.shared.image.load();
    let topic = image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Err(missing(cx, topic, index))
}

/// Why a partition is not here.
fn missing(cx: &Context, topic: &Topic, index: i32) -> ErrorCode {
    match topic.partition(index) {
        Some(_) => cx.shared.partitions.why_absent(topic.id, index),
        None => ErrorCode::UnknownTopicOrPartition,
    }
}

fn refuse(error: ErrorCode, message: Option<StrBytes>) -> PartitionProduceResponse {
    PartitionProduceResponse {
        error_code: error.into(),
        base_offset: -1,
        error_message: message,
        ..Default::default()
    }
}

fn refuse_batch(cx: &Context, refusal: &Refusal) -> PartitionProduceResponse {
    let errors = refusal.records.iter().map(|record| BatchIndexAndErrorMessage {
        batch_index: record.index,
        batch_index_error_message: Some(StrBytes::from(record.reason.to_string())),
        ..Default::default()
    });
    PartitionProduceResponse {
        error_code: refusal.code(),
        base_offset: -1,
        log_start_offset: -1,
        record_errors: if cx.version >= 8 { errors.collect() } else { Vec::new() },
        error_message: refusal.wire_message().map(StrBytes::from),
        ..Default::default()
    }
}

fn invalid_acks(cx: &Context, parts: &Parts) -> Handled {
    let refused = |wanted: &Wanted| {
        let named = parts.topics.get(wanted.topic);
        let found = named.map(|(name, id)| find(cx, name, *id, wanted.index).map(|_| ()));
        let error = match found {
            Some(Err(unknown)) => unknown,
            Some(Ok(())) | None => ErrorCode::InvalidRequiredAcks,
        };
        PartitionProduceResponse { index: wanted.index, ..refuse(error, None) }
    };
    let answers = parts.wanted.iter().map(refused).collect();
    ready!(*cx, respond(cx, parts, answers))
}

/// The answers, grouped by topic as the request was.
fn respond(cx: &Context, parts: &Parts, answers: Vec<PartitionProduceResponse>) -> ProduceResponse {
    let only = parts.topics.len() == 1;
    let mut responses: Vec<TopicProduceResponse> = parts
        .topics
        .iter()
        .map(|(name, id)| TopicProduceResponse {
            name: name.clone(),
            topic_id: *id,
            partition_responses: Vec::with_capacity(if only { answers.len() } else { 0 }),
            ..Default::default()
        })
        .collect();
    for (wanted, mut answer) in parts.wanted.iter().zip(answers) {
        let Some(response) = responses.get_mut(wanted.topic) else { continue };
        if answer.error_code == i16::from(ErrorCode::NotLeaderOrFollower) && cx.version >= 10 {
            answer.current_leader = leader(cx, response, wanted.index);
        }
        response.partition_responses.push(answer);
    }
    ProduceResponse { responses, ..Default::default() }
}

/// Who leads instead (KIP-951).
fn leader(cx: &Context, topic: &TopicProduceResponse, index: i32) -> LeaderIdAndEpoch {
    let image = cx.shared.image.load();
    let topic =
        if cx.version >= 13 { image.topic_by_id(topic.topic_id) } else { image.topic(&topic.name) };
    topic.and_then(|topic| topic.partition(index)).map_or_else(LeaderIdAndEpoch::default, |p| {
        LeaderIdAndEpoch {
            leader_id: p.leader.get(),
            leader_epoch: p.leader_epoch.get(),
            ..Default::default()
        }
    })
}
