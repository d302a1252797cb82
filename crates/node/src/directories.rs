//! Owns what happens to data directories before anything runs on them: created, locked, looked
//! at, formatted, compared with each other and with the settings.
//! Must not know the content of any file in them; the controller reads and writes those.

use crate::config::{Config, ListenerRole};
use crate::error::{ConfigError, NodeError};
use crate::failure::{of_disk, of_format, of_log};
use crate::world::World;
use ottla_controller::{Contents, Endpoint, FeatureChoice, FormatOptions, MetaProperties, Voters};
use ottla_log::{LogDir, LogDirLimits};
use ottla_protocol::{Millis, NodeId, Uuid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// A directory of this node, locked for this process.
pub(crate) struct Directory {
    pub(crate) log_dir: Arc<LogDir>,
    /// None when it is out of service.
    pub(crate) meta: Option<MetaProperties>,
    /// Formatted before this process looked at it.
    already: bool,
}

/// Formats data directories as the settings and the request say.
///
/// # Errors
/// Every [`NodeError`] that concerns settings or directories.
pub fn format(config: &Config, request: &FormatRequest) -> Result<Vec<Formatted>, NodeError> {
    let show = |Directory { log_dir, meta, already }| {
        meta.map(|meta: MetaProperties| Formatted {
            path: log_dir.path().to_owned(),
            node_id: meta.node_id.get(),
            cluster_id: meta.cluster_id,
            directory_id: meta.directory_id.to_string(),
            already,
        })
    };
    let prepared = prepare(&World::real(), config, request, Unusable::Refuse)?;
    Ok(prepared.into_iter().filter_map(show).collect())
}

/// What becomes of a directory that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Nothing is done to any.
    Refuse,
    /// As in Kafka the others serve, if the one with the metadata is among them.
    Offline,
}

/// Takes what is formatted, and formats what is empty, for the settings' node.
pub(crate) fn prepare(
    world: &World,
    config: &Config,
    request: &FormatRequest,
    unusable: Unusable,
) -> Result<Vec<Directory>, NodeError> {
    let mut found = Vec::with_capacity(config.log_dirs.len());
    let mut offline = Vec::new();
    for path in &config.log_dirs {
        match look(world, path) {
            Ok(looked) => found.push(looked),
            Err(error) => {
                let spared = unusable == Unusable::Offline && *path != config.metadata_log_dir;
                if !(spared && is_of_disk(&error)) {
                    return Err(error);
                }
                offline.push((path, error));
            }
        }
    }
    let known = agreed(&found, config, request)?;
    // A new node begins with all that it is told to have.
    if known.is_none()
        && let Some((_, error)) = offline.pop()
    {
        return Err(error);
    }
    let empty: Vec<PathBuf> = found
        .iter()
        .filter(|(_, meta)| meta.is_none())
        .map(|(log_dir, _)| log_dir.path().to_owned())
        .collect();
    if known.is_some() && empty.contains(&config.metadata_log_dir) {
        return Err(NodeError::Damaged {
            path: config.metadata_log_dir.clone(),
            what: "it is to hold the metadata and is empty, though other directories are formatted"
                .to_owned(),
        });
    }
    if unusable == Unusable::Offline
        && let Some(first) = empty.first().filter(|_| known.is_some())
    {
        check_unused(world, config, first)?;
    }
    if !empty.is_empty() {
        write(world, config, request, known, empty)?;
    }
    let mut directories = Vec::with_capacity(config.log_dirs.len());
    for (log_dir, meta) in found {
        let already = meta.is_some();
        let meta = match meta {
            Some(meta) => meta,
            None => inspect(world, log_dir.path())?.ok_or_else(|| NodeError::Damaged {
                path: log_dir.path().to_owned(),
                what: "it was formatted a moment ago and is empty".to_owned(),
            })?,
        };
        directories.push(Directory { log_dir, meta: Some(meta), already });
    }
    for (path, error) in offline {
        let (disk, limits) = (Arc::clone(&world.disk), LogDirLimits::default());
        let log_dir = LogDir::offline(disk, path, limits, &error.to_string());
        directories.push(Directory { log_dir, meta: None, already: true });
    }
    // As the settings have them.
    let place = |one: &Directory| config.log_dirs.iter().position(|p| p == one.log_dir.path());
    directories.sort_by_key(place);
    Ok(directories)
}

/// A node that has run may have data in a directory that is empty now: its disk may not be mounted.
/// As in Kafka it does not start on a new one there, or that data would seem to be gone.
fn check_unused(world: &World, config: &Config, empty: &Path) -> Result<(), NodeError> {
    let metadata = &config.metadata_log_dir;
    let ran = ottla_controller::has_run(&*world.disk, metadata)
        .map_err(|error| of_disk(metadata, error))?;
    if !ran {
        return Ok(());
    }
    Err(conflict(format!(
        "data directory {} is empty, though this node has run: is its disk mounted? If it is new, \
         `ottla format --ignore-formatted` with the same settings makes it ready",
        empty.display()
    )))
}

/// Whether the disk does not let the directory be used, as opposed to what is in it.
fn is_of_disk(error: &NodeError) -> bool {
    match error {
        NodeError::Permission { .. } | NodeError::NoSpace { .. } | NodeError::Failed { .. } => true,
        NodeError::Config(_)
        | NodeError::AddressInUse { .. }
        | NodeError::Listen { .. }
        | NodeError::Locked { .. }
        | NodeError::Foreign { .. }
        | NodeError::Damaged { .. }
        | NodeError::Unsupported { .. }
        | NodeError::AlreadyFormatted { .. } => false,
    }
}

