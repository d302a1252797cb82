//! `cargo xtask tidy`: the house rules that no compiler lint holds. Each rule is one module with a
//! function from its material to a list of problems; this file gathers the material and prints.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::workspace::{self, TextFile};

mod dependencies;
mod graph;
mod length;
mod purity;
mod source;
mod words;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// File (or manifest) from the workspace root.
    path: String,
    /// Line, or 0 for the file as a whole.
    line: usize,
    /// What is wrong and what the rule is.
    what: String,
}

impl Problem {
    fn new(path: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks the whole workspace; `Ok(false)` when a rule is broken.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let start = Instant::now();
    let files = workspace::text_files(root)?;
    let layers = graph::Layers::parse(&read(root, "layers.toml")?)?;
    let allowed = length::Allowed::parse(&read(root, "tidy-allow.toml")?)?;
    let crates = graph::read_crates(root)?;
    let manifest: toml::Table = read(root, "Cargo.toml")?.parse().context("in Cargo.toml")?;

    let mut problems = graph::check(&layers, &crates);
    problems.extend(dependencies::check(&manifest, &crates, &files));
    problems.extend(check_files(&files, &layers, &allowed));
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    let count = problems.len();
    let took = start.elapsed().as_millis();
    println!("tidy: {} files, {count} problems, {took} ms", files.len());
    Ok(problems.is_empty())
}

fn read(root: &Path, name: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"))
}

/// The rules that look at one file at a time.
fn check_files(
    files: &[TextFile],
    layers: &graph::Layers,
    allowed: &length::Allowed,
) -> Vec<Problem> {
    let mut problems = allowed.stale(files);
    for file in files {
        problems.extend(words::check_text(file));
        if !file.is_rust() || file.is_generated() {
            continue;
        }
        match source::Source::parse(file) {
            Ok(source) => {
                problems.extend(source.check_head());
                problems.extend(length::check(&source, allowed));
                problems.extend(words::check_names(&source));
                if layers.is_pure(file) {
                    problems.extend(purity::check(&source));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems
}
