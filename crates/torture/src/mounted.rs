//! A small ext4 of its own in a file, mounted where nobody else sees it. Needs root. Must not know
//! what lies in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::mount::UnmountFlags;

const LIMIT: Duration = Duration::from_secs(60);

/// How an ext4 handles what is not synced; see `man 5 ext4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// As most are mounted: data that is not synced is most often missing.
    Usual,
    /// Blocks are set aside at once, so that files are longer than their data.
    Eager,
    /// And a rename does not wait for the data of the file that is renamed.
    Careless,
    /// Only that.
    Unordered,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Usual, Self::Eager, Self::Careless, Self::Unordered];

    const fn options(self) -> &'static str {
        match self {
            Self::Usual => "loop,noatime",
            Self::Eager => "loop,noatime,nodelalloc",
            Self::Careless => "loop,noatime,nodelalloc,noauto_da_alloc",
            Self::Unordered => "loop,noatime,noauto_da_alloc",
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Eager => "nodelalloc",
            Self::Careless => "nodelalloc,noauto_da_alloc",
            Self::Unordered => "noauto_da_alloc",
        }
    }
}

/// Runs a program to its end; an error has what it said.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", said.trim());
    Ok(())
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Mounted {
    image: PathBuf,
    folder: PathBuf,
    habit: Habit,
    is_mounted: bool,
}

impl Mounted {
    /// Makes a file system of so many bytes in `place` and mounts it.
    ///
    /// # Errors
    /// No `mkfs.ext4` or `mount`, or no permission.
    pub fn create(place: &Path, bytes: u64, habit: Habit) -> anyhow::Result<Self> {
        let (image, folder) = (place.join("disk.img"), place.join("disk"));
        fs::create_dir_all(&folder).context("cannot make the mount point")?;
        File::create(&image)?.set_len(bytes).context("cannot make the image")?;
        // A small file system gets the smallest blocks and the smallest journal that there are.
        let shape = if bytes < 64 << 20 {
            ["-b", "1024", "-N", "2048", "-J", "size=1"]
        } else {
            ["-b", "4096", "-N", "8192", "-J", "size=8"]
        };
        let mut format = Command::new("mkfs.ext4");
        format.args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"]);
        format.args(shape).arg(&image);
        run(&mut format).context("cannot make a file system")?;
        let mut mounted = Self { image, folder, habit, is_mounted: false };
        mounted.mount()?;
        Ok(mounted)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Mounts it: the journal is replayed.
    ///
    /// # Errors
    /// The system refuses.
    pub fn mount(&mut self) -> anyhow::Result<()> {
        ensure!(!self.is_mounted, "{} is mounted already", self.folder.display());
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", self.habit.options()]);
        run(mount.arg(&self.image).arg(&self.folder)).context("cannot mount a file system")?;
        self.is_mounted = true;
        Ok(())
    }

    /// Unmounts it; waits for those who still hold it.
    ///
    /// # Errors
    /// Somebody holds it too long.
    pub fn unmount(&mut self) -> anyhow::Result<()> {
        if !self.is_mounted {
            return Ok(());
        }
        let end = Instant::now() + LIMIT;
        loop {
            match rustix::mount::unmount(&self.folder, UnmountFlags::empty()) {
                Ok(()) => break,
                Err(rustix::io::Errno::BUSY) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error).context("cannot unmount the file system"),
            }
        }
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted && self.unmount().is_err() {
            let _ = rustix::mount::unmount(&self.folder, UnmountFlags::DETACH);
        }
    }
}
