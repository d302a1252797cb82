//! Registration of controllers. Must not know the quorum.

use ottla_protocol::{
    ControllerRegistrationRequest, ControllerRegistrationResponse, ErrorCode, MetadataRecord,
    RegisterControllerRecord, register_controller_record,
};

use super::{Context, Records};
use crate::feature_table::MetadataVersion;
use crate::record::VersionedRecord;
use crate::refusal::Refusal;

pub(super) fn register(
    context: &mut Context<'_>,
    request: &ControllerRegistrationRequest,
) -> Result<(Records, ControllerRegistrationResponse), Refusal> {
    if !MetadataVersion(context.image.features().metadata_version()).has_controller_registration() {
        return Err(Refusal::new(
            ErrorCode::UnsupportedVersion,
            "The current MetadataVersion is too old to support controller registrations.",
        ));
    }
    let end_points =
        request.listeners.iter().map(|listener| register_controller_record::ControllerEndpoint {
            name: listener.name.clone(),
            host: listener.host.clone(),
            port: listener.port,
            security_protocol: listener.security_protocol,
            ..register_controller_record::ControllerEndpoint::default()
        });
    let features =
        request.features.iter().map(|feature| register_controller_record::ControllerFeature {
            name: feature.name.clone(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
            ..register_controller_record::ControllerFeature::default()
        });
    let record = RegisterControllerRecord {
        controller_id: request.controller_id,
        incarnation_id: request.incarnation_id,
        zk_migration_ready: false,
        end_points: end_points.collect(),
        features: features.collect(),
        ..RegisterControllerRecord::default()
    };
    let record = VersionedRecord::new(MetadataRecord::RegisterController(Box::new(record)), 0);
    Ok((vec![record], ControllerRegistrationResponse { error_message: None, ..Default::default() }))
}
