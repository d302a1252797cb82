//! What a power cut may leave: every state that a POSIX file system on a disk with 512-byte
//! sectors can be found in. Must not know who asks, nor how one of the states is chosen.
//!
//! **Content.** Between two syncs of a file, each 4 KiB page of it may have reached the disk in
//! any of the versions that it had, or not at all, independently of other pages; a page that was
//! being written when the power went has the first sectors of a version and the rest of the one
//! before. The length is any that the file had, or a page's end between two of them; what no page
//! has reached reads as zeros. Cutting a file is one step of the journal: nothing that was written
//! after it is there without it.
//!
//! **Names.** A change of names (create, rename, remove) is atomic. With [`NameOrder::Kept`] the
//! first so many changes of a directory since its last sync are there, as journals do it; with
//! [`NameOrder::Any`] each is there or not by itself, except that of two changes to the same name
//! the later needs the earlier. Directories are independent of each other and of files' content:
//! a name may be there without the content, and content without the name is lost.

use std::collections::BTreeMap;

use super::volume::{Change, Directory, File, Naming, Node, ROOT, Volume};
use crate::choose::Choose;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// Bytes that reach the disk together, always.
const SECTOR: usize = 512;

/// In which order names reach the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameOrder {
    /// In the order in which they were changed.
    #[default]
    Kept,
    /// In any.
    Any,
}

/// What a page holds that was set aside for a file and not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unwritten {
    #[default]
    Zeros,
    /// What another file had there.
    Stale,
}

/// What of the unsynced state a file or directory keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Nothing,
    Everything,
    Some,
}

fn share(choose: &mut dyn Choose) -> Share {
    if !choose.favours_extremes() {
        return Share::Some;
    }
    match choose.below(4) {
        0 => Share::Nothing,
        1 => Share::Everything,
        _ => Share::Some,
    }
}

/// Cuts the power.
pub(super) fn cut(
    volume: &mut Volume,
    order: NameOrder,
    unwritten: Unwritten,
    choose: &mut dyn Choose,
) {
    let mut todo = vec![ROOT];
    while let Some(id) = todo.pop() {
        match volume.nodes.get_mut(id) {
            Some(Node::Directory(directory)) => {
                settle_names(directory, order, choose);
                todo.extend(directory.entries.values().copied());
            }
            Some(Node::File(file)) => settle_content(file, unwritten, choose),
            None => {}
        }
    }
    volume.compact();
}

fn settle_names(directory: &mut Directory, order: NameOrder, choose: &mut dyn Choose) {
    let changes = std::mem::take(&mut directory.changes);
    let mut names = std::mem::take(&mut directory.durable);
    if !changes.is_empty() {
        let share = share(choose);
        match (share, order) {
            (Share::Nothing, _) => {}
            (Share::Everything, _) => changes.iter().for_each(|naming| naming.apply(&mut names)),
            (Share::Some, NameOrder::Kept) => {
                let kept = choose.below(changes.len() + 1);
                changes.iter().take(kept).for_each(|naming| naming.apply(&mut names));
            }
            (Share::Some, NameOrder::Any) => {
                let mut gone: Vec<&Naming> = Vec::new();
                for naming in &changes {
                    let possible =
                        !naming.names().any(|name| gone.iter().any(|lost| lost.touches(name)));
                    if possible && choose.below(2) == 0 {
                        naming.apply(&mut names);
                    } else {
                        gone.push(naming);
                    }
                }
            }
        }
    }
    directory.entries.clone_from(&names);
    directory.durable = names;
}

/// The versions that a page has had since the last sync, the one on disk first.
type Versions = BTreeMap<usize, Vec<Vec<u8>>>;

fn settle_content(file: &mut File, unwritten: Unwritten, choose: &mut dyn Choose) {
    let changes = std::mem::take(&mut file.changes);
    if !changes.is_empty() {
        let share = share(choose);
        match share {
            Share::Nothing => {}
            Share::Everything => changes.iter().for_each(|change| change.apply(&mut file.durable)),
            Share::Some => mix(&changes, &mut file.durable, unwritten, choose),
        }
    }
    file.lost = false;
    file.cache.clone_from(&file.durable);
}

