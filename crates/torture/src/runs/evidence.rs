//! What is kept of a cycle that failed: the data as the broker found it and as it left it, its
//! log, and what was wrong. Must not know why it failed.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::history::Violation;
use crate::node::{Recipe, copy_folder};

/// Copies data, logs and the list of violations below `keep`; the folder's path.
pub(super) fn keep(
    keep: &Path,
    name: &str,
    recipe: &Recipe,
    before: &Path,
    struck: &str,
    violations: &[Violation],
) -> anyhow::Result<PathBuf> {
    let mut folder = keep.join(name);
    let mut number = 1;
    while folder.exists() {
        number += 1;
        folder = keep.join(format!("{name}-{number}"));
    }
    std::fs::create_dir_all(&folder).context("cannot make a folder for what is kept")?;
    for (number, data) in recipe.data.iter().enumerate() {
        if data.is_dir() {
            copy_folder(data, &folder.join(format!("data-{number}")))?;
        }
    }
    if before.is_dir() {
        copy_folder(before, &folder.join("before"))?;
    }
    for log in [recipe.log.clone(), recipe.log.with_extension("log.before")] {
        if let (true, Some(name)) = (log.is_file(), log.file_name()) {
            std::fs::copy(&log, folder.join(name)).context("cannot keep the broker's log")?;
        }
    }
    let mut lines = vec![format!("struck: {struck}")];
    lines.extend(violations.iter().map(ToString::to_string));
    std::fs::write(folder.join("violations.txt"), lines.join("\n") + "\n")
        .context("cannot keep the violations")?;
    Ok(folder)
}
