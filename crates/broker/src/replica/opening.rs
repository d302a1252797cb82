//! Opens the logs of partitions, many at a time and in parallel, and hands each over as soon as
//! what it found is on stable storage. One sync of the volume serves all that were opened
//! together. Must not know what is in the logs, nor who leads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_log::{LoadPoints, LogError, Offsets, OpenOptions, PartitionLog, SyncOn};
use ottla_metadata::Image;
use ottla_partition::Replica;
use ottla_protocol::{ErrorCode, Millis, TopicId};
use tracing::{error, warn};

use super::volume::{Job, Key, Volume};
use super::{Changes, HostedPartition, PartitionConfig, Partitions};

/// Logs that are opened before they are synced together, and how long the first may wait for
/// the others.
const TOGETHER_MAX: usize = 1024;
const TOGETHER_TIME: Duration = Duration::from_millis(100);

/// So few logs sync their own files: less than one sync of the whole volume costs.
const EACH_MAX: usize = 8;

/// How many new partitions the metadata's follower waits for: so many that they take no time to
/// speak of. More are opened while the metadata goes on.
const AWAITED_MAX: usize = 512;

/// What opening a log came to.
struct Opened {
    job: Job,
    log: Result<PartitionLog, LogError>,
    config: Arc<PartitionConfig>,
    /// Where the settings are from.
    image: Arc<Image>,
    /// New: its creation has a second half.
    created: bool,
}

/// The settings of the topic that was last looked at.
#[derive(Default)]
struct LastConfig(Option<(TopicId, Arc<Image>, Arc<PartitionConfig>)>);

impl Partitions {
    /// Opens the logs of a log directory on other threads; small numbers of new ones here, and
    /// then they are open when this returns.
    pub(super) fn open_logs(self: &Arc<Self>, index: usize, mut jobs: Vec<Job>, now: Millis) {
        let Some(volume) = self.volumes.get(index) else { return };
        let few = jobs.len() <= EACH_MAX;
        // What was stopped cleanly is as it should be, and seldom needs a sync at all.
        let clean = volume.points.read().clean.is_some();
        for job in &mut jobs {
            job.alone = few;
            let is_sound = job.found && clean && !job.doubted;
            job.sync = if few || is_sound { SyncOn::Open } else { SyncOn::Later };
        }
        let keys: Vec<Key> = jobs.iter().map(|job| job.key).collect();
        let at_start = jobs.iter().any(|job| job.found);
        let idle = volume.opening.add(jobs);
        let here = idle && !at_start && keys.len() <= AWAITED_MAX;
        // One thread more than this one is worth its start only for more than a few.
        let others = if here && keys.len() <= EACH_MAX { 0 } else { self.recovery_threads };
        let employed = volume.opening.employ(others, || {
            let this = Arc::clone(self);
            let thread = std::thread::Builder::new().name(format!("ottla-open-{index}"));
            let work = move || while this.open_some(index, now, true) {};
            thread.spawn(work).map_err(|error| error!(%error, "no thread to open logs")).ok()
        });
        if here || !employed {
            while self.open_some(index, now, false) {}
            volume.opening.wait(&keys);
        }
    }

