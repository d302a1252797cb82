//! `cargo xtask bench`: builds what is measured and what measures, fetches Kafka, and starts.

use std::path::Path;

use crate::clients::{self, Family};
use crate::process;

/// Measures the release build; `options` are those of the measuring program.
pub(crate) fn run(root: &Path, options: &[String]) -> anyhow::Result<()> {
    clients::provide(root, &[Family::Java])?;
    let packages = ["--package", "ottla", "--package", "ottla-bench"];
    process::run(process::cargo(root).args(["build", "--locked", "--release"]).args(packages))?;
    let mut bench = process::command(root.join("target/release/ottla-bench"), root);
    bench.env("OTTLA_BIN", root.join("target/release/ottla"));
    process::run(bench.args(options))
}
