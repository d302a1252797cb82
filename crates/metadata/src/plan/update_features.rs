//! UpdateFeatures (KIP-584, KIP-1022): which levels are finalised. Must not know what a level
//! changes.

use ottla_protocol::k57_update_features::FeatureUpdateKey;
use ottla_protocol::{
    ConfigRecord, ErrorCode, FeatureLevelRecord, MetadataRecord, StrBytes, UpdateFeaturesRequest,
    UpdateFeaturesResponse, k57_update_features,
};

use super::{Context, Records};
use crate::feature_table::{self, KRAFT_VERSION};
use crate::image::{ConfigResource, ResourceKind};
use crate::record::VersionedRecord;
use crate::refusal::Refusal;

const METADATA_VERSION: &str = "metadata.version";
const ELR_VERSION: &str = "eligible.leader.replicas.version";
/// Lowest `metadata.version` that can hold eligible leader replicas.
const ELR_NEEDS: i16 = 23;
/// Levels of `metadata.version` that brought new metadata, so that there is no way back from them
/// (`MetadataVersion.didMetadataChange`).
const CHANGED_METADATA: [i16; 11] = [7, 8, 11, 13, 14, 15, 17, 23, 30, 32, 33];

/// What kind of change was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
    Unknown,
}

pub(super) fn plan(
    context: &mut Context<'_>,
    request: &UpdateFeaturesRequest,
    version: i16,
) -> (Records, UpdateFeaturesResponse) {
    let mut records = Records::new();
    let mut refusal = None;
    for update in &request.feature_updates {
        match one(context, request, update, version) {
            Ok(new) => records.extend(new),
            Err(reason) => {
                refusal = Some(reason);
                break;
            }
        }
    }
    if refusal.is_some() || request.validate_only {
        records.clear();
    }
    (records, response(request, refusal.as_ref(), version))
}

/// Before version 2 each feature has a result of its own; they all share one fate.
fn response(
    request: &UpdateFeaturesRequest,
    refusal: Option<&Refusal>,
    version: i16,
) -> UpdateFeaturesResponse {
    let mut response = UpdateFeaturesResponse {
        error_code: refusal.map_or(0, |refusal| refusal.code.code()),
        error_message: refusal.map(|refusal| {
            StrBytes::from(format!(
                "The update failed for all features since the following feature had an error: {refusal}"
            ))
        }),
        ..UpdateFeaturesResponse::default()
    };
    if refusal.is_none() && version < 2 {
        let results = request.feature_updates.iter().map(|update| {
            k57_update_features::UpdatableFeatureResult {
                feature: update.feature.clone(),
                error_message: Some(StrBytes::from("NONE")),
                ..k57_update_features::UpdatableFeatureResult::default()
            }
        });
        response.results = results.collect();
    }
    response
}

fn one(
    context: &Context<'_>,
    request: &UpdateFeaturesRequest,
    update: &FeatureUpdateKey,
    version: i16,
) -> Result<Records, Refusal> {
    let (name, level) = (&update.feature, update.max_version_level);
    let refuse = |why: String| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message))
    };
    let direction = match (version, update.upgrade_type) {
        (0, _) if update.allow_downgrade => Direction::SafeDowngrade,
        (0, _) | (_, 1) => Direction::Upgrade,
        (_, 2) => Direction::SafeDowngrade,
        (_, 3) => Direction::UnsafeDowngrade,
        _ => Direction::Unknown,
    };
    if direction == Direction::Unknown {
        return refuse("The controller does not support the given upgrade type.".to_owned());
    }
    if level < 0 {
        return refuse("A feature version cannot be less than 0.".to_owned());
    }
    if let Some(why) = not_supported(context, name, level) {
        return refuse(why);
    }
    if &**name == KRAFT_VERSION {
        return refuse("Can't downgrade the version of this feature.".to_owned());
    }
    let present = context.image.features().level(name);
    if level < present && direction == Direction::Upgrade {
        return refuse(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
             downgrade."
                .to_owned(),
        );
    }
    if level > present && direction != Direction::Upgrade {
        return refuse("Can't downgrade to a newer version.".to_owned());
    }
    let proposed = |feature: &str| {
        let updated = request.feature_updates.iter().find(|other| other.feature == feature);
        updated.map_or_else(
            || context.image.features().level(feature),
            |other| other.max_version_level,
        )
    };
    let mut records = Records::new();
    if &**name == METADATA_VERSION {
        check_downgrade(present, level, direction)?;
    } else if &**name == ELR_VERSION && level > 0 {
        if proposed(METADATA_VERSION) < ELR_NEEDS {
            return refuse(format!(
                "{name} could not be set to {level} because it depends on {METADATA_VERSION} level {ELR_NEEDS}"
            ));
        }
        if present == 0 {
            records.extend(minimum_for_all(context));
        }
    }
    let record = FeatureLevelRecord {
        name: name.clone(),
        feature_level: level,
        ..FeatureLevelRecord::default()
    };
    records.push(VersionedRecord::new(MetadataRecord::FeatureLevel(Box::new(record)), 0));
    Ok(records)
}