/// Creates the directory if it is missing, takes its lock, and looks inside.
fn look(world: &World, path: &Path) -> Result<(Arc<LogDir>, Option<MetaProperties>), NodeError> {
    let log_dir = LogDir::open(Arc::clone(&world.disk), path, LogDirLimits::default())
        .map_err(|error| of_log(path, error))?;
    let meta = inspect(world, path)?;
    if meta.is_some() {
        // Kafka does not start beside a folder that is no partition's; neither does Ottla.
        log_dir.list().map_err(|error| of_log(path, error))?;
    }
    Ok((log_dir, meta))
}

fn inspect(world: &World, path: &Path) -> Result<Option<MetaProperties>, NodeError> {
    match ottla_controller::inspect(&*world.disk, path).map_err(|error| of_disk(path, error))? {
        Contents::Empty => Ok(None),
        Contents::Formatted(meta) => Ok(Some(meta)),
        Contents::Foreign(found) => {
            Err(NodeError::Foreign { path: path.to_owned(), found: format!("it holds {found}") })
        }
        Contents::Damaged(what) => Err(NodeError::Damaged { path: path.to_owned(), what }),
    }
}

/// What formatted directories say of the node and the cluster, if they agree with each other,
/// with the settings and with the request.
fn agreed<'a>(
    found: &'a [(Arc<LogDir>, Option<MetaProperties>)],
    config: &Config,
    request: &FormatRequest,
) -> Result<Option<&'a MetaProperties>, NodeError> {
    let mut known: Option<(&Path, &MetaProperties)> = None;
    for (log_dir, meta) in found {
        let (path, Some(meta)) = (log_dir.path(), meta) else { continue };
        if !request.ignore_formatted {
            return Err(NodeError::AlreadyFormatted {
                path: path.to_owned(),
                node: meta.node_id.get(),
                cluster: meta.cluster_id.clone(),
            });
        }
        if let Some(id) = config.node_id.filter(|id| *id != meta.node_id.get()) {
            return Err(conflict(format!(
                "node.id is {id}, but {} was formatted for node {}",
                path.display(),
                meta.node_id
            )));
        }
        if let Some(id) = request.cluster_id.as_ref().filter(|id| **id != meta.cluster_id) {
            return Err(conflict(format!(
                "the cluster id is to be {id}, but {} was formatted for cluster {}",
                path.display(),
                meta.cluster_id
            )));
        }
        match known {
            None => known = Some((path, meta)),
            Some((first, one)) => agree(first, one, path, meta)?,
        }
    }
    Ok(known.map(|(_, meta)| meta))
}

fn agree(
    first: &Path,
    one: &MetaProperties,
    second: &Path,
    other: &MetaProperties,
) -> Result<(), NodeError> {
    let damaged = |what: String| Err(NodeError::Damaged { path: second.to_owned(), what });
    if one.cluster_id != other.cluster_id {
        return damaged(format!(
            "it belongs to cluster {}, and {} to cluster {}",
            other.cluster_id,
            first.display(),
            one.cluster_id
        ));
    }
    if one.node_id != other.node_id {
        return damaged(format!(
            "it belongs to node {}, and {} to node {}",
            other.node_id,
            first.display(),
            one.node_id
        ));
    }
    if one.directory_id == other.directory_id {
        return damaged(format!("{} has the same directory.id: one is a copy", first.display()));
    }
    Ok(())
}

/// Formats `empty` directories: for the cluster that is `known`, or for a new one.
fn write(
    world: &World,
    config: &Config,
    request: &FormatRequest,
    known: Option<&MetaProperties>,
    mut empty: Vec<PathBuf>,
) -> Result<(), NodeError> {
    // The metadata directory comes first: it is given the bootstrap records.
    empty.sort_by_key(|path| *path != config.metadata_log_dir);
    let cluster_id = known.map(|meta| meta.cluster_id.clone()).or(request.cluster_id.clone());
    let node_id = known.map(|meta| meta.node_id).or(config.node_id.map(NodeId));
    let directory_id = match &request.directory_id {
        None => None,
        Some(text) => Some(Uuid::parse(text).ok_or_else(|| {
            conflict(format!("{text:?} is no directory id: 22 characters of URL-safe base64"))
        })?),
    };
    let options = FormatOptions {
        cluster_id,
        node_id: node_id.unwrap_or(NodeId(1)),
        directory_id,
        features: FeatureChoice {
            release: request.release_version.clone(),
            levels: request.features.clone(),
        },
        voters: voters(config, request, known.is_some())?,
        ignore_formatted: request.ignore_formatted,
    };
    let now = Millis(world.clock.wall_ms());
    ottla_controller::format(&world.disk, &*world.rng, now, &empty, &options)
        .map(drop)
        .map_err(|error| of_format(&config.metadata_log_dir, error))
}

/// The quorum that is written into a new metadata directory.
fn voters(config: &Config, request: &FormatRequest, joins: bool) -> Result<Voters, NodeError> {
    if joins {
        return Ok(Voters::None);
    }
    if config.static_quorum {
        if request.standalone {
            return Err(conflict(
                "--standalone and controller.quorum.voters exclude each other".to_owned(),
            ));
        }
        return Ok(Voters::Static);
    }
    let listener = config
        .listeners
        .iter()
        .find(|listener| listener.role == ListenerRole::Controller)
        .map(|listener| &listener.endpoint);
    Ok(Voters::Standalone(match listener {
        Some(endpoint) => Endpoint {
            listener: endpoint.listener.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
        },
        // Nobody dials it, but a voter has an end point.
        None => {
            Endpoint { listener: "CONTROLLER".to_owned(), host: "localhost".to_owned(), port: 9093 }
        }
    }))
}

fn conflict(sentence: String) -> NodeError {
    ConfigError::Conflict(sentence).into()
}
