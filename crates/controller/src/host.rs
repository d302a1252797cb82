//! The controller's thread: executes what raft and the metadata machine want. Commands that arrive
//! together are decided one after the other, appended and synced together, and only then seen by
//! anybody and answered. A failed write ends the controller: what is on disk is then unknown, and
//! nothing is decided on what may not be there. Must not know what the decisions are.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use ottla_env::{Clock, Disk, Rng};
use ottla_metadata::feature_table;
use ottla_metadata::{
    Command, Delta, Image, Machine, Position, Refusal, Reply, Settings, VersionedRecord, draw_id,
};
use ottla_protocol::k70_controller_registration::{Feature, Listener};
use ottla_protocol::{
    ControllerRegistrationRequest, ErrorCode, KRaftVersionRecord, LeaderEpoch, Millis, NodeId,
    Offset, StrBytes,
};
use ottla_raft::{Effect, Input, LogEnd, Raft, RaftConfig, ReplicaKey, Role};
use tracing::{error, info, warn};

use crate::batch::{self, Control};
use crate::error::ControllerError;
use crate::format::Draw;
use crate::handle::{ControllerHandle, Message, OnReply, Published, Shared, Subscriber};
use crate::load::{Loaded, load};
use crate::metadata_log::{DIRECTORY, MetadataLog};
use crate::options::{ControllerOptions, MetadataLogSettings};
use crate::quorum::{QuorumInfo, QuorumReplica};
use crate::quorum_file;
use crate::snapshot;
use crate::voters::{self, Endpoint, Voter};

/// Commands that one sync may carry.
const GROUP_MAX: usize = 512;
/// Snapshots that are kept: the newest, and one to fall back on.
const SNAPSHOTS_KEPT: usize = 2;

/// Everything the thread owns.
struct Host {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    dir: PathBuf,
    log: MetadataLog,
    machine: Machine,
    raft: Raft,
    kraft_version: i16,
    voters: Vec<Voter>,
    /// What the next epoch's first batch must say beside the leader change.
    voters_to_log: bool,
    settings: MetadataLogSettings,
    shared: Arc<Shared>,
    sender: Sender<Message>,
    subscribers: Vec<Subscriber>,
    /// Batches applied and not yet written.
    unwritten: Vec<Bytes>,
    /// Their time: one for all that one append writes, so that what a crash leaves of it can be
    /// told from later appends.
    append_time: Option<Millis>,
    /// Where the log ends with them.
    end: LogEnd,
    /// Answers that wait for the log to be committed up to an offset.
    owed: Vec<(Offset, Result<Reply, Refusal>, OnReply)>,
    /// Everything before it is committed.
    committed: Offset,
    /// Bytes appended since the last snapshot was begun, and when that was.
    bytes_after_snapshot: u64,
    snapshot_at: Millis,
    snapshot_runs: bool,
    snapshots: Vec<LogEnd>,
}

/// Loads snapshot and log, elects, brings the log up to date, and runs the controller on a thread
/// of its own. When it returns the image is readable.
///
/// # Errors
/// When the disk fails, its content is damaged, or the quorum is one that this version cannot run.
pub fn start(options: ControllerOptions) -> Result<ControllerHandle, ControllerError> {
    let (sender, receiver) = mpsc::channel();
    let clock = Arc::clone(&options.clock);
    let mut host = Host::load(options, sender.clone())?;
    host.lead()?;
    let shared = Arc::clone(&host.shared);
    let thread = thread::Builder::new()
        .name("controller".to_owned())
        .spawn(move || host.run(&receiver))
        .map_err(|error| ControllerError::Thread(error.to_string()))?;
    Ok(ControllerHandle::new(sender, shared, clock, thread))
}

