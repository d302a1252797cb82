//! The finalised feature levels. Must not know which levels exist.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::StrBytes;

/// Name of the feature that versions the metadata records themselves.
pub(crate) const METADATA_VERSION: &str = "metadata.version";

/// Finalised levels by feature. A feature that is not there is at level 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    levels: Arc<BTreeMap<StrBytes, i16>>,
}

impl Features {
    /// Level of a feature; 0 when it is not finalised.
    #[must_use]
    pub fn level(&self, name: &str) -> i16 {
        self.levels.get(name).copied().unwrap_or(0)
    }

    /// Level of `metadata.version`; 0 before the first record said it.
    #[must_use]
    pub fn metadata_version(&self) -> i16 {
        self.level(METADATA_VERSION)
    }

    /// All finalised features, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&StrBytes, i16)> {
        self.levels.iter().map(|(name, level)| (name, *level))
    }

    pub(super) fn set(&mut self, name: &StrBytes, level: i16) {
        let levels = Arc::make_mut(&mut self.levels);
        if level == 0 {
            levels.remove(name);
        } else {
            levels.insert(name.clone(), level);
        }
    }
}