/// What a failed sync leaves: on disk any of the states of a crash, in the cache what was written.
pub(super) fn drop_pages(file: &mut File, choose: &mut dyn Choose) {
    let seen = std::mem::take(&mut file.cache);
    settle_content(file, Unwritten::Zeros, choose);
    file.cache = seen;
    file.lost = true;
}

fn mix(changes: &[Change], disk: &mut Vec<u8>, unwritten: Unwritten, choose: &mut dyn Choose) {
    let mut cache = disk.clone();
    let mut versions = Versions::new();
    let mut lengths = vec![disk.len()];
    for change in changes {
        if let Change::SetLen(len) = change
            && *len < cache.len()
        {
            if choose.below(2) == 0 {
                break;
            }
            pick_pages(&versions, disk, choose);
            disk.resize(*len, 0);
            cache.truncate(*len);
            versions.clear();
            lengths = vec![*len];
            continue;
        }
        change.apply(&mut cache);
        if let Change::Write { at, bytes } = change {
            for page in at / PAGE..(at + bytes.len()).div_ceil(PAGE) {
                let had =
                    versions.entry(page).or_insert_with(|| vec![before(disk, page, unwritten)]);
                had.push(page_of(&cache, page));
            }
        }
        if lengths.last().is_none_or(|last| *last < cache.len()) {
            let before = lengths.last().copied().unwrap_or(0);
            let pages = (before / PAGE + 1..=cache.len() / PAGE).map(|page| page * PAGE);
            lengths.extend(pages.filter(|end| *end > before && *end < cache.len()));
            lengths.push(cache.len());
        }
    }
    pick_pages(&versions, disk, choose);
    let len = lengths.get(choose.below(lengths.len())).copied().unwrap_or(0);
    disk.resize(len, 0);
}

/// What a page holds before it is written.
fn before(disk: &[u8], page: usize, unwritten: Unwritten) -> Vec<u8> {
    if unwritten == Unwritten::Zeros || page * PAGE < disk.len() {
        return page_of(disk, page);
    }
    // No two pages the same, and no zeros.
    (0..PAGE).map(|i| u8::try_from((i * 31 + page * 17 + i / 251) % 255 + 1).unwrap_or(1)).collect()
}

/// The bytes of a page; zeros beyond the end.
fn page_of(content: &[u8], page: usize) -> Vec<u8> {
    let from = page * PAGE;
    let mut bytes = vec![0; PAGE];
    let there = content.get(from..content.len().min(from + PAGE)).unwrap_or_default();
    for (to, from) in bytes.iter_mut().zip(there) {
        *to = *from;
    }
    bytes
}

fn pick_pages(versions: &Versions, disk: &mut Vec<u8>, choose: &mut dyn Choose) {
    for (page, versions) in versions {
        let bytes = pick(versions, choose);
        super::volume::write(disk, page * PAGE, &bytes);
    }
}

/// One of the versions, or a torn write of one over the one before.
fn pick(versions: &[Vec<u8>], choose: &mut dyn Choose) -> Vec<u8> {
    // After each version come the tears on the way to the next.
    let tears: Vec<Vec<usize>> =
        versions.windows(2).map(|pair| cuts(pair.first(), pair.last())).collect();
    let possible = versions.len() + tears.iter().map(Vec::len).sum::<usize>();
    let mut left = choose.below(possible);
    for (index, version) in versions.iter().enumerate() {
        if left == 0 {
            return version.clone();
        }
        left -= 1;
        let cuts = tears.get(index).map(Vec::as_slice).unwrap_or_default();
        if let (Some(cut), Some(next)) = (cuts.get(left), versions.get(index + 1)) {
            let head = next.get(..*cut).unwrap_or_default();
            let tail = version.get(*cut..).unwrap_or_default();
            return [head, tail].concat();
        }
        left -= cuts.len();
    }
    versions.last().cloned().unwrap_or_default()
}

