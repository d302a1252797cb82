//! Free space of the log directories: measured more often the less there is, two watermarks, and
//! what follows from them. Below the one a warning says when the directory will be full; below the
//! other the directory counts as full, and what would fill it further is refused until there is
//! space again. Must not know what is refused, nor who frees space.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ottla_log::{LogDir, LogError};
use ottla_metadata::configs::Effective;
use parking_lot::Mutex;
use tracing::{info, warn};

/// The longest and the shortest time between two measurements.
const WAIT_MAX: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_millis(100);
/// A full directory is looked at this often.
pub(crate) const WAIT_FULL: Duration = Duration::from_millis(500);
/// Warnings come no more often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// The rate of a forecast is that of about so long a time.
const RATE_SECONDS: f64 = 60.0;
/// What watermarks are without settings: parts of a hundred of the volume, and bytes at most.
const WARN_DEFAULT: (u64, u64) = (10, 20 << 30);
const REFUSE_DEFAULT: (u64, u64) = (1, 512 << 20);
/// A write found no space: at least so much must be free before it is tried again, or a 64th of
/// the volume if that is less.
const RETRY_BYTES: u64 = 1 << 20;

/// Settings of the watermarks, bytes; negative for a part of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpaceSettings {
    /// `log.dir.free.warn.bytes`
    warn: i64,
    /// `log.dir.free.refuse.bytes`
    refuse: i64,
}

impl SpaceSettings {
    pub(crate) fn read(effective: &Effective<'_>) -> Self {
        let bytes = |name: &str| effective.broker(name).as_i64().unwrap_or(-1);
        Self { warn: bytes("log.dir.free.warn.bytes"), refuse: bytes("log.dir.free.refuse.bytes") }
    }

    /// The watermarks of a volume.
    fn of(self, total: u64) -> Watermarks {
        let part = |(percent, most): (u64, u64)| (total / 100).saturating_mul(percent).min(most);
        let refuse = u64::try_from(self.refuse).unwrap_or_else(|_| part(REFUSE_DEFAULT));
        let warn = u64::try_from(self.warn).unwrap_or_else(|_| part(WARN_DEFAULT));
        let retry = RETRY_BYTES.min(total / 64);
        Watermarks { warn, refuse, resume: refuse.saturating_add((refuse / 8).max(retry)) }
    }
}

/// Bytes that must be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watermarks {
    /// Below it there are warnings.
    warn: u64,
    /// Below it the directory is full.
    refuse: u64,
    /// From it on a full directory is no longer full.
    resume: u64,
}

/// What a measurement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// The directory is full from now on.
    Full,
    /// It was full, and is no longer.
    Back,
}

/// The free space of one log directory.
pub(crate) struct Space {
    dir: Arc<LogDir>,
    /// Bytes that may be appended before it should be measured again.
    left: AtomicI64,
    state: Mutex<State>,
}

struct State {
    settings: SpaceSettings,
    last: Option<Measured>,
    /// Bytes a second by which it shrinks.
    rate: f64,
    warned: Option<Instant>,
    /// The directory was found full before, and that was told.
    told: bool,
}

#[derive(Clone, Copy)]
struct Measured {
    at: Instant,
    available: u64,
    marks: Watermarks,
}

impl Space {
    pub(crate) fn new(dir: Arc<LogDir>, settings: SpaceSettings) -> Self {
        let state = State { settings, last: None, rate: 0.0, warned: None, told: false };
        Self { dir, left: AtomicI64::new(0), state: Mutex::new(state) }
    }

    /// From the next measurement on other watermarks hold.
    pub(crate) fn set(&self, settings: SpaceSettings) {
        self.state.lock().settings = settings;
    }

    /// Whether the directory is out of service.
    pub(crate) fn has_failed(&self) -> bool {
        self.dir.failure().is_some()
    }

    /// Whether the directory counts as full.
    pub(crate) fn is_full(&self) -> bool {
        self.dir.is_full()
    }

    /// Why nothing that fills the directory is taken at present; a sentence for clients.
    pub(crate) fn refusal(&self) -> Option<String> {
        if !self.dir.is_full() {
            return None;
        }
        let path = self.dir.path().display();
        let last = self.state.lock().last;
        let free = last.map_or_else(String::new, |m| format!(" ({} free)", bytes(m.available)));
        Some(format!(
            "The log directory {path} is full{free}: records are taken again when there is space."
        ))
    }