fn not_supported(context: &Context<'_>, name: &str, level: i16) -> Option<String> {
    let node = context.settings.node;
    let outside = |who: String, min: i16, max: i16| {
        if max == 0 && min == 0 && level != 0 {
            return Some(format!("{who} does not support this feature."));
        }
        let inside = (min..=max).contains(&level) || (level == 0 && name != METADATA_VERSION);
        (!inside).then(|| format!("{who} only supports versions {min}-{max}"))
    };
    let feature = feature_table::find(name);
    let (min, max) = feature.map_or((0, 0), |feature| (feature.min, feature.max));
    if let Some(why) = outside(format!("Local controller {node}"), min, max) {
        return Some(why);
    }
    context.image.brokers().find_map(|broker| {
        let range = broker.features.get(name);
        let (min, max) = range.map_or((0, 0), |range| (range.min, range.max));
        outside(format!("Broker {}", broker.id), min, max)
    })
}

fn check_downgrade(present: i16, level: i16, direction: Direction) -> Result<(), Refusal> {
    if feature_table::metadata_version_name(level).is_none() {
        let message = format!("Invalid metadata.version {level}. Unknown metadata.version.");
        return Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message));
    }
    let loses = CHANGED_METADATA.iter().any(|change| level < *change && *change <= present);
    if level < present && loses {
        let why = if direction == Direction::UnsafeDowngrade {
            "Unsafe metadata downgrade is not supported in this version."
        } else {
            "Refusing to perform the requested downgrade because it might delete metadata information."
        };
        let message =
            format!("Unsupported metadata.version downgrade from {present} to {level}. {why}");
        return Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message));
    }
    Ok(())
}

/// With eligible leader replicas the cluster's own minimum must exist; the brokers' are dropped.
fn minimum_for_all(context: &Context<'_>) -> Records {
    const MIN_ISR: &str = "min.insync.replicas";
    let config = |resource_name: StrBytes, value: Option<StrBytes>| {
        let record = ConfigRecord {
            resource_type: ResourceKind::Broker.wire_id(),
            resource_name,
            name: StrBytes::from(MIN_ISR),
            value,
            ..ConfigRecord::default()
        };
        VersionedRecord::new(MetadataRecord::Config(Box::new(record)), 0)
    };
    let mut records = Records::new();
    let has = |resource: &ConfigResource| {
        context.image.config(resource).is_some_and(|all| all.contains_key(MIN_ISR))
    };
    if !has(&ConfigResource::all_brokers()) {
        let value = context.effective().broker(MIN_ISR).to_text().unwrap_or_else(|| "1".to_owned());
        records.push(config(StrBytes::default(), Some(StrBytes::from(value))));
    }
    let own = context.image.config_resources().filter(|resource| {
        resource.kind == ResourceKind::Broker && !resource.name.is_empty() && has(resource)
    });
    records.extend(own.map(|resource| config(resource.name.clone(), None)));
    records
}
