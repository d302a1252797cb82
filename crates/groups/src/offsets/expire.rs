//! Expiry of offsets (KIP-211). Must not know when it is looked for.

use ottla_protocol::{Millis, StrBytes};

use super::{Committed, Offsets};
use crate::Record;
use crate::group::{Group, Retention};

impl Offsets {
    /// The records that delete what of a group's offsets has expired. Says whether nothing will
    /// be left.
    pub(crate) fn expire(
        &self,
        id: &StrBytes,
        group: &Group,
        wall: Millis,
        retention: Millis,
        records: &mut Vec<Record>,
    ) -> bool {
        let nothing_open = !self.has_open_transactions(id);
        let Some(topics) = self.committed.group(id) else { return nothing_open };
        let Some(since) = group.retention() else { return false };
        let mut all = true;
        for (topic, partitions) in topics {
            let subscribed = group.is_subscribed(topic);
            for (partition, offset) in partitions {
                if !subscribed
                    && is_expired(offset, since, wall, retention)
                    && !self.is_unstable(id, topic, *partition)
                {
                    records.push(Record::offset_tombstone(id, topic, *partition));
                } else {
                    all = false;
                }
            }
        }
        all && nothing_open
    }
}

fn is_expired(offset: &Committed, since: Retention, wall: Millis, retention: Millis) -> bool {
    if let Some(at) = offset.expire_timestamp {
        return wall >= at;
    }
    let base = match since {
        Retention::SinceCommit => offset.commit_timestamp,
        Retention::Since(empty) => empty,
    };
    wall.0.saturating_sub(base.0) >= retention.0
}
