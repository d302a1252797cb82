//! Kafka's released jars by Maven, and our Java client programs compiled against them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use super::{Clients, fresh, kafka_jars, need};
use crate::process;

/// Resolves the jars of `clients/java/pom.xml` and compiles `clients/java/src`.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    need("javac", "default-jdk-headless")?;
    let source = clients.source("java");
    let libs = kafka_jars(&clients.root);
    let pom = source.join("pom.xml");
    clients.once("java-jars", std::slice::from_ref(&pom), || {
        need("mvn", "maven")?;
        fresh(&libs)?;
        let mut maven = process::command("mvn", &source);
        maven.args(["-B", "-q", "-ntp", "dependency:copy-dependencies"]);
        process::run(maven.arg(format!("-DoutputDirectory={}", libs.display())))
    })?;
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

fn java_files(folder: &std::path::Path) -> anyhow::Result<Vec<PathBuf>> {
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
