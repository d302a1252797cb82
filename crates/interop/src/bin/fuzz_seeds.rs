//! Writes the seed corpus of the fuzz targets: one small message of each API in its newest
//! version. Knows the corpus' folder and nothing of fuzzing.

use anyhow::{Context, Result};
use ottla_protocol::random::{MessageVisitor, RandomMessage, each_message};
use ottla_protocol::{ApiKey, RandomSource, Writer};
use std::path::Path;

struct Seeds<'a> {
    folder: &'a Path,
    result: Result<()>,
}

impl Seeds<'_> {
    fn write<M: RandomMessage>(&self) -> Result<()> {
        let request = M::NAME.strip_suffix("Request").map(|api| (api, "decode_request"));
        let response = M::NAME.strip_suffix("Response").map(|api| (api, "decode_response"));
        let Some((api, target)) = request.or(response) else { return Ok(()) };
        let Some(key) = ApiKey::ALL.into_iter().find(|k| k.name() == api) else { return Ok(()) };
        let version = key.versions().max;
        let mut w = Writer::new();
        w.i16(key.id());
        w.i16(version);
        small::<M>(version).encode(&mut w, version)?;
        let folder = self.folder.join(target);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{:02}-{api}-v{version}", key.id()));
        std::fs::write(&path, w.finish().to_bytes()).with_context(|| path.display().to_string())
    }
}

/// Of some random messages the longest below 400 bytes: small, but with something in it.
fn small<M: RandomMessage>(version: i16) -> M {
    (0..40)
        .map(|seed| M::random(&mut RandomSource::new(seed), version))
        .filter(|m| m.encoded_len(version) < 400)
        .max_by_key(|m| m.encoded_len(version))
        .unwrap_or_default()
}

impl MessageVisitor for Seeds<'_> {
    fn visit<M: RandomMessage>(&mut self) {
        if self.result.is_ok() {
            self.result = self.write::<M>();
        }
    }
}

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut seeds = Seeds { folder: &folder, result: Ok(()) };
    each_message(&mut seeds);
    seeds.result
}
