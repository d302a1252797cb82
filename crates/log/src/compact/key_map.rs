//! The last offset of each key, in bounded memory. Must not know where keys come from.
//!
//! Keys are known by 128 bits of SipHash-1-3 under a secret that is drawn anew for each process: by
//! 88 bits that are kept, and by the place that the others lead to. Two keys that agree in both
//! would cost a record. For n keys and m places the chance is n²/(m·2⁸⁹): for the 2³¹ keys that
//! 36 GiB of map hold 2⁻⁵⁸. As nobody knows the secret, nobody can choose keys that collide: the
//! best that is known for one compression round is a pair of keys that do so with a chance of
//! 2⁻¹⁶⁷. (Apache Kafka takes MD5, for which colliding keys can be made.)
//!
//! Keys stand in the order of their places, those that have no room a few slots later: who looks for
//! one that is not there comes soon to one that would have to stand behind it, however full the map
//! is ("Robin Hood"). Most keys of a log that was cleaned before are not there.

use ottla_protocol::Offset;
use siphasher::sip128::SipHasher13;

use super::run::CompactorOptions;

/// A key, as it is known: two halves of its hash.
pub(super) type Hash = [u64; 2];

/// One half of the hash; 24 bits of the other, how many slots after its place it stands (8 bits), and
/// the number of its offset in the pass (32 bits), 0 for a free slot. No slot lies on two lines of a
/// processor's cache.
type Slot = [u64; 2];
const SLOT_BYTES: usize = size_of::<Slot>();
/// The part of a slot that says how far the offset is from [`KeyMap::base`], plus one.
const NUMBER: u64 = u32::MAX as u64;
/// One slot later.
const LATER: u64 = 1 << 32;
/// No key stands more slots after its place.
const LATER_MAX: u64 = 255;

/// How many slots after its place what is in a slot stands.
fn later(rest: u64) -> u64 {
    (rest / LATER) & LATER_MAX
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    /// There is no room for a new key, or none for so distant an offset.
    Full,
}

/// Open addressing, linear probing, in order.
pub(super) struct KeyMap {
    /// As many as there are places, and some at the end for those that stand later.
    slots: Vec<Slot>,
    places: usize,
    len: usize,
    len_max: usize,
    hasher: SipHasher13,
    /// The first offset that was noted.
    base: Option<Offset>,
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
        let hasher = SipHasher13::new_with_key(&options.hash_key);
        let places = slots - (slots / 8).clamp(1, usize::from(u8::MAX));
        let slots = vec![[0; 2]; slots];
        Self { slots, places, len: 0, len_max, hasher, base: None, end: start }
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

