//! Owns the syntax of Java `.properties` files: lines, comments, escapes, separators.
//! Must not know what any key means, nor where the bytes came from.
//!
//! The reader follows `java.util.Properties.load(InputStream)`, which is how Kafka reads
//! `server.properties`: bytes are ISO-8859-1, other characters are written `\uXXXX`.

use thiserror::Error;

/// One `key = value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key with its escapes resolved.
    pub(crate) key: String,
    /// The value with its escapes resolved; trailing spaces are kept, as Java keeps them.
    pub(crate) value: String,
    /// The line, counted from 1, on which the key begins.
    pub(crate) line: usize,
}

/// Why a file is not a properties file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyntaxError {
    /// `\u` without four hexadecimal digits behind it.
    #[error("\\u must be followed by four hexadecimal digits")]
    UnicodeEscape {
        /// The line, counted from 1, on which the entry begins.
        line: usize,
    },
    /// Half of a UTF-16 surrogate pair, which is no character.
    #[error("\\u escape is half of a surrogate pair")]
    LoneSurrogate {
        /// The line, counted from 1, on which the entry begins.
        line: usize,
    },
}

impl SyntaxError {
    /// The line, counted from 1, on which the entry at fault begins.
    pub fn line(&self) -> usize {
        match self {
            Self::UnicodeEscape { line } | Self::LoneSurrogate { line } => *line,
        }
    }
}

/// Reads a whole file into its entries, in the order they stand there.
///
/// A key may come twice; which one counts is for the caller to say (in Java the last). The one
/// deviation from Java: a backslash alone at the very end is nothing, not an empty key.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, SyntaxError> {
    let mut lines = LogicalLines { bytes, at: 0, line: 1 };
    let mut entries = Vec::new();
    while let Some((line, text)) = lines.next_line() {
        let (key, value) = split(&text);
        entries.push(Entry { key: unescape(key, line)?, value: unescape(value, line)?, line });
    }
    Ok(entries)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

/// Joins continued lines and drops blank ones and comments; escapes stay as they are.
struct LogicalLines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl LogicalLines<'_> {
    /// The next byte; a line's end comes back as `\n`, whether it was `\n`, `\r` or `\r\n`.
    fn take(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == b'\r' && self.bytes.get(self.at) == Some(&b'\n') {
            self.at += 1;
        }
        if matches!(byte, b'\r' | b'\n') {
            self.line += 1;
            return Some(b'\n');
        }
        Some(byte)
    }

    fn next_line(&mut self) -> Option<(usize, Vec<u8>)> {
        let mut text = Vec::new();
        let mut begins = self.line;
        let mut skip_blanks = true;
        let mut continued = false;
        let mut escaped = false;
        loop {
            let here = self.line;
            let Some(byte) = self.take() else {
                if text.is_empty() {
                    return None;
                }
                if escaped {
                    text.pop();
                }
                return Some((begins, text));
            };
            if skip_blanks {
                if is_blank(byte) || (byte == b'\n' && !continued) {
                    continue;
                }
                skip_blanks = false;
                continued = false;
            }
            if text.is_empty() && matches!(byte, b'#' | b'!') {
                while self.take().is_some_and(|byte| byte != b'\n') {}
                skip_blanks = true;
                continue;
            }
            if byte != b'\n' {
                if text.is_empty() {
                    begins = here;
                }
                text.push(byte);
                escaped = byte == b'\\' && !escaped;
            } else if text.is_empty() {
                skip_blanks = true;
            } else if escaped {
                text.pop();
                escaped = false;
                skip_blanks = true;
                continued = true;
            } else {
                return Some((begins, text));
            }
        }
    }
}

/// Parts a logical line at its first unescaped `=`, `:` or blank.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let mut key_end = text.len();
    for (at, &byte) in text.iter().enumerate() {
        if !escaped && (matches!(byte, b'=' | b':') || is_blank(byte)) {
            key_end = at;
            break;
        }
        escaped = byte == b'\\' && !escaped;
    }
    let (key, rest) = text.split_at(key_end);
    let mut separator_seen = false;
    let value_start = rest
        .iter()
        .position(|&byte| {
            if is_blank(byte) {
                return false;
            }
            if !separator_seen && matches!(byte, b'=' | b':') {
                separator_seen = true;
                return false;
            }
            true
        })
        .unwrap_or(rest.len());
    (key, rest.split_at(value_start).1)
}

