//! What pure crates must not use outside their tests: clock, randomness, files, sockets, threads,
//! processes, `async`, maps with a random seed. Must not know which crates are pure.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Problem;
use super::source::{Source, is_for_tests, line_of};

/// Paths into the standard library that a pure crate must not use, and why.
const FORBIDDEN_PATHS: &[(&[&str], &str)] = &[
    (&["std", "time", "Instant"], "time is passed in"),
    (&["std", "time", "SystemTime"], "time is passed in"),
    (&["std", "fs"], "a pure crate knows no files"),
    (&["std", "os"], "a pure crate knows no operating system"),
    (&["std", "env"], "a pure crate knows no environment"),
    (&["std", "net"], "a pure crate knows no sockets"),
    (&["std", "process"], "a pure crate knows no processes"),
    (&["std", "thread"], "a pure crate has no threads"),
    (&["std", "collections", "HashMap"], "random seed: use BTreeMap or a fixed-seed foldhash"),
    (&["std", "collections", "HashSet"], "random seed: use BTreeSet or a fixed-seed foldhash"),
    (&["std", "collections", "hash_map"], "random seed: use BTreeMap or a fixed-seed foldhash"),
    (&["std", "collections", "hash_set"], "random seed: use BTreeSet or a fixed-seed foldhash"),
    (&["std", "hash", "RandomState"], "random seed: use a fixed-seed foldhash"),
    (&["foldhash", "fast", "RandomState"], "random seed: use FixedState"),
    (&["foldhash", "quality", "RandomState"], "random seed: use FixedState"),
    (&["Instant", "now"], "time is passed in"),
    (&["SystemTime", "now"], "time is passed in"),
];

/// Checks one file of a pure crate; tests in it are free.
pub(super) fn check(source: &Source<'_>) -> Vec<Problem> {
    let mut finder = Finder { path: &source.file.path, problems: Vec::new() };
    finder.visit_file(&source.tree);
    finder.problems
}

struct Finder<'a> {
    path: &'a str,
    problems: Vec<Problem>,
}

impl Finder<'_> {
    fn used(&mut self, segments: &[String], line: usize) {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        for (forbidden, why) in FORBIDDEN_PATHS {
            if segments.starts_with(forbidden) {
                let used = segments.join("::");
                self.problems.push(Problem::new(self.path, line, format!("uses {used}: {why}")));
            }
        }
    }

    fn used_async(&mut self, line: usize) {
        self.problems.push(Problem::new(self.path, line, "uses async: a pure crate does not wait"));
    }

    fn imported(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.imported(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.imported(item, before));
            }
            syn::UseTree::Name(name) => self.import(before, &name.ident),
            syn::UseTree::Rename(name) => self.import(before, &name.ident),
            syn::UseTree::Glob(star) => {
                let line = line_of(star.span());
                self.used(before, line);
                if *before == ["std", "collections"] || *before == ["std", "time"] {
                    self.problems.push(Problem::new(self.path, line, "imports a whole module"));
                }
            }
        }
    }

    fn import(&mut self, before: &[String], name: &syn::Ident) {
        let mut segments = before.to_vec();
        if name != "self" {
            segments.push(name.to_string());
        }
        self.used(&segments, line_of(name.span()));
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.imported(&item.tree, &mut Vec::new());
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.used_async(line_of(word.span()));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expression: &'ast syn::ExprAsync) {
        self.used_async(line_of(expression.span()));
        visit::visit_expr_async(self, expression);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.used(&segments, line_of(path.span()));
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::samples::{file, parsed};
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let sample = file("crates/raft/src/a.rs", &format!("//! Owns it.\n{body}\n"));
        check(&parsed(&sample)).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn each_forbidden_thing_is_found() {
        for bad in [
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime as Clock};",
            "use std::{collections::{BTreeMap, HashMap}, fmt};",
            "use std::collections::HashSet;",
            "use std::collections::*;",
            "use std::fs::{self, File};",
            "use std::net::TcpStream;",
            "use std::thread;",
            "use std::process::Command;",
            "use std::hash::RandomState;",
            "use foldhash::fast::RandomState;",
            "fn f() -> u64 { std::env::args().count() as u64 }",
            "fn f() { let _ = std::fs::read(\"a\"); }",
            "fn f() { let _: std::collections::HashMap<u8, u8> = todo(); }",
            "fn f() { let _ = Instant::now(); }",
            "async fn f() {}",
            "fn f() { let _ = async {}; }",
        ] {
            assert!(!found(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn pure_code_and_tests_pass() {
        for good in [
            "use std::collections::BTreeMap; use std::time::Duration; use std::sync::Arc;",
            "use foldhash::fast::FixedState; use hashbrown::HashMap;",
            "#[cfg(test)] mod tests { use std::fs; fn f() { let _ = std::fs::read(\"a\"); } }",
            "#[test] fn t() { let _ = std::time::Instant::now(); }",
        ] {
            assert_eq!(found(good), [""; 0], "{good}");
        }
    }

    #[test]
    fn the_line_and_the_reason_are_told() {
        let sample = file("crates/raft/src/a.rs", "//! Owns it.\n\nuse std::fs::File;\n");
        let said: Vec<_> = check(&parsed(&sample)).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["crates/raft/src/a.rs:3: uses std::fs::File: a pure crate knows no files"]
        );
    }
}