impl Host {
    fn load(options: ControllerOptions, sender: Sender<Message>) -> Result<Self, ControllerError> {
        let ControllerOptions {
            disk,
            clock,
            rng,
            metadata_dir,
            meta,
            endpoints,
            properties,
            log: settings,
        } = options;
        let machine_settings =
            Settings { node: meta.node_id, cluster_id: meta.cluster_id.clone(), properties };
        let loaded = load(&disk, &metadata_dir, machine_settings)?;
        let Loaded {
            log, machine, quorum, bootstrap, kraft_version, voters, voters_in_log, ..
        } = loaded;
        let me = ReplicaKey { id: meta.node_id, directory_id: meta.directory_id };
        let (mut voters, mut voters_to_log) = match voters {
            Some(voters) => (voters, !voters_in_log),
            // A quorum given by settings does not know directories.
            None => {
                let key = ReplicaKey { id: meta.node_id, directory_id: ottla_protocol::Uuid::ZERO };
                (vec![Voter { key, endpoints: endpoints.clone() }], false)
            }
        };
        check_voters(&voters, me)?;
        if !endpoints.is_empty() && voters.iter().any(|voter| voter.endpoints != endpoints) {
            voters.iter_mut().for_each(|voter| voter.endpoints.clone_from(&endpoints));
            voters_to_log = kraft_version > 0;
        }
        let now = monotonic(clock.as_ref());
        let config = RaftConfig {
            me,
            voters: voters::set_of(&voters),
            election_timeout: Millis(1000),
            fetch_timeout: Millis(2000),
            seed: rng.next_u64(),
        };
        let raft = Raft::new(config, quorum, log.end(), now);
        let (end, committed) = (log.end(), Offset::NONE);
        let image = Arc::new(machine.visible().clone());
        let shared =
            Arc::new(Shared::new(image, quorum_info(&raft, &voters, kraft_version, committed)));
        let mut host = Self {
            disk,
            clock,
            rng,
            dir: metadata_dir.join(DIRECTORY),
            log,
            machine,
            raft,
            kraft_version,
            voters,
            voters_to_log,
            settings,
            shared,
            sender,
            subscribers: Vec::new(),
            unwritten: Vec::new(),
            append_time: None,
            end,
            owed: Vec::new(),
            committed,
            bytes_after_snapshot: loaded.bytes_after_snapshot,
            snapshot_at: now,
            snapshot_runs: false,
            snapshots: loaded.snapshots,
        };
        host.elect(&bootstrap)?;
        Ok(host)
    }

    /// Becomes the leader of a new epoch and begins it.
    fn elect(&mut self, bootstrap: &[VersionedRecord]) -> Result<(), ControllerError> {
        self.drive(Input::Tick)?;
        if self.raft.role() != Role::Leader {
            return Err(ControllerError::Unsupported(
                "this node did not win the election of the metadata quorum".to_owned(),
            ));
        }
        let records = self.machine.activate(self.now(), bootstrap);
        self.append(&records)
    }

    /// Registers the controller, and publishes the first image.
    fn lead(&mut self) -> Result<(), ControllerError> {
        if self.machine.latest().features().metadata_version() == 0 {
            return Err(ControllerError::Damaged(format!(
                "the metadata log in {} is empty, and there are no records to begin a cluster with",
                self.dir.display()
            )));
        }
        let request = self.registration();
        let (now, next) = (self.now(), self.end.offset);
        let rng = Arc::clone(&self.rng);
        let command = Command::RegisterController(request);
        // A level too old for registrations refuses it, and needs none.
        if let Ok(plan) = self.machine.plan(now, next, &command, &mut Draw(rng.as_ref())) {
            self.append(&plan.records)?;
        }
        self.flush()?;
        self.publish();
        info!(
            epoch = self.raft.epoch().get(),
            offset = self.end.offset.get(),
            topics = self.machine.latest().topic_count(),
            "the controller is active"
        );
        Ok(())
    }

