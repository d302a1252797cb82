//! Tells a write that a crash cut short from damage to what was on disk: looks at a batch that is
//! none and at what follows it. Reads, changes nothing. Must not know what is done about either.
//!
//! A log only grows, and nothing is written after a group of appends before that group is on
//! stable storage. What a crash leaves of an unfinished group is therefore, sector by sector, what
//! was written, or what was there before: nothing (the file ends) or zeros. A bad batch that shows
//! neither was whole once, and has been acknowledged, as far as anyone can tell.

use ottla_env::{DiskError, DiskFile};
use ottla_protocol::Offset;
use ottla_records::{Batch, BatchHeader, HEADER_LEN};

use super::one_byte;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// How far a sound batch is looked for behind a bad one: more than the largest batch.
const SEARCH_MAX: u64 = 256 << 20;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Place of the magic byte in a batch, and of what the checksum covers.
const MAGIC_AT: usize = 16;
const CHECKED_FROM: u64 = 21;
const MAGIC: u8 = 2;

/// What bytes that are no sound batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// A write that did not reach the disk in full: nobody was told that it had.
    Torn,
    /// They were a batch, or several.
    Damaged {
        /// Base offset and position of the first sound batch behind them in the file.
        next: Option<(Offset, u64)>,
    },
}

/// Judges the bytes of a `.log` file from `position` on, where a batch should begin whose base
/// offset is `expected` or (in a compacted log) more, and no sound one does. `len` is the length
/// of the file.
///
/// # Errors
/// When the disk fails.
pub fn judge(
    file: &dyn DiskFile,
    len: u64,
    position: u64,
    expected: Offset,
) -> Result<Judgement, DiskError> {
    let next = next_sound(file, len, position, expected)?;
    let mut header = [0; HEADER_LEN];
    let n = file.read_at(&mut header, position)?;
    let header = header.get(..n).unwrap_or_default();
    let claimed = BatchHeader::parse(header).ok().map(|h| position.saturating_add(h.size() as u64));
    let header_end = position.saturating_add(HEADER_LEN as u64);
    let end = claimed.unwrap_or(header_end).min(next.map_or(len, |(_, at)| at)).min(len);
    if has_hole(file, len, (position, end), expected)? {
        return Ok(Judgement::Torn);
    }
    if next.is_some() {
        return Ok(Judgement::Damaged { next });
    }
    let cut_short = match claimed {
        Some(claimed) => claimed > len && !is_whole(file, len, position)?,
        None => n < HEADER_LEN,
    };
    Ok(if cut_short { Judgement::Torn } else { Judgement::Damaged { next: None } })
}

/// Whether a bad batch is a sound one of which one byte has changed: the header's fields that no
/// checksum covers count as one each. `next` is where the next sound batch begins. In doubt, yes.
///
/// What a write that was cut short leaves differs in whole sectors; what rots, in bits.
pub(super) fn is_one_byte(
    file: &dyn DiskFile,
    len: u64,
    position: u64,
    next: Option<u64>,
) -> Result<bool, DiskError> {
    let left = len.saturating_sub(position);
    if left < HEADER_LEN as u64 {
        return Ok(false);
    }
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, position)?;
    let claimed = header.get(8..12).and_then(|bytes| bytes.first_chunk::<4>());
    let claimed = claimed.and_then(|bytes| u64::try_from(i32::from_be_bytes(*bytes)).ok());
    let ends = [claimed.map(|n| n + 12), next.map(|at| at.saturating_sub(position)), Some(left)];
    for size in ends.into_iter().flatten().filter(|size| *size <= left) {
        if size < HEADER_LEN as u64 {
            continue;
        }
        if size > SEARCH_MAX {
            return Ok(true);
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut bytes, position)?;
        if one_byte::explains(&bytes) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the base offset of a batch, which is outside of the checksum, ends with a sector that
/// was not written: then the batch looks whole, and is at a wrong offset.
pub(super) fn offset_is_torn(
    file: &dyn DiskFile,
    len: u64,
    position: u64,
    expected: Offset,
) -> Result<bool, DiskError> {
    has_hole(file, len, (position, position.saturating_add(1)), expected)
}

/// Whether a sector from which the bytes of `from..to` come holds only zeros, from there to its
/// end or that of the file: a sector that was not written holds what it held before.
fn has_hole(
    file: &dyn DiskFile,
    len: u64,
    (from, to): (u64, u64),
    expected: Offset,
) -> Result<bool, DiskError> {
    let mut at = from;
    let mut buffer = Vec::new();
    while at < to {
        // Whole sectors, so that none is looked at in two halves.
        let stop = (at - at % SECTOR).saturating_add(CHUNK as u64).min(len);
        buffer.resize(usize::try_from(stop - at).unwrap_or(CHUNK), 0);
        let n = file.read_at(&mut buffer, at)?;
        buffer.truncate(n);
        let mut rest = buffer.as_slice();
        let mut begin = at;
        while begin < to && !rest.is_empty() {
            let in_sector = usize::try_from(SECTOR - begin % SECTOR).unwrap_or(rest.len());
            let (sector, later) = rest.split_at(in_sector.min(rest.len()));
            let zeros = sector.iter().all(|byte| *byte == 0);
            if zeros && !(begin == from && is_front_of_offset(sector.len(), expected)) {
                return Ok(true);
            }
            begin += sector.len() as u64;
            rest = later;
        }
        if begin == at {
            break;
        }
        at = begin;
    }
    Ok(false)
}

/// Whether so many zeros are how the base offset begins, and tell nothing.
fn is_front_of_offset(count: usize, expected: Offset) -> bool {
    expected.0.to_be_bytes().get(..count).is_some_and(|front| front.iter().all(|byte| *byte == 0))
}

/// Whether the batch at `position` ends with the file and only its length is wrong: that field is
/// outside of the checksum.
fn is_whole(file: &dyn DiskFile, len: u64, position: u64) -> Result<bool, DiskError> {
    let left = len.saturating_sub(position);
    if left > SEARCH_MAX || left < HEADER_LEN as u64 {
        return Ok(false);
    }
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(0)];
    let n = file.read_at(&mut bytes, position)?;
    let Ok(length) = i32::try_from(left - 12) else { return Ok(false) };
    if let Some(field) = bytes.get_mut(8..12) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    let whole = bytes.get(..n).unwrap_or_default();
    Ok(Batch::parse(whole).is_ok_and(|batch| batch.verify_crc().is_ok()))
}

