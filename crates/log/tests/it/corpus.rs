//! The fuzz targets of recovery and compaction over their corpus and a fixed run of mutations.

use std::path::Path;

use ottla_env::{Rng, SeededRng};

#[path = "../../../../fuzz/checks/compaction.rs"]
mod compaction;
#[path = "../../../../fuzz/checks/recovery.rs"]
mod recovery;

/// The scripts of a target's corpus, with their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    let mut scripts: Vec<_> = entries.map(named).collect();
    scripts.sort();
    scripts
}

/// Tells which script it was.
struct Tell<'a>(&'a str, &'a [u8]);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("from {}: {:?}", self.0, self.1);
        }
    }
}

fn run<T>(check: fn(&[u8]) -> T, name: &str, script: &[u8]) -> T {
    let _tell = Tell(name, script);
    check(script)
}

#[test]
fn changed_files() {
    let scripts = corpus("recovery");
    assert!(scripts.len() >= 90, "{} scripts", scripts.len());
    let rng = SeededRng::new(5);
    let below = |bound: usize| usize::try_from(rng.next_u64() % bound as u64).unwrap();
    let (mut whole, mut damaged) = (0, 0);
    for (name, script) in &scripts {
        let found = run(recovery::recovery, name, script);
        assert!(found || !name.starts_with("untouched"), "{name}");
        for _ in 0..20 {
            let mut script = script.clone();
            for _ in 0..=below(4) {
                let at = below(script.len());
                match below(3) {
                    0 => script.insert(at, u8::try_from(below(256)).unwrap()),
                    1 => script[at] ^= 1 << below(8),
                    _ => script[at] = u8::try_from(below(256)).unwrap(),
                }
            }
            match run(recovery::recovery, name, &script) {
                true => whole += 1,
                false => damaged += 1,
            }
        }
    }
    assert!(whole > 200 && damaged > 200, "{whole} whole, {damaged} damaged");
}

#[test]
fn compacted_logs() {
    let scripts = corpus("compaction");
    assert!(scripts.len() >= 12, "{} scripts", scripts.len());
    let rng = SeededRng::new(6);
    let mut passes = 0;
    for (name, script) in &scripts {
        passes += run(compaction::compaction, name, script);
        for _ in 0..10 {
            let mut script = script.clone();
            for _ in 0..1 + rng.next_u64() % 8 {
                let at = usize::try_from(rng.next_u64()).unwrap() % script.len();
                script[at] = rng.next_u64().to_le_bytes()[0];
            }
            passes += run(compaction::compaction, name, &script);
        }
    }
    assert!(passes > 500, "{passes} passes");
}
