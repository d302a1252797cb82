//! Kafka's released jars by Maven, and our Java client programs compiled against them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Clients, fresh, kafka_jars, need};
use crate::process;

/// Resolves Kafka's jars and tools, and compiles `clients/java/src`.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    need("javac", "default-jdk-headless")?;
    let source = clients.source("java");
    let libs = kafka_jars(&clients.root);
    let pom = source.join("pom.xml");
    jars(clients, "java-jars", &pom, &libs)?;
    let tools = source.join("tools/pom.xml");
    jars(clients, "java-tools", &tools, &clients.built("java").join("tools"))?;
    let sources = java_files(&source.join("src"))?;
    let inputs: Vec<PathBuf> = sources.iter().cloned().chain([pom]).collect();
    clients.once("java-classes", &inputs, || {
        let classes = clients.built("java").join("classes");
        fresh(&classes)?;
        let mut javac = process::command("javac", &source);
        javac
            .arg("-d")
            .arg(&classes)
            .arg("-cp")
            .arg(libs.join("*"))
            .args(["-Xlint:all", "-Werror"]);
        process::run(javac.args(&sources))
    })
}

/// Resolves the dependencies of `pom` into the folder `to`.
fn jars(clients: &Clients, name: &str, pom: &PathBuf, to: &Path) -> anyhow::Result<()> {
    clients.once(name, std::slice::from_ref(pom), || {
        need("mvn", "maven")?;
        fresh(to)?;
        let mut maven = process::command("mvn", &clients.root);
        maven.args(["-B", "-q", "-ntp", "-f"]).arg(pom).arg("dependency:copy-dependencies");
        process::run(maven.arg(format!("-DoutputDirectory={}", to.display())))
    })
}

fn java_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "java") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