/// The first sound batch behind `position` in which a log that had `expected` there could go on.
fn next_sound(
    file: &dyn DiskFile,
    len: u64,
    position: u64,
    expected: Offset,
) -> Result<Option<(Offset, u64)>, DiskError> {
    let stop = len.min(position.saturating_add(SEARCH_MAX));
    let mut at = position.saturating_add(1);
    let mut buffer = vec![0; CHUNK];
    while at.saturating_add(HEADER_LEN as u64) <= stop {
        let n = file.read_at(&mut buffer, at)?;
        // A file can be longer than it was found to be: what is behind is not looked at.
        let n = n.min(usize::try_from(stop - at).unwrap_or(n));
        let bytes = buffer.get(..n).unwrap_or_default();
        let Some(last) = n.checked_sub(HEADER_LEN) else { break };
        for i in 0..=last {
            if bytes.get(i + MAGIC_AT) != Some(&MAGIC) {
                continue;
            }
            let here = at + i as u64;
            let header = bytes.get(i..).and_then(|rest| BatchHeader::parse(rest).ok());
            let Some(header) = header.filter(|h| is_plausible(h, expected, len - here)) else {
                continue;
            };
            if is_sound(file, here, &header)? {
                return Ok(Some((header.base_offset, here)));
            }
        }
        at += last as u64 + 1;
    }
    Ok(None)
}

/// Whether it is worth computing a checksum.
fn is_plausible(header: &BatchHeader, expected: Offset, left: u64) -> bool {
    let offsets = expected.0.saturating_add(1)..=expected.0.saturating_add(i64::from(i32::MAX));
    header.size() as u64 <= left
        && offsets.contains(&header.base_offset.0)
        && header.last_offset_delta >= 0
        && header.record_count >= 0
        && i64::from(header.record_count) <= i64::from(header.last_offset_delta) + 1
}

