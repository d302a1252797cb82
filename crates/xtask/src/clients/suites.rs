//! Test suites of others, run unmodified: the sources of kafka-python and rskafka as published,
//! and what they need to run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Clients, fresh, python};
use crate::process;

/// The rsasl of the published lock file is refused by today's compiler; this one is not.
const RSASL: &str = "2.3.1";

/// Fetches both suites into `target/clients/suites`.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    kafka_python(clients)?;
    rskafka(clients)
}

/// The source distribution of the kafka-python that `requirements.txt` pins.
fn kafka_python(clients: &Clients) -> anyhow::Result<()> {
    python::provide(clients)?;
    let pins = clients.source("python").join("requirements.txt");
    let service = clients.source("python").join("suite/service.py");
    clients.once("suite-kafka-python", &[pins.clone(), service.clone()], || {
        let text = fs::read_to_string(&pins)?;
        let pin = text
            .lines()
            .find(|line| line.starts_with("kafka-python=="))
            .ok_or_else(|| anyhow!("requirements.txt does not pin kafka-python"))?;
        let folder = clients.built("suites/kafka-python");
        fresh(&folder)?;
        let mut pip = process::command(clients.built("python").join("bin/python"), &folder);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", pin]);
        process::run(&mut pip)?;
        let archive = only_entry(&folder)?;
        unpack(&archive, &folder)?;
        fs::remove_file(archive).context("cannot remove the archive")?;
        // Two modules that the repository of kafka-python has and its archive lacks.
        fs::write(folder.join("test/__init__.py"), "").context("cannot write a module")?;
        fs::copy(&service, folder.join("test/service.py")).context("cannot copy a module")?;
        Ok(())
    })
}

/// The published crate with its tests, built with the lock file it was published with but for one
/// entry.
fn rskafka(clients: &Clients) -> anyhow::Result<()> {
    let lock = clients.source("rust").join("Cargo.lock");
    let folder = clients.built("suites/rskafka");
    clients.once("suite-rskafka", std::slice::from_ref(&lock), || {
        let cargo_home = process::cargo(&clients.source("rust"));
        let source = published(cargo_home, "rskafka")?;
        fresh(&folder)?;
        copy_tree(&source, &folder)?;
        fs::remove_file(folder.join("rust-toolchain.toml")).context("no toolchain file")?;
        let mut cargo = process::cargo(&folder);
        process::run(cargo.args(["update", "--quiet", "--package", "rsasl", "--precise", RSASL]))
    })?;
    let mut cargo = process::cargo(&folder);
    cargo.args(["test", "--quiet", "--no-run", "--locked", "--test", "*", "--target-dir"]);
    process::run(cargo.arg(clients.built("rust")))
}

/// Where cargo unpacked a dependency of the workspace that `cargo` runs in.
fn published(mut cargo: std::process::Command, name: &str) -> anyhow::Result<PathBuf> {
    let text = process::output(cargo.args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("in cargo metadata")?;
    let packages = metadata.get("packages").and_then(serde_json::Value::as_array);
    let manifest = packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").is_some_and(|found| found == name))
        .and_then(|package| package.get("manifest_path"))
        .and_then(serde_json::Value::as_str)
        .ok_or_else(|| anyhow!("clients/rust does not depend on {name}"))?;
    let folder = Path::new(manifest).parent();
    folder.map(Path::to_path_buf).ok_or_else(|| anyhow!("{manifest} has no folder"))
}

fn unpack(archive: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut tar = process::command("tar", folder);
    process::run(tar.args(["--strip-components=1", "-xzf"]).arg(archive))
}

fn only_entry(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    match entries.as_slice() {
        [only] => Ok(only.path()),
        _ => Err(anyhow!("{} holds {} files, not one", folder.display(), entries.len())),
    }
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_and_one_entry_found() {
        let from = tempfile::tempdir().expect("a folder");
        let to = tempfile::tempdir().expect("a folder");
        fs::create_dir(from.path().join("a")).expect("a folder");
        fs::write(from.path().join("a/b"), "text").expect("written");
        copy_tree(from.path(), to.path()).expect("copied");
        assert_eq!(fs::read_to_string(to.path().join("a/b")).expect("read"), "text");
        assert_eq!(only_entry(to.path()).expect("one"), to.path().join("a"));
        fs::write(to.path().join("c"), "").expect("written");
        assert!(only_entry(to.path()).is_err());
    }
}