fn unescape(text: &[u8], line: usize) -> Result<String, SyntaxError> {
    // UTF-16 units first: a pair of \u escapes may form one character.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        match bytes.next() {
            None => {}
            Some(b't') => units.push(u16::from(b'\t')),
            Some(b'r') => units.push(u16::from(b'\r')),
            Some(b'n') => units.push(u16::from(b'\n')),
            Some(b'f') => units.push(0x0c),
            Some(b'u') => {
                let mut unit: u16 = 0;
                for _ in 0..4 {
                    let digit = bytes
                        .next()
                        .and_then(|byte| char::from(byte).to_digit(16))
                        .and_then(|digit| u16::try_from(digit).ok())
                        .ok_or(SyntaxError::UnicodeEscape { line })?;
                    unit = (unit << 4) | digit;
                }
                units.push(unit);
            }
            Some(other) => units.push(u16::from(other)),
        }
    }
    char::decode_utf16(units)
        .collect::<Result<_, _>>()
        .map_err(|_| SyntaxError::LoneSurrogate { line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &[(&str, &str, usize)]) {
        let entries = parse(text.as_bytes()).unwrap();
        let found: Vec<_> =
            entries.iter().map(|e| (e.key.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn separators() {
        check(
            "a=1\nb:2\nc 3\nd = 4\ne\t:\t5\nf==6\ng=:7\nh",
            &[
                ("a", "1", 1),
                ("b", "2", 2),
                ("c", "3", 3),
                ("d", "4", 4),
                ("e", "5", 5),
                ("f", "=6", 6),
                ("g", ":7", 7),
                ("h", "", 8),
            ],
        );
        check("  lead = x  ", &[("lead", "x  ", 1)]);
        check("=novalue", &[("", "novalue", 1)]);
    }

    #[test]
    fn comments_and_blank_lines() {
        check("# a=1\n! b=2\n\n   \n  # c\nd=4 # not a comment", &[("d", "4 # not a comment", 6)]);
        check("# continued? \\\na=1", &[("a", "1", 2)]);
    }

    #[test]
    fn continuation() {
        check("a=1,\\\n   2,\\\r\n\t3\nb=4", &[("a", "1,2,3", 1), ("b", "4", 4)]);
        check("a=1\\\\\nb=2", &[("a", "1\\", 1), ("b", "2", 2)]);
        check("a=1\\\n\nb=2", &[("a", "1", 1), ("b", "2", 3)]);
        check("a=x\\\n#y", &[("a", "x#y", 1)]);
        check("\\\n#y\na=1", &[("a", "1", 3)]);
        check("a=1\\", &[("a", "1", 1)]);
        check("\n\n\\\n\\\n a=1", &[("a", "1", 5)]);
    }

    #[test]
    fn escapes() {
        check("a\\=b\\ c\\:d=\\t\\n\\r\\f\\q\\\\", &[("a=b c:d", "\t\n\r\u{c}q\\", 1)]);
        check("a=\\u00e9\\uD83D\\uDE00", &[("a", "\u{e9}\u{1F600}", 1)]);
        assert_eq!(parse(b"a=\xe9").unwrap()[0].value, "\u{e9}");
    }

    #[test]
    fn bad_escapes_name_the_line() {
        assert_eq!(parse(b"a=1\n\nb=\\u12").unwrap_err(), SyntaxError::UnicodeEscape { line: 3 });
        assert_eq!(parse(b"a=\\\n\\u12g4").unwrap_err().line(), 1);
        assert_eq!(parse(b"\na=\\ud83d").unwrap_err(), SyntaxError::LoneSurrogate { line: 2 });
    }

    fn escape(text: &str, key: bool) -> String {
        let mut out = String::new();
        for (at, unit) in text.encode_utf16().enumerate() {
            match u8::try_from(unit).map(char::from) {
                Ok(c @ ('=' | ':' | '#' | '!' | '\\')) => out.extend(['\\', c]),
                Ok(' ') if key || at == 0 => out.push_str("\\ "),
                Ok(c @ ' '..='~') => out.push(c),
                _ => out.push_str(&format!("\\u{unit:04x}")),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn structured_noise_never_panics(text in "[ab=: \t#!\\\\u0-9\r\n\u{c}]{0,80}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn what_is_escaped_comes_back(entries in proptest::collection::vec((".{1,12}", ".{0,20}"), 0..8)) {
            let mut text = String::new();
            for (key, value) in &entries {
                text += &format!("{}={}\n", escape(key, true), escape(value, false));
            }
            let read = parse(text.as_bytes()).unwrap();
            let found: Vec<_> = read.into_iter().map(|e| (e.key, e.value)).collect();
            prop_assert_eq!(found, entries);
        }
    }
}
