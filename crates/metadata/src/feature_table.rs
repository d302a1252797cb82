//! Which features exist, what levels Ottla supports, and what a new cluster finalises: the one
//! place that says so. Must not know what a level changes.

use ottla_protocol::StrBytes;

use crate::image::{Features, VersionRange};

/// A feature of Apache Kafka 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level whose APIs Ottla has: offered to clients, finalised on request.
    pub max: i16,
    /// Highest level that Kafka 4.4 knows. A directory that Kafka formatted may have it finalised
    /// already; it is kept, so that Kafka can take the directory back.
    pub max_known: i16,
    /// Level a new cluster finalises.
    pub initial: i16,
    /// Lowest `metadata.version` of a new cluster that finalises it.
    pub initial_from: i16,
    /// Lowest `metadata.version` at which it can be above 0.
    pub needs: i16,
}

/// All features, by name. A feature stays at 0 until its APIs exist: `group.version` the consumer
/// group protocol (KIP-848), `share.version` share groups (KIP-932), `streams.version` streams
/// groups (KIP-1071), `transaction.version` transactions (KIP-890). `eligible.leader.replicas.version`
/// needs no API of its own. `kraft.version` is not in feature records but in control records of
/// the log; 1 is a quorum that knows its voters' directories.
pub const FEATURES: [Feature; 7] = [
    feature("eligible.leader.replicas.version", [0, 1, 1], 1, 26, 23),
    feature("group.version", [0, 0, 1], 0, 22, 0),
    feature(KRAFT_VERSION, [0, 1, 1], 1, 21, 0),
    feature("metadata.version", [7, 33, 33], 33, 7, 7),
    feature("share.version", [0, 0, 2], 0, 28, 0),
    feature("streams.version", [0, 0, 1], 0, 29, 0),
    feature("transaction.version", [0, 0, 2], 0, 24, 0),
];

const fn feature(
    name: &'static str,
    [min, max, max_known]: [i16; 3],
    initial: i16,
    initial_from: i16,
    needs: i16,
) -> Feature {
    Feature { name, min, max, max_known, initial, initial_from, needs }
}

/// The feature that says how the quorum keeps its voters.
pub const KRAFT_VERSION: &str = "kraft.version";

/// Releases of Kafka and the `metadata.version` each finalises, newest first. Each is also known
/// by the name of the level.
const RELEASES: [(&str, &str, i16); 27] = [
    ("4.4", "4.4-IV2", 33),
    ("", "4.4-IV1", 32),
    ("", "4.4-IV0", 31),
    ("4.3", "4.3-IV0", 30),
    ("4.2", "4.2-IV1", 29),
    ("", "4.2-IV0", 28),
    ("4.1", "4.1-IV1", 27),
    ("", "4.1-IV0", 26),
    ("4.0", "4.0-IV3", 25),
    ("", "4.0-IV2", 24),
    ("", "4.0-IV1", 23),
    ("", "4.0-IV0", 22),
    ("3.9", "3.9-IV0", 21),
    ("3.8", "3.8-IV0", 20),
    ("3.7", "3.7-IV4", 19),
    ("", "3.7-IV3", 18),
    ("", "3.7-IV2", 17),
    ("", "3.7-IV1", 16),
    ("", "3.7-IV0", 15),
    ("3.6", "3.6-IV2", 14),
    ("", "3.6-IV1", 13),
    ("", "3.6-IV0", 12),
    ("3.5", "3.5-IV2", 11),
    ("", "3.5-IV1", 10),
    ("", "3.5-IV0", 9),
    ("3.4", "3.4-IV0", 8),
    ("3.3", "3.3-IV3", 7),
];

/// The feature of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

/// The `metadata.version` of a release such as `4.4`, or of a level such as `4.4-IV2`.
#[must_use]
pub fn metadata_version_of(release: &str) -> Option<i16> {
    let release = release.trim();
    // A patch release has the level of its minor release.
    let minor = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    RELEASES
        .iter()
        .find(|(name, level, _)| *level == release || (!name.is_empty() && *name == minor))
        .map(|(_, _, number)| *number)
}

/// The name of a level of `metadata.version`, such as `4.4-IV2`.
#[must_use]
pub fn metadata_version_name(level: i16) -> Option<&'static str> {
    RELEASES.iter().find(|(_, _, number)| *number == level).map(|(_, name, _)| *name)
}

/// The ranges a node registers with: what Ottla supports, and what the cluster has finalised
/// already. Without the latter no node could join a cluster that Kafka formatted.
pub fn supported(finalised: &Features) -> impl Iterator<Item = (StrBytes, VersionRange)> {
    FEATURES.iter().map(|feature| {
        let max = feature.max.max(finalised.level(feature.name).min(feature.max_known));
        (StrBytes::from(feature.name), VersionRange { min: feature.min, max })
    })
}

/// Whether log directories can be cordoned (KIP-1066).
#[must_use]
pub fn cordons_log_dirs(features: &Features) -> bool {
    MetadataVersion(features.metadata_version()).has_cordoned_directories()
}

/// What record versions and rules a `metadata.version` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetadataVersion(pub(crate) i16);

impl MetadataVersion {
    pub(crate) const fn register_broker_record(self) -> i16 {
        match self.0 {
            30.. => 4,
            17..=29 => 3,
            8..=16 => 2,
            _ => 1,
        }
    }

    pub(crate) const fn has_directories(self) -> bool {
        self.0 >= 17
    }

    pub(crate) const fn has_cordoned_directories(self) -> bool {
        self.0 >= 30
    }

    pub(crate) const fn has_elr(self) -> bool {
        self.0 >= 23
    }

    pub(crate) const fn has_controller_registration(self) -> bool {
        self.0 >= 15
    }

    pub(crate) const fn has_transactions(self) -> bool {
        self.0 >= 13
    }

    pub(crate) const fn bumps_epoch_on_isr_shrink(self) -> bool {
        self.0 < 12
    }

    pub(crate) const fn partition_record(self) -> i16 {
        if self.has_elr() {
            2
        } else if self.has_directories() {
            1
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::metadata_version_of;

    #[test]
    fn releases_name_their_level() {
        let cases = [
            ("4.4", Some(33)),
            ("4.4.0", Some(33)),
            ("4.3-IV0", Some(30)),
            ("3.3", Some(7)),
            ("3.2", None),
            ("", None),
        ];
        for (release, level) in cases {
            assert_eq!(metadata_version_of(release), level, "{release}");
        }
    }
}
