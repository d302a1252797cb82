//! The thread for what comes back every so often: checkpoints, partitions that idle. Must not know
//! what is in checkpoints or logs.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ottla_log::OffsetCheckpoint;

use crate::settings::Settings;
use crate::shared::Shared;
use crate::thread::keep_running;
use crate::timetable::Timetable;

/// How often idle partitions are looked at.
const TICK_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Checkpoint(OffsetCheckpoint),
    /// Give back idle tails.
    Tick,
}

fn timetable(settings: &Settings, now: Instant) -> Timetable<Task> {
    let rows = [
        (Task::Checkpoint(OffsetCheckpoint::HighWatermark), settings.high_watermark_interval),
        (Task::Checkpoint(OffsetCheckpoint::RecoveryPoint), settings.recovery_point_interval),
        (Task::Checkpoint(OffsetCheckpoint::LogStart), settings.log_start_interval),
        (Task::Tick, TICK_INTERVAL),
    ];
    Timetable::new(rows.map(|(task, every)| (task, every, every)), now)
}

/// Starts the thread; it ends when it is unparked while the broker stops.
pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    keep_running("ottla-upkeep", move || run(&shared))
}

fn run(shared: &Shared) {
    let mut timetable = timetable(&shared.settings, Instant::now());
    shared.partitions.wake_for_checkpoints();
    loop {
        std::thread::park_timeout(timetable.wait(Instant::now()));
        if shared.is_stopping() {
            return;
        }
        shared.partitions.checkpoint_wanted();
        for task in timetable.take_due(Instant::now()) {
            match task {
                Task::Checkpoint(which) => shared.partitions.checkpoint(which),
                Task::Tick => shared.partitions.tick(shared.now()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_metadata::Image;
    use ottla_metadata::configs::{BrokerProperties, Effective};
    use ottla_protocol::NodeId;

    #[test]
    fn each_task_comes_back_at_its_own_pace() {
        let image = Image::default();
        let interval = "log.flush.offset.checkpoint.interval.ms";
        let properties: BrokerProperties = [(interval, "7000")].into_iter().collect();
        let effective = Effective { image: &image, node: NodeId(1), properties: &properties };
        let start = Instant::now();
        let mut timetable = timetable(&Settings::read(&effective), start);
        let mut seen = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(15) {
            now += timetable.wait(now);
            for task in timetable.take_due(now) {
                seen.push(((now - start).as_secs(), task));
            }
        }
        let high_watermark = Task::Checkpoint(OffsetCheckpoint::HighWatermark);
        let recovery_point = Task::Checkpoint(OffsetCheckpoint::RecoveryPoint);
        assert_eq!(
            seen,
            [
                (5, high_watermark),
                (7, recovery_point),
                (10, high_watermark),
                (14, recovery_point),
                (15, high_watermark),
            ]
        );
    }
}
