//! The crate graph against `layers.toml`: edges point to lower layers or are listed. Must not know
//! what the crates do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use super::Problem;
use crate::workspace::TextFile;

/// `layers.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Layers {
    layer: Vec<Layer>,
    #[serde(default)]
    beside: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    beside_in_tests: BTreeMap<String, Vec<String>>,
    pure: Pure,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    name: String,
    crates: Vec<String>,
    #[serde(default)]
    pure: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pure {
    outside: BTreeSet<String>,
}

impl Layers {
    /// Reads `layers.toml`; the lowest layer comes first.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text).context("in layers.toml")
    }

    fn layer_of(&self, member: &str) -> Option<(usize, &Layer)> {
        let holds = |layer: &&Layer| layer.crates.iter().any(|name| name == member);
        self.layer.iter().enumerate().find(|(_, layer)| holds(layer))
    }

    /// Whether the file is non-test source of a pure crate.
    pub(super) fn is_pure(&self, file: &TextFile) -> bool {
        let mut parts = file.path.split('/');
        let (first, member, third) = (parts.next(), parts.next(), parts.next());
        first == Some("crates")
            && third == Some("src")
            && member
                .and_then(|member| self.layer_of(member))
                .is_some_and(|(_, layer)| layer.pure && !file.path.ends_with("/tests.rs"))
    }
}

/// One member of the workspace with what it depends on.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Folder under `crates/`.
    pub(super) folder: String,
    /// Every dependency it declares.
    pub(super) edges: Vec<Edge>,
}

/// One declared dependency.
#[derive(Debug)]
pub(super) struct Edge {
    /// Package name, and the name it has in the source.
    pub(super) package: String,
    /// The name in the source when it differs.
    pub(super) rename: Option<String>,
    /// Folder under `crates/` when it is a member of the workspace.
    folder: Option<String>,
    /// Only tests, benches and examples have it.
    in_tests: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    rename: Option<String>,
    kind: Option<String>,
    path: Option<String>,
}

/// The members of the workspace as cargo sees them; needs no network.
pub(super) fn read_crates(root: &Path) -> anyhow::Result<Vec<Member>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cargo metadata failed: {}", errors.trim());
    members(&String::from_utf8_lossy(&output.stdout))
}

fn members(metadata: &str) -> anyhow::Result<Vec<Member>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("in cargo metadata")?;
    let folder = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let edge = |dependency: Dependency| Edge {
        folder: dependency.path.as_deref().and_then(|path| folder(Path::new(path))),
        package: dependency.name,
        rename: dependency.rename,
        in_tests: dependency.kind.as_deref() == Some("dev"),
    };
    let member = |package: Package| Member {
        folder: Path::new(&package.manifest_path).parent().and_then(folder).unwrap_or_default(),
        edges: package.dependencies.into_iter().map(edge).collect(),
    };
    Ok(metadata.packages.into_iter().map(member).collect())
}

/// Checks every edge of every member.
pub(super) fn check(layers: &Layers, crates: &[Member]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for member in crates {
        let manifest = format!("crates/{}/Cargo.toml", member.folder);
        let Some((height, layer)) = layers.layer_of(&member.folder) else {
            problems.push(Problem::new(manifest, 0, "stands in no layer of layers.toml"));
            continue;
        };
        for edge in &member.edges {
            let said = match &edge.folder {
                Some(target) => check_inside(layers, member, height, target, edge.in_tests),
                None => check_outside(layers, layer, edge),
            };
            problems.extend(said.map(|what| Problem::new(manifest.as_str(), 0, what)));
        }
    }
    problems.extend(check_listed(layers, crates));
    problems
}

/// An edge to another member.
fn check_inside(
    layers: &Layers,
    member: &Member,
    height: usize,
    target: &str,
    in_tests: bool,
) -> Option<String> {
    let from = &member.folder;
    let top = layers.layer.len().saturating_sub(1);
    let Some((target_height, target_layer)) = layers.layer_of(target) else {
        return Some(format!("{from} → {target}: {target} stands in no layer of layers.toml"));
    };
    let listed = |edges: &BTreeMap<String, Vec<String>>| {
        edges.get(from).is_some_and(|targets| targets.iter().any(|name| name == target))
    };
    if target_height < height || target_height == top && height == top {
        return None;
    }
    if target_height > height {
        return Some(format!("{from} → {target}: an edge up, to layer {}", target_layer.name));
    }
    let allowed = listed(&layers.beside) || in_tests && listed(&layers.beside_in_tests);
    (!allowed).then(|| {
        format!("{from} → {target}: both in layer {}, not listed in layers.toml", target_layer.name)
    })
}

/// An edge from a pure crate to a crate from outside.
fn check_outside(layers: &Layers, layer: &Layer, edge: &Edge) -> Option<String> {
    let forbidden = layer.pure && !edge.in_tests && !layers.pure.outside.contains(&edge.package);
    forbidden.then(|| format!("a pure crate may not use {}", edge.package))
}

/// Names in `layers.toml` that the workspace does not have, or has twice.
fn check_listed(layers: &Layers, crates: &[Member]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for name in layers.layer.iter().flat_map(|layer| &layer.crates) {
        if !crates.iter().any(|member| member.folder == *name) {
            problems.push(Problem::new("layers.toml", 0, format!("{name} is no crate")));
        }
        if !seen.insert(name) {
            problems.push(Problem::new("layers.toml", 0, format!("{name} stands in two layers")));
        }
    }
    problems
}

