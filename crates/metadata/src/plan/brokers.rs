//! Brokers register, live, stop and go: their sessions, their fences, and what that means for the
//! partitions they have (KIP-500, KIP-841, KIP-858, KIP-966, KIP-1066). Must not know how a
//! partition's leader is found.

use std::collections::BTreeSet;

use ottla_protocol::k62_broker_registration as registration;
use ottla_protocol::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationChangeRecord,
    BrokerRegistrationRequest, BrokerRegistrationResponse, ErrorCode, MetadataRecord, Millis,
    NodeId, Offset, UnregisterBrokerRecord, UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use super::partition_change::{self, Event};
use super::{Context, Records};
use crate::configs::Effective;
use crate::feature_table::MetadataVersion;
use crate::image::{Broker, Image, Listener, VersionRange};
use crate::record::VersionedRecord;
use crate::refusal::Refusal;

/// How long a broker may be silent.
pub(crate) fn session_timeout(effective: &Effective<'_>) -> Millis {
    Millis(effective.broker("broker.session.timeout.ms").as_i64().unwrap_or(9000))
}

/// The broker, when the epoch is that of its present registration.
pub(crate) fn check_epoch(image: &Image, id: i32, epoch: i64) -> Result<&Broker, Refusal> {
    let stale = |message: String| Refusal::new(ErrorCode::StaleBrokerEpoch, message);
    let broker = image.broker(NodeId(id));
    let broker =
        broker.ok_or_else(|| stale(format!("No broker registration found for broker id {id}")))?;
    if broker.epoch == epoch {
        Ok(broker)
    } else {
        Err(stale(format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch)))
    }
}

pub(super) fn register(
    context: &mut Context<'_>,
    request: &BrokerRegistrationRequest,
) -> Result<(Records, BrokerRegistrationResponse), Refusal> {
    let (image, effective) = (context.image, context.effective());
    let id = NodeId(request.broker_id);
    if request.cluster_id != context.settings.cluster_id {
        return Err(Refusal::new(
            ErrorCode::InconsistentClusterId,
            format!(
                "Expected cluster ID {}, but got cluster ID {}",
                context.settings.cluster_id, request.cluster_id
            ),
        ));
    }
    let existing = image.broker(id);
    let same_incarnation =
        existing.filter(|existing| existing.incarnation_id == request.incarnation_id);
    let timeout = session_timeout(&effective);
    if same_incarnation.is_none()
        && existing.is_some()
        && context.sessions.is_valid(id, context.now, timeout)
    {
        return Err(Refusal::new(
            ErrorCode::DuplicateBrokerRegistration,
            "Another broker is registered with that broker id. If the broker was recently restarted this should \
             self-resolve once the heartbeat manager expires the broker's session.",
        ));
    }
    if request.is_migrating_zk_broker {
        let message = "Controller does not support registering ZK brokers.";
        return Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message));
    }
    let version = MetadataVersion(image.features().metadata_version());
    if version.has_directories() {
        check_directories(image, request)?;
    }
    check_features(image, request)?;
    let mut records = Records::new();
    if same_incarnation.is_none() {
        let clean =
            existing.is_some_and(|existing| existing.epoch == request.previous_broker_epoch);
        let elr =
            version.has_elr() && image.features().level("eligible.leader.replicas.version") > 0;
        let event = if elr && !clean { Event::LostUnclean(id) } else { Event::Leaves(id) };
        records = partition_change::all(&effective, event);
    }
    let broker = Broker {
        id,
        epoch: same_incarnation.map_or(context.next_offset.get(), |existing| existing.epoch),
        incarnation_id: request.incarnation_id,
        listeners: request.listeners.iter().map(listener).collect(),
        features: request
            .features
            .iter()
            .map(|feature| {
                let range = VersionRange {
                    min: feature.min_supported_version,
                    max: feature.max_supported_version,
                };
                (feature.name.clone(), range)
            })
            .collect(),
        rack: request.rack.clone(),
        fenced: same_incarnation.is_none_or(|existing| existing.fenced),
        in_controlled_shutdown: same_incarnation
            .is_some_and(|existing| existing.in_controlled_shutdown),
        log_dirs: request.log_dirs.clone(),
        cordoned_log_dirs: Vec::new(),
        is_migrating_zk_broker: false,
    };
    records.push(broker.to_record(version));
    if same_incarnation.is_none() {
        context.sessions.remove(id);
    }
    context.sessions.touch(id, context.now, -1);
    Ok((
        records,
        BrokerRegistrationResponse {
            broker_epoch: broker.epoch,
            ..BrokerRegistrationResponse::default()
        },
    ))
}

