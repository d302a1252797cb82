//! The ApiVersions table against what a running Apache Kafka 4.4.0 broker answers.

use ottla_protocol::{ApiKey, Listener, api_versions};

/// A broker listener's answer: key, lowest, highest.
const BROKER: &str = include_str!("kafka-4.4.0-api-versions-broker.txt");
/// A controller listener's answer.
const CONTROLLER: &str = include_str!("kafka-4.4.0-api-versions-controller.txt");

fn table(listener: Listener, unstable: bool) -> String {
    let telemetry = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry];
    api_versions(listener, unstable, &|key| !telemetry.contains(&key))
        .iter()
        .map(|v| format!("{} {} {}\n", v.api_key, v.min_version, v.max_version))
        .collect()
}

#[test]
fn a_broker_answers_as_kafka_does() {
    assert_eq!(table(Listener::Broker, false), BROKER);
}

#[test]
fn a_controller_answers_as_kafka_does() {
    assert_eq!(table(Listener::Controller, false), CONTROLLER);
}

#[test]
fn unstable_versions_are_offered_on_demand() {
    let changed = |unstable| {
        let all = api_versions(Listener::Broker, unstable, &|_| true);
        all.iter().find(|v| v.api_key == 22).map(|v| v.max_version)
    };
    assert_eq!((changed(false), changed(true)), (Some(5), Some(6)));
}

#[test]
fn only_what_exists_is_offered() {
    let only = api_versions(Listener::Controller, false, &|k| k == ApiKey::Vote);
    assert_eq!(only.len(), 1);
    assert!(api_versions(Listener::Broker, false, &|k| k == ApiKey::Vote).is_empty());
}
