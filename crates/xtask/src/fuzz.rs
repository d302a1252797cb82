//! `cargo xtask fuzz`: the fuzz targets under libFuzzer and the address sanitizer, for a while. The
//! normal tests run their checks over the corpus. Must not know what the targets check.

use std::path::Path;

use anyhow::Context;

use crate::{process, tools};

/// The version of cargo-fuzz that this was written for.
const CARGO_FUZZ: &str = "0.13.2";
/// Sanitizers are not in the compiler that builds the product.
const TOOLCHAIN: &str = "nightly";
/// An input may take as long; MiB that the process may have.
const LIMITS: [&str; 2] = ["-timeout=20", "-rss_limit_mb=4096"];

#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Which targets; all when none is named.
    targets: Vec<String>,
    /// How long each of them runs.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// Runs them one after the other; the first input that fails ends it, and is shown and kept.
pub(crate) fn run(root: &Path, choice: &Choice) -> anyhow::Result<()> {
    let fuzz = tools::provide(root, "cargo-fuzz", CARGO_FUZZ)?;
    let cargo_fuzz = |action: &str| {
        let mut cargo_fuzz = process::command(&fuzz, root);
        cargo_fuzz.env("RUSTUP_TOOLCHAIN", TOOLCHAIN).env_remove("CARGO").env_remove("RUSTC");
        cargo_fuzz.args(["fuzz", action, "--fuzz-dir", "fuzz"]);
        cargo_fuzz
    };
    let listed = process::output(&mut cargo_fuzz("list"))?;
    let all: Vec<&str> = listed.split_whitespace().collect();
    let wanted: Vec<&str> = match choice.targets.as_slice() {
        [] => all.clone(),
        named => named.iter().map(String::as_str).collect(),
    };
    for target in &wanted {
        anyhow::ensure!(all.contains(target), "no fuzz target {target}; there are {all:?}");
    }
    let seconds = choice.minutes.checked_mul(60).context("too many minutes")?;
    for target in wanted {
        // What is found goes beside the build, not to the corpus that is kept.
        let found = root.join("target/fuzz/corpus").join(target);
        std::fs::create_dir_all(&found)?;
        let mut run = cargo_fuzz("run");
        run.arg("--target-dir").arg(root.join("target/fuzz")).arg(target).arg(&found);
        run.arg(root.join("fuzz/corpus").join(target)).arg("--");
        process::run(run.args(LIMITS).arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}
