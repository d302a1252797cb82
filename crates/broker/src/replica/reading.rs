//! Reading a log directory's files for clients, beside its commits: so many at a time, and one at a
//! time, in smaller pieces, while there are syncs. A device does one thing after the other, or as
//! good as that, and a sync stands behind every read that was asked for before. Must not know
//! what is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_log::{AtHand, Piece};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::syncing::Syncing;

/// Who reads at a time while nobody waits for a sync: enough for the device to have something to
/// do while what it gave is worked on.
const READERS: u32 = 4;
/// What one of them asks of the device at a time: what consumers ask for of a partition. The system
/// may add to it, as it does for anybody who reads a file from end to end.
const PIECE: Piece = Piece { bytes: 1 << 20, read_ahead: true };
/// The same while somebody produces, who may wait for the processor in the meantime: many a kernel
/// gives it to nobody else before a system call has ended.
const SHARED_PIECE: Piece = Piece { bytes: 256 << 10, read_ahead: true };
/// The same while there are syncs.
const SMALL_PIECE: Piece = Piece { bytes: 256 << 10, read_ahead: false };

/// So much of a partition is read on the worker itself when it is in the page cache: copying it
/// takes less than waking another thread and the other connections notice. Consumers ask for no
/// more by default.
const AT_HAND_BYTES: usize = 1 << 20;
/// The same while somebody produces, who would wait for the worker: a megabyte takes milliseconds
/// where memory is slow.
const AT_HAND_BYTES_SHARED: usize = 64 << 10;

/// Who reads holds back for so many times as long as he works: a fifth of his speed is left even if
/// there is always a sync.
const SHARE: u32 = 4;
/// What was not used of that is saved up to here.
const SAVED_MAX: Duration = Duration::from_millis(100);

/// Those who read the files of one log directory.
#[derive(Debug)]
pub(crate) struct Reading {
    syncing: Arc<Syncing>,
    turns: Arc<Semaphore>,
    /// Of all who read: while there are syncs that is one at a time.
    account: Mutex<Account>,
}

/// How long those who read may hold back.
#[derive(Debug)]
struct Account {
    left: Duration,
    since: Instant,
}

impl Account {
    /// Somebody has worked up to now: how long he may hold back.
    fn limit(&mut self, now: Instant) -> Duration {
        let worked = now.saturating_duration_since(self.since);
        self.left = self.left.saturating_add(worked.saturating_mul(SHARE)).min(SAVED_MAX);
        self.since = now;
        self.left
    }

    /// He has held back up to now.
    fn held_back(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(now.saturating_duration_since(self.since));
        self.since = now;
    }
}

/// Somebody's turn to read.
#[derive(Debug)]
pub(crate) struct ReadTurn {
    reading: Arc<Reading>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Reading {
    pub(super) fn new(syncing: Arc<Syncing>) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(READERS as usize));
        let account = Account { left: Duration::ZERO, since: Instant::now() };
        Arc::new(Self { syncing, turns, account: Mutex::new(account) })
    }

    /// Whether somebody produces at the moment, and may wait for the thread or for the processor.
    pub(crate) fn is_beside_commits(&self) -> bool {
        self.syncing.written_lately(Instant::now())
    }

    /// What may be read on the worker itself. While there are syncs, what it does not find must not
    /// be asked of the device.
    pub(crate) fn at_hand(&self) -> AtHand {
        let now = Instant::now();
        let written = self.syncing.written_lately(now);
        let bytes = if written { AT_HAND_BYTES_SHARED } else { AT_HAND_BYTES };
        AtHand { bytes, lightly: self.syncing.lately(now) }
    }

    /// Waits for a turn; those who wait get theirs in order.
    pub(crate) async fn turn(self: Arc<Self>) -> ReadTurn {
        let share = if self.syncing.lately(Instant::now()) { READERS } else { 1 };
        // Never closed.
        let turn = Arc::clone(&self.turns).acquire_many_owned(share).await.ok();
        ReadTurn { reading: self, _turn: turn }
    }
}

impl ReadTurn {
    /// Before a piece is asked of the device: lets a sync come to its end, and gives what the
    /// piece may be.
    pub(crate) fn give_way(&self) -> Piece {
        let Reading { syncing, account, .. } = &*self.reading;
        let now = Instant::now();
        if !syncing.lately(now) {
            return if syncing.written_lately(now) { SHARED_PIECE } else { PIECE };
        }
        let limit = account.lock().limit(now);
        syncing.wait(limit);
        account.lock().held_back(Instant::now());
        SMALL_PIECE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_secs(1);

    async fn is_free(reading: &Arc<Reading>) -> bool {
        let turn = Arc::clone(reading).turn();
        tokio::time::timeout(Duration::ZERO, turn).await.is_ok()
    }

    #[tokio::test]
    async fn several_read_at_a_time_until_there_are_syncs() {
        let syncing: Arc<Syncing> = Arc::default();
        let reading = Reading::new(Arc::clone(&syncing));
        let mut turns = Vec::new();
        for _ in 0..READERS {
            assert!(is_free(&reading).await);
            turns.push(Arc::clone(&reading).turn().await);
        }
        assert!(!is_free(&reading).await);
        assert!(turns.iter().all(|turn| turn.give_way() == PIECE));
        turns.clear();
        // One that has ended in the future is lately for as long as the test may take.
        let end = Instant::now() + Duration::from_secs(3600);
        syncing.begin(end.checked_sub(SYNC).unwrap());
        syncing.end(end);
        let turn = Arc::clone(&reading).turn().await;
        assert!(!is_free(&reading).await);
        assert_eq!(turn.give_way(), SMALL_PIECE);
        drop(turn);
        assert!(is_free(&reading).await);
    }

    #[test]
    fn the_worker_reads_little_while_somebody_produces() {
        let syncing: Arc<Syncing> = Arc::default();
        let reading = Reading::new(Arc::clone(&syncing));
        assert_eq!(reading.at_hand(), AtHand { bytes: AT_HAND_BYTES, lightly: false });
        let later = Instant::now() + Duration::from_secs(3600);
        syncing.begin(later);
        assert_eq!(reading.at_hand(), AtHand { bytes: AT_HAND_BYTES_SHARED, lightly: false });
        syncing.end(later + SYNC);
        assert_eq!(reading.at_hand(), AtHand { bytes: AT_HAND_BYTES_SHARED, lightly: true });
    }

    #[test]
    fn at_least_a_fifth_is_work() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut account = Account { left: Duration::ZERO, since: start };
        let (mut now, mut worked) = (start, Duration::ZERO);
        for piece in 1..=20 {
            now += ms(piece);
            worked += ms(piece);
            now += account.limit(now);
            account.held_back(now);
        }
        assert_eq!(now - start, worked * (SHARE + 1));
        // What is not used is there later, but not for ever.
        now += ms(5);
        assert_eq!(account.limit(now), ms(20));
        account.held_back(now);
        now += ms(1000);
        assert_eq!(account.limit(now), SAVED_MAX);
    }

    #[test]
    fn a_sync_that_does_not_end_does_not_keep_readers_for_ever() {
        let syncing: Arc<Syncing> = Arc::default();
        let reading = Reading::new(Arc::clone(&syncing));
        let turn = ReadTurn { reading, _turn: None };
        let end = Instant::now() + Duration::from_secs(3600);
        syncing.begin(end.checked_sub(SYNC).unwrap());
        syncing.end(end);
        syncing.begin(Instant::now());
        for _ in 0..3 {
            assert_eq!(turn.give_way(), SMALL_PIECE);
        }
    }
}
