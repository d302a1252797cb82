//! The replica machine: ends of the log, high watermark, waiting answers. Owns what an append, a
//! completed write or sync, and a follower's fetch change. Roles change in `on_role`.

use ottla_protocol::{ErrorCode, LeaderEpoch, Millis, NodeId, Offset};
use thiserror::Error;

use super::acks::{AckQueue, Acks};

/// Settings of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// Data counts as committed here once it is synced (the default), or once it is written
    /// (`flush.mode=os`).
    pub durable: bool,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

/// What this replica is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes appends and answers fetches.
    Leader,
    /// It follows this leader; `None` while there is none.
    Follower(Option<NodeId>),
    /// Its log directory has failed; nothing more is written or answered.
    Failed,
}

/// Where the log stands. Always `log_start ≤ high_watermark ≤ log_end` and
/// `durable ≤ written ≤ log_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// First offset that is still readable.
    pub log_start: Offset,
    /// Consumers read below it.
    pub high_watermark: Offset,
    /// Everything below it is on stable storage.
    pub durable: Offset,
    /// Everything below it is handed to the operating system.
    pub written: Offset,
    /// The offset that the next record gets.
    pub log_end: Offset,
}

/// Why this replica cannot do what was asked. Each is the Kafka error of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplicaError {
    /// `NOT_LEADER_OR_FOLLOWER` (6).
    #[error("this broker does not lead the partition")]
    NotLeaderOrFollower,
    /// `FENCED_LEADER_EPOCH` (74).
    #[error("leader epoch {requested} is older than the current {current}")]
    FencedLeaderEpoch {
        /// As in the request.
        requested: LeaderEpoch,
        /// As known here.
        current: LeaderEpoch,
    },
    /// `UNKNOWN_LEADER_EPOCH` (75).
    #[error("leader epoch {requested} is newer than the current {current}")]
    UnknownLeaderEpoch {
        /// As in the request.
        requested: LeaderEpoch,
        /// As known here.
        current: LeaderEpoch,
    },
    /// `NOT_ENOUGH_REPLICAS` (19): nothing was appended.
    #[error("{in_sync} replicas are in sync and {required} are required")]
    NotEnoughReplicas {
        /// Replicas in sync, this one included.
        in_sync: usize,
        /// `min.insync.replicas`, at most the number of replicas.
        required: usize,
    },
    /// `NOT_ENOUGH_REPLICAS_AFTER_APPEND` (20): it was appended and may stay.
    #[error("after the append {in_sync} replicas were in sync and {required} are required")]
    NotEnoughReplicasAfterAppend {
        /// Replicas in sync, this one included.
        in_sync: usize,
        /// `min.insync.replicas`, at most the number of replicas.
        required: usize,
    },
    /// `REQUEST_TIMED_OUT` (7): it was appended and may be committed yet.
    #[error("the replicas did not confirm in time")]
    RequestTimedOut,
    /// `KAFKA_STORAGE_ERROR` (56).
    #[error("the log directory of the partition has failed")]
    KafkaStorageError,
    /// `POLICY_VIOLATION` (44): it was appended, could not be written, and is gone.
    #[error("there was no space in the log directory of the partition")]
    NoSpace,
}

impl ReplicaError {
    /// Kafka's error of this name.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
            Self::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
            Self::RequestTimedOut => ErrorCode::RequestTimedOut,
            Self::KafkaStorageError => ErrorCode::KafkaStorageError,
            Self::NoSpace => ErrorCode::PolicyViolation,
        }
    }
}

/// What the host has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaEffect<T> {
    /// The high watermark has moved up to here: tell the producer state, wake waiting fetches.
    HighWatermark(Offset),
    /// Answer whoever gave this token to [`Replica::wait`].
    Answer(T, Result<(), ReplicaError>),
}

/// Another replica of the partition, while this one leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteReplica {
    pub(super) id: NodeId,
    pub(super) in_sync: bool,
    /// Its log end as its last fetch in this leader epoch said, −1 before.
    pub(super) end: Offset,
}

