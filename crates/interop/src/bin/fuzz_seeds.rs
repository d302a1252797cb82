//! Writes the seed corpus of the fuzz targets: one small message of each API in its newest
//! version, scripts that change the files of a log or write to it, compressed bytes of each codec. Knows the
//! corpus' folder and nothing of fuzzing.

use anyhow::{Context, Result};
use ottla_protocol::random::{MessageVisitor, RandomMessage, each_message};
use ottla_protocol::{ApiKey, RandomSource, Writer};
use ottla_records::{Compression, compress};
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

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name);
    std::fs::write(&path, bytes).with_context(|| path.display().to_string())
}

/// Flags, then changes: kind, file, position, length, bytes.
fn recovery(folder: &Path) -> Result<()> {
    let mut random = RandomSource::new(11);
    let mut byte = |below: usize| u8::try_from(random.below(below)).unwrap_or(0);
    for flags in 0..4 {
        write(folder, &format!("untouched-{flags}"), &[flags])?;
    }
    for kind in 0..10 {
        for number in 0..9 {
            let mut script = vec![byte(4)];
            for _ in 0..=number % 3 {
                let bytes: Vec<u8> = (0..byte(12)).map(|_| byte(256)).collect();
                script.extend([kind, byte(256), byte(8), byte(256), u8::try_from(bytes.len())?]);
                script.extend(bytes);
            }
            write(folder, &format!("kind-{kind}-{number}"), &script)?;
        }
    }
    Ok(())
}

/// Steps of two bytes.
fn compaction(folder: &Path) -> Result<()> {
    let mut random = RandomSource::new(12);
    for number in 0..12 {
        let script: Vec<u8> =
            (0..120).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect();
        write(folder, &format!("steps-{number}"), &script)?;
    }
    Ok(())
}

/// Codec, limit in sixteenths of a mebibyte, bytes.
fn decompress(folder: &Path) -> Result<()> {
    let text = "a record and another record and a third one, ".repeat(40);
    let contents: [(&str, &[u8]); 3] =
        [("empty", b""), ("short", b"abc"), ("repeats", text.as_bytes())];
    for id in 0..5 {
        let codec = Compression::from_id(id).context("a codec")?;
        for (name, content) in contents {
            let mut seed = vec![id, 16];
            seed.extend(compress(codec, None, content)?);
            write(folder, &format!("{codec:?}-{name}").to_lowercase(), &seed)?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut seeds = Seeds { folder: &folder, result: Ok(()) };
    each_message(&mut seeds);
    seeds.result?;
    recovery(&folder.join("recovery"))?;
    compaction(&folder.join("compaction"))?;
    decompress(&folder.join("decompress"))
}
