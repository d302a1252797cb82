//! Where the repository keeps what the tests run: client sources, fetched clients, the binary.
//! Must not start anything.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The root of the repository.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}

/// A client's source, below `clients/`.
pub fn source(path: &str) -> PathBuf {
    root().join("clients").join(path)
}

/// Something fetched or built for the clients, below `target/clients/`; an error says how to get
/// it when it is not there.
pub fn fetched(path: &str) -> anyhow::Result<PathBuf> {
    let found = root().join("target/clients").join(path);
    ensure!(found.exists(), "{} is missing: run `cargo xtask clients` first", found.display());
    Ok(found)
}

/// A program on the path.
pub fn installed(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is missing: run `cargo xtask clients` first"))
}

/// The class path of Kafka 4.4.0's jars and of our Java programs.
pub fn client_classes() -> anyhow::Result<String> {
    let jars = fetched("java/libs")?.join("*");
    let classes = root().join("target/clients/java/classes");
    Ok(format!("{}:{}", classes.display(), jars.display()))
}

/// The class path of Kafka's command line tools, with the clients of their release.
pub fn tool_classes() -> anyhow::Result<String> {
    Ok(fetched("java/tools")?.join("*").display().to_string())
}

/// The binary under test: `OTTLA_BIN`, or the newest of the two that cargo builds.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("OTTLA_BIN") {
        let named = PathBuf::from(named);
        ensure!(named.is_file(), "OTTLA_BIN names {}, which is no file", named.display());
        return Ok(named);
    }
    let built =
        ["release", "debug"].map(|profile| root().join("target").join(profile).join("ottla"));
    let age = |path: &PathBuf| path.metadata().and_then(|found| found.modified()).ok();
    let newest = built.into_iter().filter(|path| path.is_file()).max_by_key(age);
    newest.context("no ottla is built: run `cargo build --release` first")
}
