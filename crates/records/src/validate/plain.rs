//! Uncompressed records that stay uncompressed: one walk over the bytes, nothing allocated.

use ottla_protocol::Millis;

use crate::error::BatchError;
use crate::header::BatchHeader;
use crate::record::{read_body, split_body};
use crate::refusal::Refusal;
use crate::validate::ValidationRules;
use crate::validate::record_checks::RecordChecks;

/// Gives the largest record timestamp.
pub(super) fn check(
    header: &BatchHeader,
    mut payload: &[u8],
    rules: &ValidationRules,
) -> Result<Millis, Refusal> {
    let mut checks = RecordChecks::new(header, rules);
    let count = header.record_count;
    if count < 0 {
        return Err(BatchError::Count(count).into());
    }
    while checks.index() < count {
        let body = split_body(&mut payload)
            .and_then(read_body)
            .map_err(|error| BatchError::Record { index: checks.index(), error })?;
        checks.check(body.timestamp_delta, body.key.is_some());
    }
    if count > 0 && !payload.is_empty() {
        return Err(BatchError::Trailing.into());
    }
    checks.finish().map(Millis)
}
