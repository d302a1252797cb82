//! The last offset of each key, in bounded memory. Must not know where keys come from.
//!
//! Keys are known by 128 bits of SipHash-2-4 under a secret that is drawn anew for each process.
//! Two keys that hash alike would cost a record, so: for n keys the chance is n²/2¹²⁹, for the
//! 2³¹ keys that 48 GiB of map hold less than one in 10¹⁹, and as nobody knows the secret, nobody
//! can choose keys that collide. (Apache Kafka takes MD5, for which colliding keys can be made.)

use ottla_protocol::Offset;
use siphasher::sip128::SipHasher24;

use super::run::CompactorOptions;

/// A key, as it is known: two halves of its hash.
pub(super) type Hash = [u64; 2];

/// Two halves of the hash, and the offset plus one: 0 for a free slot.
type Slot = [u64; 3];
const SLOT_BYTES: usize = size_of::<Slot>();

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    /// There is no room for a new key.
    Full,
}

/// Open addressing, linear probing.
pub(super) struct KeyMap {
    slots: Vec<Slot>,
    len: usize,
    len_max: usize,
    hasher: SipHasher24,
    /// Up to here all records are in it.
    end: Offset,
}

impl KeyMap {
    /// For the keys of at most `records` records. The memory is that which they need, and not
    /// more than the options allow; room for one key there is always.
    pub(super) fn new(options: &CompactorOptions, records: u64, start: Offset) -> Self {
        let load = if options.load_factor > 0.0 { options.load_factor.min(0.95) } else { 0.9 };
        let most = (options.map_bytes / SLOT_BYTES).max(2);
        let wanted = usize::try_from(records).unwrap_or(usize::MAX).saturating_add(1);
        // Twice as many slots as keys when memory allows: short probes.
        let slots = wanted.saturating_mul(2).clamp(2, most);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a fraction of a number of slots that are in memory"
        )]
        let len_max = ((slots as f64 * load) as usize).clamp(1, slots - 1);
        let hasher = SipHasher24::new_with_key(&options.hash_key);
        Self { slots: vec![[0; 3]; slots], len: 0, len_max, hasher, end: start }
    }

    /// The offset after the last that it covers.
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// All records below `end` are in it.
    pub(super) fn covers(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    /// Where looking for a key begins.
    fn first(&self, [high, _]: Hash) -> usize {
        let scaled = (u128::from(high) * self.slots.len() as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// The slot that has the key, or the free one that it would get.
    fn find(&self, hash: Hash) -> (usize, Slot) {
        let [high, low] = hash;
        let count = self.slots.len();
        let mut at = self.first(hash);
        loop {
            // There is always a free slot, so the walk ends.
            let slot = self.slots.get(at).copied().unwrap_or_default();
            let [a, b, offset] = slot;
            if offset == 0 || (a == high && b == low) {
                return (at, slot);
            }
            at += 1;
            if at == count {
                at = 0;
            }
        }
    }

    /// What a key is known by.
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        let hash = self.hasher.hash(key);
        [hash.h1, hash.h2]
    }

    /// Keys that are looked for next. The map is much larger than what a processor keeps near; no
    /// look here depends on another, so it waits for many at a time, and not for one by one.
    pub(super) fn expect(&self, hashes: impl Iterator<Item = Hash>) {
        let touched = hashes.fold(0, |touched, hash| {
            let [.., offset] = self.slots.get(self.first(hash)).copied().unwrap_or_default();
            touched ^ offset
        });
        std::hint::black_box(touched);
    }

    /// Notes that `offset` has the key; offsets rise.
    pub(super) fn put(&mut self, hash: Hash, offset: Offset) -> Noted {
        let [high, low] = hash;
        let (at, [.., before]) = self.find(hash);
        if before == 0 {
            if self.len == self.len_max {
                return Noted::Full;
            }
            self.len += 1;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = [high, low, u64::try_from(offset.0.saturating_add(1)).unwrap_or(1)];
        }
        Noted::Yes
    }

    /// The last offset of the key, if it is there.
    pub(super) fn get(&self, hash: Hash) -> Option<Offset> {
        let (_, [.., offset]) = self.find(hash);
        i64::try_from(offset).ok().filter(|o| *o > 0).map(|o| Offset(o - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(map_bytes: usize) -> CompactorOptions {
        CompactorOptions {
            map_bytes,
            hash_key: *b"0123456789abcdef",
            ..CompactorOptions::default()
        }
    }

    #[test]
    fn the_last_offset_counts_and_full_is_full() {
        // 42 slots, of which 90 % are used.
        let mut map = KeyMap::new(&options(1024), 1 << 40, Offset(0));
        let mut oracle = BTreeMap::new();
        for offset in 0..1000 {
            let key = format!("key-{}", offset * 7 % 60);
            match map.put(map.hash(key.as_bytes()), Offset(offset)) {
                Noted::Yes => {
                    oracle.insert(key, Offset(offset));
                }
                Noted::Full => assert!(!oracle.contains_key(&key)),
            }
        }
        assert_eq!(map.len(), 37);
        assert_eq!(oracle.len(), 37);
        for i in 0..60 {
            let key = format!("key-{i}");
            assert_eq!(map.get(map.hash(key.as_bytes())), oracle.get(&key).copied());
        }
        assert!(map.memory() <= 1024);
    }

    #[test]
    fn small_logs_take_little_memory_and_one_key_always_fits() {
        let map = KeyMap::new(&options(1 << 30), 10, Offset(0));
        assert!(map.memory() < 1024);
        let mut map = KeyMap::new(&options(0), 10, Offset(0));
        assert_eq!(map.put(map.hash(b""), Offset(0)), Noted::Yes);
        assert_eq!(map.put(map.hash(b"a"), Offset(1)), Noted::Full);
        assert_eq!(map.put(map.hash(b""), Offset(2)), Noted::Yes);
        assert_eq!(map.get(map.hash(b"")), Some(Offset(2)));
        assert_eq!(map.get(map.hash(b"a")), None);
    }
}
