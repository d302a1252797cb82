//! Formatting: `meta.properties` in every log directory, and in the metadata directory the records
//! a new cluster begins with (Kafka's `StorageTool format`). Must not know settings.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{Disk, Rng, planted};
use ottla_metadata::feature_table::{self, FEATURES};
use ottla_metadata::{Random, VersionedRecord, draw_id};
use ottla_protocol::{FeatureLevelRecord, MetadataRecord, Millis, NodeId, StrBytes, Uuid};
use ottla_raft::ReplicaKey;

use crate::error::{ControllerError, FormatError};
use crate::meta::{Contents, MetaProperties, inspect};
use crate::metadata_log::DIRECTORY;
use crate::snapshot;
use crate::voters::{Endpoint, Voter};

/// Which levels a new cluster finalises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureChoice {
    /// Those of a release, such as `4.4` or `4.4-IV2`; the newest if none.
    pub release: Option<String>,
    /// Levels of single features, which win.
    pub levels: Vec<(String, i16)>,
}

/// How the quorum of a new cluster knows its voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voters {
    /// This node alone, with its directory, written into the log (`--standalone`).
    Standalone(Endpoint),
    /// As the settings say (`controller.quorum.voters`).
    Static,
    /// The directory joins a cluster that exists: nothing is begun.
    None,
}

/// What to format with.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    /// The cluster's id; a random one if none.
    pub cluster_id: Option<String>,
    /// The node's id.
    pub node_id: NodeId,
    /// The metadata directory's id; a random one if none.
    pub directory_id: Option<Uuid>,
    /// Feature levels.
    pub features: FeatureChoice,
    /// Voters.
    pub voters: Voters,
    /// Leave formatted directories as they are instead of refusing.
    pub ignore_formatted: bool,
}

/// Randomness of the environment, as metadata wants it.
pub(crate) struct Draw<'a>(pub(crate) &'a dyn Rng);

impl Random for Draw<'_> {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// Formats directories; the first is the metadata directory. Gives what its `meta.properties` says.
/// `meta.properties` is written last: a directory is formatted or it is not.
///
/// # Errors
/// When a directory is formatted already, holds something else, or the choice makes no sense.
pub fn format(
    disk: &Arc<dyn Disk>,
    rng: &dyn Rng,
    now: Millis,
    dirs: &[PathBuf],
    options: &FormatOptions,
) -> Result<MetaProperties, FormatError> {
    let invalid = |what: String| Err(FormatError::Invalid(what));
    let levels = levels(options)?;
    let mut draw = Draw(rng);
    if options.node_id.get() < 0 {
        return invalid(format!("node.id is {}, which no node can have", options.node_id));
    }
    let cluster_id = options.cluster_id.clone().unwrap_or_else(|| draw_id(&mut draw).to_string());
    if cluster_id.trim().is_empty() {
        return invalid("the cluster id is empty".to_owned());
    }
    if let Some(id) = options.directory_id.filter(|id| id.is_reserved()) {
        return invalid(format!("the directory id {id} is reserved"));
    }
    let mut first = None;
    for (index, dir) in dirs.iter().enumerate() {
        match inspect(disk.as_ref(), dir)? {
            Contents::Empty => {}
            Contents::Formatted(meta) if options.ignore_formatted => {
                first = first.or(Some(meta));
                continue;
            }
            Contents::Formatted(_) => {
                return invalid(format!("{} is formatted already", dir.display()));
            }
            Contents::Foreign(found) => return invalid(format!("{} holds {found}", dir.display())),
            Contents::Damaged(what) => return invalid(format!("{}: {what}", dir.display())),
        }
        disk.create_dir(dir)?;
        // The directory is safe before it says that it is formatted.
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            disk.sync_dir(parent)?;
        }
        let given = options.directory_id.filter(|_| index == 0);
        let meta = MetaProperties {
            cluster_id: cluster_id.clone(),
            node_id: options.node_id,
            directory_id: given.unwrap_or_else(|| draw_id(&mut draw)),
        };
        if index == 0 && !planted("format-marker-first") {
            bootstrap(disk.as_ref(), dir, now, options, &levels, &meta)?;
        }
        let text = ottla_log::MetaProperties {
            cluster_id: Some(meta.cluster_id.clone()),
            node_id: Some(meta.node_id),
            directory_id: Some(meta.directory_id),
        };
        disk.write_atomically(
            &dir.join(ottla_log::MetaProperties::FILE),
            Bytes::from(text.encode()),
        )?;
        if index == 0 && planted("format-marker-first") {
            bootstrap(disk.as_ref(), dir, now, options, &levels, &meta)?;
        }
        first = first.or(Some(meta));
    }
    first.ok_or_else(|| FormatError::Invalid("there is no directory to format".to_owned()))
}

