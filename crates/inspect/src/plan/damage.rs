//! Where the batches of a partition are not sound, whatever a start thinks of it, and what is lost
//! with each way out. Must not know recovery.

use std::path::{Path, PathBuf};

use ottla_env::{Disk, EntryKind};
use ottla_protocol::Offset;

use crate::error::InspectError;
use crate::kind::Kind;
use crate::walk::{Found, Hole, Walk};

/// A stretch of a segment without sound batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
    pub(crate) hole: Hole,
    /// The first offset that cannot be read.
    pub(crate) first: Offset,
    /// The first offset behind that can; `None` when nothing sound follows in the log.
    pub(crate) next: Option<Offset>,
    pub(crate) why: String,
}

/// Batches of a stretch of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Records that can be read.
    pub(crate) records: u64,
    /// First and last offset of them.
    pub(crate) offsets: Option<(Offset, Offset)>,
}

impl Stretch {
    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.offsets = match (self.offsets, other.offsets) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (one, two) => one.or(two),
        };
    }
}

/// The segments of a directory: base and path, ascending.
pub(crate) fn segments(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Vec<(Offset, PathBuf)>, InspectError> {
    let mut found = Vec::new();
    for entry in disk.list(dir)?.into_iter().filter(|entry| entry.kind == EntryKind::File) {
        if let Kind::Log(base) = Kind::of(&entry.name) {
            found.push((base, dir.join(entry.name)));
        }
    }
    found.sort();
    Ok(found)
}

/// The sound batches of a file between two positions.
pub(crate) fn stretch(
    disk: &dyn Disk,
    path: &Path,
    from: u64,
    to: u64,
) -> Result<Stretch, InspectError> {
    let mut walk = Walk::open(disk, path)?;
    walk.limit(to);
    walk.go_to(from);
    let mut found = Stretch::default();
    let mut least = Offset::ZERO;
    while let Some(next) = walk.next()? {
        match next {
            Found::Batch { batch, .. } if batch.verify_crc().is_ok() => {
                let header = batch.header();
                least = header.next_offset();
                found.add(Stretch {
                    records: u64::try_from(header.record_count).unwrap_or(0),
                    offsets: Some((header.base_offset, header.last_offset())),
                });
            }
            Found::Batch { position, .. } | Found::Bad { position, .. } => {
                walk.pass_over(position, None, least)?;
            }
        }
    }
    Ok(found)
}

/// All stretches without sound batches, in the order of the log.
pub(crate) fn find(disk: &dyn Disk, dir: &Path) -> Result<Vec<Damage>, InspectError> {
    let mut found: Vec<Damage> = Vec::new();
    let mut next = Offset::ZERO;
    for (base, path) in segments(disk, dir)? {
        next = next.max(base);
        settle(&mut found, base);
        let mut walk = Walk::open(disk, &path)?;
        loop {
            let (position, likely, why) = match walk.next()? {
                None => break,
                Some(Found::Bad { position, error }) => (position, None, error.to_string()),
                Some(Found::Batch { batch, position }) => match batch.verify_crc() {
                    Ok(()) => {
                        settle(&mut found, batch.header().base_offset);
                        next = next.max(batch.header().next_offset());
                        continue;
                    }
                    Err(error) => {
                        let end = position + batch.size() as u64;
                        (position, Some(end), error.to_string())
                    }
                },
            };
            let hole = walk.pass_over(position, likely, next)?;
            found.push(Damage { path: path.clone(), hole, first: next, next: None, why });
        }
    }
    Ok(found)
}

/// The offset at which sound batches go on behind the last stretch.
fn settle(found: &mut [Damage], offset: Offset) {
    if let Some(last) = found.last_mut().filter(|damage| damage.next.is_none()) {
        last.next = Some(offset);
    }
}

/// The offset after the last sound batch.
pub(crate) fn end(disk: &dyn Disk, dir: &Path) -> Result<Offset, InspectError> {
    let mut end = Offset::ZERO;
    for (base, path) in segments(disk, dir)? {
        let whole = stretch(disk, &path, 0, u64::MAX)?;
        end = end.max(base).max(whole.offsets.map_or(base, |(_, last)| last.plus(1)));
    }
    Ok(end)
}
