//! The control page: a file that the shim maps and the tester reads and writes. Its layout is that
//! of `struct control` in `shim.c`. Must not know why a fault is wanted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const PAGE: usize = 4096;
const ARMED: u64 = 0;
const WHEN: u64 = 4;
const COUNTED: u64 = 32;
const TOTAL: u64 = 40;
const FIRED: u64 = 48;
const STICKY: u64 = 52;
const ENDING: u64 = 56;
const ENDING_BYTES: usize = 8;
const PATH: u64 = 64;
const ROOT: u64 = 192;
/// Bytes before the root, which stays.
const ORDERS: usize = 192;
const TEXT: usize = 128;
const WHAT: u64 = 320;
const WHAT_BYTES: usize = 256;
const CUT: u64 = 576;
const TOLD: u64 = 580;

/// A call that changes files, as `enum op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// pwrite, pwritev.
    Write,
    /// fsync, fdatasync of a file.
    Sync,
    /// rename.
    Rename,
    /// unlink, rmdir.
    Remove,
    /// mkdir.
    Mkdir,
    /// open with O_CREAT.
    Create,
    /// ftruncate.
    Truncate,
    /// fsync of a directory.
    SyncDir,
    /// fallocate.
    Reserve,
    /// syncfs.
    SyncFs,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Write,
        Self::Sync,
        Self::Rename,
        Self::Remove,
        Self::Mkdir,
        Self::Create,
        Self::Truncate,
        Self::SyncDir,
        Self::Reserve,
        Self::SyncFs,
    ];

    const fn bit(self) -> u32 {
        1 << match self {
            Self::Write => 0,
            Self::Sync => 1,
            Self::Rename => 2,
            Self::Remove => 3,
            Self::Mkdir => 4,
            Self::Create => 5,
            Self::Truncate => 6,
            Self::SyncDir => 7,
            Self::Reserve => 8,
            Self::SyncFs => 9,
        }
    }
}

/// On which side of the counted call it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call is not made.
    Before,
    /// The call is made.
    After,
    /// Half of a write is made; other calls whole.
    Half,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing; calls are only counted, and the power is cut on order.
    None,
    /// The file system is shut down without its journal, and the process killed, unless it is
    /// left alive to see what it answers then.
    Cut {
        /// Left alive.
        linger: bool,
    },
    /// The process is killed.
    Kill,
    /// The call fails with this error number, and is not made.
    Fail {
        /// As `errno`.
        errno: u32,
        /// All later calls that match fail, too.
        sticky: bool,
    },
}

/// A fault to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub action: Action,
    /// Where.
    pub when: When,
    /// At which calls.
    pub ops: Vec<Op>,
    /// Only at paths that contain this; empty for all.
    pub path: String,
    /// Only at paths that end with this, at most eight letters; empty for all.
    pub ending: String,
    /// At which of them, from 1.
    pub nth: u64,
}

/// The page of one broker.
#[derive(Debug)]
pub struct Control {
    file: File,
    path: PathBuf,
}

impl Control {
    /// Makes a page for a broker whose files lie below `root`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, root: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(&[0; PAGE], 0)?;
        file.write_all_at(&text(&root.to_string_lossy())?, ROOT)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing goes wrong until [`Control::arm`]; what has happened is forgotten.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn disarm(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; ORDERS], 0)?;
        self.file.write_all_at(&[0; WHAT_BYTES], WHAT)?;
        self.file.write_all_at(&[0; 4], CUT)
    }

    /// Sets what is to happen, counted from now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn arm(&self, fault: &Fault) -> io::Result<()> {
        self.disarm()?;
        let (action, errno, linger, sticky) = match fault.action {
            Action::None => (0, 0, 0, 0),
            Action::Cut { linger } => (1, 0, u32::from(linger), 0),
            Action::Kill => (2, 0, 0, 0),
            Action::Fail { errno, sticky } => (3, errno, 0, u32::from(sticky)),
        };
        let when: u32 = match fault.when {
            When::Before => 0,
            When::After => 1,
            When::Half => 2,
        };
        let ops = fault.ops.iter().fold(0, |all, op| all | op.bit());
        let mut words = Vec::new();
        for word in [when, action, errno, ops, linger] {
            words.extend(word.to_ne_bytes());
        }
        words.extend(fault.nth.to_ne_bytes());
        self.file.write_all_at(&words, WHEN)?;
        self.file.write_all_at(&sticky.to_ne_bytes(), STICKY)?;
        if fault.ending.len() > ENDING_BYTES {
            return Err(io::Error::other(format!("{} is too long an ending", fault.ending)));
        }
        self.file.write_all_at(fault.ending.as_bytes(), ENDING)?;
        self.file.write_all_at(&text(&fault.path)?, PATH)?;
        self.file.write_all_at(&1_u32.to_ne_bytes(), ARMED)
    }

    /// Whether it has happened.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn fired(&self) -> io::Result<bool> {
        self.is_set(FIRED)
    }

    /// Whether the power is cut, wholly.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_cut(&self) -> io::Result<bool> {
        self.is_set(CUT)
    }

    /// How often anything has happened since the page was made, whatever was forgotten: a call can
    /// be under way while its order is taken back.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn times_fired(&self) -> io::Result<u32> {
        self.word(TOLD)
    }

    fn is_set(&self, at: u64) -> io::Result<bool> {
        Ok(self.word(at)? != 0)
    }

    fn word(&self, at: u64) -> io::Result<u32> {
        let mut word = [0; 4];
        self.file.read_exact_at(&mut word, at)?;
        Ok(u32::from_ne_bytes(word))
    }

    /// What it happened at: when, operation, path below the root.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn what(&self) -> io::Result<String> {
        let mut bytes = [0; WHAT_BYTES];
        self.file.read_exact_at(&mut bytes, WHAT)?;
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(WHAT_BYTES);
        Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned())
    }

    /// Calls that matched since it was armed, and calls in all.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn counts(&self) -> io::Result<(u64, u64)> {
        let word = |at| -> io::Result<u64> {
            let mut bytes = [0; 8];
            self.file.read_exact_at(&mut bytes, at)?;
            Ok(u64::from_ne_bytes(bytes))
        };
        Ok((word(COUNTED)?, word(TOTAL)?))
    }
}

/// A text as the page holds it, with its end.
fn text(text: &str) -> io::Result<[u8; TEXT]> {
    let mut bytes = [0; TEXT];
    match bytes.get_mut(..text.len()) {
        Some(room) if text.len() < TEXT => room.copy_from_slice(text.as_bytes()),
        _ => return Err(io::Error::other(format!("{text} is too long for the control page"))),
    }
    Ok(bytes)
}
