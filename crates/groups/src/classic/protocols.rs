//! Which protocol a generation uses, and what the consumers' one says they consume. Must not
//! know when a generation is made.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::{ConsumerProtocolSubscription, Reader, StrBytes};

use super::{ClassicGroup, Member, State};

impl ClassicGroup {
    pub(super) fn count_protocols(&mut self, member: &Member, add: bool) {
        let names: BTreeSet<&StrBytes> = member.protocols.iter().map(|own| &own.name).collect();
        for name in names {
            let count = self.supported.entry(name.clone()).or_insert(0);
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.supported.remove(name);
            }
        }
    }

    /// Whether a member with these protocols can be in the group: there must be one that all
    /// share.
    pub(super) fn supports(
        &self,
        protocol_type: &str,
        protocols: &[JoinGroupRequestProtocol],
    ) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.is_shared(&protocol.name))
    }

    /// Whether all members support a protocol.
    fn is_shared(&self, protocol: &StrBytes) -> bool {
        self.supported.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// The protocol most members prefer among those that all support; of equals, the first by
    /// name. None only when there is none that all support.
    pub(super) fn select_protocol(&self) -> Option<StrBytes> {
        let mut votes: BTreeMap<&StrBytes, usize> = BTreeMap::new();
        for member in self.members.values() {
            let choice = member.protocols.iter().find(|own| self.is_shared(&own.name))?;
            *votes.entry(&choice.name).or_insert(0) += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
    }

    /// Learns from the members' subscriptions which topics they consume. Not known, when they
    /// are not consumers or one of them told something else.
    pub(super) fn learn_subscriptions(&mut self) {
        self.subscribed = self.subscriptions();
    }

    fn subscriptions(&self) -> Option<BTreeSet<StrBytes>> {
        if !self.is_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_ref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription_topics(member.metadata(protocol)?)?);
        }
        Some(topics)
    }
}

/// The topics of a consumer's subscription. Version 0 is a prefix of all later ones.
fn subscription_topics(metadata: &Bytes) -> Option<Vec<StrBytes>> {
    let mut reader = Reader::new(metadata.clone());
    let version = reader.i16().ok()?;
    if version < 0 {
        return None;
    }
    Some(ConsumerProtocolSubscription::decode(&mut reader, 0).ok()?.topics)
}