    fn registration(&self) -> ControllerRegistrationRequest {
        let me = self.raft.me();
        let endpoints = self
            .voters
            .iter()
            .filter(|voter| voter.key.id == me.id)
            .flat_map(|voter| &voter.endpoints);
        let listener = |endpoint: &Endpoint| Listener {
            name: StrBytes::from(&endpoint.listener),
            host: StrBytes::from(&endpoint.host),
            port: endpoint.port,
            ..Listener::default()
        };
        let features = feature_table::supported(self.machine.latest().features());
        let feature = |(name, range): (StrBytes, ottla_metadata::VersionRange)| Feature {
            name,
            min_supported_version: range.min,
            max_supported_version: range.max,
            ..Feature::default()
        };
        ControllerRegistrationRequest {
            controller_id: me.id.get(),
            incarnation_id: draw_id(&mut Draw(self.rng.as_ref())),
            listeners: endpoints.map(listener).collect(),
            features: features.map(feature).collect(),
            ..ControllerRegistrationRequest::default()
        }
    }

    fn now(&self) -> Millis {
        monotonic(self.clock.as_ref())
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.recv_timeout(self.wait()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match self.turn(message, messages) {
                Ok(true) => {}
                Ok(false) => {
                    refuse_rest(
                        messages,
                        &Refusal::new(ErrorCode::NotController, "the controller has stopped"),
                    );
                    return;
                }
                Err(failure) => {
                    self.fail(&failure, messages);
                    return;
                }
            }
        }
    }

    /// How long nothing needs to be done.
    fn wait(&self) -> Duration {
        const LONGEST: i64 = 3_600_000;
        let now = self.now().get();
        let session = self
            .machine
            .next_deadline()
            .map_or(LONGEST, |deadline| deadline.get().saturating_sub(now));
        let snapshot = match i64::try_from(self.settings.snapshot_interval_ms) {
            Ok(interval) if interval > 0 && !self.snapshot_runs => {
                self.snapshot_at.get().saturating_add(interval).saturating_sub(now)
            }
            Ok(_) | Err(_) => LONGEST,
        };
        Duration::from_millis(session.min(snapshot).clamp(1, LONGEST).unsigned_abs())
    }

    /// Handles a message and those that wait behind it. `false` when it is over.
    fn turn(
        &mut self,
        first: Option<Message>,
        messages: &Receiver<Message>,
    ) -> Result<bool, ControllerError> {
        let mut goes_on = true;
        let waiting = std::iter::from_fn(|| messages.try_recv().ok());
        for message in first.into_iter().chain(waiting).take(GROUP_MAX) {
            match message {
                Message::Command(command, on_reply) => self.decide(&command, on_reply)?,
                Message::Subscribe(seen, subscriber) => {
                    // What was decided before belongs to the image it begins with.
                    self.flush()?;
                    self.publish();
                    self.subscribe(seen.as_deref(), subscriber);
                }
                Message::SnapshotDone(outcome) => self.snapshot_done(outcome)?,
                Message::Stop => {
                    goes_on = false;
                    break;
                }
            }
        }
        self.tick()?;
        self.flush()?;
        self.publish();
        self.answer();
        self.take_snapshot()?;
        Ok(goes_on)
    }

    fn tick(&mut self) -> Result<(), ControllerError> {
        loop {
            let records = self.machine.tick(self.now());
            if records.is_empty() {
                return Ok(());
            }
            warn!("a broker has not been heard of for too long: it is fenced");
            self.append(&records)?;
        }
    }

    fn decide(&mut self, command: &Command, on_reply: OnReply) -> Result<(), ControllerError> {
        let (now, next) = (self.now(), self.end.offset);
        let rng = Arc::clone(&self.rng);
        let outcome = match self.machine.plan(now, next, command, &mut Draw(rng.as_ref())) {
            Ok(plan) => match self.encode(&plan.records) {
                Ok(batches) => {
                    self.apply(&plan.records, batches)?;
                    Ok(plan.reply)
                }
                Err(why) => Err(Refusal::new(ErrorCode::UnknownServerError, why)),
            },
            Err(refusal) => Err(refusal),
        };
        self.owed.push((self.end.offset, outcome, on_reply));
        Ok(())
    }

