//! The rules for single records, and the list of those that break them. Must not know how the
//! records were read.

use crate::header::{BatchHeader, NO_TIMESTAMP, TimestampType};
use crate::refusal::{InvalidRecord, InvalidRecordReason, Refusal, RefusalKind};
use crate::validate::ValidationRules;

/// Records at fault that are named in an answer; all are counted.
const NAMED: usize = 10_000;

/// Goes over the records of one batch.
pub(super) struct RecordChecks<'r> {
    rules: &'r ValidationRules,
    flagged: bool,
    append_time: Option<i64>,
    base_timestamp: i64,
    index: i32,
    faults: Vec<InvalidRecord>,
    fault_count: i64,
    timestamp_fault: bool,
    pub(super) max_timestamp: i64,
}

impl<'r> RecordChecks<'r> {
    pub(super) const fn new(header: &BatchHeader, rules: &'r ValidationRules) -> Self {
        let flagged = matches!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        Self {
            rules,
            flagged,
            append_time: if flagged { Some(header.max_timestamp.0) } else { None },
            base_timestamp: header.base_timestamp.0,
            index: 0,
            faults: Vec::new(),
            fault_count: 0,
            timestamp_fault: false,
            max_timestamp: NO_TIMESTAMP.0,
        }
    }

    /// Place of the next record in the batch.
    pub(super) const fn index(&self) -> i32 {
        self.index
    }

    /// Whether all records so far are in order.
    pub(super) const fn all_good(&self) -> bool {
        self.fault_count == 0
    }

    /// Looks at the next record; gives its timestamp.
    #[inline]
    pub(super) fn check(&mut self, timestamp_delta: i64, has_key: bool) -> i64 {
        let timestamp =
            self.append_time.unwrap_or_else(|| self.base_timestamp.wrapping_add(timestamp_delta));
        let reason = if self.rules.compacted && !has_key {
            Some(InvalidRecordReason::NoKey)
        } else {
            self.timestamp_reason(timestamp)
        };
        if let Some(reason) = reason {
            self.fault(reason);
        }
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
        }
        self.index += 1;
        timestamp
    }

    fn timestamp_reason(&self, timestamp: i64) -> Option<InvalidRecordReason> {
        let rules = self.rules;
        if rules.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP.0 {
            let age = rules.now.0.wrapping_sub(timestamp);
            let outside = age > rules.before_max.0 || age.wrapping_neg() > rules.after_max.0;
            outside.then(|| InvalidRecordReason::TimestampOutOfRange {
                timestamp,
                earliest: rules.now.0.wrapping_sub(rules.before_max.0),
                latest: rules.now.0.wrapping_add(rules.after_max.0),
            })
        } else {
            self.flagged.then_some(InvalidRecordReason::LogAppendTime)
        }
    }

    #[cold]
    fn fault(&mut self, reason: InvalidRecordReason) {
        self.fault_count += 1;
        self.timestamp_fault |= reason != InvalidRecordReason::NoKey;
        if self.faults.len() < NAMED {
            self.faults.push(InvalidRecord { index: self.index, reason });
        }
    }

    /// After the last record: the largest timestamp, or what is wrong.
    pub(super) fn finish(self) -> Result<i64, Refusal> {
        if self.fault_count == 0 {
            return Ok(self.max_timestamp);
        }
        let (kind, message) = if self.timestamp_fault {
            let message = "One or more records have been rejected due to invalid timestamp";
            (RefusalKind::InvalidTimestamp, message.to_owned())
        } else {
            let first = self.faults.first().map(|fault| fault.reason.to_string());
            let message = format!(
                "{} records have been rejected; the first because {}",
                self.fault_count,
                first.unwrap_or_default()
            );
            (RefusalKind::InvalidRecord, message)
        };
        Err(Refusal { kind, message, records: self.faults })
    }
}