#[cfg(test)]
pub(super) mod samples {
    //! Small members for the tests of the rules.

    use super::{Edge, Member};

    /// A member with edges to `ottla-x` (inside) or others (outside), and whether only in tests.
    pub(in crate::tidy) fn member(folder: &str, edges: &[(&str, bool)]) -> Member {
        let edge = |&(name, in_tests): &(&str, bool)| {
            let folder = name.strip_prefix("ottla-").map(str::to_owned);
            Edge { package: name.to_owned(), rename: None, folder, in_tests }
        };
        Member { folder: folder.to_owned(), edges: edges.iter().map(edge).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::member;
    use super::*;

    const LAYERS: &str = r#"
        [[layer]]
        name = "formats"
        pure = true
        crates = ["protocol", "records"]
        [[layer]]
        name = "ports"
        crates = ["env", "log", "env-os"]
        [[layer]]
        name = "tools"
        crates = ["interop", "xtask"]
        [beside]
        records = ["protocol"]
        [beside-in-tests]
        log = ["env-os"]
        [pure]
        outside = ["bytes"]
    "#;

    fn said(folder: &str, edges: &[(&str, bool)]) -> Vec<String> {
        let layers = Layers::parse(LAYERS).expect("layers");
        let names = ["protocol", "records", "env", "log", "env-os", "interop", "xtask"];
        let mut crates: Vec<_> =
            names.iter().filter(|name| **name != folder).map(|name| member(name, &[])).collect();
        crates.push(member(folder, edges));
        check(&layers, &crates).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn edges_down_and_listed_edges_pass() {
        assert_eq!(said("log", &[("ottla-records", false), ("tokio", false)]), [""; 0]);
        assert_eq!(said("records", &[("ottla-protocol", false), ("bytes", false)]), [""; 0]);
        assert_eq!(said("log", &[("ottla-env-os", true)]), [""; 0]);
        assert_eq!(said("interop", &[("ottla-xtask", false), ("ottla-log", true)]), [""; 0]);
        assert_eq!(said("records", &[("tempfile", true)]), [""; 0]);
    }

    #[test]
    fn each_wrong_edge_is_found() {
        let up = ["records → log: an edge up, to layer ports"];
        assert_eq!(said("records", &[("ottla-log", false)]), up);
        assert_eq!(said("records", &[("ottla-log", true)]), up, "a test's edge counts too");
        let beside = ["protocol → records: both in layer formats, not listed in layers.toml"];
        assert_eq!(said("protocol", &[("ottla-records", false)]), beside);
        let not_in_tests = ["log → env-os: both in layer ports, not listed in layers.toml"];
        assert_eq!(said("log", &[("ottla-env-os", false)]), not_in_tests);
        let tool = ["log → interop: an edge up, to layer tools"];
        assert_eq!(said("log", &[("ottla-interop", true)]), tool);
        assert_eq!(said("records", &[("tokio", false)]), ["a pure crate may not use tokio"]);
        let unknown = ["log → sim: sim stands in no layer of layers.toml"];
        assert_eq!(said("log", &[("ottla-sim", false)]), unknown);
        assert_eq!(said("bench", &[]), ["stands in no layer of layers.toml"]);
    }

    #[test]
    fn names_without_a_crate_and_doubles_are_found() {
        let text = LAYERS.replace("\"env\", \"log\"", "\"env\", \"env\", \"logs\"");
        let layers = Layers::parse(&text).expect("layers");
        let names = ["protocol", "records", "env", "env-os", "interop", "xtask"];
        let crates: Vec<_> = names.iter().map(|name| member(name, &[])).collect();
        let said: Vec<_> = check(&layers, &crates).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["layers.toml: env stands in two layers", "layers.toml: logs is no crate"]
        );
    }

    #[test]
    fn cargo_metadata_is_understood() {
        let text = r#"{"packages": [{"manifest_path": "/x/crates/log/Cargo.toml", "dependencies": [
            {"name": "ottla-env", "rename": null, "kind": null, "path": "/x/crates/env"},
            {"name": "tempfile", "rename": "t", "kind": "dev"}]}]}"#;
        let members = members(text).expect("members");
        let member = members.first().expect("one member");
        assert_eq!(member.folder, "log");
        let edges: Vec<_> = member
            .edges
            .iter()
            .map(|edge| (edge.package.as_str(), edge.folder.as_deref(), edge.in_tests))
            .collect();
        assert_eq!(edges, [("ottla-env", Some("env"), false), ("tempfile", None, true)]);
    }

    #[test]
    fn pure_sources_are_known_by_their_path() {
        let layers = Layers::parse(LAYERS).expect("layers");
        let pure =
            |path: &str| layers.is_pure(&TextFile { path: path.to_owned(), text: String::new() });
        assert!(pure("crates/records/src/batch.rs"));
        assert!(!pure("crates/records/tests/it/main.rs"));
        assert!(!pure("crates/records/src/batch/tests.rs"));
        assert!(!pure("crates/log/src/lib.rs"));
        assert!(!pure("fuzz/src/lib.rs"));
    }
}