    fn append(&mut self, records: &[VersionedRecord]) -> Result<(), ControllerError> {
        let batches = self.encode(records).map_err(ControllerError::Damaged)?;
        self.apply(records, batches)
    }

    /// The time of the append that is being gathered.
    fn append_time(&mut self) -> Millis {
        let now = Millis(self.clock.wall_ms());
        *self.append_time.get_or_insert(now)
    }

    /// The batches that hold the records, from the log's end on.
    fn encode(&mut self, records: &[VersionedRecord]) -> Result<Vec<Bytes>, String> {
        let now = self.append_time();
        let mut base = self.end.offset;
        let mut batches = Vec::new();
        for chunk in records.chunks(batch::RECORDS_MAX) {
            batches.push(batch::records(base, self.raft.epoch(), now, chunk)?);
            base = base.plus(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
        }
        Ok(batches)
    }

    /// Applies records that are about to be written.
    fn apply(
        &mut self,
        records: &[VersionedRecord],
        batches: Vec<Bytes>,
    ) -> Result<(), ControllerError> {
        let (epoch, timestamp) = (self.raft.epoch(), self.append_time());
        for record in records {
            let position = Position { offset: self.end.offset, epoch, timestamp };
            self.machine.apply(position, &record.record).map_err(|error| {
                ControllerError::Damaged(format!("a decision was wrong: {error}"))
            })?;
            self.end = LogEnd { epoch, offset: self.end.offset.plus(1) };
        }
        self.unwritten.extend(batches);
        Ok(())
    }

    /// Writes and syncs what was appended, and lets raft say what is committed.
    fn flush(&mut self) -> Result<(), ControllerError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let batches = std::mem::take(&mut self.unwritten);
        self.append_time = None;
        let bytes: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
        self.log.append(&batches, self.end)?;
        self.bytes_after_snapshot = self.bytes_after_snapshot.saturating_add(bytes);
        if self.log.active_bytes() >= self.settings.segment_bytes {
            self.log.roll()?;
        }
        let end = self.end;
        self.drive(Input::Appended(end))?;
        self.drive(Input::Durable(end.offset))
    }