    /// Opens some logs and hands them over; `false` when there was none.
    fn open_some(self: &Arc<Self>, index: usize, now: Millis, release: bool) -> bool {
        let Some(volume) = self.volumes.get(index) else { return false };
        let mut opened: Vec<Opened> = Vec::new();
        let mut dismissed: Vec<Key> = Vec::new();
        let mut last = LastConfig::default();
        let begun = Instant::now();
        while opened.len() < TOGETHER_MAX && begun.elapsed() < TOGETHER_TIME {
            let none = opened.is_empty() && dismissed.is_empty();
            let Some(job) = volume.opening.take(release && none) else { break };
            // From here on who calls it off waits for it; one that was dismissed before that is not
            // begun, as its directory may be another's by now.
            if !self.is_to_be_opened(job.key) {
                dismissed.push(job.key);
                continue;
            }
            let image = self.image.load_full();
            let config = last.of(self, &image, job.key.0, &job.name.topic);
            let made = catch_unwind(AssertUnwindSafe(|| {
                match self.open_log((index, volume), &job, &config, now) {
                    // A start writes too, and there may be a little for it.
                    Err(error) if error.is_no_space() && volume.dir.give_up_reserve() => {
                        self.open_log((index, volume), &job, &config, now)
                    }
                    other => other,
                }
            }));
            let (log, created) = match made {
                Ok(Ok((log, created))) => (Ok(log), created),
                Ok(Err(error)) => (Err(error), false),
                Err(_panic) => (Err(bug(&job)), false),
            };
            let alone = job.alone;
            opened.push(Opened { job, log, config, image, created });
            if alone {
                break;
            }
        }
        if opened.is_empty() && dismissed.is_empty() {
            return false;
        }
        let mut keys = dismissed;
        keys.extend(opened.iter().map(|opened| opened.job.key));
        if !opened.is_empty() {
            let synced = sync(volume, &mut opened);
            self.hand_over(index, opened, synced);
        }
        if volume.opening.done(keys.into_iter()) {
            self.forget_points(index, volume);
        }
        self.opened.notify_waiters();
        true
    }

    fn open_log(
        &self,
        (index, volume): (usize, &Volume),
        job: &Job,
        config: &PartitionConfig,
        now: Millis,
    ) -> Result<(PartitionLog, bool), LogError> {
        if let Some(failure) = volume.dir.failure() {
            return Err(failure);
        }
        let (topic_id, name) = (job.key.0, &job.name);
        let options = || {
            let mut options = OpenOptions::new(Some(topic_id), config.log.clone(), now);
            options.producer_rules = config.producers;
            options.sync = job.sync;
            if job.found {
                let points = volume.points.read();
                let known = |offsets: &Offsets| offsets.get(name).copied();
                options.log_start = known(&points.log_start).unwrap_or_default();
                // One that is doubted is read from its start.
                if !job.doubted {
                    options.clean = points.clean.is_some();
                    options.recovery_point = known(&points.recovery).unwrap_or_default();
                }
            }
            options
        };
        // Also one that was found, when that was put aside and then there was no space.
        if !job.found || volume.let_go.lock().contains(name) {
            self.forget_namesake(index, name)?;
        }
        if !job.found
            && job.sync == SyncOn::Later
            && let Some(log) = PartitionLog::create(&volume.dir, name, options())?
        {
            return Ok((log, true));
        }
        let (log, report) = match PartitionLog::open(&volume.dir, name, options()) {
            // The directory is that of a deleted topic of the same name, unless this one was deleted
            // meanwhile, and the directory is its successor's.
            Err(LogError::TopicId { found, .. }) if self.has_topic(topic_id, &name.topic) => {
                warn!(partition = %name, topic_id = %found, "of another topic: put aside");
                self.put_aside(volume, name)?;
                volume.forget(name);
                self.forget_namesake(index, name)?;
                PartitionLog::open(&volume.dir, name, options())?
            }
            other => other?,
        };
        for note in &report.warnings {
            warn!(partition = %name, "{note}");
        }
        Ok((log, false))
    }

    /// Whether the metadata has this topic under this name.
    fn has_topic(&self, id: TopicId, name: &str) -> bool {
        self.image.load().topic(name).is_some_and(|topic| topic.id == id)
    }

