//! What is known of each API, and the table that ApiVersions answers with. Must not know which
//! APIs a broker implements: it is told.

use crate::k18_api_versions::ApiVersion;
use crate::{ApiKey, DecodeError, VersionRange};

/// The listeners on which an API is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listeners {
    /// Listeners of brokers.
    pub broker: bool,
    /// Listeners of controllers.
    pub controller: bool,
}

/// A kind of listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// A broker's.
    Broker,
    /// A controller's.
    Controller,
}

/// What Kafka's schemas say of an API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApiInfo {
    /// Kafka's name, such as `Produce`.
    pub name: &'static str,
    /// Versions of its request and its response.
    pub versions: VersionRange,
    /// First flexible version (KIP-482).
    pub flexible_from: Option<i16>,
    /// Where it is served.
    pub listeners: Listeners,
    /// The newest version is not for production and only advertised on demand.
    pub newest_unstable: bool,
}

/// Lowest Produce version that is advertised though it is refused: old librdkafka gives up
/// when it does not see it (KAFKA-18659).
const PRODUCE_ADVERTISED_MIN: i16 = 0;

impl ApiKey {
    /// Kafka's name, such as `Produce`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The number, as requests carry it.
    #[must_use]
    pub const fn id(self) -> i16 {
        self as i16
    }

    /// Versions of its request and its response.
    #[must_use]
    pub const fn versions(self) -> VersionRange {
        self.info().versions
    }

    /// Versions for production: without the newest when that is unstable.
    #[must_use]
    pub const fn stable_versions(self) -> VersionRange {
        let info = self.info();
        let cut = if info.newest_unstable { 1 } else { 0 };
        VersionRange::new(info.versions.min, info.versions.max - cut)
    }

    /// Whether `version` is encoded in the flexible way (KIP-482).
    #[must_use]
    pub const fn is_flexible(self, version: i16) -> bool {
        match self.info().flexible_from {
            Some(from) => version >= from,
            None => false,
        }
    }

    /// Version of the header before a request of `version`: 2 when it is flexible, else 1.
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the header before a response of `version`: 1 when it is flexible, else 0;
    /// always 0 for ApiVersions, whose answer must be readable by clients of any age (KIP-511).
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, Self::ApiVersions) { 1 } else { 0 }
    }

    /// Whether the API is served on that kind of listener.
    #[must_use]
    pub const fn is_on(self, listener: Listener) -> bool {
        match listener {
            Listener::Broker => self.info().listeners.broker,
            Listener::Controller => self.info().listeners.controller,
        }
    }
}

impl TryFrom<i16> for ApiKey {
    type Error = DecodeError;

    fn try_from(key: i16) -> Result<Self, DecodeError> {
        Self::from_i16(key).ok_or(DecodeError::UnknownApiKey { key })
    }
}

/// The entries of an ApiVersions answer on that kind of listener, by rising key. `served` says
/// which APIs exist behind it (a broker without a telemetry reporter leaves out 71 and 72).
/// Unstable newest versions are left out unless `unstable` is set
/// (`unstable.api.versions.enable`).
#[must_use]
pub fn api_versions(
    listener: Listener,
    unstable: bool,
    served: &dyn Fn(ApiKey) -> bool,
) -> Vec<ApiVersion> {
    ApiKey::ALL
        .into_iter()
        .filter(|key| key.is_on(listener) && served(*key))
        .filter_map(|key| {
            let versions = if unstable { key.versions() } else { key.stable_versions() };
            let produce = key == ApiKey::Produce;
            let min = if produce { PRODUCE_ADVERTISED_MIN } else { versions.min };
            (min <= versions.max).then(|| ApiVersion {
                api_key: key.id(),
                min_version: min,
                max_version: versions.max,
                ..ApiVersion::default()
            })
        })
        .collect()
}
