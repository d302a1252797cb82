//! `cargo xtask sim`: builds the simulator and starts it. Must not know what it simulates.

use std::path::Path;

use crate::process;

/// What the test run does: seeds of both worlds, states after crashes, and
/// the mistakes made on purpose.
const SHORT: [&[&str]; 3] =
    [&["--seeds", "12000"], &["--enumerate", "40000"], &["--planted", "30000"]];

/// Builds and runs; `options` are those of the simulator.
pub(crate) fn run(root: &Path, options: &[String]) -> anyhow::Result<()> {
    build(root)?;
    start(root, options.iter().map(String::as_str))
}

/// The short form of everything.
pub(crate) fn short(root: &Path) -> anyhow::Result<()> {
    build(root)?;
    SHORT.iter().try_for_each(|options| start(root, options.iter().copied()))
}

/// In a profile of its own: optimised, with every assertion and overflow check, without the
/// linking of the release build; and with the mistakes and marks that no other build has.
fn build(root: &Path) -> anyhow::Result<()> {
    let build = ["build", "--quiet", "--locked", "--profile", "sim", "--package", "ottla-sim"];
    process::run(process::cargo(root).args(build).args(["--features", "planted"]))
}

fn start<'a>(root: &Path, options: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut sim = process::command(root.join("target/sim/ottla-sim"), root);
    let mut git = process::command("git", root);
    // Without a repository the seed has to do.
    if let Ok(commit) = process::output(git.args(["rev-parse", "--short", "HEAD"])) {
        sim.env("OTTLA_COMMIT", commit.trim());
    }
    process::run(sim.args(options))
}
