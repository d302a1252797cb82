//! UpdateFeatures 0–2: feature levels change (KIP-584). 1 kinds of upgrade, validate-only · 2 one result for all.

use bytes::BytesMut;
use ottla_metadata::{Command, Refusal, Reply};
use ottla_protocol::k57_update_features::UpdatableFeatureResult;
use ottla_protocol::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, UpdateFeaturesRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let asked = request.clone();
        match topics::call(
            &context.shared,
            Command::UpdateFeatures { request, version: context.version },
        )
        .await
        {
            Ok(Reply::UpdateFeatures(response)) => response,
            Ok(_) => refused(&asked, &topics::wrong_reply()),
            Err(refusal) => refused(&asked, &refusal),
        }
    })
}

/// The controller granted nothing: each part of the request hears why.
fn refused(request: &UpdateFeaturesRequest, refusal: &Refusal) -> UpdateFeaturesResponse {
    let results = request.feature_updates.iter().map(|update| UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        ..Default::default()
    });
    UpdateFeaturesResponse {
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        results: results.collect(),
        ..Default::default()
    }
}
