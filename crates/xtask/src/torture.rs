//! `cargo xtask torture`: builds what is tortured and what tortures, and starts.

use std::path::Path;

use crate::process;

/// Tortures the release build; `options` are those of the torturing program.
pub(crate) fn run(root: &Path, options: &[String]) -> anyhow::Result<()> {
    // Each by itself: together their dependencies would have other features than in the binary.
    for package in ["ottla", "ottla-torture"] {
        let build = ["build", "--locked", "--release", "--package", package];
        process::run(process::cargo(root).args(build))?;
    }
    let mut torture = process::command(root.join("target/release/ottla-torture"), root);
    torture.env("OTTLA_BIN", root.join("target/release/ottla"));
    process::run(torture.args(options))
}
