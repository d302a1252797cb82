//! What must hold of a log whose files were changed in any way before it was opened. Shared by the
//! fuzz target and the normal tests. An input is a script: flags, then changes of files (kind,
//! file, position, length and bytes).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode};
use ottla_log::{
    Answer, LoadReport, LogConfig, LogDir, LogDirLimits, LogError, OpenOptions, PartitionLog,
    ReadError, ReadRequest, TopicPartition,
};
use ottla_partition::{AppendContext, ProducerRules};
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Uuid};
use ottla_records::{
    Batch, BatchBuilder, BatchOptions, Batches, Compression, EndTransactionMarker, HEADER_LEN,
    crc32c, end_transaction_batch,
};

const NOW: Millis = Millis(1_700_000_000_000);
const DIR: &str = "/d";
const START: Offset = Offset(7);
/// What the checksum covers begins here.
const CHECKED_FROM: usize = 21;

/// A log with everything that a log can have.
struct Base {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Of each batch, what its checksum covers, to its base offset.
    batches: BTreeMap<Vec<u8>, Offset>,
    end: Offset,
}

/// One change, as the bytes of the script say.
struct Change<'a> {
    kind: u8,
    file: u8,
    position: usize,
    bytes: &'a [u8],
}

/// What the changes did.
#[derive(Default)]
struct Done {
    /// Batches, or the files' names that say where they belong.
    log: bool,
    /// Checksums were made to fit: anything may be found, but nothing may break.
    forged: bool,
    /// The index of aborted transactions: nobody sees that one is gone.
    aborted: bool,
    /// `partition.metadata`, which is not derived.
    identity: bool,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_500,
        index_interval_bytes: 150,
        tail_bytes: 0,
        max_decompressed_bytes: 1 << 20,
        ..LogConfig::default()
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn options(clean: bool, recovery_point: Offset, log_start: Offset) -> OpenOptions {
    let rules = ProducerRules { verify_transactions: false, ..ProducerRules::default() };
    OpenOptions {
        clean,
        recovery_point,
        log_start,
        producer_rules: rules,
        ..OpenOptions::new(Some(Uuid([7; 16])), config(), NOW)
    }
}

fn records(number: i64) -> BytesMut {
    let compression = match number % 5 {
        0 => Compression::Lz4,
        1 => Compression::Gzip,
        _ => Compression::None,
    };
    let transactional = number % 4 == 3;
    let with_producer = number % 4 >= 2;
    let options = BatchOptions {
        compression,
        producer_id: ProducerId(if with_producer { number % 4 } else { -1 }),
        producer_epoch: ProducerEpoch(if with_producer { 0 } else { -1 }),
        base_sequence: if with_producer { i32::try_from(number / 4 * 3).unwrap() } else { -1 },
        transactional,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options).unwrap();
    for record in 0..3 {
        let value = vec![b'a' + u8::try_from(number % 26).unwrap(); 20 + number as usize % 40];
        let time = Millis(NOW.0 + number * 10 + record);
        builder.append(time, Some(b"key"), Some(&value), &[]).unwrap();
    }
    BytesMut::from(builder.build().unwrap().as_slice())
}

fn build() -> Base {
    let disk = MemoryDisk::new();
    let dir = open_dir(&disk);
    let (mut log, _) =
        PartitionLog::open(&dir, &partition(), options(false, Offset::ZERO, Offset::ZERO)).unwrap();
    for number in 0..40_i64 {
        let epoch = LeaderEpoch(i32::try_from(number / 9).unwrap());
        let context = AppendContext::CLIENT;
        log.append(records(number), epoch, NOW, &context).unwrap();
        if number % 8 == 7 && number < 33 {
            let commit = number % 16 == 7;
            let marker = EndTransactionMarker { coordinator_epoch: 0 };
            let (producer, of) = (ProducerId(3), ProducerEpoch(0));
            let marker = end_transaction_batch(NOW, producer, of, commit, marker, epoch).unwrap();
            let marker = BytesMut::from(marker.as_slice());
            log.append(marker, epoch, NOW, &AppendContext::COORDINATOR).unwrap();
        }
    }
    log.advance_log_start(START);
    log.flush_now().unwrap();
    let end = log.log_end();
    let (all, _) = read_all(&log);
    let batches = all.iter().map(|batch| {
        let header = *Batch::parse(batch).unwrap().header();
        (batch[CHECKED_FROM..].to_vec(), header.base_offset)
    });
    let batches = batches.collect();
    log.close().unwrap();
    drop(dir);
    Base { files: disk.files(), batches, end }
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(build)
}

fn open_dir(disk: &MemoryDisk) -> Arc<LogDir> {
    LogDir::open(Arc::new(disk.clone()), Path::new(DIR), LogDirLimits::default()).unwrap()
}

/// Reads from the log's start to its end or to the first batch that cannot be read.
fn read_all(log: &PartitionLog) -> (Vec<Bytes>, Option<ReadError>) {
    let mut all = Vec::new();
    let mut at = log.log_start();
    while at < log.log_end() {
        let up_to = log.log_end();
        let request = ReadRequest { from: at, up_to, max_bytes: 900, at_least_one: true };
        let fetched = match log.read(&request) {
            Ok(Answer::Ready(fetched)) => Ok(fetched),
            Ok(Answer::Lookup(view)) => view.read(&request),
            Err(error) => Err(error),
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => return (all, Some(error)),
        };
        if fetched.batches.is_empty() {
            break;
        }
        assert!(fetched.next_offset > at, "a read at {at} of {up_to} makes progress");
        for run in &fetched.batches {
            for batch in Batches::new(run) {
                let batch = batch.expect("whole batches are read");
                batch.verify_crc().expect("no damaged batch is read");
                all.push(run.slice_ref(batch.bytes()));
            }
        }
        at = fetched.next_offset;
    }
    (all, None)
}

fn changes(mut script: &[u8]) -> Vec<Change<'_>> {
    let mut found = Vec::new();
    while let [kind, file, high, low, length, rest @ ..] = script {
        let length = usize::from(*length).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        let position = usize::from(u16::from_be_bytes([*high, *low]));
        found.push(Change { kind: *kind, file: *file, position, bytes });
        script = rest;
    }
    found
}