    /// A key's place: by the upper bits of one half of its hash.
    fn place(&self, [high, _]: Hash) -> usize {
        let scaled = (u128::from(high) * self.places as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or_default()
    }

    /// The slot of the key, or the one that it would get, and what it has there but the offset;
    /// and the offset's number, 0 if it is not there.
    fn find(&self, hash: Hash) -> (usize, Slot, u64) {
        let [high, low] = hash;
        let mut at = self.place(hash);
        let mut wanted = high << 40;
        // Ends at the latest where it would be too far from its place: nobody else's is there.
        for distance in 0.. {
            let [half, rest] = self.slot(at);
            if rest & NUMBER == 0 || later(rest) < distance {
                break;
            }
            if half == low && rest & !NUMBER == wanted {
                return (at, [low, wanted], rest & NUMBER);
            }
            at += 1;
            if distance < LATER_MAX {
                wanted += LATER;
            }
        }
        (at, [low, wanted], 0)
    }

    /// Makes room for a key that is to stand at `at`: others go one slot on. Whether there is some.
    fn make_room(&mut self, at: usize) -> bool {
        let rest = self.slots.get(at..).unwrap_or_default();
        // Until one is free; there is none behind one that cannot go on.
        let stays = |slot: &Slot| slot[1] & NUMBER == 0 || later(slot[1]) == LATER_MAX;
        let Some(count) = rest.iter().position(stays) else { return false };
        let free = rest.get(count).is_some_and(|slot| slot[1] & NUMBER == 0);
        if free && let Some(moved) = self.slots.get_mut(at..=at + count) {
            moved.rotate_right(1);
            for [_, rest] in moved.iter_mut().skip(1) {
                *rest += LATER;
            }
        }
        free
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
            let [_, rest] = self.slot(self.place(hash));
            touched ^ rest
        });
        std::hint::black_box(touched);
    }

    /// Notes that `offset` has the key; offsets rise.
    pub(super) fn put(&mut self, hash: Hash, offset: Offset) -> Noted {
        let base = *self.base.get_or_insert(offset);
        let number = u64::try_from(offset.0.saturating_sub(base.0)).map_or(NUMBER, |at| at + 1);
        if number >= NUMBER {
            return Noted::Full;
        }
        let (at, [low, wanted], before) = self.find(hash);
        if before == 0 {
            let is_near = at - self.place(hash) <= usize::from(u8::MAX);
            if self.len == self.len_max || !is_near || !self.make_room(at) {
                return Noted::Full;
            }
            self.len += 1;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = [low, wanted | number];
        }
        Noted::Yes
    }

    /// The last offset of the key, if it is there.
    pub(super) fn get(&self, hash: Hash) -> Option<Offset> {
        let (.., number) = self.find(hash);
        let number = i64::try_from(number).ok().filter(|number| *number > 0)?;
        self.base.map(|base| base.plus(number - 1))
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
        for (bytes, seed) in (0..40).flat_map(|seed| [(1024, seed), (64 << 10, seed)]) {
            let slots = bytes / 16;
            let mut options = options(bytes);
            options.hash_key = [seed; 16];
            let mut map = KeyMap::new(&options, 1 << 40, Offset(0));
            let mut oracle = BTreeMap::new();
            let keys = i64::try_from(slots).unwrap() * 3 / 2;
            for offset in 0..keys * 16 {
                let key = format!("key-{}", offset * 7 % keys);
                match map.put(map.hash(key.as_bytes()), Offset(offset)) {
                    Noted::Yes => {
                        oracle.insert(key, Offset(offset));
                    }
                    Noted::Full => assert!(!oracle.contains_key(&key)),
                }
            }
            // It is filled as far as the load factor says, or up to one that finds no room.
            assert!((slots * 3 / 4..=slots * 9 / 10).contains(&map.len()), "{}", map.len());
            assert_eq!(map.len(), oracle.len());
            for i in 0..keys {
                let key = format!("key-{i}");
                assert_eq!(map.get(map.hash(key.as_bytes())), oracle.get(&key).copied());
            }
            assert!(map.memory() <= bytes);
        }
    }

    #[test]
    fn keys_of_one_place_stand_one_after_the_other_and_some_have_no_room() {
        let mut map = KeyMap::new(&options(1 << 20), 1 << 40, Offset(0));
        // A hash that leads to a place.
        let at = |place: u64, low: u64| [(place << 48) + (1 << 47), low];
        let behind = at(30, 7);
        assert_eq!((map.place(at(20, 0)), map.place(behind)), (20, 30));
        assert_eq!(map.put(behind, Offset(1)), Noted::Yes);
        for low in 0..256 {
            assert_eq!(map.put(at(20, low), Offset(2)), Noted::Yes, "{low}");
        }
        assert_eq!(map.put(at(20, 256), Offset(2)), Noted::Full);
        // The first of a place stands in it; a second would move one that cannot stand later.
        assert_eq!(map.put(at(19, 1), Offset(2)), Noted::Yes);
        assert_eq!(map.put(at(19, 2), Offset(2)), Noted::Full);
        assert_eq!(map.get(behind), Some(Offset(1)));
        assert_eq!(map.get(at(19, 1)), Some(Offset(2)));
        assert!((0..256).all(|low| map.get(at(20, low)) == Some(Offset(2))));
        assert!([at(20, 256), at(19, 2), at(21, 7)].iter().all(|hash| map.get(*hash).is_none()));
        assert_eq!(map.put(behind, Offset(3)), Noted::Yes);
        assert_eq!((map.get(behind), map.len()), (Some(Offset(3)), 258));
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

    #[test]
    fn a_pass_ends_where_offsets_are_too_far_apart() {
        let mut map = KeyMap::new(&options(1 << 20), 1 << 40, Offset(0));
        // Where it begins does not matter.
        let base = 1 << 50;
        let last = base + i64::from(u32::MAX) - 2;
        let [a, b] = [b"a", b"b"].map(|key| map.hash(key));
        assert_eq!(map.put(a, Offset(base)), Noted::Yes);
        assert_eq!(map.get(a), Some(Offset(base)));
        assert_eq!(map.put(a, Offset(last)), Noted::Yes);
        assert_eq!(map.get(a), Some(Offset(last)));
        assert_eq!(map.put(b, Offset(last + 1)), Noted::Full);
        assert_eq!(map.put(b, Offset(i64::MAX)), Noted::Full);
        assert_eq!((map.get(a), map.get(b)), (Some(Offset(last)), None));
    }

    #[test]
    fn all_of_a_hash_counts() {
        let mut map = KeyMap::new(&options(1 << 10), 1 << 40, Offset(0));
        let hash = map.hash(b"a");
        assert_eq!(map.put(hash, Offset(7)), Noted::Yes);
        let [high, low] = hash;
        for bit in 0..64 {
            assert_eq!(map.get([high, low ^ 1 << bit]), None, "bit {bit}");
        }
        // What of the other is not kept is in the place.
        for bit in (0..24).chain(59..64) {
            assert_eq!(map.get([high ^ 1 << bit, low]), None, "bit {bit}");
        }
        assert_eq!(map.get(hash), Some(Offset(7)));
    }
}
