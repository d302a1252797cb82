//! Where the figures come from: machine, kernel, file system, commit, date. Must not know what is
//! measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Serialize;

/// What a figure must never be quoted without.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Environment {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) file_system: String,
    /// What waits for a core, over the last minute, before anything began.
    pub(crate) load: String,
}

impl Environment {
    /// Of this machine, with data below `data` and sources below `root`.
    pub(crate) fn read(root: &Path, data: &Path) -> anyhow::Result<Self> {
        let git = |arguments: &[&str]| said(Command::new("git").current_dir(root).args(arguments));
        let mut commit = git(&["rev-parse", "HEAD"])?;
        if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            commit.push_str(", with changes that are not committed");
        }
        let mut mount = Command::new("findmnt");
        mount.args(["--noheadings", "--output", "FSTYPE,SOURCE,OPTIONS", "--target"]).arg(data);
        let file_system = said(&mut mount)?.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(!file_system.starts_with("tmpfs"), "{} is no disk: {file_system}", data.display());
        let load = fs::read_to_string("/proc/loadavg")?;
        let memory_kib: u64 = word(&fs::read_to_string("/proc/meminfo")?, "MemTotal:")?.parse()?;
        Ok(Self {
            date: said(Command::new("date").args(["--utc", "+%FT%TZ"]))?,
            commit,
            kernel: said(Command::new("uname").args(["--kernel-name", "--kernel-release"]))?,
            processor: processor().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory_kib.div_ceil(1 << 20),
            file_system,
            load: load.split_whitespace().next().unwrap_or_default().to_owned(),
        })
    }
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first word after `name`.
fn word<'a>(text: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name}"))
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} cannot be run"))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{name}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
