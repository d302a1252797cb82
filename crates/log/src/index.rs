//! The formats of `.index` (8 bytes an entry: last offset of a batch, where the batch begins) and
//! `.timeindex` (12 bytes: largest timestamp so far, last offset of the batch that had it), and
//! searching in them. Offsets are relative to the segment's base. Must not know when entries are
//! made.

use ottla_env::{DiskError, DiskFile};

/// An entry of a file of equally long, ascending entries. The default is all zeros.
pub trait Entry: Copy + Default + PartialEq {
    /// Bytes of an entry.
    const BYTES: usize;
    /// Reads one, whatever it holds; `None` when there are fewer bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Appends its bytes.
    fn encode(self, to: &mut Vec<u8>);
}

/// An entry of `.index`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of a batch, less the segment's base.
    pub relative: u32,
    /// Where that batch begins in the `.log`.
    pub position: u32,
}

/// An entry of `.timeindex`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp up to here; rises strictly.
    pub timestamp: i64,
    /// Last offset of the batch that had it, less the segment's base.
    pub relative: u32,
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (relative, position) = bytes.split_at_checked(4)?;
        Some(Self {
            relative: u32::from_be_bytes(relative.try_into().ok()?),
            position: u32::from_be_bytes(position.try_into().ok()?),
        })
    }

    fn encode(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.relative.to_be_bytes());
        to.extend_from_slice(&self.position.to_be_bytes());
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp, relative) = bytes.split_at_checked(8)?;
        Some(Self {
            timestamp: i64::from_be_bytes(timestamp.try_into().ok()?),
            relative: u32::from_be_bytes(relative.try_into().ok()?),
        })
    }

    fn encode(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.timestamp.to_be_bytes());
        to.extend_from_slice(&self.relative.to_be_bytes());
    }
}

pub(crate) fn encode_all<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    for entry in entries {
        entry.encode(&mut bytes);
    }
    bytes
}

/// Entries read at once at the end of a search.
const BLOCK: u32 = 256;

/// How many of the first `count` entries of `file` are `before` what is looked for (true for a
/// first part of them, then false), and the last of these.
pub(crate) fn search<E: Entry>(
    file: &dyn DiskFile,
    count: u32,
    before: impl Fn(&E) -> bool,
) -> Result<(u32, Option<E>), DiskError> {
    let (mut low, mut high) = (0, count);
    let mut found = None;
    while high - low > BLOCK {
        let middle = low + (high - low) / 2;
        match read::<E>(file, middle, 1)?.first() {
            Some(entry) if before(entry) => {
                found = Some(*entry);
                low = middle + 1;
            }
            Some(_) | None => high = middle,
        }
    }
    let block = read::<E>(file, low, high - low)?;
    for entry in block.iter().take_while(|e| before(e)) {
        found = Some(*entry);
        low += 1;
    }
    Ok((low, found))
}

/// Entries `from..from + count`, fewer where the file ends.
pub(crate) fn read<E: Entry>(
    file: &dyn DiskFile,
    from: u32,
    count: u32,
) -> Result<Vec<E>, DiskError> {
    let mut bytes = vec![0; count as usize * E::BYTES];
    let n = file.read_at(&mut bytes, u64::from(from) * E::BYTES as u64)?;
    let whole = bytes.get(..n).unwrap_or_default().chunks_exact(E::BYTES);
    Ok(whole.filter_map(E::decode).collect())
}

/// Number of entries in a file of `len` bytes; `None` when it has a torn one or is too long.
pub(crate) fn count<E: Entry>(len: u64) -> Option<u32> {
    let size = E::BYTES as u64;
    if len.is_multiple_of(size) { u32::try_from(len / size).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ottla_env::memory::MemoryDisk;
    use ottla_env::{Disk, OpenMode};
    use std::path::Path;

    #[test]
    fn search_finds_the_floor() {
        for count in [0_u32, 1, 2, 255, 256, 257, 3000] {
            let entries: Vec<_> = (0..count)
                .map(|i| OffsetEntry { relative: i * 3 + 1, position: i * 100 })
                .collect();
            let file = MemoryDisk::new().open(Path::new("/i"), OpenMode::Create).unwrap();
            file.write_at(&[Bytes::from(encode_all(&entries))], 0).unwrap();
            for target in (0..count * 3 + 5).step_by(if count > 1000 { 7 } else { 1 }) {
                let (n, found) =
                    search::<OffsetEntry>(&*file, count, |e| e.relative <= target).unwrap();
                let expected = entries.iter().filter(|e| e.relative <= target).count();
                assert_eq!(n as usize, expected);
                assert_eq!(found, expected.checked_sub(1).map(|i| entries[i]));
            }
        }
    }

    #[test]
    fn entries_are_kafkas() {
        let mut bytes = Vec::new();
        TimeEntry { timestamp: 0x018b_cfe5_6863, relative: 20 }.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x63, 0, 0, 0, 0x14]);
        assert_eq!(TimeEntry::decode(&bytes).unwrap().relative, 20);
        assert_eq!(count::<TimeEntry>(24), Some(2));
        assert_eq!(count::<OffsetEntry>(12), None);
    }
}
