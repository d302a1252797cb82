//! Words that do not belong into the repository: names that say nothing, unfinished code, paths of
//! somebody's machine, package sources pinned to a host. Must not know what the code does.

use std::sync::LazyLock;

use syn::visit::{self, Visit};

use super::Problem;
use super::source::{Source, line_of};
use crate::workspace::TextFile;

/// Words that a type's or a file's name must not have.
const EMPTY_WORDS: &[&str] =
    &["manager", "helper", "helpers", "util", "utils", "impl", "common", "misc"];

/// Macros that mean "not written yet".
const UNFINISHED: &[&str] = &["todo", "unimplemented"];

/// Starts of paths that exist on one machine only. In pieces, so that this file passes.
static MACHINE_PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    ["work", "root", "home", "Users"].iter().map(|folder| format!("/{folder}/")).collect()
});

/// Keys that pin where packages come from, by the name of the file they stand in.
static PINNED_SOURCES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    vec![
        ("package-lock.json", format!("\"{}\":", "resolved")),
        ("pom.xml", format!("<{}", "repositor")),
        ("requirements.txt", format!("--{}", "index")),
        ("requirements.txt", format!("--{}", "extra-index")),
    ]
});

/// Checks any text file, line by line.
pub(super) fn check_text(file: &TextFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    for (line, text) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS.iter().filter(|path| has_path(text, path)) {
            let what = format!("names a path of one machine: {path}");
            problems.push(Problem::new(&file.path, line + 1, what));
        }
        for (in_file, key) in PINNED_SOURCES.iter() {
            if name == *in_file && text.contains(key.as_str()) {
                let what = format!("pins a package source: {key}");
                problems.push(Problem::new(&file.path, line + 1, what));
            }
        }
    }
    problems
}

/// Whether `text` has `path` where a path starts: not inside a longer one (`src/work/`).
fn has_path(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|letter| letter.is_alphanumeric() || "_-./$}".contains(letter))
    })
}

/// Checks the names of a Rust file and of its types, and its macros.
pub(super) fn check_names(source: &Source<'_>) -> Vec<Problem> {
    let mut names = Names { path: &source.file.path, problems: Vec::new() };
    for part in source.file.path.trim_end_matches(".rs").split(['/', '_', '-']) {
        if EMPTY_WORDS.contains(&part) {
            let what = format!("`{part}` in a file name says nothing: name the thing it owns");
            names.problems.push(Problem::new(&source.file.path, 0, what));
        }
    }
    names.visit_file(&source.tree);
    names.problems
}

struct Names<'a> {
    path: &'a str,
    problems: Vec<Problem>,
}

impl Names<'_> {
    fn named(&mut self, name: &syn::Ident) {
        let line = line_of(name.span());
        for word in words_of(&name.to_string()) {
            if EMPTY_WORDS.contains(&word.as_str()) {
                let what = format!("`{word}` in {name} says nothing: name the thing");
                self.problems.push(Problem::new(self.path, line, what));
            }
        }
    }
}

/// The words of a name in camel or snake case, in lower case.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.named(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.named(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.named(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.named(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.named(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.segments.last().map(|part| &part.ident)
            && UNFINISHED.iter().any(|unfinished| name == unfinished)
        {
            let line = line_of(name.span());
            self.problems.push(Problem::new(self.path, line, format!("{name}!: not written yet")));
        }
        visit::visit_macro(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::samples::{file, parsed};
    use super::*;

    fn names(path: &str, body: &str) -> Vec<String> {
        let sample = file(path, &format!("//! Owns it.\n{body}\n"));
        check_names(&parsed(&sample)).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn empty_names_are_found() {
        for bad in [
            "struct LogManager;",
            "struct TopicHelper { a: u8 }",
            "enum StringUtils { A }",
            "trait CommonThing {}",
            "type StoreImpl = u8;",
            "mod misc {}",
        ] {
            assert_eq!(names("crates/x/src/a.rs", bad).len(), 1, "{bad}");
        }
        assert_eq!(names("crates/x/src/offset_utils.rs", "").len(), 1);
        assert_eq!(names("crates/x/src/common/a.rs", "").len(), 1);
        let good = "struct Implemented; struct Utility; impl Implemented {}";
        assert_eq!(names("crates/x/src/commonality.rs", good), [""; 0]);
    }

    #[test]
    fn unfinished_code_is_found() {
        for word in UNFINISHED {
            let body = format!("fn f() {{ {word}!() }}");
            assert_eq!(names("crates/x/src/a.rs", &body).len(), 1, "{body}");
        }
        assert_eq!(names("crates/x/src/a.rs", "fn todo() { todo() }"), [""; 0]);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for path in MACHINE_PATHS.iter() {
            let bad = file("docs/a.md", &format!("fine\nsee `{path}me/x`\n"));
            let said: Vec<_> = check_text(&bad).into_iter().map(|found| found.line).collect();
            assert_eq!(said, [2], "{path}");
            let good = file("docs/a.md", &format!("see src{path}x and ${{HOME}}{path}x\n"));
            assert_eq!(check_text(&good), []);
        }
    }

    #[test]
    fn pinned_package_sources_are_found() {
        for (name, key) in PINNED_SOURCES.iter() {
            let path = format!("clients/x/{name}");
            assert!(!check_text(&file(&path, &format!("  {key} x\n"))).is_empty(), "{path}");
            assert_eq!(check_text(&file("clients/x/other.txt", key)), []);
        }
    }
}
