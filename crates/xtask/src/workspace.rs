//! Where the workspace is and which source files it has. Must not know what is checked in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.ancestors().nth(2).ok_or_else(|| anyhow!("xtask lies outside a workspace"))?;
    anyhow::ensure!(root.join("layers.toml").is_file(), "no layers.toml beside the workspace");
    Ok(root.to_path_buf())
}

/// One text file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl TextFile {
    /// Whether this is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether a generator wrote this file: it lies in a folder `generated`.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated" || part == "generated.rs")
    }
}

/// Folders that hold build output or fetched things, never sources.
const NOT_OURS: &[&str] =
    &["target", "node_modules", "__pycache__", ".git", "ottla-data", "corpus", "artifacts"];

/// Endings of files that are read as text.
const TEXT: &[&str] = &[
    "rs", "toml", "md", "py", "go", "js", "mjs", "java", "json", "xml", "txt", "tsv", "schema",
    "sh", "yml", "yaml", "mod", "sum", "lock",
];

/// Every text file of the repository, sorted by path.
pub(crate) fn text_files(root: &Path) -> anyhow::Result<Vec<TextFile>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && is_text(&name) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found.iter().map(|path| read(root, path)).collect()
}

fn is_text(name: &str) -> bool {
    let known = name.rsplit_once('.').is_some_and(|(_, ending)| TEXT.contains(&ending));
    known || name == "run"
}

fn read(root: &Path, path: &Path) -> anyhow::Result<TextFile> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    Ok(TextFile { path: parts.join("/"), text: String::from_utf8_lossy(&bytes).into_owned() })
}