/// One replica. `T` stands for an answer that waits (a connection and a request, say).
///
/// Each `on_*` takes one event and adds to `effects` what follows from it. Bytes and files are
/// the host's: it appends to the log first and then tells this machine, under the same lock.
pub struct Replica<T> {
    pub(super) local: NodeId,
    pub(super) config: ReplicaConfig,
    pub(super) role: Role,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) partition_epoch: i32,
    pub(super) ends: Ends,
    pub(super) remotes: Vec<RemoteReplica>,
    written_waiters: AckQueue<T>,
    committed_waiters: AckQueue<T>,
}

impl<T> Replica<T> {
    /// A replica over a log that has just been opened: everything in it is durable. A follower
    /// without leader until told otherwise. The checkpointed high watermark counts as far as the
    /// log reaches; without one it is the log start.
    #[must_use]
    pub fn new(
        local: NodeId,
        config: ReplicaConfig,
        log_start: Offset,
        log_end: Offset,
        checkpointed_high_watermark: Option<Offset>,
    ) -> Self {
        assert!(log_start <= log_end, "a log ends before it starts: {log_start} > {log_end}");
        let high_watermark =
            checkpointed_high_watermark.unwrap_or(log_start).clamp(log_start, log_end);
        Self {
            local,
            config,
            role: Role::Follower(None),
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: -1,
            ends: Ends { log_start, high_watermark, durable: log_end, written: log_end, log_end },
            remotes: Vec::new(),
            written_waiters: AckQueue::new(),
            committed_waiters: AckQueue::new(),
        }
    }

