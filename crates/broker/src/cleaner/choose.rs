//! Which log is cleaned next, by Kafka's rules (`LogCleanerManager`): of those that are due the
//! dirtiest. Must not know how it is cleaned.

use std::sync::Arc;

use ottla_log::{Claim, CompactError, Dirt, LogError};
use ottla_protocol::Millis;
use tracing::warn;

use super::settings::CleaningConfig;
use super::{Cleaner, key};
use crate::replica::HostedPartition;

/// A log to be cleaned; nobody else works on its segments.
pub(super) struct Chosen {
    pub(super) hosted: Arc<HostedPartition>,
    pub(super) claim: Claim,
    pub(super) dirt: Dirt,
    pub(super) config: CleaningConfig,
}

impl Cleaner {
    /// The dirtiest log that is due.
    pub(super) fn choose(&self, now: Millis) -> Option<Chosen> {
        let mut best: Option<Chosen> = None;
        for hosted in self.shared.partitions.compacted() {
            let config = hosted.config().cleaning;
            if !config.compact || self.uncleanable.lock().contains(&key(&hosted)) {
                continue;
            }
            let Some(claim) = hosted.maintenance.try_claim() else { continue };
            let dirt = match self.look(&hosted, &config, now) {
                Ok(dirt) => dirt,
                Err(error) => {
                    self.on_failure(&hosted, &error.into());
                    continue;
                }
            };
            let dirtier = best.as_ref().is_none_or(|best| dirt.ratio() > best.dirt.ratio());
            if dirt.is_due(&config.rules) && dirtier {
                best = Some(Chosen { hosted, claim, dirt, config });
            }
        }
        best
    }

    fn look(
        &self,
        hosted: &HostedPartition,
        config: &CleaningConfig,
        now: Millis,
    ) -> Result<Dirt, LogError> {
        let (view, last_stable) = hosted.view_for_cleaning();
        let checkpoint = self.checkpoints.of(hosted);
        let dirt = view.dirt(checkpoint, last_stable, &config.rules, now)?;
        if let Some(wrong) = dirt.invalid_checkpoint {
            // Retention moves the log's start over it: nothing to be told.
            if !(config.delete && wrong < view.log_start()) {
                let (partition, to) = (&hosted.name, dirt.first_dirty);
                warn!(%partition, %wrong, %to, "the log was not cleaned up to there: begun anew");
            }
            self.checkpoints.set(hosted, dirt.first_dirty);
        }
        Ok(dirt)
    }

    /// What is done about a log that could not be cleaned.
    pub(super) fn on_failure(&self, hosted: &HostedPartition, error: &CompactError) {
        let partition = &hosted.name;
        let CompactError::Failed(error) = error else { return };
        if error.is_no_space() {
            warn!(%partition, %error, "there is no space to compact the log; tried again later");
            return;
        }
        match error {
            LogError::Corrupt { .. } | LogError::Damaged { .. } => {
                let first = self.uncleanable.lock().insert(key(hosted));
                if first {
                    warn!(%partition, %error, "the log is not compacted any more");
                }
            }
            LogError::Disk(_) => {
                warn!(%partition, %error, "the log cannot be compacted");
                if let Some(volume) = self.shared.partitions.volumes.get(hosted.dir()) {
                    volume.dir.fail(error);
                }
            }
            // The partition or its directory is out of service, and that was told; or another look
            // is enough.
            LogError::Offline { .. }
            | LogError::Replaced { .. }
            | LogError::Foreign { .. }
            | LogError::TopicId { .. } => {}
        }
    }
}
