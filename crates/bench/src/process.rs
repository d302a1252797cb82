//! What the system says of a process: CPU time, memory; and pinning it to a core. Linux only.

use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};

/// Clock ticks a second of `/proc/PID/stat`; 100 on every Linux.
const TICKS: f64 = 100.0;

/// CPU seconds, user and system, that a process has used.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no process name")?;
    let number = |index| -> anyhow::Result<f64> {
        Ok(fields.split_whitespace().nth(index).context("a field is missing")?.parse()?)
    };
    Ok((number(11)? + number(12)?) / TICKS)
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
