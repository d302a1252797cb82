//! Random bytes and random messages, the same on every run. Whatever the broker makes of them, it
//! stays there for others.

use std::collections::BTreeMap;

use ottla_interop::raw::request;
use ottla_protocol::message::Message;
use ottla_protocol::random::{MessageVisitor, RandomMessage, each_message};
use ottla_protocol::{ApiKey, ApiVersionsRequest, RandomSource, Writer};

use super::scene::{Scene, framed};

fn bytes(source: &mut RandomSource, length: usize) -> Vec<u8> {
    (0..length).map(|_| source.bits().to_le_bytes()[0]).collect()
}

#[test]
fn random_bytes_do_no_harm() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let mut source = RandomSource::new(8);
    for round in 0..400 {
        let length = source.below(4_000);
        let noise = bytes(&mut source, length);
        let mut connection = scene.connect()?;
        // The broker may have closed it before all is sent.
        let _sent = connection.send_bytes(&if round % 2 == 0 { noise } else { framed(&noise) });
        drop(connection);
        if round % 20 == 0 {
            scene.serves()?;
        }
    }
    scene.ends_well()
}

#[test]
fn random_bodies_do_no_harm() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let mut source = RandomSource::new(88);
    let table = scene.client().ask(0, &ApiVersionsRequest::default())?.api_keys;
    for entry in table {
        let Ok(api) = ApiKey::try_from(entry.api_key) else { continue };
        for version in entry.min_version..=entry.max_version {
            for _ in 0..10 {
                let length = source.below(200);
                let body = bytes(&mut source, length);
                let frame = request(api.id(), version, 1, api.is_flexible(version), &body);
                let mut connection = scene.connect()?;
                let _sent = connection.send_bytes(&framed(&frame));
            }
        }
        scene.serves()?;
    }
    scene.ends_well()
}

/// Random requests of every API and version, as bodies.
struct Bodies {
    source: RandomSource,
    found: BTreeMap<String, Vec<(i16, Vec<u8>)>>,
}

impl MessageVisitor for Bodies {
    fn visit<M: RandomMessage>(&mut self) {
        let Some(api) = <M as Message>::NAME.strip_suffix("Request") else { return };
        let versions = <M as Message>::VALID_VERSIONS;
        for version in versions.min..=versions.max {
            for _ in 0..6 {
                let message = M::random(&mut self.source, version);
                let mut writer = Writer::new();
                Message::encode(&message, &mut writer, version).expect("it fits its version");
                let body = writer.finish().to_bytes().to_vec();
                self.found.entry(api.to_owned()).or_default().push((version, body));
            }
        }
    }
}

#[test]
fn random_requests_do_no_harm() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let mut bodies = Bodies { source: RandomSource::new(888), found: BTreeMap::new() };
    each_message(&mut bodies);
    let table = scene.client().ask(0, &ApiVersionsRequest::default())?.api_keys;
    let mut sent = 0;
    for entry in table {
        let Ok(api) = ApiKey::try_from(entry.api_key) else { continue };
        let found = bodies.found.get(api.name()).map(Vec::as_slice).unwrap_or_default();
        for (version, body) in found {
            if !(entry.min_version..=entry.max_version).contains(version) {
                continue;
            }
            let frame = request(api.id(), *version, 1, api.is_flexible(*version), body);
            let mut connection = scene.connect()?;
            // Some wait for what never comes, as they ask: nobody waits for them.
            let _sent = connection.send_bytes(&framed(&frame));
            sent += 1;
        }
        scene.serves()?;
    }
    anyhow::ensure!(sent > 500, "only {sent} were sent");
    scene.ends_well()
}