fn is_sound(file: &dyn DiskFile, position: u64, header: &BatchHeader) -> Result<bool, DiskError> {
    debug_assert!(header.size() as u64 > CHECKED_FROM, "a header is part of the size");
    let mut bytes = vec![0; header.size()];
    let n = file.read_at(&mut bytes, position)?;
    let whole = bytes.get(..n).unwrap_or_default();
    Ok(Batch::parse(whole).is_ok_and(|batch| batch.verify_crc().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ottla_env::memory::MemoryDisk;
    use ottla_env::{Disk, OpenMode};
    use ottla_protocol::Millis;
    use ottla_records::{BatchBuilder, BatchOptions};
    use std::path::Path;

    fn batch(offset: i64, size: usize) -> Vec<u8> {
        let options = BatchOptions { base_offset: Offset(offset), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options).unwrap();
        let value: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        builder.append(Millis(100), None, Some(&value), &[]).unwrap();
        builder.build().unwrap()
    }

    fn judged(content: &[u8], position: u64, expected: i64) -> Judgement {
        let file = MemoryDisk::new().open(Path::new("/l"), OpenMode::Create).unwrap();
        file.write_at(&[Bytes::copy_from_slice(content)], 0).unwrap();
        judge(&*file, content.len() as u64, position, Offset(expected)).unwrap()
    }

    /// Batches 0, 1, 2: where the second begins, and all bytes.
    fn three(size: usize) -> (usize, usize, Vec<u8>) {
        let [a, b, c] = [0, 1, 2].map(|offset| batch(offset, size));
        (a.len(), a.len() + b.len(), [a, b, c].concat())
    }

    #[test]
    fn a_file_that_ends_within_a_batch_is_torn() {
        for size in [0, 10, 300, 2000] {
            let (second, third, all) = three(size);
            for len in second + 1..third {
                assert_eq!(judged(&all[..len], second as u64, 1), Judgement::Torn, "{size} {len}");
            }
        }
    }

    #[test]
    fn a_base_offset_that_ends_with_a_lost_sector_is_torn() {
        // The checksum says nothing of it: the rest of the batch is in the next sector, and whole.
        for before in 505..512_usize {
            let mut content = vec![1; before];
            content.extend(batch(0x0101_0101_0101_0101, 100));
            let torn = |content: &[u8]| {
                let file = MemoryDisk::new().open(Path::new("/l"), OpenMode::Create).unwrap();
                file.write_at(&[Bytes::copy_from_slice(content)], 0).unwrap();
                let (len, expected) = (content.len() as u64, Offset(0x0101_0101_0101_0101));
                offset_is_torn(&*file, len, before as u64, expected).unwrap()
            };
            assert!(!torn(&content), "{before}");
            content[before..512].fill(0);
            assert!(torn(&content), "{before}");
        }
    }

    #[test]
    fn zeros_from_a_sector_on_are_torn() {
        for size in [0, 10, 300, 2000] {
            let (second, third, all) = three(size);
            // The first sector holds what was there before: the first batch.
            for first_lost in second / 512..third.div_ceil(512) {
                let mut content = all.clone();
                let from = (first_lost * 512).max(second);
                content[from..].fill(0);
                if content == all {
                    continue;
                }
                let position = if from < third { second } else { third };
                let expected = if from < third { 1 } else { 2 };
                if content[position..] == all[position..] {
                    continue;
                }
                assert_eq!(judged(&content, position as u64, expected), Judgement::Torn, "{size}");
            }
        }
    }

    #[test]
    fn a_lost_sector_before_others_of_the_group_is_torn() {
        let (second, third, all) = three(2000);
        for lost in second.div_ceil(512)..third / 512 {
            let mut content = all.clone();
            content[lost * 512..(lost + 1) * 512].fill(0);
            assert_eq!(judged(&content, second as u64, 1), Judgement::Torn, "{lost}");
        }
    }

    #[test]
    fn any_other_byte_in_a_batch_is_damage() {
        for size in [10, 300, 2000] {
            let (second, third, all) = three(size);
            for at in (second + 8..third).filter(|at| !(second + 12..second + 16).contains(at)) {
                let mut content = all.clone();
                content[at] ^= 0x41;
                assert_eq!(
                    judged(&content, second as u64, 1),
                    Judgement::Damaged { next: Some((Offset(2), third as u64)) },
                    "size {size}, byte {}",
                    at - second
                );
                // The same at the end of the log.
                content.truncate(third);
                assert_eq!(
                    judged(&content, second as u64, 1),
                    Judgement::Damaged { next: None },
                    "size {size}, byte {} of the last",
                    at - second
                );
            }
        }
    }

    #[test]
    fn a_file_that_is_longer_than_it_was_found_is_looked_at_up_to_there() {
        let (second, third, mut all) = three(300);
        all[second + 30] ^= 0x41;
        let file = MemoryDisk::new().open(Path::new("/l"), OpenMode::Create).unwrap();
        file.write_at(&[Bytes::copy_from_slice(&all)], 0).unwrap();
        for len in second + 1..all.len() {
            let found = judge(&*file, len as u64, second as u64, Offset(1)).unwrap();
            let expected =
                if len < third { Judgement::Torn } else { Judgement::Damaged { next: None } };
            assert_eq!(found, expected, "{len}");
        }
    }

    #[test]
    fn a_length_that_reaches_beyond_the_file_is_damage_when_the_batch_is_whole() {
        let (second, third, all) = three(300);
        for length in [400, 5000, i32::MAX] {
            let mut content = all[..third].to_vec();
            content[second + 8..second + 12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(judged(&content, second as u64, 1), Judgement::Damaged { next: None });
        }
    }
}
