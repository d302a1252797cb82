//! A group of any type, and what it allows to happen to its offsets. Must not know the offsets.

use ottla_protocol::{ErrorCode, Millis, StrBytes};

use crate::classic::{ClassicGroup, State};
use crate::foreign::{ForeignGroup, ForeignKind};

/// A group known to the shard.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all groups are classic")]
pub(crate) enum Group {
    /// Members that join and sync; also the memberless group of bare offsets.
    Classic(ClassicGroup),
    /// A type whose protocol is not served here.
    Foreign(ForeignGroup),
}

/// From when the retention of an offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// From its commit.
    SinceCommit,
    /// From the moment at which the group became empty (KIP-211).
    Since(Millis),
}

impl Group {
    /// Whether it has no members, nor any about to join.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state == State::Empty,
            Self::Foreign(group) => group.is_empty(),
        }
    }

    /// The name of the state it is in.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state.name(),
            Self::Foreign(group) => group.state(),
        }
    }

    /// The name of its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Foreign(group) => group.kind.name(),
        }
    }

    /// Its protocol type, empty when it has none.
    pub(crate) fn protocol_type(&self) -> StrBytes {
        match self {
            Self::Classic(group) => group.protocol_type.clone().unwrap_or_default(),
            Self::Foreign(group) => StrBytes::from_static(group.kind.name()),
        }
    }

    /// Whether this member may commit offsets with this generation.
    pub(crate) fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(group) => group.check_commit(member_id, instance_id, generation),
            Self::Foreign(group) if group.kind == ForeignKind::Share => {
                Err(ErrorCode::GroupIdNotFound)
            }
            Self::Foreign(group) if generation < 0 && group.is_empty() => Ok(()),
            Self::Foreign(_) => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Whether this reader may fetch offsets; readers that are no members give no member id.
    pub(crate) fn check_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(_) => Ok(()),
            Self::Foreign(group) if group.kind == ForeignKind::Share => {
                Err(ErrorCode::GroupIdNotFound)
            }
            Self::Foreign(_) if member_id.is_none() && member_epoch < 0 => Ok(()),
            Self::Foreign(_) => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Whether offsets of it may be deleted at all.
    pub(crate) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(group) => match group.state {
                State::Empty => Ok(()),
                State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                    if group.is_consumers() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
                }
            },
            Self::Foreign(group) if group.kind == ForeignKind::Share => {
                Err(ErrorCode::GroupIdNotFound)
            }
            Self::Foreign(_) => Ok(()),
        }
    }

    /// Whether some member consumes this topic, as far as can be known: a group whose
    /// subscriptions are not known may consume any.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Foreign(group) => !group.is_empty(),
        }
    }

    /// From when the retention of its offsets counts; none: they do not expire now.
    pub(crate) fn retention(&self) -> Option<Retention> {
        match self {
            Self::Classic(group) => group.retention(),
            Self::Foreign(group) if group.gives_way() => Some(Retention::SinceCommit),
            Self::Foreign(_) => None,
        }
    }

    /// Whether it goes when it is empty and has no offsets left.
    pub(crate) fn goes_when_empty(&self) -> bool {
        match self {
            Self::Classic(_) => true,
            Self::Foreign(group) => group.kind != ForeignKind::Share,
        }
    }
}
