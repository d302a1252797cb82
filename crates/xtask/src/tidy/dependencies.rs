//! Dependencies that nobody uses: entries of the workspace that no crate takes, and crates taken
//! that no source of the crate names. Must not know the layers.

use std::collections::BTreeSet;

use super::Problem;
use super::graph::Member;
use crate::workspace::TextFile;

/// Checks the workspace's and every member's list of dependencies.
pub(super) fn check(
    workspace: &toml::Table,
    crates: &[Member],
    files: &[TextFile],
) -> Vec<Problem> {
    let mut problems = unused_entries(workspace, crates);
    for member in crates {
        problems.extend(unnamed_crates(member, files));
    }
    problems
}

fn unused_entries(workspace: &toml::Table, crates: &[Member]) -> Vec<Problem> {
    let used: BTreeSet<&str> = crates
        .iter()
        .flat_map(|member| &member.edges)
        .flat_map(|edge| [Some(edge.package.as_str()), edge.rename.as_deref()])
        .flatten()
        .collect();
    let entries = workspace.get("workspace").and_then(|table| table.get("dependencies"));
    let names = entries.and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
    names
        .filter(|name| !used.contains(name.as_str()))
        .map(|name| Problem::new("Cargo.toml", 0, format!("no crate uses {name}: remove it")))
        .collect()
}

fn unnamed_crates(member: &Member, files: &[TextFile]) -> Vec<Problem> {
    let folder = format!("crates/{}/", member.folder);
    let sources: Vec<&TextFile> =
        files.iter().filter(|file| file.is_rust() && file.path.starts_with(&folder)).collect();
    let unnamed = |name: &String| !sources.iter().any(|source| names(&source.text, name));
    let taken: BTreeSet<String> = member
        .edges
        .iter()
        .map(|edge| edge.rename.as_ref().unwrap_or(&edge.package).replace('-', "_"))
        .collect();
    taken
        .into_iter()
        .filter(unnamed)
        .map(|name| {
            let what = format!("no source of {} names {name}: remove it", member.folder);
            Problem::new(format!("{folder}Cargo.toml"), 0, what)
        })
        .collect()
}

/// Whether `text` has `name` as a whole word outside comments.
fn names(text: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.lines().map(|line| line.split("//").next().unwrap_or(line)).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let before = line.get(..at).and_then(|head| head.chars().next_back());
            let after = line.get(at + name.len()..).and_then(|tail| tail.chars().next());
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::graph::samples::member;
    use super::super::source::samples::file;
    use super::*;

    #[test]
    fn an_entry_that_no_crate_takes_is_found() {
        let workspace: toml::Table =
            "[workspace.dependencies]\nbytes = \"1\"\nslab = \"0.4\"\n".parse().expect("toml");
        let crates = [member("log", &[("bytes", false)])];
        let source = [file("crates/log/src/lib.rs", "use bytes::Bytes;")];
        let said: Vec<_> =
            check(&workspace, &crates, &source).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["Cargo.toml: no crate uses slab: remove it"]);
    }

    #[test]
    fn a_crate_that_no_source_names_is_found() {
        let crates = [member("log", &[("ottla-env", false), ("bytes", true)])];
        let problems = |text: &str| {
            let source = [file("crates/log/src/lib.rs", text)];
            check(&toml::Table::new(), &crates, &source).len()
        };
        assert_eq!(problems("use ottla_env::Disk; fn f(b: bytes::Bytes) {}"), 0);
        assert_eq!(problems("use ottla_env_os::Disk; fn f(b: bytes::Bytes) {}"), 1);
        assert_eq!(problems("// use ottla_env::Disk;\nstruct Mybytes;"), 2);
    }
}