fn listener(listener: &registration::Listener) -> Listener {
    Listener {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    }
}

fn check_directories(image: &Image, request: &BrokerRegistrationRequest) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
    if request.log_dirs.is_empty() {
        return invalid("No directories specified in request".to_owned());
    }
    if request.log_dirs.iter().any(|dir| dir.is_reserved()) {
        return invalid("Reserved directory ID in request".to_owned());
    }
    if request.log_dirs.iter().collect::<BTreeSet<_>>().len() != request.log_dirs.len() {
        return invalid("Duplicate directory ID in request".to_owned());
    }
    for other in image.brokers().filter(|other| other.id.get() != request.broker_id) {
        if let Some(dir) = request.log_dirs.iter().find(|dir| other.log_dirs.contains(dir)) {
            return invalid(format!(
                "Broker {} is already registered with directory {dir}",
                other.id
            ));
        }
    }
    Ok(())
}

/// Every finalised feature must be one that the broker supports at that level.
fn check_features(image: &Image, request: &BrokerRegistrationRequest) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
    if !request.features.iter().any(|feature| feature.name == "metadata.version") {
        return refuse("Request features do not contain 'metadata.version'".to_owned());
    }
    let supported = |name: &str| {
        let feature = request.features.iter().find(|feature| feature.name == name);
        feature.map_or(VersionRange { min: 0, max: 0 }, |feature| VersionRange {
            min: feature.min_supported_version,
            max: feature.max_supported_version,
        })
    };
    let named = request
        .features
        .iter()
        .map(|feature| (&feature.name, image.features().level(&feature.name)));
    // The quorum's own feature is finalised in the log, not in the image.
    let named = named.filter(|(name, _)| **name != crate::feature_table::KRAFT_VERSION);
    for (name, level) in image.features().iter().chain(named) {
        let range = supported(name);
        if !range.contains(level) {
            return refuse(format!(
                "Unable to register because the broker does not support finalized version {level} of {name}. \
                 The broker wants a version between {} and {}, inclusive.",
                range.min, range.max
            ));
        }
    }
    Ok(())
}

/// What a broker is to its controller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

pub(super) fn heartbeat(
    context: &mut Context<'_>,
    request: &BrokerHeartbeatRequest,
) -> Result<(Records, BrokerHeartbeatResponse), Refusal> {
    let effective = context.effective();
    let broker = check_epoch(context.image, request.broker_id, request.broker_epoch)?;
    let registered_at = context.registered_at.get(&broker.id).copied().unwrap_or(Offset::NONE);
    let caught_up = request.current_metadata_offset >= registered_at.get();
    let (current, next) = next_state(context, broker, request, caught_up);
    let mut records = Records::new();
    if current != next {
        records = match next {
            State::Fenced | State::ShutdownNow if current == State::Fenced => Vec::new(),
            State::Fenced | State::ShutdownNow => fence(&effective, broker),
            State::Unfenced => unfence(&effective, broker),
            State::ControlledShutdown => shut_down(&effective, broker),
        };
    }
    context.sessions.touch(broker.id, context.now, request.current_metadata_offset);
    let version = MetadataVersion(context.image.features().metadata_version());
    if version.has_directories() {
        records.extend(directories_offline(&effective, broker, request));
    }
    if version.has_cordoned_directories() {
        records.extend(directories_cordoned(broker, request));
    }
    let response = BrokerHeartbeatResponse {
        is_caught_up: caught_up,
        is_fenced: matches!(next, State::Fenced | State::ShutdownNow),
        should_shut_down: next == State::ShutdownNow,
        ..BrokerHeartbeatResponse::default()
    };
    Ok((records, response))
}

