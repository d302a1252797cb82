//! What a leader asks of a batch before it appends it: Kafka 4.4's checks, in Kafka's order, with
//! Kafka's error for each (`ProduceRequest.validateRecords`, `UnifiedLog`'s analysis,
//! `LogValidator`). Knows one batch and the topic's settings; must not know sequences of a
//! producer, offsets of a log, or requests.

mod compressed;
mod plain;
mod record_checks;
mod structure;

use ottla_protocol::Millis;

use crate::compress::Scratch;
use crate::error::BatchError;
use crate::header::{BatchHeader, Compression, HEADER_LEN, TimestampType};
use crate::patch::set_max_timestamp;
use crate::refusal::{Refusal, RefusalKind};

pub use structure::{check_produced, claims_transaction};

/// Who appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendOrigin {
    /// A client's Produce request: all checks.
    Client,
    /// A coordinator on this broker: control batches are allowed, offsets and counts trusted.
    Coordinator,
}

/// `compression.type` of the topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetCompression {
    /// `producer`: batches stay as they are.
    Producer,
    /// All other values: batches in another codec are rebuilt.
    Codec {
        /// `uncompressed` is [`Compression::None`].
        codec: Compression,
        /// `compression.<codec>.level`; `None` for the codec's default.
        level: Option<i32>,
    },
}

/// The topic's settings and the time.
#[derive(Clone, Debug)]
pub struct ValidationRules {
    /// Who appends.
    pub origin: AppendOrigin,
    /// `max.message.bytes`: of the batch, header included, as it came and as it is stored.
    pub max_message_bytes: usize,
    /// `cleanup.policy` contains `compact`: keys are required.
    pub compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// Now, in milliseconds since the Unix epoch.
    pub now: Millis,
    /// `message.timestamp.before.max.ms`.
    pub before_max: Millis,
    /// `message.timestamp.after.max.ms`.
    pub after_max: Millis,
    /// `compression.type` and its level.
    pub target_compression: TargetCompression,
    /// `max.decompressed.message.bytes`: of one record of a compressed batch.
    pub max_decompressed_message_bytes: i32,
    /// Bytes that the records of one batch may decompress to, all together: Ottla's own bound
    /// against bombs; Kafka has none.
    pub max_decompressed_batch_bytes: usize,
}

impl Default for ValidationRules {
    /// Kafka's defaults for a client's batch, at time 0.
    fn default() -> Self {
        Self {
            origin: AppendOrigin::Client,
            max_message_bytes: 1_048_588,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            now: Millis(0),
            before_max: Millis(i64::MAX),
            after_max: Millis(3_600_000),
            target_compression: TargetCompression::Producer,
            max_decompressed_message_bytes: i32::MAX - 8,
            max_decompressed_batch_bytes: 1 << 30,
        }
    }
}

/// A batch that may be appended, once it has its offset and leader epoch
/// ([`crate::set_base_offset_and_epoch`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Validated {
    /// The header as it is to be stored, base offset and leader epoch still as they came.
    pub header: BatchHeader,
    /// Bytes of the batch at the start of what was validated; bytes after it are not appended.
    /// Means nothing when the batch was rebuilt.
    pub size: usize,
    /// The largest record timestamp (−1 for none), or the append time.
    pub max_timestamp: Millis,
    /// The append time for the answer, where the topic's timestamp type is LogAppendTime.
    pub log_append_time: Option<Millis>,
    /// The batch to append in place of the one that came.
    pub rebuilt: Option<Vec<u8>>,
}

impl Validated {
    /// The bytes to append; `records` is what was validated.
    #[must_use]
    pub fn bytes_mut<'a>(&'a mut self, records: &'a mut [u8]) -> &'a mut [u8] {
        match &mut self.rebuilt {
            Some(rebuilt) => rebuilt,
            None => records.get_mut(..self.size).unwrap_or_default(),
        }
    }
}

/// Validates the batch that `records` (one partition's bytes of a Produce request) begins with,
/// changes timestamps and CRC in place where the topic asks for it, and rebuilds it where it has
/// to be stored in another codec. Base offset and leader epoch are set later, under the
/// partition's lock. [`check_produced`] has been called before. Bytes are only changed when the
/// batch is accepted.
///
/// # Errors
/// A [`Refusal`] with Kafka's wire error.
pub fn validate(
    records: &mut [u8],
    rules: &ValidationRules,
    scratch: &mut Scratch,
) -> Result<Validated, Refusal> {
    let size = structure::analyse(records, rules)?;
    let batch = records.get_mut(..size).unwrap_or_default();
    let header = BatchHeader::parse(batch)?;
    structure::check_header(&header, rules)?;
    let source = header.compression()?;
    let (target, level) = match rules.target_compression {
        TargetCompression::Producer => (source, None),
        TargetCompression::Codec { codec, level } => (codec, level),
    };
    let payload = batch.get(HEADER_LEN..).unwrap_or_default();
    let stays_plain = source == Compression::None
        && (target == Compression::None || header.attributes.is_control());
    if source != target && !stays_plain {
        return rebuild(&header, payload, (target, level), rules, scratch);
    }
    let max_timestamp = if stays_plain {
        plain::check(&header, payload, rules)?
    } else {
        compressed::check(&header, payload, rules, scratch)?
    };
    let stored_max = match rules.timestamp_type {
        TimestampType::CreateTime => max_timestamp,
        TimestampType::LogAppendTime => rules.now,
    };
    set_max_timestamp(batch, rules.timestamp_type, stored_max);
    Ok(Validated {
        header: BatchHeader::parse(batch)?,
        size,
        max_timestamp: stored_max,
        log_append_time: rules.log_append_time(),
        rebuilt: None,
    })
}

fn rebuild(
    header: &BatchHeader,
    payload: &[u8],
    target: (Compression, Option<i32>),
    rules: &ValidationRules,
    scratch: &mut Scratch,
) -> Result<Validated, Refusal> {
    let rebuilt = compressed::rebuild(header, payload, target, rules, scratch)?;
    let limit = rules.max_message_bytes;
    if rebuilt.len() > limit {
        return Err(BatchError::TooLarge { size: rebuilt.len(), limit }.into());
    }
    let header = BatchHeader::parse(&rebuilt)?;
    Ok(Validated {
        size: rebuilt.len(),
        max_timestamp: header.max_timestamp,
        log_append_time: rules.log_append_time(),
        header,
        rebuilt: Some(rebuilt),
    })
}

impl ValidationRules {
    const fn log_append_time(&self) -> Option<Millis> {
        match self.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.now),
        }
    }
}

/// What Java's code throws without a name; the wire says `UNKNOWN_SERVER_ERROR`.
fn nameless(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::UnknownServerError, message)
}
