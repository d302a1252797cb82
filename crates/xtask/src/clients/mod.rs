//! Fetching the real clients that the tests run: each from its own package manager, pinned, into
//! `target/clients`. Must not know what the tests do with them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use crate::process;

mod debian;
mod go;
mod java;
mod node;
mod python;
mod rust;
mod suites;

/// One family of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// kcat, from the distribution.
    Kcat,
    /// Kafka's own jars: Java clients and tools.
    Java,
    /// confluent-kafka, kafka-python, aiokafka.
    Python,
    /// franz-go, kafka-go.
    Go,
    /// kafkajs.
    Node,
    /// rdkafka, rskafka.
    Rust,
    /// Test suites of kafka-python and rskafka.
    Suites,
}

/// Makes the families ready; does nothing for what is ready already.
pub(crate) fn provide(root: &Path, families: &[Family]) -> anyhow::Result<()> {
    debian::provide(families)?;
    let clients = Clients { root: root.to_path_buf() };
    for family in families {
        let ready = match family {
            Family::Kcat => Ok(()),
            Family::Java => java::provide(&clients),
            Family::Python => python::provide(&clients),
            Family::Go => go::provide(&clients),
            Family::Node => node::provide(&clients),
            Family::Rust => rust::provide(&clients),
            Family::Suites => suites::provide(&clients),
        };
        ready.with_context(|| format!("the {family:?} clients could not be made ready"))?;
    }
    Ok(())
}

/// Where the clients' sources are and where they are built.
struct Clients {
    root: PathBuf,
}

impl Clients {
    /// Sources of a family in the repository.
    fn source(&self, family: &str) -> PathBuf {
        self.root.join("clients").join(family)
    }

    /// What is fetched and built of a family.
    fn built(&self, family: &str) -> PathBuf {
        self.root.join("target/clients").join(family)
    }

    /// Runs `make` unless it ran to its end before with the same `inputs`.
    fn once(
        &self,
        name: &str,
        inputs: &[PathBuf],
        make: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut wanted = String::new();
        for input in inputs {
            let text = fs::read_to_string(input)
                .with_context(|| format!("cannot read {}", input.display()))?;
            wanted.push_str(&text);
        }
        let stamp = self.root.join("target/clients").join(format!("{name}.ready"));
        if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
            return Ok(());
        }
        make()?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
    }
}

/// The folder that holds Kafka's jars once the Java clients are ready.
pub(crate) fn kafka_jars(root: &Path) -> PathBuf {
    root.join("target/clients/java/libs")
}

/// Makes a folder anew, without what was in it.
fn fresh(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// A program that must be there by now.
fn need(program: &str, package: &str) -> anyhow::Result<()> {
    let there = process::is_installed(program);
    anyhow::ensure!(there, "{program} is missing: install it (Debian: {package})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_made_once_for_the_same_inputs() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("target/clients")).expect("a folder");
        let clients = Clients { root: folder.path().to_path_buf() };
        let input = folder.path().join("pins.txt");
        let mut made = 0;
        let mut make = |text: &str, outcome: anyhow::Result<()>| {
            fs::write(&input, text).expect("written");
            let once = clients.once("x", std::slice::from_ref(&input), || {
                made += 1;
                outcome
            });
            (once.is_ok(), made)
        };
        assert_eq!(make("one", Err(anyhow::anyhow!("no network"))), (false, 1));
        assert_eq!(make("one", Ok(())), (true, 2), "a failure is tried again");
        assert_eq!(make("one", Ok(())), (true, 2));
        assert_eq!(make("two", Ok(())), (true, 3), "a changed pin is fetched");
    }
}
