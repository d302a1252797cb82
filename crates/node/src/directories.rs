//! Owns what happens to data directories before anything runs on them: created, locked, looked
//! at, formatted, compared with each other and with the settings.
//! Must not know the content of any file in them; the controller reads and writes those.

use crate::config::{Config, ListenerRole};
use crate::error::{ConfigError, NodeError};
use ottla_controller::{
    Contents, Endpoint, FeatureChoice, FormatError, FormatOptions, MetaProperties, Voters,
};
use ottla_env::{Disk, DiskError, DiskErrorKind, DiskLock, Rng};
use ottla_protocol::{Millis, NodeId, Uuid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The world a node runs in.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) clock: Arc<dyn ottla_env::Clock>,
}

/// What `format` was asked for beyond the settings.
#[derive(Clone, Debug, Default)]
pub struct FormatRequest {
    /// The cluster's id; a random one if none.
    pub cluster_id: Option<String>,
    /// The metadata directory's id; a random one if none.
    pub directory_id: Option<String>,
    /// The release whose feature levels are taken; the newest if none.
    pub release_version: Option<String>,
    /// Levels of single features.
    pub features: Vec<(String, i16)>,
    /// A quorum with directory ids, which the settings must not forbid.
    pub standalone: bool,
    /// Leave formatted directories as they are.
    pub ignore_formatted: bool,
}

/// A directory that is formatted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// The directory as the settings name it.
    pub path: PathBuf,
    /// Its node id.
    pub node_id: i32,
    /// Its cluster id.
    pub cluster_id: String,
    /// Its own id.
    pub directory_id: String,
    /// Whether it had been formatted before.
    pub already: bool,
}

/// Directories that are locked for this process and whose content is known.
pub(crate) struct Directories {
    found: Vec<(PathBuf, Contents)>,
    /// Held as long as the directories are used.
    pub(crate) locks: Vec<Box<dyn DiskLock>>,
}

/// Formats what is empty for the settings' node, and takes what is formatted.
pub(crate) fn prepare(
    world: &World,
    config: &Config,
) -> Result<(Vec<(PathBuf, MetaProperties)>, Vec<Box<dyn DiskLock>>), NodeError> {
    let directories = Directories::lock(world, config)?;
    let request = FormatRequest { ignore_formatted: true, ..FormatRequest::default() };
    let formatted = directories.format(world, config, &request)?;
    Ok((formatted.into_iter().map(|(path, meta, _)| (path, meta)).collect(), directories.locks))
}

/// Formats data directories as the settings and the request say.
pub fn format(config: &Config, request: &FormatRequest) -> Result<Vec<Formatted>, NodeError> {
    let world = World::real();
    let directories = Directories::lock(&world, config)?;
    let formatted = directories.format(&world, config, request)?;
    let show = |(path, meta, already): (PathBuf, MetaProperties, bool)| Formatted {
        path,
        node_id: meta.node_id.0,
        cluster_id: meta.cluster_id,
        directory_id: meta.directory_id.to_string(),
        already,
    };
    Ok(formatted.into_iter().map(show).collect())
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

impl Directories {
    /// Creates what is missing, takes the locks, looks inside. Nothing else is changed.
    fn lock(world: &World, config: &Config) -> Result<Self, NodeError> {
        let mut found = Vec::new();
        let mut locks = Vec::new();
        for path in &config.log_dirs {
            world.disk.create_dir(path).map_err(|error| from_disk(path, error))?;
            let lock = world.disk.lock(&path.join(".lock")).map_err(|error| from_disk(path, error))?;
            locks.push(lock);
            let contents = ottla_controller::inspect(&*world.disk, path)
                .map_err(|error| from_format(path, error))?;
            match contents {
                Contents::Foreign(found) => {
                    return Err(NodeError::Foreign { path: path.clone(), found });
                }
                Contents::Damaged(what) => {
                    return Err(NodeError::Damaged { path: path.clone(), what });
                }
                Contents::Empty | Contents::Formatted(_) => found.push((path.clone(), contents)),
            }
        }
        Ok(Self { found, locks })
    }

    /// Formats what is empty. True in the result means formatted before.
    fn format(
        &self,
        world: &World,
        config: &Config,
        request: &FormatRequest,
    ) -> Result<Vec<(PathBuf, MetaProperties, bool)>, NodeError> {
        let known = self.agreed(config, request)?;
        let empty: Vec<&Path> = self
            .found
            .iter()
            .filter(|(_, contents)| matches!(contents, Contents::Empty))
            .map(|(path, _)| path.as_path())
            .collect();
        if let Some((first, _)) = known
            && empty.contains(&config.metadata_log_dir.as_path())
        {
            return Err(NodeError::Damaged {
                path: config.metadata_log_dir.clone(),
                what: format!(
                    "it is to hold the metadata and is empty, though {} is formatted",
                    first.display()
                ),
            });
        }
        let node_id = known.map(|(_, meta)| meta.node_id).or(config.node_id.map(NodeId));
        let options = FormatOptions {
            cluster_id: known.map(|(_, meta)| meta.cluster_id.clone()).or(request.cluster_id.clone()),
            node_id: node_id.unwrap_or(NodeId(1)),
            directory_id: request.directory_id.as_deref().map(directory_id).transpose()?,
            features: FeatureChoice {
                release: request.release_version.clone(),
                levels: request.features.clone(),
            },
            voters: voters(config, request)?,
        };
        let now = Millis(world.clock.wall_ms());
        let written =
            ottla_controller::format(&world.disk, &*world.rng, now, &empty, &config.metadata_log_dir, &options)
                .map_err(|error| from_format(&config.metadata_log_dir, error))?;
        let mut written = written.into_iter();
        let mut all = Vec::new();
        for (path, contents) in &self.found {
            match contents {
                Contents::Formatted(meta) => all.push((path.clone(), meta.clone(), true)),
                _ => all.extend(written.next().map(|meta| (path.clone(), meta, false))),
            }
        }
        Ok(all)
    }
}