    /// What this replica is at present.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The newest leader epoch known, −1 before the first.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The newest partition epoch known, −1 before the first.
    #[must_use]
    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// Where the log stands.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The high watermark.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.ends.high_watermark
    }

    /// Answers that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.written_waiters.len().saturating_add(self.committed_waiters.len())
    }

    /// The ids of the in-sync replicas, ascending; only a leader knows them.
    #[must_use]
    pub fn isr(&self) -> Vec<NodeId> {
        if self.role != Role::Leader {
            return Vec::new();
        }
        let mut isr: Vec<NodeId> =
            self.remotes.iter().filter(|r| r.in_sync).map(|r| r.id).collect();
        isr.push(self.local);
        isr.sort_unstable();
        isr
    }

    fn in_sync(&self) -> usize {
        self.remotes.iter().filter(|r| r.in_sync).count().saturating_add(1)
    }

    /// `min.insync.replicas`, at most the number of replicas.
    fn required_in_sync(&self) -> usize {
        self.config.min_insync_replicas.min(self.remotes.len().saturating_add(1))
    }

    /// Up to where this replica's own log counts as committed.
    fn own_committed(&self) -> Offset {
        if self.config.durable { self.ends.durable } else { self.ends.written }
    }

    /// Checks the leader epoch that a client or follower believes in, if it says one.
    ///
    /// # Errors
    /// Fenced or unknown epoch; after that not leader, or a failed log.
    pub fn check_leader(&self, current: Option<LeaderEpoch>) -> Result<(), ReplicaError> {
        if self.role == Role::Failed {
            return Err(ReplicaError::KafkaStorageError);
        }
        if let Some(requested) = current {
            let current = self.leader_epoch;
            if requested < current {
                return Err(ReplicaError::FencedLeaderEpoch { requested, current });
            }
            if requested > current {
                return Err(ReplicaError::UnknownLeaderEpoch { requested, current });
            }
        }
        if self.role == Role::Leader { Ok(()) } else { Err(ReplicaError::NotLeaderOrFollower) }
    }

    /// Checks, before an append, whether this replica may take it (`None`: acks=0).
    ///
    /// # Errors
    /// Not leader; a failed log; acks=all with too few replicas in sync.
    pub fn check_append(&self, acks: Option<Acks>) -> Result<(), ReplicaError> {
        self.check_leader(None)?;
        let (in_sync, required) = (self.in_sync(), self.required_in_sync());
        if acks == Some(Acks::All) && in_sync < required {
            return Err(ReplicaError::NotEnoughReplicas { in_sync, required });
        }
        Ok(())
    }

    /// Records were appended; the log ends at `log_end` now.
    pub fn on_append(&mut self, log_end: Offset) {
        assert!(log_end >= self.ends.log_end, "an append cannot move the log end back");
        self.ends.log_end = log_end;
    }

    /// Answers `token` when everything below `end` (last offset + 1) has come as far as `acks`
    /// asks: at once if it has, with a time-out at `deadline`, with an error when it never will.
    pub fn wait(
        &mut self,
        acks: Acks,
        end: Offset,
        deadline: Millis,
        token: T,
        effects: &mut Vec<ReplicaEffect<T>>,
    ) {
        if let Err(error) = self.check_leader(None) {
            effects.push(ReplicaEffect::Answer(token, Err(error)));
            return;
        }
        let reached = match acks {
            Acks::Leader => end <= self.ends.written,
            Acks::All => end <= self.ends.high_watermark,
        };
        match (acks, reached) {
            (Acks::Leader, true) => effects.push(ReplicaEffect::Answer(token, Ok(()))),
            (Acks::All, true) => effects.push(ReplicaEffect::Answer(token, self.committed())),
            (Acks::Leader, false) => self.written_waiters.push(end, deadline, token),
            (Acks::All, false) => self.committed_waiters.push(end, deadline, token),
        }
    }

    /// The answer to acks=all for records below the high watermark.
    fn committed(&self) -> Result<(), ReplicaError> {
        let (in_sync, required) = (self.in_sync(), self.required_in_sync());
        if in_sync < required {
            return Err(ReplicaError::NotEnoughReplicasAfterAppend { in_sync, required });
        }
        Ok(())
    }

    /// A write has completed; everything below `end` (the log's own written end) is with the
    /// operating system.
    pub fn on_written(&mut self, end: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        assert!(end <= self.ends.log_end, "written beyond the log end");
        if end <= self.ends.written {
            return;
        }
        self.ends.written = end;
        self.written_waiters.reached(end, |t| effects.push(ReplicaEffect::Answer(t, Ok(()))));
        self.advance(effects);
    }

    /// A sync has completed; everything below `end` (the log's own durable end) is on stable
    /// storage, hence written too.
    pub fn on_durable(&mut self, end: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        self.on_written(end, effects);
        if end <= self.ends.durable {
            return;
        }
        self.ends.durable = end;
        self.advance(effects);
    }

    /// A follower fetches from `fetch_offset`: it has everything below, as committed as its own
    /// configuration asks.
    ///
    /// # Errors
    /// Not leader, or no replica of this partition (`UNKNOWN_LEADER_EPOCH` in Kafka, for the
    /// follower may know more than this broker).
    pub fn on_follower_fetch(
        &mut self,
        follower: NodeId,
        fetch_offset: Offset,
        effects: &mut Vec<ReplicaEffect<T>>,
    ) -> Result<(), ReplicaError> {
        self.check_leader(None)?;
        let epoch = self.leader_epoch;
        let Some(remote) = self.remotes.iter_mut().find(|r| r.id == follower) else {
            return Err(ReplicaError::UnknownLeaderEpoch { requested: epoch, current: epoch });
        };
        remote.end = fetch_offset;
        self.advance(effects);
        Ok(())
    }

    /// The leader, answering this follower's fetch, told its high watermark.
    pub fn on_leader_high_watermark(
        &mut self,
        high_watermark: Offset,
        effects: &mut Vec<ReplicaEffect<T>>,
    ) {
        let high_watermark = high_watermark.min(self.ends.log_end);
        let follows = match self.role {
            Role::Follower(_) => true,
            Role::Leader | Role::Failed => false,
        };
        if follows && high_watermark > self.ends.high_watermark {
            self.ends.high_watermark = high_watermark;
            effects.push(ReplicaEffect::HighWatermark(high_watermark));
        }
    }

    /// The settings changed.
    pub fn on_config(&mut self, config: ReplicaConfig, effects: &mut Vec<ReplicaEffect<T>>) {
        self.config = config;
        self.advance(effects);
    }

    /// The log starts at `log_start` now (DeleteRecords, retention): readable data begins there.
    pub fn on_log_start(&mut self, log_start: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        assert!(log_start <= self.ends.log_end, "the log start is beyond the log end");
        self.ends.log_start = self.ends.log_start.max(log_start);
        if self.ends.high_watermark < self.ends.log_start {
            self.raise(self.ends.log_start, effects);
        }
    }

    /// The log was cut: it ends at `log_end` now. What waited for more never comes.
    pub fn on_truncate(&mut self, log_end: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        let ends = &mut self.ends;
        ends.log_start = ends.log_start.min(log_end);
        ends.high_watermark = ends.high_watermark.min(log_end);
        ends.durable = ends.durable.min(log_end);
        ends.written = ends.written.min(log_end);
        ends.log_end = ends.log_end.min(log_end);
        self.answer_lost(log_end, ReplicaError::NotLeaderOrFollower, effects);
    }

    /// There was no space for what was not written: the log ends at `log_end` again, its written
    /// end. Nobody was told of more; who waits for more is told that it is gone.
    pub fn on_no_space(&mut self, log_end: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        let ends = &mut self.ends;
        assert!(ends.high_watermark <= log_end, "what is committed is written");
        ends.durable = ends.durable.min(log_end);
        ends.written = ends.written.min(log_end);
        ends.log_end = ends.log_end.min(log_end);
        self.answer_lost(log_end, ReplicaError::NoSpace, effects);
    }

    /// The log was emptied and starts anew at `offset`.
    pub fn on_restart_at(&mut self, offset: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        self.ends = Ends {
            log_start: offset,
            high_watermark: offset,
            durable: offset,
            written: offset,
            log_end: offset,
        };
        self.answer_lost(Offset::NONE, ReplicaError::NotLeaderOrFollower, effects);
    }

    /// A write or a sync of the log directory failed. Final: what is not answered by now may or
    /// may not be on disk.
    pub fn on_failure(&mut self, effects: &mut Vec<ReplicaEffect<T>>) {
        self.role = Role::Failed;
        self.answer_lost(Offset::NONE, ReplicaError::KafkaStorageError, effects);
    }

    /// Answers what has waited until its deadline. Call it from time to time also without a
    /// deadline: it gives memory back.
    pub fn on_tick(&mut self, now: Millis, effects: &mut Vec<ReplicaEffect<T>>) {
        for queue in [&mut self.written_waiters, &mut self.committed_waiters] {
            queue.expired(now, |t| {
                effects.push(ReplicaEffect::Answer(t, Err(ReplicaError::RequestTimedOut)));
            });
        }
    }

    /// When [`Replica::on_tick`] is needed next; never late, perhaps early.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        match (self.written_waiters.earliest(), self.committed_waiters.earliest()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn answer_lost(
        &mut self,
        position: Offset,
        error: ReplicaError,
        effects: &mut Vec<ReplicaEffect<T>>,
    ) {
        for queue in [&mut self.written_waiters, &mut self.committed_waiters] {
            queue.lost(position, |t| effects.push(ReplicaEffect::Answer(t, Err(error))));
        }
    }

    /// Moves a leader's high watermark to the smallest end of the in-sync replicas; never back,
    /// and not while too few are in sync (KIP-966).
    pub(super) fn advance(&mut self, effects: &mut Vec<ReplicaEffect<T>>) {
        if self.role != Role::Leader || self.in_sync() < self.required_in_sync() {
            return;
        }
        let committed = self
            .remotes
            .iter()
            .filter(|r| r.in_sync)
            .fold(self.own_committed(), |end, remote| end.min(remote.end));
        if committed > self.ends.high_watermark {
            self.raise(committed, effects);
        }
    }

    fn raise(&mut self, high_watermark: Offset, effects: &mut Vec<ReplicaEffect<T>>) {
        let ends = &mut self.ends;
        assert!(high_watermark <= ends.log_end, "the high watermark is beyond the log end");
        ends.high_watermark = high_watermark;
        effects.push(ReplicaEffect::HighWatermark(high_watermark));
        if self.role == Role::Leader {
            let answer = self.committed();
            self.committed_waiters
                .reached(high_watermark, |t| effects.push(ReplicaEffect::Answer(t, answer)));
        }
    }
}
