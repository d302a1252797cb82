//! The fuzz target of recovery over its corpus and a fixed run of mutations.

use std::path::Path;

use ottla_env::{Rng, SeededRng};

#[path = "../../../../fuzz/checks/recovery.rs"]
mod recovery;

/// The scripts of the corpus, with their names.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/recovery");
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

fn run(name: &str, script: &[u8]) -> bool {
    let _tell = Tell(name, script);
    recovery::recovery(script)
}

#[test]
fn changed_files() {
    let scripts = corpus();
    assert!(scripts.len() >= 90, "{} scripts", scripts.len());
    let rng = SeededRng::new(5);
    let below = |bound: usize| usize::try_from(rng.next_u64() % bound as u64).unwrap();
    let (mut whole, mut damaged) = (0, 0);
    for (name, script) in &scripts {
        let found = run(name, script);
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
            match run(name, &script) {
                true => whole += 1,
                false => damaged += 1,
            }
        }
    }
    assert!(whole > 200 && damaged > 200, "{whole} whole, {damaged} damaged");
}
