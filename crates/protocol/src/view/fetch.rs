//! The view of a Fetch request, of consumers and of followers. Must not know fetch sessions.

use crate::cursor::Cursor;
use crate::k01_fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::{DecodeError, FetchRequest, Uuid};
use std::mem::size_of;

/// First flexible version.
const FLEXIBLE: i16 = 12;
/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;
/// First version with the replica's state in a tagged field instead of its id in front.
const REPLICA_STATE: i16 = 15;

/// A Fetch request that was checked but not copied.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequestView<'a> {
    /// The version of the request.
    pub version: i16,
    /// The cluster's id, when the sender knows it.
    pub cluster_id: Option<&'a str>,
    /// The follower's broker id; −1 for a consumer. From the tagged replica state where the
    /// version has it.
    pub replica_id: i32,
    /// The follower's broker epoch, or −1.
    pub replica_epoch: i64,
    /// How long the answer may wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// Bytes to wait for.
    pub min_bytes: i32,
    /// Bytes of records in the answer at most, the first batch excepted (KIP-74).
    pub max_bytes: i32,
    /// 0 reads uncommitted, 1 committed.
    pub isolation_level: i8,
    /// The fetch session (KIP-227); 0 is none.
    pub session_id: i32,
    /// The session's epoch; −1 is none.
    pub session_epoch: i32,
    /// The consumer's rack; empty is none.
    pub rack_id: &'a str,
    topics: FetchTopicViews<'a>,
    forgotten: FetchForgottenViews<'a>,
}

/// One topic of a [`FetchRequestView`].
#[derive(Clone, Copy, Debug)]
pub struct FetchTopicView<'a> {
    /// The name; empty from version 13 on.
    pub topic: &'a str,
    /// The id; zero before version 13.
    pub topic_id: Uuid,
    partitions: FetchPartitionViews<'a>,
}

/// One partition of a [`FetchTopicView`]; what the version lacks has the schema's default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPartitionView {
    /// The partition's number in its topic.
    pub partition: i32,
    /// The leader epoch that the sender knows, or −1.
    pub current_leader_epoch: i32,
    /// The offset to read from.
    pub fetch_offset: i64,
    /// The epoch of the last record that a follower has, or −1.
    pub last_fetched_epoch: i32,
    /// The first offset of a follower's log, or −1.
    pub log_start_offset: i64,
    /// Bytes of this partition at most.
    pub partition_max_bytes: i32,
    /// The directory of the follower's replica; zero is none.
    pub replica_directory_id: Uuid,
    /// The follower's high watermark; `i64::MAX` when it does not say.
    pub high_watermark: i64,
}

/// Partitions of one topic that a session no longer fetches.
#[derive(Clone, Copy, Debug)]
pub struct FetchForgottenView<'a> {
    /// The name; empty from version 13 on.
    pub topic: &'a str,
    /// The id; zero before version 13.
    pub topic_id: Uuid,
    partitions: PartitionNumbers<'a>,
}

/// The topics of a [`FetchRequestView`], in the order of the request.
#[derive(Clone, Copy, Debug)]
pub struct FetchTopicViews<'a> {
    cursor: Cursor<'a>,
    left: usize,
    version: i16,
}

/// The partitions of a [`FetchTopicView`], in the order of the request.
#[derive(Clone, Copy, Debug)]
pub struct FetchPartitionViews<'a> {
    cursor: Cursor<'a>,
    left: usize,
    version: i16,
}

/// The forgotten topics of a [`FetchRequestView`], in the order of the request.
#[derive(Clone, Copy, Debug)]
pub struct FetchForgottenViews<'a> {
    cursor: Cursor<'a>,
    left: usize,
    version: i16,
}

/// The partition numbers of a [`FetchForgottenView`].
#[derive(Clone, Copy, Debug)]
pub struct PartitionNumbers<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> FetchRequestView<'a> {
    /// Checks the request's body, which begins at `body` of `frame`.
    ///
    /// # Errors
    /// When the version is not valid or the bytes are no such request.
    pub fn parse(frame: &'a [u8], body: usize, version: i16) -> Result<Self, DecodeError> {
        FetchRequest::VALID_VERSIONS.check_decode(FetchRequest::NAME, version)?;
        let flex = version >= FLEXIBLE;
        let mut c = Cursor::new(frame, body);
        let replica_id = if version < REPLICA_STATE { c.i32()? } else { -1 };
        let max_wait_ms = c.i32()?;
        let min_bytes = c.i32()?;
        let max_bytes = c.i32()?;
        let isolation_level = c.i8()?;
        let (session_id, session_epoch) = if version >= 7 { (c.i32()?, c.i32()?) } else { (0, -1) };
        let left = c.array_len(flex, FetchTopic::MIN_LEN, size_of::<FetchTopic>())?;
        let topics = FetchTopicViews { cursor: c, left, version };
        for _ in 0..left {
            let (_, _, partitions) = topic(&mut c, version)?;
            for _ in 0..partitions {
                partition(&mut c, version)?;
            }
            c.skip_tags(flex)?;
        }
        let left = if version >= 7 {
            c.array_len(flex, ForgottenTopic::MIN_LEN, size_of::<ForgottenTopic>())?
        } else {
            0
        };
        let forgotten = FetchForgottenViews { cursor: c, left, version };
        for _ in 0..left {
            forgotten_topic(&mut c, version)?;
        }
        let rack_id = if version >= 11 { c.string(flex)? } else { "" };
        let mut view = Self {
            version,
            cluster_id: None,
            replica_id,
            replica_epoch: -1,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            rack_id,
            topics,
            forgotten,
        };
        if flex {
            view.read_tags(&mut c)?;
        }
        Ok(view)
    }

    fn read_tags(&mut self, c: &mut Cursor<'a>) -> Result<(), DecodeError> {
        let mut tags = c.tags()?;
        while let Some(tag) = c.next_tag(&mut tags)? {
            match tag {
                0 => self.cluster_id = c.nullable_string(true)?,
                1 if self.version >= REPLICA_STATE => {
                    self.replica_id = c.i32()?;
                    self.replica_epoch = c.i64()?;
                    c.skip_tags(true)?;
                }
                _ => c.skip_tag(&mut tags)?,
            }
            c.end_tag(&tags)?;
        }
        c.end_tags(&tags)
    }

    /// The topics.
    #[must_use]
    pub const fn topics(&self) -> FetchTopicViews<'a> {
        self.topics
    }

    /// What the session no longer fetches.
    #[must_use]
    pub const fn forgotten(&self) -> FetchForgottenViews<'a> {
        self.forgotten
    }
}