    /// Makes partitions of the logs, or notes that they cannot be opened.
    fn hand_over(
        self: &Arc<Self>,
        index: usize,
        opened: Vec<Opened>,
        synced: Result<(), LogError>,
    ) {
        let Some(volume) = self.volumes.get(index) else { return };
        let points = volume.points.read();
        let mut hosted = Vec::with_capacity(opened.len());
        // When the whole directory has failed, one word is enough.
        let mut told = false;
        for Opened { job, log, config, image, .. } in opened {
            match log.and_then(|log| synced.clone().map(|()| log)) {
                Ok(log) => {
                    hosted.push((self.host(index, volume, &points, job, log, config), image));
                }
                Err(error) => {
                    if !told {
                        tell_of(&job, &error);
                    }
                    if error.is_failed_write() {
                        // Nothing that is written there can be trusted to come to the disk (L9).
                        volume.dir.fail(&error);
                    }
                    told = volume.dir.failure().is_some();
                    self.insert_failed(job.key, ErrorCode::KafkaStorageError);
                    if error.is_no_space() {
                        volume.dir.set_full(true);
                        self.without_space.lock().push((index, job.clone()));
                    }
                    self.tell(Changes { resigned: vec![job.name], ..Changes::default() });
                }
            }
        }
        drop(points);
        if !hosted.is_empty() {
            self.give_roles(hosted);
        }
    }

    fn host(
        &self,
        index: usize,
        volume: &Volume,
        points: &LoadPoints,
        job: Job,
        log: PartitionLog,
        config: Arc<PartitionConfig>,
    ) -> Arc<HostedPartition> {
        let Job { key: (topic_id, _), name, found, .. } = job;
        let checkpointed = points.high_watermark.get(&name).copied().filter(|_| found);
        let replica =
            Replica::new(self.node, config.replica, log.log_start(), log.log_end(), checkpointed);
        let committer = Arc::clone(&volume.committer);
        let attention = Arc::clone(&self.attention);
        HostedPartition::new(name, topic_id, index, committer, (log, replica), config, attention)
    }

    /// Enters partitions and gives them the roles that the metadata has for them now.
    fn give_roles(self: &Arc<Self>, hosted: Vec<(Arc<HostedPartition>, Arc<Image>)>) {
        let _roles = self.roles.lock();
        let image = self.image.load_full();
        let mut changes = Changes::default();
        let mut last = LastConfig::default();
        for (hosted, opened_with) in hosted {
            self.insert(Arc::clone(&hosted));
            if !Arc::ptr_eq(&opened_with, &image) {
                let config = last.of(self, &image, hosted.topic_id, &hosted.name.topic);
                self.configure(&hosted, config);
            }
            match image.partition(hosted.topic_id, hosted.name.partition) {
                Some(partition) if partition.replicas.contains(&self.node) => {
                    self.give_role(&hosted, partition, &mut changes);
                    self.resume_move(&hosted);
                    if !self.is_known_in(partition, hosted.dir()) {
                        self.report_place((hosted.topic_id, hosted.name.partition));
                    }
                }
                // It was deleted meanwhile; who follows the metadata lets go of it.
                Some(_) | None => {}
            }
        }
        self.tell(changes);
    }

    /// All logs of the directory are open: of what its checkpoints said, only that of logs which
    /// could not be opened counts still.
    fn forget_points(&self, index: usize, volume: &Volume) {
        let absent = self.absent_in(index);
        let mut points = volume.points.write();
        let LoadPoints { recovery, log_start, high_watermark, .. } = &mut *points;
        for offsets in [recovery, log_start, high_watermark] {
            offsets.retain(|name, _| absent.contains(name));
        }
    }
}

impl LastConfig {
    fn of(
        &mut self,
        partitions: &Partitions,
        image: &Arc<Image>,
        topic: TopicId,
        name: &str,
    ) -> Arc<PartitionConfig> {
        if let Some((last, of, config)) = &self.0
            && *last == topic
            && Arc::ptr_eq(of, image)
            // Each partition has a jitter of its own.
            && config.log.segment_jitter_ms == Millis(0)
        {
            return Arc::clone(config);
        }
        let config = Arc::new(partitions.config_of(image, name));
        self.0 = Some((topic, Arc::clone(image), Arc::clone(&config)));
        config
    }
}