    /// So much is about to be written. Measures at once when that may be more than there is.
    pub(crate) fn on_append(&self, size: usize) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        // A full directory is measured by who sees to it that the logs go on.
        if self.left.fetch_sub(size, Ordering::Relaxed) < size && !self.is_full() {
            // A failure shows when something is written. Who is refused then asks for the rest.
            let _unknown = self.look(&mut self.state.lock(), Instant::now());
        }
    }

    /// Looks how much is free, and when to look again.
    pub(crate) fn measure(&self, now: Instant) -> Result<(Change, Duration), LogError> {
        let mut state = self.state.lock();
        let was_full = self.dir.is_full();
        let measured = self.look(&mut state, now)?;
        let Measured { available, marks, .. } = measured;
        let is_full = self.dir.is_full();
        let told = std::mem::replace(&mut state.told, is_full);
        let path = self.dir.path().display();
        let change = match (told || was_full, is_full) {
            (false, true) => Change::Full,
            (true, false) => Change::Back,
            (true, true) if !told => Change::Full,
            (true, true) | (false, false) => Change::Nothing,
        };
        match change {
            Change::Full => warn!(
                %path,
                free = bytes(available),
                "the log directory is full: producers and new partitions are refused until {} are free",
                bytes(marks.resume)
            ),
            Change::Back => info!(
                %path,
                free = bytes(available),
                "the log directory has space again: producers and new partitions are taken"
            ),
            Change::Nothing => {}
        }
        if change != Change::Full && state.warning_due(measured) {
            let forecast = state.forecast(measured);
            warn!(%path, free = bytes(available), "little space is left in the log directory: {forecast}");
        }
        Ok((change, state.wait(measured, is_full)))
    }

    /// Measures, and notes whether the directory counts as full.
    fn look(&self, state: &mut State, now: Instant) -> Result<Measured, LogError> {
        let found = self.dir.disk().space(self.dir.path())?;
        let marks = state.settings.of(found.total);
        let measured = Measured { at: now, available: found.available, marks };
        state.observe(measured);
        let was_full = self.dir.is_full();
        let is_full = found.available < if was_full { marks.resume } else { marks.refuse };
        self.dir.set_full(is_full);
        if let Err(error) = self.dir.keep_reserve()
            && !error.is_no_space()
        {
            return Err(error);
        }
        // To the next of the two watermarks.
        let next = if found.available > marks.warn { marks.warn } else { marks.refuse };
        let left = found.available.saturating_sub(next.max(marks.refuse)).max(1);
        self.left.store(i64::try_from(left).unwrap_or(i64::MAX), Ordering::Relaxed);
        Ok(measured)
    }
}

impl State {
    /// Follows how fast space shrinks.
    fn observe(&mut self, measured: Measured) {
        if let Some(last) = self.last.replace(measured) {
            let seconds = measured.at.saturating_duration_since(last.at).as_secs_f64();
            if seconds > 0.0 {
                let used = as_f64(last.available) - as_f64(measured.available);
                let weight = 1.0 - (-seconds / RATE_SECONDS).exp();
                self.rate += (used / seconds - self.rate) * weight;
            }
        }
    }

    fn warning_due(&mut self, measured: Measured) -> bool {
        if measured.available >= measured.marks.warn {
            return false;
        }
        let recent = |at: Instant| measured.at.saturating_duration_since(at) < WARN_INTERVAL;
        let due = !self.warned.is_some_and(recent);
        if due {
            self.warned = Some(measured.at);
        }
        due
    }

    /// When nothing is free any more, at this rate.
    fn seconds_left(&self, measured: Measured) -> Option<f64> {
        let left = as_f64(measured.available.saturating_sub(measured.marks.refuse));
        (self.rate >= 1.0).then(|| left / self.rate)
    }

    fn forecast(&self, measured: Measured) -> String {
        match self.seconds_left(measured) {
            Some(seconds) if seconds < 30.0 * 86_400.0 => {
                format!("full in about {} at the present rate", span(seconds))
            }
            Some(_) | None => "it does not shrink at present".to_owned(),
        }
    }

    fn wait(&self, measured: Measured, is_full: bool) -> Duration {
        if is_full {
            return WAIT_FULL;
        }
        let quarter = self.seconds_left(measured).unwrap_or(f64::MAX) / 4.0;
        if quarter >= WAIT_MAX.as_secs_f64() {
            return WAIT_MAX;
        }
        Duration::from_secs_f64(quarter.max(0.0)).max(WAIT_MIN)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a forecast needs no more than 15 digits")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// `1.5 GiB`
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if count >> shift > 0 {
            return format!("{:.1} {unit}", as_f64(count) / as_f64(1 << shift));
        }
    }
    format!("{count} bytes")
}

