//! `cleaner-offset-checkpoint`: up to where each log of a directory was cleaned. Must not know
//! which logs there are.

use bytes::Bytes;
use ottla_protocol::Offset;
use parking_lot::Mutex;

use crate::error::LogError;
use crate::log_dir::LogDir;
use crate::names::TopicPartition;
use crate::offset_checkpoint::{self, Offsets};

/// The file's name.
const FILE: &str = "cleaner-offset-checkpoint";

/// What the file of a log directory holds, once it was read or written.
#[derive(Debug, Default)]
pub(crate) struct CleanerOffsets(Mutex<Option<Offsets>>);

impl LogDir {
    /// Up to where each log was cleaned; none without the file.
    ///
    /// # Errors
    /// When the disk fails, or the file is damaged.
    pub fn read_cleaner_offsets(&self) -> Result<Offsets, LogError> {
        let mut known = self.cleaner_offsets.0.lock();
        if let Some(offsets) = &*known {
            return Ok(offsets.clone());
        }
        let offsets = self.read_cleaner_file()?;
        Ok(known.insert(offsets).clone())
    }

    fn read_cleaner_file(&self) -> Result<Offsets, LogError> {
        let path = self.path().join(FILE);
        match self.disk().read(&path) {
            // Kafka makes it when it starts.
            Ok(content) if content.is_empty() => Ok(Offsets::new()),
            Ok(content) => std::str::from_utf8(&content)
                .map_err(|_| "it is no text".to_owned())
                .and_then(offset_checkpoint::decode)
                .map_err(|what| LogError::corrupt(&path, what)),
            Err(error) if error.is_not_found() => Ok(Offsets::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file by what `now` gives, unless it says that already. Nothing is forgotten
    /// ([`LogDir::forget_cleaner_offset`]) between the call of `now` and the end of the write.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_cleaner_offsets(&self, now: impl FnOnce() -> Offsets) -> Result<(), LogError> {
        let mut known = self.cleaner_offsets.0.lock();
        let offsets = now();
        if known.as_ref() == Some(&offsets) {
            return Ok(());
        }
        self.write_cleaner_file(&offsets)?;
        *known = Some(offsets);
        Ok(())
    }

    fn write_cleaner_file(&self, offsets: &Offsets) -> Result<(), LogError> {
        self.check()?;
        let content = Bytes::from(offset_checkpoint::encode(offsets));
        Ok(self.disk().write_atomically(&self.path().join(FILE), content)?)
    }

    /// Before a partition is created: the file forgets one of the same name, whose log was another.
    /// Does nothing when it does not speak of it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget_cleaner_offset(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let mut known = self.cleaner_offsets.0.lock();
        if known.is_none() {
            // A damaged one speaks of nobody.
            *known = self.read_cleaner_file().ok();
        }
        let Some(mut offsets) = known.take_if(|offsets| offsets.contains_key(partition)) else {
            return Ok(());
        };
        offsets.remove(partition);
        // When it cannot be written, it is read again.
        self.write_cleaner_file(&offsets)?;
        *known = Some(offsets);
        Ok(())
    }

    /// Whether the partition's log was ever cleaned, as far as the file tells. A file that cannot
    /// be read tells nothing.
    pub(crate) fn was_cleaned(&self, partition: &TopicPartition) -> bool {
        let mut known = self.cleaner_offsets.0.lock();
        if known.is_none() {
            *known = self.read_cleaner_file().ok();
        }
        let offset = known.as_ref().and_then(|offsets| offsets.get(partition));
        offset.is_some_and(|offset| *offset > Offset::ZERO)
    }
}
