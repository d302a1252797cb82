//! What a record of the log does to a shard. Must not know whether it is replayed or has just been
//! planned, but for classic groups, whose soft state is ahead of their records.

use bytes::Bytes;
use ottla_protocol::{GroupMetadataValue, Offset, ProducerId, StrBytes};

use super::Shard;
use crate::LoadError;
use crate::classic::ClassicGroup;
use crate::foreign::{ForeignGroup, ForeignKind};
use crate::group::Group;
use crate::records::{Key, decode_group, decode_offset};

impl Shard {
    pub(super) fn apply_record(
        &mut self,
        offset: Offset,
        producer: Option<ProducerId>,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<(), LoadError> {
        self.unapplied = self.unapplied.saturating_sub(1);
        let damaged = |error: &dyn std::fmt::Display| LoadError { offset, what: error.to_string() };
        match Key::decode(key).map_err(|error| damaged(&error))? {
            Key::Offset { group, topic, partition, legacy } => match value {
                Some(value) => {
                    let value = decode_offset(value, legacy).map_err(|error| damaged(&error))?;
                    self.ensure_group(&group);
                    self.offsets.put(offset, producer, (&group, &topic, partition), &value);
                }
                None => self.offsets.remove(&group, &topic, partition),
            },
            Key::Group { group } => match value {
                Some(value) => {
                    // What is kept of it must not keep a whole batch of the log alive.
                    let value = decode_group(&Bytes::copy_from_slice(value))
                        .map_err(|error| damaged(&error))?;
                    self.apply_group(&group, value);
                }
                None => {
                    self.groups.remove(&group);
                }
            },
            Key::Other { kind, group } => self.apply_foreign(kind, &group, key, value),
            Key::Unknown => {}
        }
        Ok(())
    }

    /// Offsets make a group: one without members or protocol type, unless there is one.
    fn ensure_group(&mut self, id: &StrBytes) {
        if !self.groups.contains_key(id) {
            let id = id.detached();
            let group = ClassicGroup::new(id.clone(), None);
            self.groups.insert(id, Group::Classic(group));
        }
    }

    /// Loading, the record makes the group. Serving, it tells what the group has come to be
    /// already: the plan that made the record has changed the soft state, which is ahead of it
    /// while joins are gathered.
    fn apply_group(&mut self, id: &StrBytes, value: GroupMetadataValue) {
        if self.serving && matches!(self.groups.get(id), Some(Group::Classic(_))) {
            return;
        }
        let id = id.detached();
        let group = ClassicGroup::from_value(id.clone(), value);
        self.groups.insert(id, Group::Classic(group));
    }

    fn apply_foreign(&mut self, kind: i16, id: &StrBytes, key: &Bytes, value: Option<&Bytes>) {
        let Some(foreign) = ForeignKind::of_key(kind) else { return };
        let key = Bytes::copy_from_slice(key);
        let value = value.map(|value| Bytes::copy_from_slice(value));
        if let Some(Group::Foreign(group)) = self.groups.get_mut(id)
            && group.kind == foreign
        {
            if !group.apply(kind, &key, value.as_ref()) {
                self.groups.remove(id);
            }
        } else if value.is_some() {
            let mut group = ForeignGroup::new(foreign);
            group.apply(kind, &key, value.as_ref());
            self.groups.insert(id.detached(), Group::Foreign(group));
        }
    }
}