/// `3 h`
fn span(seconds: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)];
    for (unit, size) in UNITS {
        if seconds >= 2.0 * size {
            return format!("{:.0} {unit}", seconds / size);
        }
    }
    "a second".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use ottla_env::memory::MemoryDisk;
    use ottla_env::{Disk, OpenMode};
    use ottla_log::LogDirLimits;

    const MIB: u64 = 1 << 20;

    fn space(disk: &MemoryDisk, warn: i64, refuse: i64) -> Space {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = LogDir::open(disk, Path::new("/d"), LogDirLimits::default()).unwrap();
        Space::new(dir, SpaceSettings { warn, refuse })
    }

    fn fill(disk: &MemoryDisk, bytes: u64) {
        // By its length: the disk keeps every write in memory until it is synced.
        disk.open(Path::new("/filler"), OpenMode::Create).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn defaults_fit_small_and_large_volumes() {
        let unset = SpaceSettings { warn: -1, refuse: -1 };
        let small = unset.of(4 * MIB);
        assert_eq!((small.warn / 1024, small.refuse / 1024), (409, 40));
        assert!(small.resume > small.refuse && small.resume < small.warn);
        let large = unset.of(20 << 40);
        assert_eq!((large.warn, large.refuse), (20 << 30, 512 << 20));
        let off = SpaceSettings { warn: 0, refuse: 0 }.of(4 * MIB);
        assert_eq!((off.warn, off.refuse, off.resume), (0, 0, 64 * 1024));
    }

    #[test]
    fn full_at_one_mark_and_back_at_another() {
        let disk = MemoryDisk::new();
        disk.set_capacity(10 * MIB);
        let space = space(&disk, 4 << 20, 2 << 20);
        let at = Instant::now();
        assert_eq!(space.measure(at).unwrap().0, Change::Nothing);
        assert_eq!(space.refusal(), None);
        fill(&disk, 9 * MIB);
        assert_eq!(space.measure(at).unwrap(), (Change::Full, WAIT_FULL));
        let refusal = space.refusal().unwrap();
        // A MiB less the directory's reserve.
        assert!(refusal.contains("/d is full (984.0 KiB free)"), "{refusal}");
        assert_eq!(space.measure(at).unwrap().0, Change::Nothing);
        // Above the mark, but not by enough.
        fill(&disk, 10 * MIB - (2 * MIB + 100_000));
        assert_eq!(space.measure(at).unwrap().0, Change::Nothing);
        assert!(space.refusal().is_some());
        fill(&disk, 7 * MIB);
        assert_eq!(space.measure(at).unwrap().0, Change::Back);
        assert_eq!(space.refusal(), None);
    }

    #[test]
    fn a_write_without_space_counts_as_full() {
        let disk = MemoryDisk::new();
        disk.set_capacity(10 * MIB);
        let space = space(&disk, 0, 0);
        fill(&disk, 10 * MIB);
        let at = Instant::now();
        assert_eq!(space.measure(at).unwrap().0, Change::Nothing);
        space.dir.set_full(true);
        assert!(space.refusal().is_some());
        assert_eq!(space.measure(at).unwrap().0, Change::Full);
        fill(&disk, MIB);
        assert_eq!(space.measure(at).unwrap().0, Change::Back);
    }

    #[test]
    fn what_is_about_to_be_written_counts() {
        let disk = MemoryDisk::new();
        disk.set_capacity(10 * MIB);
        let space = space(&disk, 0, 2 << 20);
        space.measure(Instant::now()).unwrap();
        fill(&disk, 9 * MIB);
        space.on_append(1 << 20);
        assert_eq!(space.refusal(), None);
        space.on_append(8 << 20);
        assert!(space.refusal().is_some());
    }

    #[test]
    fn the_less_there_is_the_sooner_it_is_measured() {
        let disk = MemoryDisk::new();
        disk.set_capacity(100 * MIB);
        let space = space(&disk, 50 << 20, 10 << 20);
        let start = Instant::now();
        assert_eq!(space.measure(start).unwrap().1, WAIT_MAX);
        let mut waits = Vec::new();
        for second in 1..=80 {
            fill(&disk, second * MIB);
            waits.push(space.measure(start + Duration::from_secs(second)).unwrap().1);
        }
        assert!(waits.is_sorted_by(|a, b| a >= b), "{waits:?}");
        assert!(waits.last().unwrap() < &Duration::from_secs(5));
        let state = space.state.lock();
        assert!((500_000.0..1_048_577.0).contains(&state.rate), "{}", state.rate);
        let forecast = state.forecast(state.last.unwrap());
        assert!(forecast.starts_with("full in about 1"), "{forecast}");
    }

    #[test]
    fn figures_for_people() {
        assert_eq!([bytes(1), bytes(1536), bytes(3 << 30)], ["1 bytes", "1.5 KiB", "3.0 GiB"]);
        assert_eq!(
            [span(1.0), span(90.0), span(11_000.0), span(4e5)],
            ["a second", "90 s", "3 h", "5 d"]
        );
    }
}