    /// Tells raft what happened and does what it wants.
    fn drive(&mut self, input: Input) -> Result<(), ControllerError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.raft.step(self.now(), input, &mut effects);
            for effect in effects {
                self.execute(effect, &mut inputs)?;
            }
        }
        let Self { raft, voters, kraft_version, committed, .. } = self;
        self.shared.set_quorum(quorum_info(raft, voters, *kraft_version, *committed));
        Ok(())
    }

    fn execute(
        &mut self,
        effect: Effect,
        inputs: &mut VecDeque<Input>,
    ) -> Result<(), ControllerError> {
        match effect {
            Effect::SaveQuorumState(state) => {
                let voters = voters::set_of(&self.voters);
                quorum_file::write(
                    self.disk.as_ref(),
                    &self.dir,
                    &state,
                    self.kraft_version,
                    &voters,
                )?;
                inputs.push_back(Input::Saved);
            }
            Effect::BeginEpoch { epoch, granting } => {
                self.begin_epoch(epoch, &granting)?;
                inputs.push_back(Input::Appended(self.end));
                inputs.push_back(Input::Durable(self.end.offset));
            }
            Effect::HighWatermark(offset) => self.committed = offset,
            Effect::Became(role) => {
                info!(?role, epoch = self.raft.epoch().get(), "the metadata quorum")
            }
            Effect::RequestVote { voter, .. } | Effect::AnnounceEpoch { voter, .. } => {
                warn!("there is no connection to voter {voter}");
            }
            Effect::AnswerVote { candidate, .. } => {
                warn!("there is no connection to candidate {candidate}")
            }
        }
        Ok(())
    }

    fn begin_epoch(
        &mut self,
        epoch: LeaderEpoch,
        granting: &[ReplicaKey],
    ) -> Result<(), ControllerError> {
        let leader = self.raft.me().id;
        let change = voters::leader_change(leader, self.raft.voters(), granting);
        let mut controls = vec![Control::LeaderChange(change)];
        if self.voters_to_log {
            let version = KRaftVersionRecord {
                kraft_version: self.kraft_version,
                ..KRaftVersionRecord::default()
            };
            controls.push(Control::KRaftVersion(version));
            controls.push(Control::Voters(voters::to_record(&self.voters)));
            self.voters_to_log = false;
        }
        let now = Millis(self.clock.wall_ms());
        let base = self.end.offset;
        let written =
            batch::controls(base, epoch, now, &controls).map_err(ControllerError::Damaged)?;
        let offset = base.plus(i64::try_from(controls.len()).unwrap_or(i64::MAX));
        self.end = LogEnd { epoch, offset };
        self.log.append(&[written], self.end)?;
        self.machine.pass(Offset(offset.get().saturating_sub(1)), epoch, now);
        Ok(())
    }

    /// Shows everybody the image, when it is committed and something changed.
    fn publish(&mut self) {
        if self.committed < self.end.offset {
            return;
        }
        let delta = self.machine.take_delta();
        let image = Arc::new(self.machine.visible().clone());
        let is_news = !delta.is_empty();
        self.shared.publish(Arc::clone(&image));
        if is_news {
            let published = Published { image, delta };
            self.subscribers.iter_mut().for_each(|subscriber| subscriber(&published));
        }
    }

    fn subscribe(&mut self, seen: Option<&Image>, mut subscriber: Subscriber) {
        let image = Arc::new(self.machine.visible().clone());
        let delta = seen.map(|seen| Delta::between(seen, &image)).unwrap_or_default();
        subscriber(&Published { image, delta });
        self.subscribers.push(subscriber);
    }

    /// Answers what is committed.
    fn answer(&mut self) {
        let committed = self.committed;
        for (end, outcome, on_reply) in std::mem::take(&mut self.owed) {
            if end <= committed {
                on_reply(outcome);
            } else {
                self.owed.push((end, outcome, on_reply));
            }
        }
    }

    /// Begins a snapshot when one is due; it is written by a thread of its own.
    fn take_snapshot(&mut self) -> Result<(), ControllerError> {
        let now = self.now();
        let interval = i64::try_from(self.settings.snapshot_interval_ms).unwrap_or(i64::MAX);
        let is_time = interval > 0 && now.get().saturating_sub(self.snapshot_at.get()) >= interval;
        let due = self.bytes_after_snapshot >= self.settings.snapshot_bytes || is_time;
        if is_time {
            self.snapshot_at = now;
        }
        if !due
            || self.bytes_after_snapshot == 0
            || self.snapshot_runs
            || self.machine.in_transaction()
        {
            return Ok(());
        }
        self.log.roll()?;
        self.bytes_after_snapshot = 0;
        self.snapshot_at = now;
        let image = self.machine.visible().clone();
        let position = image.position();
        let id = LogEnd { epoch: position.epoch, offset: position.offset.plus(1) };
        let (disk, dir, voters) = (Arc::clone(&self.disk), self.dir.clone(), self.voters.clone());
        let (kraft_version, now, sender) =
            (self.kraft_version, Millis(self.clock.wall_ms()), self.sender.clone());
        let write = move || {
            let plan = snapshot::Plan {
                id,
                timestamp: position.timestamp,
                now,
                kraft_version,
                voters: &voters,
            };
            let outcome = snapshot::write_image(disk.as_ref(), &dir, &plan, &image).map(|_| id);
            // A controller that has stopped has no use for it before the next start.
            let _ = sender.send(Message::SnapshotDone(outcome));
        };
        match thread::Builder::new().name("metadata-snapshot".to_owned()).spawn(write) {
            Ok(_) => self.snapshot_runs = true,
            Err(error) => warn!("no snapshot of the metadata is taken now: {error}"),
        }
        Ok(())
    }

    /// A snapshot is there: older ones, and the log before the one to fall back on, can go.
    fn snapshot_done(
        &mut self,
        outcome: Result<LogEnd, ControllerError>,
    ) -> Result<(), ControllerError> {
        self.snapshot_runs = false;
        let id = match outcome {
            Ok(id) => id,
            Err(error) => {
                // The log has everything still.
                warn!("a snapshot of the metadata failed: {error}");
                return Ok(());
            }
        };
        info!(
            offset = id.offset.get(),
            epoch = id.epoch.get(),
            "a snapshot of the metadata was written"
        );
        self.snapshots.push(id);
        while self.snapshots.len() > SNAPSHOTS_KEPT {
            snapshot::remove(self.disk.as_ref(), &self.dir, self.snapshots.remove(0));
        }
        let oldest = self.snapshots.first().map_or(Offset::ZERO, |oldest| oldest.offset);
        self.log.remove_before(oldest)
    }

    /// The disk failed: nothing more is decided, and everybody who waits is told.
    fn fail(&mut self, failure: &ControllerError, messages: &Receiver<Message>) {
        let why = format!("the controller has failed: {failure}");
        error!("{why}");
        self.shared.fail(&why);
        let refusal = Refusal::new(ErrorCode::UnknownServerError, why);
        self.owed.drain(..).for_each(|(_, _, on_reply)| on_reply(Err(refusal.clone())));
        refuse_rest(messages, &refusal);
    }
}