/// Makes what opening left to its host survive a power cut (L5).
fn sync(volume: &Volume, opened: &mut [Opened]) -> Result<(), LogError> {
    if opened.iter().any(|opened| opened.created) {
        volume.sync()?;
        for opened in opened.iter_mut().filter(|opened| opened.created) {
            if let Ok(log) = &mut opened.log
                && let Err(error) = log.finish_create()
            {
                opened.log = Err(error);
            }
        }
    }
    match opened.iter().any(|opened| opened.job.sync == SyncOn::Later) {
        true => volume.sync(),
        false => Ok(()),
    }
}

/// Says why a partition cannot be opened, and what helps.
fn tell_of(job: &Job, error: &LogError) {
    let partition = &job.name;
    if let LogError::Damaged { dir, .. } = error {
        let help = format!("`ottla log repair-plan {}` says what can be done", dir.display());
        error!(%partition, %error, "the partition is damaged and stays offline; {help}");
    } else {
        error!(%partition, %error, "the partition cannot be opened");
    }
}

/// What is said of a log that a bug kept from being opened; the panic has told its own story.
fn bug(job: &Job) -> LogError {
    LogError::Offline { path: job.name.to_string().into(), reason: "opening it panicked".into() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{World, job, key};
    use super::*;
    use ottla_env::DiskErrorKind;
    use ottla_log::OffsetCheckpoint;

    #[test]
    fn the_directory_of_a_namesake_is_not_put_aside_for_a_partition_that_is_gone() {
        let world = World::new(&["/d"]);
        let partitions = &world.partitions;
        world.host(key(2), "t", 0);
        // Let go of before its job was added.
        partitions.open_logs(0, vec![job(key(1), "t")], Millis(0));
        assert_eq!(world.names("/d"), ["t-0"]);
        // Not yet let go of, but not in the metadata any more.
        world.open(key(1), "t", 0);
        assert_eq!(world.names("/d"), ["t-0"]);
        assert_eq!(partitions.why_absent(key(1).0, 0), ErrorCode::KafkaStorageError);
        assert!(partitions.by_id(key(1).0, 0).is_none());
        assert_eq!(partitions.by_name("t", 0).unwrap().topic_id, key(2).0);
    }

    #[test]
    fn nothing_is_created_while_the_checkpoints_cannot_forget_its_namesake() {
        let world = World::new(&["/d"]);
        let partitions = &world.partitions;
        world.host(key(1), "t", 0);
        partitions.checkpoint_volume(0, OffsetCheckpoint::RecoveryPoint).unwrap();
        assert_eq!(world.written(OffsetCheckpoint::RecoveryPoint).len(), 1);
        partitions.let_go(key(1), &mut Changes::default());
        // Each of them counts.
        let files = ["recovery-point-offset", "log-start-offset", "replication-offset"];
        for failing in files {
            world.disk.set_fault(Some(Box::new(move |verb, path| {
                let name = path.file_name()?.to_str()?;
                let fails = verb == "write" && name.starts_with(failing);
                fails.then_some(DiskErrorKind::NoSpace)
            })));
            world.open(key(2), "t", 0);
            assert!(partitions.by_id(key(2).0, 0).is_none(), "{failing}");
            assert_eq!(partitions.why_absent(key(2).0, 0), ErrorCode::KafkaStorageError);
            partitions.let_go(key(2), &mut Changes::default());
        }
        world.open(key(3), "t", 0);
        // Nobody else may pass while it is written.
        let (this, seen) = (Arc::downgrade(partitions), Arc::new(parking_lot::Mutex::new(0)));
        let passed = Arc::clone(&seen);
        world.disk.set_fault(Some(Box::new(move |verb, path| {
            let is_checkpoint = path.to_string_lossy().contains("offset-checkpoint");
            if verb == "write" && is_checkpoint {
                let partitions = this.upgrade()?;
                assert!(partitions.volumes[0].let_go.try_lock().is_none());
                *passed.lock() += 1;
            }
            None
        })));
        partitions.resume(0, Millis(0));
        world.disk.set_fault(None);
        assert!(partitions.by_id(key(3).0, 0).is_some());
        assert!(*seen.lock() >= 2);
        assert!(partitions.volumes[0].let_go.lock().is_empty());
    }
}
