//! The fuzz target of the decompressors over its corpus and a fixed run of mutations.

use ottla_protocol::RandomSource;
use std::path::Path;

#[path = "../../../../fuzz/checks/decompress.rs"]
mod decompress;

#[expect(clippy::disallowed_methods, reason = "the corpus is files")]
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/decompress");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn compressed_bytes() {
    let seeds = corpus();
    assert!(seeds.len() >= 15, "{} seeds", seeds.len());
    let mut s = RandomSource::new(7);
    let (mut good, mut bad) = (0, 0);
    for seed in &seeds {
        assert!(decompress::decompress(seed), "a seed is not good");
        for _ in 0..200 {
            let mut bytes = seed.clone();
            for _ in 0..=s.below(3) {
                let at = s.below(bytes.len());
                match s.below(4) {
                    0 => bytes.truncate(at.max(2)),
                    1 => bytes.insert(at, s.i8().cast_unsigned()),
                    2 => bytes[at] ^= 1 << s.below(8),
                    _ => bytes[at] = s.i8().cast_unsigned(),
                }
            }
            match decompress::decompress(&bytes) {
                true => good += 1,
                false => bad += 1,
            }
        }
    }
    assert!(good > 200 && bad > 500, "{good} good, {bad} bad");
}
