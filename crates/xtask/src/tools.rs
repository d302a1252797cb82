//! Programs from the registry that check the project, in versions that it was written for. Must not
//! know what they check.

use std::path::{Path, PathBuf};

use crate::process;

/// Builds the program into `target/tools`, unless it is there in this version; gives its path.
/// It must say its name and version when it is asked with `-V`.
pub(crate) fn provide(root: &Path, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let tools = root.join("target/tools");
    let program = tools.join("bin").join(name);
    let wanted = format!("{name} {version}\n");
    let ask = || process::output(process::command(&program, root).arg("-V"));
    if program.is_file().then(ask).transpose()?.is_none_or(|found| found != wanted) {
        // Unoptimised: it is built once and seldom runs.
        let install = ["install", name, "--quiet", "--locked", "--debug", "--force"];
        let mut cargo = process::cargo(root);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR");
        process::run(cargo.args(install).args(["--version", version, "--root"]).arg(&tools))?;
    }
    Ok(program)
}
