//! Owns the choice of what stands behind the ports: the operating system.
//! Must not know what the ports are used for.

use ottla_env::{Clock, Disk, Rng};
use std::sync::Arc;

/// The world a node runs in.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl World {
    /// The operating system.
    pub(crate) fn real() -> Self {
        Self {
            disk: Arc::new(ottla_env_os::OsDisk),
            rng: Arc::new(ottla_env_os::OsRng),
            clock: Arc::new(ottla_env_os::OsClock::new()),
        }
    }
}
