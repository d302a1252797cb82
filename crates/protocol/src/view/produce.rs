//! The view of a Produce request: where each partition's records lie in the frame, so that they
//! can be cut out and patched in place. Must not know what records are.

use crate::cursor::Cursor;
use crate::k00_produce::{PartitionProduceData, TopicProduceData};
use crate::{DecodeError, ProduceRequest, Uuid};
use std::mem::size_of;
use std::ops::Range;

/// First flexible version.
const FLEXIBLE: i16 = 9;
/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;

/// A Produce request that was checked but not copied.
#[derive(Clone, Copy, Debug)]
pub struct ProduceRequestView<'a> {
    version: i16,
    transactional_id: Option<&'a str>,
    acks: i16,
    timeout_ms: i32,
    topics: ProduceTopicViews<'a>,
}

/// One topic of a [`ProduceRequestView`].
#[derive(Clone, Copy, Debug)]
pub struct ProduceTopicView<'a> {
    /// The name; empty from version 13 on.
    pub name: &'a str,
    /// The id; zero before version 13.
    pub topic_id: Uuid,
    partitions: ProducePartitionViews<'a>,
}

/// One partition of a [`ProduceTopicView`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducePartitionView {
    /// The partition's number in its topic.
    pub index: i32,
    /// Where its records lie in the frame; `None` for null.
    pub records: Option<Range<usize>>,
}

/// The topics of a [`ProduceRequestView`], in the order of the request.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTopicViews<'a> {
    cursor: Cursor<'a>,
    left: usize,
    version: i16,
}

/// The partitions of a [`ProduceTopicView`], in the order of the request.
#[derive(Clone, Copy, Debug)]
pub struct ProducePartitionViews<'a> {
    cursor: Cursor<'a>,
    left: usize,
    flex: bool,
}

/// The first partition of a request of which not all bytes have come, so that nothing is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProduceBeginning<'a> {
    /// The topic's name; empty from version 13 on.
    pub name: &'a str,
    /// The topic's id; zero before version 13.
    pub topic_id: Uuid,
    /// The partition's number in its topic.
    pub index: i32,
    /// Where its records begin in the frame.
    pub records_at: usize,
    /// How many bytes they are said to be.
    pub records_len: usize,
}

impl<'a> ProduceBeginning<'a> {
    /// Of a request whose body begins at `body` of `frame`; `None` when there is too little of it,
    /// or it is no such request.
    #[must_use]
    pub fn parse(frame: &'a [u8], body: usize, version: i16) -> Option<Self> {
        ProduceRequest::VALID_VERSIONS.check_decode(ProduceRequest::NAME, version).ok()?;
        let flex = version >= FLEXIBLE;
        let mut c = Cursor::new(frame, body);
        let _transactional_id = c.nullable_string(flex).ok()?;
        let _acks = c.i16().ok()?;
        let _timeout_ms = c.i32().ok()?;
        let _topics = c.length(flex).ok()?.filter(|topics| *topics > 0)?;
        let (name, topic_id) = topic_named(&mut c, version).ok()?;
        let _partitions = c.length(flex).ok()?.filter(|partitions| *partitions > 0)?;
        let index = c.i32().ok()?;
        let records_len = usize::try_from(c.length(flex).ok()??).ok()?;
        Some(Self { name, topic_id, index, records_at: c.position(), records_len })
    }
}

impl<'a> ProduceRequestView<'a> {
    /// Checks the request's body, which begins at `body` of `frame`. Ranges refer to `frame`.
    ///
    /// # Errors
    /// When the version is not valid or the bytes are no such request.
    pub fn parse(frame: &'a [u8], body: usize, version: i16) -> Result<Self, DecodeError> {
        ProduceRequest::VALID_VERSIONS.check_decode(ProduceRequest::NAME, version)?;
        let flex = version >= FLEXIBLE;
        let mut c = Cursor::new(frame, body);
        let transactional_id = c.nullable_string(flex)?;
        let acks = c.i16()?;
        let timeout_ms = c.i32()?;
        let left = c.array_len(flex, TopicProduceData::MIN_LEN, size_of::<TopicProduceData>())?;
        let topics = ProduceTopicViews { cursor: c, left, version };
        for _ in 0..left {
            let (_, _, partitions) = topic(&mut c, version)?;
            for _ in 0..partitions {
                partition(&mut c, flex)?;
            }
            c.skip_tags(flex)?;
        }
        c.skip_tags(flex)?;
        Ok(Self { version, transactional_id, acks, timeout_ms, topics })
    }

    /// The version of the request.
    #[must_use]
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// The transactional id of the producer, if it has one.
    #[must_use]
    pub const fn transactional_id(&self) -> Option<&'a str> {
        self.transactional_id
    }

    /// Acknowledgements asked for: −1 (all), 0 or 1; not checked.
    #[must_use]
    pub const fn acks(&self) -> i16 {
        self.acks
    }

    /// How long to wait for acknowledgements, in milliseconds; not checked.
    #[must_use]
    pub const fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// The topics.
    #[must_use]
    pub const fn topics(&self) -> ProduceTopicViews<'a> {
        self.topics
    }
}

impl<'a> ProduceTopicView<'a> {
    /// The partitions.
    #[must_use]
    pub const fn partitions(&self) -> ProducePartitionViews<'a> {
        self.partitions
    }
}

fn topic_named<'a>(c: &mut Cursor<'a>, version: i16) -> Result<(&'a str, Uuid), DecodeError> {
    if version >= TOPIC_IDS {
        Ok(("", c.uuid()?))
    } else {
        Ok((c.string(version >= FLEXIBLE)?, Uuid::ZERO))
    }
}

/// Name, id and number of partitions; the cursor stands at the first one after it.
fn topic<'a>(c: &mut Cursor<'a>, version: i16) -> Result<(&'a str, Uuid, usize), DecodeError> {
    let flex = version >= FLEXIBLE;
    let (name, topic_id) = topic_named(c, version)?;
    let partitions =
        c.array_len(flex, PartitionProduceData::MIN_LEN, size_of::<PartitionProduceData>())?;
    Ok((name, topic_id, partitions))
}

fn partition(c: &mut Cursor<'_>, flex: bool) -> Result<ProducePartitionView, DecodeError> {
    let index = c.i32()?;
    let records = c.nullable_range(flex)?;
    c.skip_tags(flex)?;
    Ok(ProducePartitionView { index, records })
}

impl<'a> Iterator for ProduceTopicViews<'a> {
    type Item = ProduceTopicView<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // `parse` went through all of it, so nothing fails here.
        self.left = self.left.checked_sub(1)?;
        let flex = self.version >= FLEXIBLE;
        let (name, topic_id, left) = topic(&mut self.cursor, self.version).ok()?;
        let partitions = ProducePartitionViews { cursor: self.cursor, left, flex };
        for _ in 0..left {
            partition(&mut self.cursor, flex).ok()?;
        }
        self.cursor.skip_tags(flex).ok()?;
        Some(ProduceTopicView { name, topic_id, partitions })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ProduceTopicViews<'_> {}

impl Iterator for ProducePartitionViews<'_> {
    type Item = ProducePartitionView;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        partition(&mut self.cursor, self.flex).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ProducePartitionViews<'_> {}
