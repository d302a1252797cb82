//! Damage that readers meet: told once for each file, not with each of their attempts. Must not
//! know what they are answered.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ottla_log::LogError;
use parking_lot::Mutex;
use tracing::error;

use super::Partitions;

/// Damaged files that were told of.
#[derive(Default)]
pub(super) struct KnownDamage(Mutex<BTreeSet<PathBuf>>);

impl KnownDamage {
    /// Whether the error is for damage in a file that nobody was told of yet. Now somebody is.
    fn is_news(&self, error: &LogError) -> bool {
        matches!(error, LogError::Corrupt { path, .. } if self.0.lock().insert(path.clone()))
    }
}

impl Partitions {
    /// A read has failed. Says so where an operator looks, if it is for damage that is news.
    pub(crate) fn on_failed_read(&self, error: &LogError) {
        if let LogError::Corrupt { path, .. } = error
            && self.damage.is_news(error)
        {
            let dir = path.parent().unwrap_or(path).display();
            error!(%error, "damaged records are not served; `ottla log repair-plan {dir}` says more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_of_once() {
        let corrupt = |path: &str, what: &str| LogError::Corrupt {
            path: PathBuf::from(path),
            what: what.to_owned(),
        };
        let known = KnownDamage::default();
        assert!(known.is_news(&corrupt("/d/t-0/0.log", "at byte 5")));
        assert!(!known.is_news(&corrupt("/d/t-0/0.log", "at byte 9")));
        assert!(known.is_news(&corrupt("/d/t-0/7.log", "at byte 5")));
        let offline = LogError::Offline { path: PathBuf::from("/d"), reason: "gone".into() };
        assert!(!known.is_news(&offline));
    }
}
