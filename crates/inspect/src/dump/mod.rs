//! What is in the files, as `kafka-dump-log.sh` shows it: same words for the same facts. Must not
//! judge: that is `verify`.

mod index;
mod log;
mod record;
mod small;
mod snapshot;

use std::path::{Path, PathBuf};

use ottla_env::{Disk, EntryKind};
use ottla_log::parse_dir;
use ottla_protocol::Offset;

pub use index::IndexMode;
pub use record::{Decoder, FieldDecoder};

use crate::error::InspectError;
use crate::json::Json;
use crate::kind::Kind;
use crate::out::Out;
use crate::target::Target;

/// What is shown of the files.
#[derive(Clone, Copy, Debug)]
pub struct DumpOptions {
    /// The records' keys and values; brings `deep` with it.
    pub print_data: bool,
    /// The records, not only the batches.
    pub deep: bool,
    /// How keys and values are read. `None`: by the name of the partition's directory.
    pub decoder: Option<Decoder>,
    /// Nothing of a record but key and value; control records not at all.
    pub skip_record_metadata: bool,
    /// How much is shown of an index.
    pub index: IndexMode,
    /// The most bytes that the batch an index entry points at may have.
    pub max_message_size: u64,
    /// Bytes of each log that are looked at.
    pub max_bytes: u64,
    /// Batches that end before are left out.
    pub from_offset: Option<Offset>,
    /// Batches that begin after are left out.
    pub to_offset: Option<Offset>,
    /// The most records of each log that are shown; without `deep`, that the batches shown have.
    pub max_records: Option<u64>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            print_data: false,
            deep: false,
            decoder: None,
            skip_record_metadata: false,
            index: IndexMode::Print,
            max_message_size: 5 << 20,
            max_bytes: u64::MAX,
            from_offset: None,
            to_offset: None,
            max_records: None,
        }
    }
}

impl DumpOptions {
    fn is_deep(&self) -> bool {
        self.deep || self.print_data
    }

    fn has(&self, first: Offset, last: Offset) -> bool {
        self.from_offset.is_none_or(|from| last >= from)
            && self.to_offset.is_none_or(|to| first <= to)
    }
}

/// Shows the files of the targets, one after the other.
///
/// # Errors
/// When a file cannot be read, or the answer not be written.
pub fn dump(
    disk: &dyn Disk,
    targets: &[Target],
    options: &DumpOptions,
    out: &mut Out<'_>,
) -> Result<(), InspectError> {
    let mut trouble = Trouble::default();
    for target in targets {
        for path in files_of(disk, target)? {
            file(disk, &path, options, out, &mut trouble)?;
        }
    }
    trouble.tell(out)?;
    out.finish()
}

/// What did not fit, told at the end as Kafka's tool does.
#[derive(Default)]
struct Trouble {
    lines: Vec<String>,
    rows: Vec<Json>,
}

impl Trouble {
    fn add(&mut self, line: String, row: Json) {
        self.lines.push(line);
        self.rows.push(row);
    }

    fn tell(self, out: &mut Out<'_>) -> Result<(), InspectError> {
        for (line, row) in self.lines.into_iter().zip(self.rows) {
            out.say(|| line, || row)?;
        }
        Ok(())
    }
}

fn files_of(disk: &dyn Disk, target: &Target) -> Result<Vec<PathBuf>, InspectError> {
    let in_dir = |dir: &Path| -> Result<Vec<PathBuf>, InspectError> {
        let mut entries = disk.list(dir)?;
        entries.retain(|entry| entry.kind == EntryKind::File);
        // What belongs to one segment stands together.
        entries.sort_by_key(|entry| (Kind::of(&entry.name).offset(), Kind::of(&entry.name)));
        let shown = entries.into_iter().filter(|entry| !is_private(&entry.name));
        Ok(shown.map(|entry| dir.join(entry.name)).collect())
    };
    match target {
        Target::File(path) => Ok(vec![path.clone()]),
        Target::Partition(path) => in_dir(path),
        Target::LogDir(path) => {
            let mut files = in_dir(path)?;
            for entry in disk.list(path)? {
                if entry.kind == EntryKind::Directory && parse_dir(&entry.name).is_some() {
                    files.extend(in_dir(&path.join(entry.name))?);
                }
            }
            Ok(files)
        }
    }
}

/// Dot-files are private, but for the marker of a clean stop.
fn is_private(name: &str) -> bool {
    name.starts_with('.') && Kind::of(name) != Kind::CleanShutdown
}

fn file(
    disk: &dyn Disk,
    path: &Path,
    options: &DumpOptions,
    out: &mut Out<'_>,
    trouble: &mut Trouble,
) -> Result<(), InspectError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    // A file on its way in or out is shown as what it was or will be.
    let plain = [".cleaned", ".swap", ".deleted"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(&name);
    let kind = Kind::of(plain);
    let shown = path.display().to_string();
    out.say(
        || format!("Dumping {shown}"),
        || {
            Json::object([
                ("type", "file".into()),
                ("file", shown.clone().into()),
                ("kind", kind.word().into()),
            ])
        },
    )?;
    match kind {
        Kind::Log(base) => {
            out.text(|| format!("Log starting offset: {base}"))?;
            log::dump(disk, path, options, out, trouble)
        }
        Kind::MetadataSnapshot => {
            out.text(|| snapshot::title(plain))?;
            let decoder = options.decoder.unwrap_or(Decoder::ClusterMetadata);
            let options = DumpOptions { decoder: Some(decoder), ..*options };
            log::dump(disk, path, &options, out, trouble)
        }
        Kind::OffsetIndex(base) => index::offsets(disk, path, base, options, out, trouble),
        Kind::TimeIndex(base) => index::times(disk, path, base, options, out, trouble),
        Kind::TxnIndex(_) => index::transactions(disk, path, out),
        Kind::Snapshot(_) => snapshot::producers(disk, path, out),
        Kind::LeaderEpochs
        | Kind::PartitionMetadata
        | Kind::OffsetCheckpoint
        | Kind::MetaProperties
        | Kind::CleanShutdown
        | Kind::QuorumState => small::dump(disk, path, kind, out),
        Kind::Passing | Kind::Other => {
            out.say(|| format!("Ignoring unknown file {shown}"), || row("ignored", path, []))
        }
    }
}

/// A row of JSON about a file.
fn row<const N: usize>(kind: &'static str, path: &Path, fields: [(&'static str, Json); N]) -> Json {
    let mut row =
        Json::object([("type", kind.into()), ("file", path.display().to_string().into())]);
    for (name, value) in fields {
        row.put(name, value);
    }
    row
}
