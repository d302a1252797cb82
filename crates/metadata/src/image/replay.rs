//! Replay of the metadata log: applies records in order and keeps what a metadata transaction
//! (KIP-868) changes hidden until it ends. Must not know how records are stored.

use ottla_protocol::MetadataRecord;

use super::{ApplyError, Delta, Image, Position};

/// An image that follows the log.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// With all records applied.
    image: Image,
    /// What changed since the last [`Replay::take_delta`], with all records.
    delta: Delta,
    /// As they were before the transaction that is open.
    before: Option<Box<(Image, Delta)>>,
}

impl Replay {
    /// Goes on from an image, such as a snapshot's.
    #[must_use]
    pub fn from_image(image: Image) -> Self {
        Self { image, ..Self::default() }
    }

    /// The image with all records applied, those of an open transaction too: what a controller
    /// decides on.
    #[must_use]
    pub fn latest(&self) -> &Image {
        &self.image
    }

    /// The image without what an open transaction did: what everybody else sees.
    #[must_use]
    pub fn visible(&self) -> &Image {
        self.before.as_ref().map_or(&self.image, |before| &before.0)
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.before.is_some()
    }

    /// What changed in the visible image since the last call.
    pub fn take_delta(&mut self) -> Delta {
        match &mut self.before {
            Some(before) => {
                // The open transaction's changes count from here on.
                let visible = std::mem::take(&mut before.1);
                self.delta = Delta::default();
                visible
            }
            None => std::mem::take(&mut self.delta),
        }
    }

    /// Applies the next record.
    ///
    /// # Errors
    /// When the record cannot follow from those before. The image is then unusable.
    pub fn apply(&mut self, position: Position, record: &MetadataRecord) -> Result<(), ApplyError> {
        let fail =
            |reason: &str| Err(ApplyError { offset: position.offset, reason: reason.to_owned() });
        #[expect(clippy::wildcard_enum_match_arm, reason = "all records but these are the image's")]
        match record {
            MetadataRecord::BeginTransaction(_) if self.before.is_some() => {
                fail("a transaction begins inside another")
            }
            MetadataRecord::BeginTransaction(_) => {
                self.before = Some(Box::new((self.image.clone(), self.delta.clone())));
                self.image.stand_at(position);
                Ok(())
            }
            MetadataRecord::EndTransaction(_) => match self.before.take() {
                Some(_) => {
                    self.image.stand_at(position);
                    Ok(())
                }
                None => fail("a transaction ends that did not begin"),
            },
            MetadataRecord::AbortTransaction(_) => match self.before.take() {
                Some(before) => {
                    (self.image, self.delta) = *before;
                    self.image.stand_at(position);
                    Ok(())
                }
                None => fail("a transaction aborts that did not begin"),
            },
            _ => self.image.apply(position, record, &mut self.delta),
        }
    }

    /// Notes that the log went on with records that are not metadata, such as control records.
    pub fn pass(&mut self, position: Position) {
        self.image.stand_at(position);
    }
}
