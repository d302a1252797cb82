//! The fuzz targets' checks over their corpus and a fixed run of mutations.

use ottla_protocol::RandomSource;
use std::path::Path;

#[path = "../../../../fuzz/checks/decode.rs"]
mod decode;

#[expect(clippy::disallowed_methods, reason = "the corpus is files")]
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn run(target: &str, check: fn(&[u8]) -> bool) {
    let seeds = corpus(target);
    assert!(seeds.len() >= 91, "{} seeds for {target}", seeds.len());
    let mut s = RandomSource::new(7);
    let mut decoded = 0;
    for seed in &seeds {
        assert!(check(seed), "a seed of {target} does not decode");
        for _ in 0..150 {
            let mut bytes = seed.clone();
            for _ in 0..=s.below(3) {
                let at = s.below(bytes.len());
                match s.below(4) {
                    0 => bytes.truncate(at.max(4)),
                    1 => bytes.insert(at, s.i8().cast_unsigned()),
                    2 => bytes[at] ^= 1 << s.below(8),
                    _ => bytes[at] = s.i8().cast_unsigned(),
                }
            }
            decoded += usize::from(check(&bytes));
        }
    }
    assert!(decoded > seeds.len(), "mutations hardly ever decode");
}

#[test]
fn requests() {
    run("decode_request", decode::request);
}

#[test]
fn responses() {
    run("decode_response", decode::response);
}
