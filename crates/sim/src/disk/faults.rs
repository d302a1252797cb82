//! Which operations fail, how often, and what was injected. Must not know what the operations do.

use ottla_env::DiskErrorKind;

use crate::choose::Draw;

/// How often operations fail, each in a million; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// A write fails with EIO; some of its first bytes may be in the cache.
    pub write: u32,
    /// A sync fails: the pages are dropped, and the next sync succeeds.
    pub sync: u32,
    /// A read fails with EIO.
    pub read: u32,
    /// Opening, creating, renaming, removing, listing fails with EIO.
    pub name: u32,
    /// A write or a new file finds no space, although there is some.
    pub no_space: u32,
    /// An operation takes 1 or 30 seconds of virtual time.
    pub stall: u32,
    /// A read gives fewer bytes than there are, without an error. Beyond what the log promises.
    pub short_read: u32,
    /// A read gives the bytes of another place of the file. Beyond what the log promises.
    pub misdirected_read: u32,
}

/// What was done to the code under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Operations that failed with an error.
    pub errors: u64,
    /// Syncs among them.
    pub syncs: u64,
    /// Wrong reads without an error.
    pub lies: u64,
    /// Stalls.
    pub stalls: u64,
    /// Bits flipped at rest.
    pub flips: u64,
}

impl Injected {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.errors + self.lies + self.stalls + self.flips
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.errors += other.errors;
        self.syncs += other.syncs;
        self.lies += other.lies;
        self.stalls += other.stalls;
        self.flips += other.flips;
    }
}

/// What is wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails.
    Error(DiskErrorKind),
    /// A read gives less.
    Short,
    /// A read gives something else.
    Misdirected,
}

/// Kinds of operations, as far as faults are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Sync,
    Name,
    Look,
}

#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub(super) rates: FaultRates,
    pub(super) draw: Draw,
    pub(super) injected: Injected,
}

impl Faults {
    pub(super) fn strike(&mut self, kind: Kind, creates: bool) -> Option<Fault> {
        let rates = self.rates;
        let error = match kind {
            Kind::Read => rates.read,
            Kind::Write => rates.write,
            Kind::Sync => rates.sync,
            Kind::Name => rates.name,
            Kind::Look => 0,
        };
        let fault = if self.draw.per_million(error) {
            Fault::Error(DiskErrorKind::Io)
        } else if (kind == Kind::Write || creates) && self.draw.per_million(rates.no_space) {
            Fault::Error(DiskErrorKind::NoSpace)
        } else if kind == Kind::Read && self.draw.per_million(rates.short_read) {
            Fault::Short
        } else if kind == Kind::Read && self.draw.per_million(rates.misdirected_read) {
            Fault::Misdirected
        } else {
            return None;
        };
        match fault {
            Fault::Error(_) => {
                self.injected.errors += 1;
                self.injected.syncs += u64::from(kind == Kind::Sync);
            }
            Fault::Short | Fault::Misdirected => self.injected.lies += 1,
        }
        Some(fault)
    }

    /// Milliseconds that an operation takes longer than none.
    pub(super) fn stall(&mut self) -> i64 {
        if !self.draw.per_million(self.rates.stall) {
            return 0;
        }
        self.injected.stalls += 1;
        if self.draw.one_in(4) { 30_000 } else { 1_000 }
    }
}
