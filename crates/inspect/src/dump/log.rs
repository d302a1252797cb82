//! Batches and records of a `.log` file or of a metadata snapshot. Must not know what keys and
//! values mean.

use std::fmt::Write as _;
use std::path::Path;

use ottla_env::Disk;
use ottla_log::parse_dir;
use ottla_protocol::Offset;
use ottla_records::{Batch, MAGIC, Record, Scratch, TimestampType};

use super::record::{self, Decoder, plain};
use super::{DumpOptions, Trouble, row};
use crate::error::InspectError;
use crate::json::Json;
use crate::out::Out;
use crate::walk::{Found, Walk};

/// Bytes that one batch may unpack to.
const UNPACKED_MAX: usize = 1 << 30;

struct Log<'a> {
    path: &'a Path,
    options: &'a DumpOptions,
    decoder: Decoder,
    scratch: Scratch,
    last: Option<Offset>,
    /// Records that may still be shown.
    left: u64,
}

pub(super) fn dump(
    disk: &dyn Disk,
    path: &Path,
    options: &DumpOptions,
    out: &mut Out<'_>,
    trouble: &mut Trouble,
) -> Result<(), InspectError> {
    let mut walk = Walk::open(disk, path)?;
    walk.limit(options.max_bytes);
    let mut log = Log {
        path,
        options,
        decoder: options.decoder.unwrap_or_else(|| of_path(path)),
        scratch: Scratch::new(),
        last: None,
        left: options.max_records.unwrap_or(u64::MAX),
    };
    let mut gaps = Vec::new();
    while let Some(found) = walk.next()? {
        match found {
            Found::Batch { batch, position } => {
                let header = batch.header();
                if options.to_offset.is_some_and(|to| header.base_offset > to) || log.left == 0 {
                    break;
                }
                if options.has(header.base_offset, header.last_offset()) {
                    log.batch(&batch, position, out, &mut gaps)?;
                }
            }
            Found::Bad { position, error } => {
                // A file that was cut by --max-bytes ends in the middle of a batch.
                if options.max_bytes == u64::MAX {
                    let bytes = walk.end() - position;
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    out.say(
                        || format!("Found {bytes} invalid bytes at the end of {name}"),
                        || {
                            let fields = [
                                ("position", position.into()),
                                ("bytes", bytes.into()),
                                ("reason", error.to_string().into()),
                            ];
                            row("invalid", path, fields)
                        },
                    )?;
                }
                break;
            }
        }
    }
    for (i, (before, after)) in gaps.into_iter().enumerate() {
        let title = if i == 0 {
            format!("Non-consecutive offsets in {}\n", path.display())
        } else {
            String::new()
        };
        trouble.add(
            format!("{title}  {before} is followed by {after}"),
            row("gap", path, [("after", before.0.into()), ("next", after.0.into())]),
        );
    }
    Ok(())
}

/// The decoder by the name of the directory that the file is in.
fn of_path(path: &Path) -> Decoder {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let dir = absolute.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    parse_dir(&dir).map_or(Decoder::TEXT, |(partition, _)| Decoder::of_topic(&partition.topic))
}