/// Answers commands that nobody will decide on.
fn refuse_rest(messages: &Receiver<Message>, refusal: &Refusal) {
    while let Ok(message) = messages.try_recv() {
        if let Message::Command(_, on_reply) = message {
            on_reply(Err(refusal.clone()));
        }
    }
}

/// This version runs quorums of one voter: this one.
fn check_voters(voters: &[Voter], me: ReplicaKey) -> Result<(), ControllerError> {
    let set = voters::set_of(voters);
    if !set.contains(me) {
        let known: Vec<String> = voters.iter().map(|voter| voter.key.to_string()).collect();
        return Err(ControllerError::Unsupported(format!(
            "the metadata quorum's voters are {}; this is {me}",
            known.join(", ")
        )));
    }
    if set.len() > 1 {
        return Err(ControllerError::Unsupported(format!(
            "the metadata quorum has {} voters; this version runs quorums of one",
            set.len()
        )));
    }
    Ok(())
}

fn quorum_info(raft: &Raft, voters: &[Voter], kraft_version: i16, committed: Offset) -> QuorumInfo {
    let progress = |key: ReplicaKey| {
        raft.progress()
            .find(|(known, _)| known.id == key.id && (key.directory_id.is_zero() || *known == key))
    };
    let replica = |key: ReplicaKey, endpoints: Vec<Endpoint>| {
        let known = progress(key).map(|(_, progress)| progress);
        QuorumReplica {
            id: key.id,
            directory_id: key.directory_id,
            log_end: known.map_or(Offset::NONE, |progress| progress.log_end),
            last_fetch: known.and_then(|progress| progress.last_fetch).unwrap_or(Millis(-1)),
            last_caught_up: known
                .and_then(|progress| progress.last_caught_up)
                .unwrap_or(Millis(-1)),
            endpoints,
        }
    };
    let observers = raft.progress().filter(|(key, _)| !raft.voters().contains(*key));
    QuorumInfo {
        leader: raft.leader().unwrap_or(NodeId::NONE),
        epoch: raft.epoch(),
        high_watermark: committed,
        kraft_version,
        voters: voters.iter().map(|voter| replica(voter.key, voter.endpoints.clone())).collect(),
        observers: observers.map(|(key, _)| replica(key, Vec::new())).collect(),
    }
}

/// Milliseconds that never go back.
fn monotonic(clock: &dyn Clock) -> Millis {
    Millis(i64::try_from(clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX))
}