impl<'a> FetchTopicView<'a> {
    /// The partitions.
    #[must_use]
    pub const fn partitions(&self) -> FetchPartitionViews<'a> {
        self.partitions
    }
}

impl<'a> FetchForgottenView<'a> {
    /// The partition numbers.
    #[must_use]
    pub const fn partitions(&self) -> PartitionNumbers<'a> {
        self.partitions
    }
}

fn name_or_id<'a>(c: &mut Cursor<'a>, version: i16) -> Result<(&'a str, Uuid), DecodeError> {
    if version >= TOPIC_IDS {
        Ok(("", c.uuid()?))
    } else {
        Ok((c.string(version >= FLEXIBLE)?, Uuid::ZERO))
    }
}

/// Name, id and number of partitions; the cursor stands at the first one after it.
fn topic<'a>(c: &mut Cursor<'a>, version: i16) -> Result<(&'a str, Uuid, usize), DecodeError> {
    let (name, topic_id) = name_or_id(c, version)?;
    let flex = version >= FLEXIBLE;
    let left = c.array_len(flex, FetchPartition::MIN_LEN, size_of::<FetchPartition>())?;
    Ok((name, topic_id, left))
}

fn partition(c: &mut Cursor<'_>, version: i16) -> Result<FetchPartitionView, DecodeError> {
    let mut view = FetchPartitionView {
        partition: c.i32()?,
        current_leader_epoch: if version >= 9 { c.i32()? } else { -1 },
        fetch_offset: c.i64()?,
        last_fetched_epoch: if version >= 12 { c.i32()? } else { -1 },
        log_start_offset: if version >= 5 { c.i64()? } else { -1 },
        partition_max_bytes: c.i32()?,
        replica_directory_id: Uuid::ZERO,
        high_watermark: i64::MAX,
    };
    if version >= FLEXIBLE {
        let mut tags = c.tags()?;
        while let Some(tag) = c.next_tag(&mut tags)? {
            match tag {
                0 if version >= 17 => view.replica_directory_id = c.uuid()?,
                1 if version >= 18 => view.high_watermark = c.i64()?,
                _ => c.skip_tag(&mut tags)?,
            }
            c.end_tag(&tags)?;
        }
        c.end_tags(&tags)?;
    }
    Ok(view)
}

fn forgotten_topic<'a>(
    c: &mut Cursor<'a>,
    version: i16,
) -> Result<FetchForgottenView<'a>, DecodeError> {
    let (topic, topic_id) = name_or_id(c, version)?;
    let flex = version >= FLEXIBLE;
    let left = c.array_len(flex, size_of::<i32>(), size_of::<i32>())?;
    let partitions = PartitionNumbers { cursor: *c, left };
    for _ in 0..left {
        c.i32()?;
    }
    c.skip_tags(flex)?;
    Ok(FetchForgottenView { topic, topic_id, partitions })
}

macro_rules! views {
    ($($name:ident $item:ty, |$v:ident| $next:expr;)*) => {$(
        impl<'a> Iterator for $name<'a> {
            type Item = $item;

            fn next(&mut self) -> Option<Self::Item> {
                // `parse` went through all of it, so nothing fails here.
                self.left = self.left.checked_sub(1)?;
                let $v = self;
                $next
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left, Some(self.left))
            }
        }

        impl ExactSizeIterator for $name<'_> {}
    )*};
}

views! {
    FetchTopicViews FetchTopicView<'a>, |v| {
        let (name, topic_id, left) = topic(&mut v.cursor, v.version).ok()?;
        let partitions = FetchPartitionViews { cursor: v.cursor, left, version: v.version };
        for _ in 0..left {
            partition(&mut v.cursor, v.version).ok()?;
        }
        v.cursor.skip_tags(v.version >= FLEXIBLE).ok()?;
        Some(FetchTopicView { topic: name, topic_id, partitions })
    };
    FetchPartitionViews FetchPartitionView, |v| partition(&mut v.cursor, v.version).ok();
    FetchForgottenViews FetchForgottenView<'a>, |v| {
        forgotten_topic(&mut v.cursor, v.version).ok()
    };
    PartitionNumbers i32, |v| v.cursor.i32().ok();
}