fn next_state(
    context: &Context<'_>,
    broker: &Broker,
    request: &BrokerHeartbeatRequest,
    caught_up: bool,
) -> (State, State) {
    let leads = || {
        let mut partitions = context.image.topics().flat_map(|topic| topic.partitions());
        partitions.any(|(_, partition)| partition.leader == broker.id)
    };
    let current = if broker.fenced {
        State::Fenced
    } else if broker.in_controlled_shutdown {
        State::ControlledShutdown
    } else {
        State::Unfenced
    };
    let next = match current {
        State::Fenced if request.want_shut_down => State::ShutdownNow,
        // A process that began to stop does not come back: its successor registers anew.
        State::Fenced if broker.in_controlled_shutdown => State::Fenced,
        State::Fenced if !request.want_fence && caught_up => State::Unfenced,
        State::Fenced => State::Fenced,
        State::Unfenced if request.want_fence && request.want_shut_down => State::ShutdownNow,
        State::Unfenced if request.want_fence => State::Fenced,
        State::Unfenced if request.want_shut_down && leads() => State::ControlledShutdown,
        State::Unfenced if request.want_shut_down => State::ShutdownNow,
        State::Unfenced => State::Unfenced,
        State::ControlledShutdown if leads() => State::ControlledShutdown,
        State::ControlledShutdown => {
            let active =
                context.image.brokers().filter(|other| other.is_active()).map(|other| other.id);
            // Everybody must know the new leaders before the old one is gone.
            let known = context.sessions.lowest_offset(active);
            let moved = context.sessions.shutdown_at(broker.id).unwrap_or(-1);
            if moved <= known { State::ShutdownNow } else { State::ControlledShutdown }
        }
        State::ShutdownNow => State::ShutdownNow,
    };
    (current, next)
}

fn change(broker: &Broker) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: broker.id.get(),
        broker_epoch: broker.epoch,
        ..BrokerRegistrationChangeRecord::default()
    }
}

fn changed(record: BrokerRegistrationChangeRecord, version: i16) -> VersionedRecord {
    VersionedRecord::new(MetadataRecord::BrokerRegistrationChange(Box::new(record)), version)
}

/// The broker leaves every ISR, then is fenced.
pub(crate) fn fence(effective: &Effective<'_>, broker: &Broker) -> Records {
    let mut records = partition_change::all(effective, Event::Leaves(broker.id));
    records.push(changed(BrokerRegistrationChangeRecord { fenced: 1, ..change(broker) }, 0));
    records
}

/// The fence falls, then partitions without a leader are looked at.
fn unfence(effective: &Effective<'_>, broker: &Broker) -> Records {
    let mut records =
        vec![changed(BrokerRegistrationChangeRecord { fenced: -1, ..change(broker) }, 0)];
    records.extend(partition_change::all(effective, Event::Returns(broker.id)));
    records
}

fn shut_down(effective: &Effective<'_>, broker: &Broker) -> Records {
    let mut records = Records::new();
    if !broker.in_controlled_shutdown {
        records.push(changed(
            BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..change(broker) },
            1,
        ));
    }
    records.extend(partition_change::all(effective, Event::Leaves(broker.id)));
    records
}

fn directories_offline(
    effective: &Effective<'_>,
    broker: &Broker,
    request: &BrokerHeartbeatRequest,
) -> Records {
    let mut records = Records::new();
    let (gone, left): (Vec<_>, Vec<_>) =
        broker.log_dirs.iter().copied().partition(|dir| request.offline_log_dirs.contains(dir));
    if gone.is_empty() {
        return records;
    }
    for directory in gone {
        records
            .extend(partition_change::all(effective, Event::LosesDirectory(broker.id, directory)));
    }
    records.push(changed(BrokerRegistrationChangeRecord { log_dirs: left, ..change(broker) }, 2));
    records
}

fn directories_cordoned(
    broker: &Broker,
    request: &BrokerHeartbeatRequest,
) -> Option<VersionedRecord> {
    let wanted = request.cordoned_log_dirs.as_ref()?;
    let set = |dirs: &[_]| dirs.iter().copied().collect::<BTreeSet<_>>();
    if set(wanted) == set(&broker.cordoned_log_dirs) {
        return None;
    }
    let record = BrokerRegistrationChangeRecord {
        cordoned_log_dirs: Some(wanted.clone()),
        ..change(broker)
    };
    Some(changed(record, 3))
}

pub(super) fn unregister(
    context: &mut Context<'_>,
    request: &UnregisterBrokerRequest,
) -> Result<(Records, UnregisterBrokerResponse), Refusal> {
    let id = NodeId(request.broker_id);
    let Some(broker) = context.image.broker(id) else {
        return Err(Refusal::new(
            ErrorCode::BrokerIdNotRegistered,
            format!("Broker ID {id} is not currently registered"),
        ));
    };
    // Out of every ISR and, unlike a broker that only left, not eligible any more.
    let mut records = partition_change::all(&context.effective(), Event::LostUnclean(id));
    let record = UnregisterBrokerRecord {
        broker_id: id.get(),
        broker_epoch: broker.epoch,
        ..UnregisterBrokerRecord::default()
    };
    records.push(VersionedRecord::new(MetadataRecord::UnregisterBroker(Box::new(record)), 0));
    Ok((records, UnregisterBrokerResponse { error_message: None, ..Default::default() }))
}
