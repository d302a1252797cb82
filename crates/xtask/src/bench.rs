//! `cargo xtask bench`: builds what is measured and what measures, fetches Kafka, and starts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::clients::{self, Family};
use crate::process;

/// Measures the release build; `options` are those of the measuring program.
pub(crate) fn run(root: &Path, options: &[String]) -> anyhow::Result<()> {
    clients::provide(root, &[Family::Java])?;
    // Its own build, optimised: the one that the tests run is not.
    let mut driver = process::cargo(&root.join("clients/rust"));
    driver.args(["build", "--locked", "--release", "--bin", "bench_driver", "--target-dir"]);
    process::run(driver.arg(root.join("target/clients/rust")))?;
    let packages = ["--package", "ottla", "--package", "ottla-bench"];
    process::run(process::cargo(root).args(["build", "--locked", "--release"]).args(packages))?;
    let before = compared(options).map(|revision| build_before(root, revision)).transpose()?;
    let mut bench = process::command(root.join("target/release/ottla-bench"), root);
    bench.env("OTTLA_BIN", root.join("target/release/ottla"));
    if let Some(before) = before {
        bench.env("OTTLA_BENCH_BEFORE", before);
    }
    process::run(bench.args(options))
}

/// The revision after `--compare`.
fn compared(options: &[String]) -> Option<&str> {
    let after = options.iter().position(|option| option == "--compare").map(|index| index + 1);
    let joined = || options.iter().find_map(|option| option.strip_prefix("--compare="));
    after.and_then(|index| options.get(index)).map(String::as_str).or_else(joined)
}

/// Ottla as it was at a revision, built in a tree of its own and kept by commit.
fn build_before(root: &Path, revision: &str) -> anyhow::Result<PathBuf> {
    let commit = format!("{revision}^{{commit}}");
    let mut resolve = process::command("git", root);
    resolve.args(["rev-parse", "--verify", "--end-of-options", &commit]);
    let commit = process::output(&mut resolve)?.trim().to_owned();
    let folder = root.join("target/bench/before");
    let kept = folder.join(format!("ottla-{commit}"));
    if kept.is_file() {
        return Ok(kept);
    }
    fs::create_dir_all(&folder)?;
    let tree = folder.join(&commit);
    let git = |arguments: &[&str]| {
        let mut git = process::command("git", root);
        process::run(git.arg("worktree").args(arguments).arg(&tree))
    };
    if tree.exists() {
        git(&["remove", "--force"])?;
    }
    let mut add = process::command("git", root);
    process::run(add.args(["worktree", "add", "--detach", "--quiet"]).arg(&tree).arg(&commit))?;
    let target = folder.join("target");
    let mut build = process::cargo(&tree);
    build.args(["build", "--locked", "--release", "--package", "ottla", "--target-dir"]);
    let built = process::run(build.arg(&target));
    git(&["remove", "--force"])?;
    built?;
    let binary = target.join("release/ottla");
    fs::copy(&binary, &kept).with_context(|| format!("cannot copy {}", binary.display()))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::compared;

    #[test]
    fn the_compared_revision_is_found() {
        let revision = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
            compared(&options).map(str::to_owned)
        };
        assert_eq!(revision(&["1", "--compare", "HEAD~3", "--short"]).as_deref(), Some("HEAD~3"));
        assert_eq!(revision(&["--compare=main"]).as_deref(), Some("main"));
        assert_eq!(revision(&["1", "--short"]), None);
        assert_eq!(revision(&["--compare"]), None);
    }
}
