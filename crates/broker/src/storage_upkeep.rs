//! The thread for what keeps the log directories in order: old segments, free space, what was
//! deleted, idle producers, and a directory that has failed. Must not know how any of it is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use ottla_log::LogDir;
use ottla_protocol::Millis;
use tracing::{error, warn};

use crate::registration;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::space::{Change, SpaceSettings, WAIT_FULL};
use crate::thread::keep_running;
use crate::timetable::{Timetable, WAIT_MAX};

/// How often files and directories that were put aside are looked for.
const REMOVE_INTERVAL: Duration = Duration::from_secs(5);
/// A directory whose space cannot be measured is asked again after this long.
const UNKNOWN_WAIT: Duration = Duration::from_secs(10);

/// What others want of the thread, at once.
#[derive(Debug, Default)]
pub(crate) struct StorageRequests {
    thread: OnceLock<Thread>,
    log_starts: AtomicBool,
    failures: AtomicBool,
    full: AtomicBool,
}

impl StorageRequests {
    /// Logs begin later than before (DeleteRecords): what lies below can go.
    pub(crate) fn log_starts_moved(&self) {
        self.ask(&self.log_starts);
    }

    /// Someone was refused because a log directory is full: it is to be looked after.
    pub(crate) fn is_full(&self) {
        if !self.full.load(Ordering::Relaxed) {
            self.ask(&self.full);
        }
    }

    /// Tells the thread when one of the directories fails.
    pub(crate) fn watch(self: &Arc<Self>, dirs: &[Arc<LogDir>]) {
        for dir in dirs {
            let requests = Arc::downgrade(self);
            dir.on_failure(move |_| {
                if let Some(requests) = requests.upgrade() {
                    requests.ask(&requests.failures);
                }
            });
        }
    }

    fn ask(&self, what: &AtomicBool) {
        what.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Apply the retention settings.
    Retain,
    /// Remove what was put aside, after its time.
    Remove,
    /// Forget idle producers.
    ExpireProducers,
    /// Measure the free space of a log directory.
    Measure(usize),
}

fn timetable(settings: &Settings, dirs: usize, now: Instant) -> Timetable<Task> {
    let expire = settings.producer_check_interval;
    let rows = [
        (Task::Retain, settings.retention_interval, settings.first_task_delay),
        (Task::Remove, REMOVE_INTERVAL, REMOVE_INTERVAL),
        (Task::ExpireProducers, expire, expire),
    ];
    let measures = (0..dirs).map(|dir| (Task::Measure(dir), WAIT_MAX, Duration::ZERO));
    Timetable::new(rows.into_iter().chain(measures), now)
}

/// Starts the thread; it ends when it is unparked while the broker stops.
pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    keep_running("ottla-storage", move || run(&shared))
}

fn run(shared: &Arc<Shared>) {
    let requests = &shared.storage;
    requests.thread.get_or_init(std::thread::current);
    let begun = Instant::now();
    let mut timetable = timetable(&shared.settings, shared.space.len(), begun);
    loop {
        if shared.is_stopping() {
            return;
        }
        if requests.failures.swap(false, Ordering::AcqRel) {
            on_failures(shared);
        }
        let now = Instant::now();
        if requests.full.swap(false, Ordering::AcqRel) {
            // Space is measured soon, if it is not anyway.
            timetable.soon(|task| matches!(task, Task::Measure(_)), now, WAIT_FULL);
        }
        let since = Millis(i64::try_from((now - begun).as_millis()).unwrap_or(i64::MAX));
        for task in timetable.take_due(now) {
            match task {
                Task::Retain => shared.partitions.retain(shared.now()),
                Task::Remove => {
                    shared.partitions.remove_due();
                    if shared.partitions.remove_buried(since) {
                        timetable.again(Task::Remove, Instant::now(), Duration::ZERO);
                    }
                }
                Task::ExpireProducers => shared.partitions.expire_producers(shared.now()),
                Task::Measure(dir) => measure(shared, dir, (now, since), &mut timetable),
            }
        }
        if requests.log_starts.swap(false, Ordering::AcqRel) {
            shared.partitions.remove_old_segments();
        }
        std::thread::park_timeout(timetable.wait(Instant::now()));
    }
}

fn measure(
    shared: &Shared,
    dir: usize,
    (now, since): (Instant, Millis),
    timetable: &mut Timetable<Task>,
) {
    let Some(space) = shared.space.get(dir).filter(|space| !space.has_failed()) else { return };
    space.set(shared.with_effective(SpaceSettings::read));
    let (change, wait) = space.measure(now).unwrap_or_else(|error| {
        warn!(%error, "free space is not known");
        (Change::Nothing, UNKNOWN_WAIT)
    });
    timetable.again(Task::Measure(dir), now, wait);
    match change {
        // What may go makes room now, and not at its usual time.
        Change::Full => timetable.again(Task::Retain, now, Duration::ZERO),
        Change::Back | Change::Nothing => {}
    }
    if space.is_full() {
        shared.partitions.remove_buried(since);
    } else {
        shared.partitions.resume(dir, shared.now());
    }
}

/// Partitions in a directory that has failed are not served any more, and the controller hears of
/// it at once.
fn on_failures(shared: &Arc<Shared>) {
    for (index, volume) in shared.partitions.volumes.iter().enumerate() {
        let Some(failure) = volume.dir.failure() else { continue };
        let count = shared.partitions.fail_in(index);
        if count > 0 {
            error!(error = %failure, partitions = count, "the log directory is out of service");
        }
    }
    registration::send_heartbeat(shared);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_metadata::Image;
    use ottla_metadata::configs::{BrokerProperties, Effective};
    use ottla_protocol::NodeId;

    fn timetable(start: Instant) -> Timetable<Task> {
        let image = Image::default();
        let properties: BrokerProperties = [
            ("log.retention.check.interval.ms", "7000"),
            ("log.initial.task.delay.ms", "1000"),
            ("producer.id.expiration.check.interval.ms", "11000"),
        ]
        .into_iter()
        .collect();
        let effective = Effective { image: &image, node: NodeId(1), properties: &properties };
        super::timetable(&Settings::read(&effective), 1, start)
    }

    #[test]
    fn each_task_comes_back_at_its_own_pace() {
        let start = Instant::now();
        let mut timetable = timetable(start);
        let mut seen = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(15) {
            now += timetable.wait(now);
            for task in timetable.take_due(now) {
                seen.push(((now - start).as_secs(), task));
                if task == Task::Measure(0) {
                    timetable.again(task, now, Duration::from_secs(9));
                }
            }
        }
        assert_eq!(
            seen,
            [
                (0, Task::Measure(0)),
                (1, Task::Retain),
                (5, Task::Remove),
                (8, Task::Retain),
                (9, Task::Measure(0)),
                (10, Task::Remove),
                (11, Task::ExpireProducers),
                (15, Task::Retain),
                (15, Task::Remove),
            ]
        );
    }
}