/// Where a write of `new` over `old` can be torn so that the result is neither.
fn cuts(old: Option<&Vec<u8>>, new: Option<&Vec<u8>>) -> Vec<usize> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    let changed: Vec<usize> = old
        .chunks(SECTOR)
        .zip(new.chunks(SECTOR))
        .enumerate()
        .filter(|(_, (old, new))| old != new)
        .map(|(sector, _)| (sector + 1) * SECTOR)
        .collect();
    changed.split_last().map_or_else(Vec::new, |(_, before)| before.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Every;
    use bytes::Bytes;
    use std::collections::BTreeSet;

    fn states(durable: &[u8], changes: &[Change]) -> BTreeSet<Vec<u8>> {
        let mut every = Every::default();
        let mut seen = BTreeSet::new();
        loop {
            let mut disk = durable.to_vec();
            mix(changes, &mut disk, Unwritten::Zeros, &mut every);
            seen.insert(disk);
            if !every.advance() {
                return seen;
            }
        }
    }

    fn write(at: usize, bytes: &[u8]) -> Change {
        Change::Write { at, bytes: Bytes::copy_from_slice(bytes) }
    }

    #[test]
    fn an_append_may_be_missing_whole_or_zeros() {
        let found = states(b"ab", &[write(2, b"cd")]);
        let expected: [&[u8]; 3] = [b"ab", b"ab\0\0", b"abcd"];
        assert_eq!(found, expected.iter().map(|s| s.to_vec()).collect());
    }

    #[test]
    fn sectors_tear_and_pages_are_independent() {
        let long = vec![1; 2 * PAGE];
        let found = states(&[], &[write(0, &long)]);
        let full = found.iter().filter(|state| state.len() == 2 * PAGE).count();
        // Each page: nothing, seven tears, or all.
        assert_eq!(full, 9 * 9);
        assert!(found.contains(&vec![0; 2 * PAGE]));
        assert!(found.contains(&[vec![0; PAGE], vec![1; PAGE]].concat()));
        assert!(found.contains(&vec![1; PAGE]), "a page's end may be the file's");
        assert!(!found.contains(&vec![1; 2 * PAGE - 1]));
    }

    #[test]
    fn nothing_after_a_cut_is_there_without_it() {
        let changes = [write(2, b"x"), Change::SetLen(0), write(0, b"new")];
        let found = states(b"ab", &changes);
        assert!(found.contains(b"ab".as_slice()) && found.contains(b"abx".as_slice()));
        assert!(found.contains(b"new".as_slice()) && found.contains([].as_slice()));
        assert!(!found.contains(b"nex".as_slice()) && !found.contains(b"newx".as_slice()));
    }

    #[test]
    fn a_page_that_was_not_written_may_hold_something_else() {
        let disk = vec![7; 100];
        let changes = [write(100, &[1; 2 * PAGE])];
        let mut every = Every::default();
        let mut foreign = 0;
        loop {
            let mut found = disk.clone();
            mix(&changes, &mut found, Unwritten::Stale, &mut every);
            assert_eq!(found.get(..100), Some(&[7; 100][..]));
            // The rest of the page that the file ended in is its own.
            assert!(found.iter().take(PAGE).skip(100).all(|byte| *byte <= 1));
            assert!(found.iter().skip(PAGE).all(|byte| *byte > 0));
            foreign += usize::from(found.iter().skip(PAGE).any(|byte| *byte > 1));
            if !every.advance() {
                break;
            }
        }
        assert!(foreign > 0);
    }

    #[test]
    fn names_keep_their_dependencies() {
        let changes = [
            Naming::Put("a.tmp".into(), 1),
            Naming::Move { from: "a.tmp".into(), to: "a".into(), node: 1 },
            Naming::Put("b".into(), 2),
        ];
        let count = |order| {
            let mut every = Every::default();
            let mut seen = BTreeSet::new();
            loop {
                let mut directory = Directory::default();
                changes.iter().for_each(|naming| directory.change(naming.clone()));
                settle_names(&mut directory, order, &mut every);
                seen.insert(directory.entries.into_keys().collect::<Vec<_>>().join(" "));
                if !every.advance() {
                    return seen;
                }
            }
        };
        let ordered: Vec<_> = count(NameOrder::Kept).into_iter().collect();
        assert_eq!(ordered, ["", "a", "a b", "a.tmp"]);
        let any: Vec<_> = count(NameOrder::Any).into_iter().collect();
        assert_eq!(any, ["", "a", "a b", "a.tmp", "a.tmp b", "b"]);
    }
}