/// Writes `bytes` over what stands at `position`, which may be the end.
fn overwrite(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let at = position % (content.len() + 1);
    let within = bytes.len().min(content.len() - at);
    content[at..at + within].copy_from_slice(&bytes[..within]);
    content.extend_from_slice(&bytes[within..]);
}

/// Changes a field of the `number`th batch and its checksum with it.
fn forge(content: &mut [u8], number: usize, field: u8, bytes: &[u8]) {
    let mut at = 0;
    for _ in 0..number % 12 {
        match Batch::parse(&content[at..]) {
            Ok(batch) => at += batch.size(),
            Err(_) => return,
        }
    }
    let Ok(batch) = Batch::parse(&content[at..]) else { return };
    let size = batch.size();
    let batch = &mut content[at..at + size];
    // Anything behind the checksum, or offsets and epoch before it; not length and magic.
    let field = match usize::from(field) % (HEADER_LEN + 40) {
        place @ (0..8 | 12..16 | CHECKED_FROM..) => place.min(size - 1),
        _ => CHECKED_FROM,
    };
    let within = bytes.len().min(size - field).min(8);
    batch[field..field + within].copy_from_slice(&bytes[..within]);
    let crc = crc32c(&batch[CHECKED_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn apply(files: &mut BTreeMap<PathBuf, Vec<u8>>, change: &Change<'_>, done: &mut Done) {
    let paths: Vec<PathBuf> =
        files.keys().filter(|path| path.components().count() > 3).cloned().collect();
    let Some(path) = paths.get(usize::from(change.file) % paths.len().max(1)).cloned() else {
        return;
    };
    let ends = |ending: &str| path.to_string_lossy().ends_with(ending);
    done.log |= ends(".log");
    done.aborted |= ends(".txnindex");
    done.identity |= ends("partition.metadata");
    let Some(content) = files.get_mut(&path) else { return };
    match change.kind % 10 {
        0 => overwrite(content, change.position, change.bytes),
        1 => content.truncate(change.position % (content.len() + 1)),
        2 => content.extend(std::iter::repeat_n(0, change.position % 5_000)),
        3 => {
            files.remove(&path);
        }
        4 => {
            // Left by an interrupted replacement, or on its way out.
            let endings = [".swap", ".cleaned", ".deleted", ".tmp", ".x"];
            if endings.iter().any(|ending| ends(ending)) {
                return;
            }
            let mut name = path.clone().into_os_string();
            name.push(endings[change.position % endings.len()]);
            let content = files.remove(&path).unwrap_or_default();
            files.insert(name.into(), content);
        }
        5 => {
            let other = &paths[change.position % paths.len()];
            let copied = files.get(other).cloned().unwrap_or_default();
            // Good batches in the wrong place: a hole as compaction may leave one. Or a good
            // snapshot of another time.
            done.forged |= done.log || ends(".snapshot");
            files.insert(path, copied);
        }
        6 => {
            let at = change.position % (content.len() + 1);
            content.splice(at..at, change.bytes.iter().copied());
        }
        7 => {
            let endings = ["log", "index", "timeindex", "txnindex", "snapshot", "log.swap"];
            let ending = endings[usize::from(change.file) % endings.len()];
            let name = format!("{DIR}/t-0/{:020}.{ending}", change.position % 200);
            // A segment among others, or in place of one.
            done.log |= ending.starts_with("log");
            done.aborted |= ending == "txnindex";
            files.insert(name.into(), change.bytes.to_vec());
        }
        8 if ends(".log") => {
            done.forged = true;
            let (field, bytes) = change.bytes.split_first().unwrap_or((&0, &[]));
            forge(content, change.position, *field, bytes);
        }
        9 if ends(".snapshot") && content.len() > 6 => {
            overwrite(content, change.position.max(6), change.bytes);
            let crc = crc32c(&content[6..]);
            content[2..6].copy_from_slice(&crc.to_be_bytes());
            done.forged = true;
        }
        _ => overwrite(content, change.position, change.bytes),
    }
}

fn disk_of(files: &BTreeMap<PathBuf, Vec<u8>>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for dir in [DIR, "/d/t-0"] {
        disk.create_dir(Path::new(dir)).unwrap();
    }
    for (path, content) in files {
        let file = disk.open(path, OpenMode::CreateEmpty).unwrap();
        file.write_at(&[Bytes::from(content.clone())], 0).unwrap();
        file.sync_data().unwrap();
    }
    for dir in ["/", DIR, "/d/t-0"] {
        disk.sync_dir(Path::new(dir)).unwrap();
    }
    disk
}

/// Opening the changed log does not panic, tells of what is missing, and gives out nothing that
/// was not there. Says whether it opened with all of its records.
pub(crate) fn recovery(data: &[u8]) -> bool {
    let Some((flags, script)) = data.split_first() else { return false };
    let base = base();
    let mut files = base.files.clone();
    let mut done = Done::default();
    for change in changes(script).iter().take(8) {
        apply(&mut files, change, &mut done);
    }
    let clean = flags & 1 != 0;
    let recovery_point = if flags & 2 != 0 { base.end } else { Offset::ZERO };
    let disk = disk_of(&files);
    let dir = open_dir(&disk);
    let opened = PartitionLog::open(&dir, &partition(), options(clean, recovery_point, START));
    let (log, report) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(done.log || done.identity || done.forged, "{error}");
            return false;
        }
    };
    let whole = contents(base, recovery_point, (&log, &report), &done);
    use_it(log, &dir, whole && !done.aborted && !done.log && !done.forged);
    whole
}

/// Compares what is read with what was written; says whether all of it is there.
fn contents(
    base: &Base,
    recovery_point: Offset,
    (log, report): (&PartitionLog, &LoadReport),
    done: &Done,
) -> bool {
    let (found, error) = read_all(log);
    assert!(log.log_start() <= log.log_end());
    let mut seen: BTreeSet<Offset> = BTreeSet::new();
    let mut last = Offset(-1);
    for batch in &found {
        let header = *Batch::parse(batch).unwrap().header();
        assert!(header.base_offset > last, "{} follows {last}", header.base_offset);
        last = header.last_offset();
        let known = base.batches.get(&batch[CHECKED_FROM..]);
        assert!(done.forged || known.is_some(), "a batch at {last} that nobody wrote");
        seen.extend(known);
    }
    let whole = seen.len() == base.batches.len() && error.is_none() && log.log_end() == base.end;
    if !done.log && !done.forged {
        assert!(whole, "what can be derived was changed, and records are missing: {report:?}");
    }
    // Offsets are outside of the checksum, so a batch may be found elsewhere; what is not found
    // at all must have been told of. That the first segments are gone may be retention's work, and
    // what is behind the recovery point need not have been there.
    let start = log.log_start();
    let known = recovery_point.max(seen.last().copied().unwrap_or_default());
    let missing = base.batches.values().filter(|offset| !seen.contains(offset));
    if missing.filter(|offset| (start..known).contains(offset)).count() > 0 && !done.forged {
        let told = !report.warnings.is_empty() || error.is_some();
        let (found, all) = (seen.len(), base.batches.len());
        let end = log.log_end();
        assert!(told, "{found} of {all} batches, to {end} of {}, silently: {report:?}", base.end);
    }
    whole
}

/// Lookups and appends work; what is appended is there after another start. `exact`: nothing but
/// what can be derived was changed.
fn use_it(mut log: PartitionLog, dir: &Arc<LogDir>, exact: bool) {
    for time in [-6, -5, -4, -3, -2, -1, 0, NOW.0, NOW.0 + 203, i64::MAX] {
        if let Answer::Lookup(view) = log.list_offset(time) {
            let found = view.list_offset(time);
            assert!(!exact || found.is_ok(), "{found:?} for {time}");
        }
    }
    let aborted = log.view().aborted_transactions(log.log_start(), log.log_end());
    if exact {
        assert_eq!(aborted.expect("they can be read").len(), 2);
    }
    let epochs = (0..6).map(|epoch| log.offset_for_leader_epoch(LeaderEpoch(epoch)));
    assert_eq!(epochs.count(), 6);
    let before = log.log_end();
    let appended = log.append(records(0), LeaderEpoch(i32::MAX), NOW, &AppendContext::CLIENT);
    let Ok(appended) = appended else {
        assert!(!exact, "{appended:?}");
        return;
    };
    assert_eq!(appended.base_offset, before);
    let (start, end) = (log.log_start(), log.log_end());
    log.flush_now().expect("the disk works");
    let (found, error) = read_all(&log);
    log.close().expect("the disk works");
    match PartitionLog::open(dir, &partition(), options(true, end, start)) {
        Ok((log, report)) => {
            assert_eq!(log.log_end(), end, "{report:?}");
            let (again, again_error) = read_all(&log);
            assert_eq!((again.len(), again_error.is_some()), (found.len(), error.is_some()));
        }
        Err(LogError::Disk(error)) => panic!("{error}"),
        Err(_) => assert!(!exact),
    }
}