fn bootstrap(
    disk: &dyn Disk,
    dir: &std::path::Path,
    now: Millis,
    options: &FormatOptions,
    levels: &[(&'static str, i16)],
    meta: &MetaProperties,
) -> Result<(), FormatError> {
    let (kraft_version, voters) = match &options.voters {
        Voters::None => return Ok(()),
        Voters::Static => (0, Vec::new()),
        Voters::Standalone(endpoint) => {
            let key = ReplicaKey { id: meta.node_id, directory_id: meta.directory_id };
            (1, vec![Voter { key, endpoints: vec![endpoint.clone()] }])
        }
    };
    let log = dir.join(DIRECTORY);
    disk.create_dir(&log)?;
    disk.sync_dir(dir)?;
    let plan = snapshot::Plan {
        id: snapshot::BOOTSTRAP,
        timestamp: now,
        now,
        kraft_version,
        voters: &voters,
    };
    snapshot::write(disk, &log, &plan, |push| {
        for (name, level) in levels {
            let record = FeatureLevelRecord {
                name: StrBytes::from(*name),
                feature_level: *level,
                ..FeatureLevelRecord::default()
            };
            push(VersionedRecord {
                record: MetadataRecord::FeatureLevel(Box::new(record)),
                version: 0,
            })?;
        }
        Ok(())
    })
    .map(drop)
    .map_err(|error| match error {
        ControllerError::Disk(error) => FormatError::Disk(error),
        ControllerError::Damaged(what)
        | ControllerError::Unsupported(what)
        | ControllerError::Thread(what) => FormatError::Invalid(what),
    })
}

/// The levels a new cluster finalises, `metadata.version` first.
fn levels(options: &FormatOptions) -> Result<Vec<(&'static str, i16)>, FormatError> {
    const METADATA_VERSION: &str = "metadata.version";
    let invalid = |what: String| Err(FormatError::Invalid(what));
    for (name, level) in &options.features.levels {
        let Some(feature) = feature_table::find(name) else {
            let known: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
            return invalid(format!("there is no feature {name}; there are {}", known.join(", ")));
        };
        if !(feature.min..=feature.max).contains(level) && *level != 0
            || *level == 0 && name == METADATA_VERSION
        {
            return invalid(format!(
                "feature {name} cannot be at level {level}: this version supports {} to {}",
                feature.min, feature.max
            ));
        }
    }
    let chosen =
        |name: &str| options.features.levels.iter().rev().find(|(chosen, _)| chosen == name);
    let release = match &options.features.release {
        None => None,
        Some(release) => match feature_table::metadata_version_of(release) {
            Some(level) => Some(level),
            None => {
                return invalid(format!("there is no release {release} that this version knows"));
            }
        },
    };
    let newest = feature_table::find(METADATA_VERSION).map_or(0, |feature| feature.initial);
    let version = chosen(METADATA_VERSION).map(|(_, level)| *level).or(release).unwrap_or(newest);
    if let Some((_, level)) = chosen(feature_table::KRAFT_VERSION) {
        let dynamic = matches!(options.voters, Voters::Standalone(_));
        if (*level > 0) != dynamic {
            return invalid(format!(
                "{} {level} does not fit the way the quorum's voters are given",
                feature_table::KRAFT_VERSION
            ));
        }
    }
    let mut levels = vec![(METADATA_VERSION, version)];
    for feature in FEATURES
        .iter()
        .filter(|feature| ![METADATA_VERSION, feature_table::KRAFT_VERSION].contains(&feature.name))
    {
        let level = match chosen(feature.name) {
            Some((_, level)) => *level,
            None if version >= feature.initial_from => feature.initial,
            None => 0,
        };
        if level > 0 && version < feature.needs {
            return invalid(format!(
                "feature {} at level {level} needs {METADATA_VERSION} {} at least, not {version}",
                feature.name, feature.needs
            ));
        }
        if level > 0 {
            levels.push((feature.name, level));
        }
    }
    Ok(levels)
}
