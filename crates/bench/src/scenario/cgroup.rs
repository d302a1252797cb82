//! A control group that bounds the memory of a process: version 2, and version 1 where the memory
//! controller still is there. Linux, as root. Must not know what runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

const V2: &str = "/sys/fs/cgroup";
const V1: &str = "/sys/fs/cgroup/memory";
/// A group whose last process has just ended cannot be removed at once.
const REMOVALS: u32 = 100;

/// Names of one version's files.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    peak: &'static str,
    /// Has a line `oom_kill N`.
    events: &'static str,
}

const FILES_V2: Files = Files { limit: "memory.max", peak: "memory.peak", events: "memory.events" };
const FILES_V1: Files = Files {
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};

/// A group of its own; removed when dropped, which is after its processes have ended.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    files: Files,
}

impl Cgroup {
    /// An empty group with this bound in bytes; an error that says why when there can be none.
    pub(super) fn new(bytes: u64) -> anyhow::Result<Self> {
        let controllers = fs::read_to_string(Path::new(V2).join("cgroup.controllers"));
        let v2 = controllers.is_ok_and(|all| all.split_whitespace().any(|one| one == "memory"));
        let (root, files) = match v2 {
            true => (Path::new(V2), FILES_V2),
            false if Path::new(V1).join(FILES_V1.limit).exists() => (Path::new(V1), FILES_V1),
            false => bail!("this scenario needs a memory control group, and there is none"),
        };
        let folder = root.join(format!("ottla-bench-{}", std::process::id()));
        fs::create_dir(&folder)
            .with_context(|| format!("{} cannot be made; root may", folder.display()))?;
        let group = Self { folder, files };
        if v2 && !group.folder.join(group.files.limit).exists() {
            let control = root.join("cgroup.subtree_control");
            fs::write(&control, "+memory")
                .with_context(|| format!("{} cannot be written", control.display()))?;
        }
        group.write(group.files.limit, &bytes.to_string())?;
        let found = group.read(group.files.limit)?.trim().parse::<u64>()?;
        ensure!(found == bytes, "the bound is {found} bytes, wanted were {bytes}");
        Ok(group)
    }

    /// Takes a process in; memory that it has already does not count.
    pub(super) fn take(&self, pid: u32) -> anyhow::Result<()> {
        self.write("cgroup.procs", &pid.to_string())?;
        let taken = self.read("cgroup.procs")?.lines().any(|line| line == pid.to_string());
        ensure!(taken, "process {pid} is not in {}", self.folder.display());
        Ok(())
    }

    /// The most bytes that it ever had, the page cache of its processes included.
    pub(super) fn peak(&self) -> anyhow::Result<u64> {
        Ok(self.read(self.files.peak)?.trim().parse()?)
    }

    /// Processes that were killed because there was no memory left.
    pub(super) fn kills(&self) -> anyhow::Result<u64> {
        let text = self.read(self.files.events)?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(line.context("no oom_kill")?.trim().parse()?)
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        eprintln!("{} could not be removed", self.folder.display());
    }
}
