//! `cleaner-offset-checkpoint`: up to where each log of a directory was cleaned. Must not know
//! which logs there are.

use crate::error::LogError;
use crate::log_dir::LogDir;
use crate::offset_checkpoint::{self, Offsets};
use bytes::Bytes;

/// The file's name.
const FILE: &str = "cleaner-offset-checkpoint";

impl LogDir {
    /// Up to where each log was cleaned; none without the file.
    ///
    /// # Errors
    /// When the disk fails, or the file is damaged.
    pub fn read_cleaner_offsets(&self) -> Result<Offsets, LogError> {
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

    /// Replaces the file.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_cleaner_offsets(&self, offsets: &Offsets) -> Result<(), LogError> {
        self.check()?;
        let content = Bytes::from(offset_checkpoint::encode(offsets));
        Ok(self.disk().write_atomically(&self.path().join(FILE), content)?)
    }
}
