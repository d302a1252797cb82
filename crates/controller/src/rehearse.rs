//! What a start would find in a metadata directory, and do to it. Must not know that the disk may
//! be one that keeps nothing.

use std::path::Path;
use std::sync::Arc;

use ottla_env::Disk;
use ottla_metadata::configs::BrokerProperties;
use ottla_metadata::{Image, Settings};
use ottla_protocol::{NodeId, Offset};

use crate::error::ControllerError;
use crate::load::load;

/// What was found.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The metadata at the end of the log.
    pub image: Image,
    /// Where the log begins.
    pub log_start: Offset,
    /// Where it ends.
    pub log_end: Offset,
}

/// Loads the metadata log as a start does: repairs included, so `disk` is one that is written to,
/// or one that pretends to be.
///
/// # Errors
/// Those that keep a controller from starting.
pub fn rehearse(
    disk: &Arc<dyn Disk>,
    metadata_dir: &Path,
    node: NodeId,
) -> Result<Rehearsed, ControllerError> {
    let settings =
        Settings { node, cluster_id: String::new(), properties: BrokerProperties::default() };
    let loaded = load(disk, metadata_dir, settings)?;
    Ok(Rehearsed {
        image: loaded.machine.visible().clone(),
        log_start: loaded.log.start(),
        log_end: loaded.log.end().offset,
    })
}
