//! `meta.properties`: which cluster, node and directory a log directory belongs to. Java's
//! properties format, versions 0 (`broker.id`) and 1. Must not know how ids are chosen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ottla_protocol::{NodeId, Uuid};

/// Content of `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`
    pub cluster_id: Option<String>,
    /// `node.id` (in version 0 `broker.id`)
    pub node_id: Option<NodeId>,
    /// `directory.id`
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// The file's name.
    pub const FILE: &'static str = "meta.properties";

    /// The file's text, version 1.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::from("#\n");
        let mut put = |key: &str, value: &str| {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{key}={}", escape(value));
        };
        if let Some(id) = self.node_id {
            put("node.id", &id.to_string());
        }
        if let Some(id) = self.directory_id {
            put("directory.id", &id.to_string());
        }
        put("version", "1");
        if let Some(id) = &self.cluster_id {
            put("cluster.id", id);
        }
        text
    }

    /// Reads the file's text; unknown keys are ignored, as Kafka does.
    ///
    /// # Errors
    /// A fragment that says what is wrong.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for line in text.lines() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = split(line);
            values.insert(key, value);
        }
        let id_key = match values.get("version").map(String::as_str) {
            Some("0") => "broker.id",
            Some("1") => "node.id",
            Some(other) => {
                return Err(format!("its version is {other:?}, and only 0 and 1 are known"));
            }
            None => return Err("it has no version".into()),
        };
        let node_id = match values.get(id_key) {
            Some(id) => Some(NodeId(
                id.trim().parse().map_err(|_| format!("{id_key} {id:?} is no number"))?,
            )),
            None => None,
        };
        let directory_id = match values.get("directory.id") {
            Some(id) => Some(
                Uuid::parse(id.trim()).ok_or_else(|| format!("directory.id {id:?} is no id"))?,
            ),
            None => None,
        };
        Ok(Self { cluster_id: values.get("cluster.id").cloned(), node_id, directory_id })
    }
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | '=' | ':' | '#' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Key and value of a line: the first `=`, `:` or blank that is not escaped parts them.
fn split(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut blank = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.extend(chars.next()),
            '=' | ':' => break,
            ' ' | '\t' => {
                blank = true;
                break;
            }
            other => key.push(other),
        }
    }
    // A blank may stand before the real separator.
    let rest = chars.as_str().trim_start();
    let rest =
        if blank { rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start() } else { rest };
    let mut value = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { value.extend(chars.next()) } else { value.push(c) }
    }
    (key, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_own_text_is_read() {
        let text = "#\n#Sat Nov 21 06:54:51 UTC 2026\nnode.id=1\ndirectory.id=qtHxQ43aTGCNr0nPk3fYfA\n\
                    version=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n";
        let read = MetaProperties::decode(text).unwrap();
        assert_eq!(read.cluster_id.as_deref(), Some("4L6g3nShT-eMCtK--X86sw"));
        assert_eq!(read.node_id, Some(NodeId(1)));
        assert_eq!(read.directory_id.unwrap().to_string(), "qtHxQ43aTGCNr0nPk3fYfA");
        assert_eq!(MetaProperties::decode(&read.encode()), Ok(read));
    }

    #[test]
    fn escapes_and_old_versions() {
        let odd = MetaProperties {
            cluster_id: Some("a=b:c\\d".into()),
            node_id: None,
            directory_id: None,
        };
        assert_eq!(MetaProperties::decode(&odd.encode()), Ok(odd));
        let old = MetaProperties::decode("version = 0\nbroker.id: 7\n").unwrap();
        assert_eq!(old.node_id, Some(NodeId(7)));
        for bad in ["", "version=2", "version=1\nnode.id=x", "version=1\ndirectory.id=short"] {
            assert!(MetaProperties::decode(bad).is_err(), "{bad:?}");
        }
    }
}