impl Log<'_> {
    fn batch(
        &mut self,
        batch: &Batch<'_>,
        position: u64,
        out: &mut Out<'_>,
        gaps: &mut Vec<(Offset, Offset)>,
    ) -> Result<(), InspectError> {
        out.say(|| batch_text(batch, position), || batch_json(self.path, batch, position))?;
        let count = u64::try_from(batch.header().record_count).unwrap_or(0);
        if !self.options.is_deep() {
            self.left = self.left.saturating_sub(count);
            return Ok(());
        }
        // Not a field of `self`: the records borrow it.
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.records(batch, &mut scratch, out, gaps);
        self.scratch = scratch;
        result
    }

    fn records(
        &mut self,
        batch: &Batch<'_>,
        scratch: &mut Scratch,
        out: &mut Out<'_>,
        gaps: &mut Vec<(Offset, Offset)>,
    ) -> Result<(), InspectError> {
        let records = match batch.records(scratch, UNPACKED_MAX) {
            Ok(records) => records,
            Err(error) => return self.unreadable(&error.to_string(), out),
        };
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.unreadable(&error.to_string(), out),
            };
            if let Some(last) = self.last
                && record.offset != last.plus(1)
            {
                gaps.push((last, record.offset));
            }
            self.last = Some(record.offset);
            if !self.options.has(record.offset, record.offset) {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
            self.left = left;
            out.say(|| self.record_text(batch, &record), || self.record_json(batch, &record))?;
        }
        Ok(())
    }

    fn unreadable(&self, error: &str, out: &mut Out<'_>) -> Result<(), InspectError> {
        out.say(
            || format!("| the records cannot be read: {error}"),
            || row("unreadable", self.path, [("reason", error.to_owned().into())]),
        )
    }

    fn record_text(&self, batch: &Batch<'_>, record: &Record<'_>) -> String {
        let mut line = String::from("|");
        let header = batch.header();
        // Writing into a String cannot fail.
        if !self.options.skip_record_metadata {
            let keys: Vec<_> =
                record.headers.iter().map(|h| String::from_utf8_lossy(h.key)).collect();
            let _ = write!(
                line,
                " offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
                record.offset,
                time_word(header.attributes.timestamp_type()),
                record.timestamp,
                size(record.key),
                size(record.value),
                record::sequence(batch, record),
                keys.join(",")
            );
            if header.attributes.is_control() {
                let _ = write!(line, " {}", record::control(record).0);
            }
        }
        if self.options.print_data && !header.attributes.is_control() {
            let shown = self.decoder.show(record);
            if let Some(key) = shown.key {
                let _ = write!(line, " key: {}", plain(&key));
            }
            if let Some(payload) = shown.payload {
                let _ = write!(line, " payload: {}", plain(&payload));
            }
        }
        line
    }

    fn record_json(&self, batch: &Batch<'_>, record: &Record<'_>) -> Json {
        let header = batch.header();
        let mut json = row("record", self.path, [("offset", record.offset.0.into())]);
        if !self.options.skip_record_metadata {
            json.put("timestampType", time_word(header.attributes.timestamp_type()));
            json.put("timestamp", record.timestamp.0);
            json.put("keySize", size(record.key));
            json.put("valueSize", size(record.value));
            json.put("sequence", record::sequence(batch, record));
            let headers = record.headers.iter().map(|header| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Json::object([
                    ("key", text(header.key).into()),
                    ("value", header.value.map(text).into()),
                ])
            });
            json.put("headers", Json::List(headers.collect()));
            if header.attributes.is_control() {
                json.put("control", record::control(record).1);
            }
        }
        if self.options.print_data && !header.attributes.is_control() {
            let shown = self.decoder.show(record);
            json.put("key", shown.key);
            json.put("payload", shown.payload);
        }
        json
    }
}

fn size(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn time_word(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn codec(batch: &Batch<'_>) -> String {
    let header = batch.header();
    header
        .compression()
        .map_or_else(|_| format!("unknown({})", header.attributes.codec_id()), |c| c.name().into())
}

fn batch_text(batch: &Batch<'_>, position: u64) -> String {
    let h = batch.header();
    let horizon = h
        .delete_horizon()
        .map_or_else(|| "OptionalLong.empty".to_owned(), |ms| format!("OptionalLong[{ms}]"));
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
         producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} \
         deleteHorizonMs: {horizon} position: {position} {}: {} size: {} magic: {MAGIC} \
         compresscodec: {} crc: {} isvalid: {}",
        h.base_offset,
        h.last_offset(),
        h.record_count,
        h.base_sequence,
        h.last_sequence(),
        h.producer_id,
        h.producer_epoch,
        h.partition_leader_epoch,
        h.attributes.is_transactional(),
        h.attributes.is_control(),
        time_word(h.attributes.timestamp_type()),
        h.max_timestamp,
        batch.size(),
        codec(batch),
        h.crc,
        batch.verify_crc().is_ok(),
    )
}

fn batch_json(path: &Path, batch: &Batch<'_>, position: u64) -> Json {
    let h = batch.header();
    let fields = [
        ("baseOffset", h.base_offset.0.into()),
        ("lastOffset", h.last_offset().0.into()),
        ("count", h.record_count.into()),
        ("baseSequence", h.base_sequence.into()),
        ("lastSequence", h.last_sequence().into()),
        ("producerId", h.producer_id.0.into()),
        ("producerEpoch", i32::from(h.producer_epoch.0).into()),
        ("partitionLeaderEpoch", h.partition_leader_epoch.0.into()),
        ("isTransactional", h.attributes.is_transactional().into()),
        ("isControl", h.attributes.is_control().into()),
        ("deleteHorizonMs", h.delete_horizon().map(|ms| ms.0).into()),
        ("position", position.into()),
        ("timestampType", time_word(h.attributes.timestamp_type()).into()),
        ("maxTimestamp", h.max_timestamp.0.into()),
        ("size", batch.size().into()),
        ("magic", i32::from(MAGIC).into()),
        ("compresscodec", codec(batch).into()),
        ("crc", h.crc.into()),
        ("isvalid", batch.verify_crc().is_ok().into()),
    ];
    row("batch", path, fields)
}
