//! CPU time of processes, as Linux says it. Must not know what they do.

use std::time::{Duration, Instant};

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::job::Moved;

/// Wall and CPU times from a moment on.
pub(crate) struct Clock {
    pid: u32,
    started: Instant,
    broker: f64,
    driver: f64,
}

impl Clock {
    /// Begins now; `pid` is the broker.
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        let (broker, driver) = (seconds(pid)?, seconds(std::process::id())?);
        Ok(Self { pid, started: Instant::now(), broker, driver })
    }

    /// What it took until now to move so many records.
    pub(crate) fn stop(&self, records: u64, in_topic: u64) -> anyhow::Result<Moved> {
        self.stop_at(self.started.elapsed(), records, in_topic)
    }

    /// As [`Clock::stop`], with a time on the wall of its own.
    pub(crate) fn stop_at(
        &self,
        wall: Duration,
        records: u64,
        in_topic: u64,
    ) -> anyhow::Result<Moved> {
        Ok(Moved {
            records,
            in_topic,
            wall_seconds: wall.as_secs_f64(),
            broker_cpu_seconds: seconds(self.pid)? - self.broker,
            driver_cpu_seconds: seconds(std::process::id())? - self.driver,
        })
    }
}

/// CPU seconds, user and system, that a process has used, all its threads together. To the
/// nanosecond, where `/proc/PID/stat` counts in 10 ms.
fn seconds(pid: u32) -> anyhow::Result<f64> {
    let used = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?.now()?;
    Ok(Duration::from(used).as_secs_f64())
}
