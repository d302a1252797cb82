//! One parsed Rust file, and the rule about its head. Must not know the other rules.

use super::Problem;
use crate::workspace::TextFile;

/// A Rust file with its syntax tree.
pub(super) struct Source<'a> {
    /// The file itself.
    pub(super) file: &'a TextFile,
    /// Its syntax tree, with line numbers.
    pub(super) tree: syn::File,
}

impl<'a> Source<'a> {
    /// Parses the file; a file that is no Rust is a problem.
    pub(super) fn parse(file: &'a TextFile) -> Result<Self, Problem> {
        match syn::parse_file(&file.text) {
            Ok(tree) => Ok(Self { file, tree }),
            Err(error) => {
                let line = line_of(error.span());
                Err(Problem::new(&file.path, line, format!("is not Rust: {error}")))
            }
        }
    }

    /// Every file starts with `//!` and words after it.
    pub(super) fn check_head(&self) -> Option<Problem> {
        let head = self.file.text.lines().next().and_then(|line| line.strip_prefix("//!"));
        let said = head.is_some_and(|words| words.split_whitespace().count() >= 2);
        let rule = "the first line must be `//!`: what the file owns, what it must not know";
        (!said).then(|| Problem::new(&self.file.path, 1, rule))
    }
}

/// The line on which a piece of syntax starts.
pub(super) fn line_of(span: proc_macro2::Span) -> usize {
    span.start().line
}

/// Whether an item or function exists for tests only.
pub(super) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Meta>()
                    .is_ok_and(|condition| condition.path().is_ident("test")))
    })
}

#[cfg(test)]
pub(super) mod samples {
    //! Small sources for the tests of the rules.

    use super::{Source, TextFile};

    /// A file at `path` with `text`.
    pub(in crate::tidy) fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    /// Parses a sample that must be Rust.
    pub(in crate::tidy) fn parsed(file: &TextFile) -> Source<'_> {
        Source::parse(file).unwrap_or_else(|problem| panic!("{problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{file, parsed};
    use super::*;

    #[test]
    fn a_head_is_asked_for() {
        for bad in ["fn f() {}\n", "\n//! Words here.\n", "//!\nfn f() {}\n", "// Words here.\n"] {
            let sample = file("crates/x/src/a.rs", bad);
            assert!(parsed(&sample).check_head().is_some(), "{bad:?}");
        }
        let good = file("crates/x/src/a.rs", "//! Owns a thing.\nfn f() {}\n");
        assert_eq!(parsed(&good).check_head(), None);
    }

    #[test]
    fn a_file_that_is_no_rust_is_a_problem() {
        let broken = file("crates/x/src/a.rs", "//! Owns a thing.\nfn f( {\n");
        let problem = Source::parse(&broken).err().expect("a problem");
        assert_eq!(problem.line, 2);
        assert!(problem.what.starts_with("is not Rust"));
    }
}
