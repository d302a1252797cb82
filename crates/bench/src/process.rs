//! What the system says of a process: CPU time, memory; and pinning it to a core. Linux only.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// CPU seconds, user and system, that a process has used, all its threads together. To the
/// nanosecond, where `/proc/PID/stat` counts in 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let used = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?.now()?;
    Ok(Duration::from(used).as_secs_f64())
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

/// The most that was resident so far, in KiB.
pub(crate) fn resident_most_kib(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {field}"))?.parse()?)
}

/// Files, sockets and the like that a process has open.
pub(crate) fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Binds a process, all its threads, to one core.
pub(crate) fn pin(pid: u32, core: u32) -> anyhow::Result<()> {
    let (core, pid) = (core.to_string(), pid.to_string());
    let done = Command::new("taskset").args(["-a", "-p", "-c", &core, &pid]).output();
    let done = done.context("taskset cannot be run")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
