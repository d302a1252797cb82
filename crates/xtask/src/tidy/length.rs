//! How long a file and a function may be, and the list of what is over today. Must not know what
//! the code does.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Problem;
use super::source::{Source, line_of};
use crate::workspace::TextFile;

/// Lines at which a file ends.
const FILE_LINES_MAX: usize = 1_000;
/// Lines at which a function ends; about 70 is the aim.
const FUNCTION_LINES_MAX: usize = 100;

/// What is over the limits today, by `path` or `path::function`.
pub(super) struct Allowed(BTreeMap<String, usize>);

impl Allowed {
    /// Reads `tidy-allow.toml`: `"key" = lines`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse().context("in tidy-allow.toml")?;
        let mut allowed = BTreeMap::new();
        for (key, value) in table {
            let lines = value.as_integer().and_then(|lines| usize::try_from(lines).ok());
            let lines = lines.ok_or_else(|| anyhow!("tidy-allow.toml: {key} wants a count"))?;
            allowed.insert(key, lines);
        }
        Ok(Self(allowed))
    }

    /// Entries whose file is gone; other stale entries are found where the length is known.
    pub(super) fn stale(&self, files: &[TextFile]) -> Vec<Problem> {
        let gone = |key: &&String| {
            let path = key.split("::").next().unwrap_or(key);
            !files.iter().any(|file| file.path == path)
        };
        self.0
            .keys()
            .filter(gone)
            .map(|key| Problem::new("tidy-allow.toml", 0, format!("{key} is gone: remove it")))
            .collect()
    }

    fn judge(&self, key: &str, lines: usize, limit: usize) -> Option<String> {
        match self.0.get(key) {
            None if lines > limit => Some(format!("{lines} lines, the end is {limit}")),
            Some(&was) if lines > was => {
                Some(format!("{lines} lines, grown from the {was} of tidy-allow.toml"))
            }
            Some(_) if lines <= limit => {
                Some(format!("{lines} lines are within {limit}: remove it from tidy-allow.toml"))
            }
            _ => None,
        }
    }
}

/// Checks the file's length and that of each of its functions.
pub(super) fn check(source: &Source<'_>, allowed: &Allowed) -> Vec<Problem> {
    let path = &source.file.path;
    let mut problems = Vec::new();
    if let Some(what) = allowed.judge(path, source.file.text.lines().count(), FILE_LINES_MAX) {
        problems.push(Problem::new(path, 0, what));
    }
    let mut functions = Functions { found: Vec::new() };
    functions.visit_file(&source.tree);
    for (name, first, last) in functions.found {
        let lines = last.saturating_sub(first) + 1;
        if let Some(what) = allowed.judge(&format!("{path}::{name}"), lines, FUNCTION_LINES_MAX) {
            problems.push(Problem::new(path, first, format!("fn {name}: {what}")));
        }
    }
    problems
}

/// Name, first and last line of each function.
struct Functions {
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = line_of(signature.span());
        self.found.push((signature.ident.to_string(), first, block.span().end().line));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.note(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::samples::{file, parsed};
    use super::*;

    fn sample(body_lines: usize) -> TextFile {
        let body = "    let _ = 1;\n".repeat(body_lines);
        file("crates/x/src/a.rs", &format!("//! Owns it.\n\nimpl X {{\nfn f() {{\n{body}}}\n}}\n"))
    }

    fn judged(sample: &TextFile, allowed: &str) -> Vec<String> {
        let allowed = Allowed::parse(allowed).expect("a list");
        check(&parsed(sample), &allowed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_long_function_and_a_long_file_are_named() {
        assert_eq!(judged(&sample(98), ""), [""; 0]);
        assert_eq!(
            judged(&sample(99), ""),
            ["crates/x/src/a.rs:4: fn f: 101 lines, the end is 100"]
        );
        assert_eq!(
            judged(&sample(1_200), ""),
            [
                "crates/x/src/a.rs: 1206 lines, the end is 1000",
                "crates/x/src/a.rs:4: fn f: 1202 lines, the end is 100"
            ]
        );
    }

    #[test]
    fn the_list_may_only_shrink() {
        let entry = "\"crates/x/src/a.rs::f\" = 120";
        assert_eq!(judged(&sample(118), entry), [""; 0]);
        assert_eq!(
            judged(&sample(119), entry),
            ["crates/x/src/a.rs:4: fn f: 121 lines, grown from the 120 of tidy-allow.toml"]
        );
        assert_eq!(
            judged(&sample(3), entry),
            ["crates/x/src/a.rs:4: fn f: 5 lines are within 100: remove it from tidy-allow.toml"]
        );
    }

    #[test]
    fn an_entry_whose_file_is_gone_is_named() {
        let allowed = Allowed::parse("\"crates/x/src/b.rs::f\" = 120").expect("a list");
        let stale = allowed.stale(&[sample(1)]);
        assert_eq!(stale.len(), 1);
        assert!(Allowed::parse("\"a\" = \"many\"").is_err());
    }
}
