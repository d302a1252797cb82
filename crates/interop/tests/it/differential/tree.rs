//! An answer as a tree, read from its `{:#?}`, so that two answers of any kind are compared field
//! by field. Must not know messages: elements of lists are called by the first field that looks
//! like a name.

use std::collections::BTreeSet;

/// Fields that tell the elements of a list apart.
const NAMES: [&str; 11] = [
    "name",
    "topic",
    "topic_name",
    "key",
    "group_id",
    "resource_name",
    "partition_index",
    "partition",
    "index",
    "api_key",
    "broker_id",
];

/// Fields that hold a sentence: each broker has its own words, so only whether it says something
/// is compared.
const SENTENCES: [&str; 3] = ["error_message", "batch_index_error_message", "documentation"];

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Something without parts, as text.
    Leaf(String),
    /// A struct, list or option: labels and parts.
    Node(Vec<(String, Tree)>),
}

/// A place where two trees differ, and what stands there.
pub(super) type Difference = (String, String, String);

/// Reads the multi-line debug form.
pub(super) fn read(text: &str) -> Tree {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    if opens(first) { node(&mut lines) } else { Tree::Leaf(first.to_owned()) }
}

fn opens(line: &str) -> bool {
    line.ends_with(['{', '[', '('])
}

fn node<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Tree {
    let mut parts: Vec<(String, Tree)> = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.strip_suffix(',').unwrap_or(line);
        if ["}", "]", ")"].contains(&line) {
            break;
        }
        let (field, value) = match line.split_once(": ") {
            Some((field, value))
                if field.bytes().all(|c| c == b'_' || c.is_ascii_alphanumeric()) =>
            {
                (field, value)
            }
            _ => ("", line),
        };
        let mut value = if opens(value) { node(lines) } else { Tree::Leaf(value.to_owned()) };
        if SENTENCES.contains(&field) && value != Tree::Leaf("None".into()) {
            value = Tree::Leaf("a sentence".into());
        }
        let label = if field.is_empty() { called(&parts, &value) } else { field.to_owned() };
        parts.push((label, value));
    }
    Tree::Node(parts)
}

/// The label of a list's next element; each is unique in its list.
fn called(before: &[(String, Tree)], element: &Tree) -> String {
    let taken = |label: &str| before.iter().any(|(known, _)| known == label);
    let fields = match element {
        Tree::Node(fields) => fields.as_slice(),
        Tree::Leaf(_) => &[],
    };
    let named = fields.iter().find(|(field, _)| NAMES.contains(&field.as_str()));
    let name = named.and_then(|(_, value)| match value {
        Tree::Leaf(text) => Some(text.trim_matches('"')),
        Tree::Node(parts) => match parts.as_slice() {
            [(_, Tree::Leaf(text))] => Some(text.trim_matches('"')),
            _ => None,
        },
    });
    let stem = name.map_or_else(|| format!("[{}]", before.len()), |name| format!("[{name}]"));
    let numbered = (2..).map(|n| format!("{stem}#{n}"));
    std::iter::once(stem.clone()).chain(numbered).find(|label| !taken(label)).unwrap_or(stem)
}

/// Every place where the trees differ; parts that only one has count as one place, and so does
/// another order of the same parts.
pub(super) fn differences(left: &Tree, right: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", left, right, &mut found);
    found
}

fn compare(path: &str, left: &Tree, right: &Tree, found: &mut Vec<Difference>) {
    let (Tree::Node(a), Tree::Node(b)) = (left, right) else {
        if left != right {
            found.push((path.to_owned(), brief(left), brief(right)));
        }
        return;
    };
    let labels = |parts: &[(String, Tree)]| -> Vec<String> {
        parts.iter().map(|(label, _)| label.clone()).collect()
    };
    let (order_a, order_b) = (labels(a), labels(b));
    let all: BTreeSet<&String> = order_a.iter().chain(&order_b).collect();
    let part = |parts: &[(String, Tree)], label: &String| {
        parts.iter().find(|(known, _)| known == label).map(|(_, part)| part.clone())
    };
    for label in &all {
        let dot = if path.is_empty() || label.starts_with('[') { "" } else { "." };
        let path = format!("{path}{dot}{label}");
        match (part(a, label), part(b, label)) {
            (Some(left), Some(right)) => compare(&path, &left, &right, found),
            (left, right) => {
                let text = |tree: Option<Tree>| tree.map_or("nothing".into(), |tree| brief(&tree));
                found.push((path, text(left), text(right)));
            }
        }
    }
    if order_a != order_b && order_a.len() == all.len() && order_b.len() == all.len() {
        found.push((format!("{path}.order"), order_a.concat(), order_b.concat()));
    }
}

/// A tree on one line.
fn brief(tree: &Tree) -> String {
    match tree {
        Tree::Leaf(text) => text.clone(),
        Tree::Node(parts) => {
            let parts = parts.iter().map(|(label, part)| format!("{label}={}", brief(part)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(" "))
        }
    }
}

#[test]
fn trees_are_compared_by_name() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by its debug form")]
    struct Topic {
        name: &'static str,
        ids: Vec<u8>,
        text: Option<&'static str>,
    }
    let topic = |name, ids: &[u8], text| Topic { name, ids: ids.to_vec(), text };
    let tree = |topics: Vec<Topic>| read(&format!("{topics:#?}"));
    let left = tree(vec![topic("a", &[1, 2], Some("x: {")), topic("b", &[], None)]);
    let same = tree(vec![topic("a", &[1, 2], Some("x: {")), topic("b", &[], None)]);
    assert_eq!(differences(&left, &same), vec![]);
    let right = tree(vec![topic("b", &[], Some("y")), topic("a", &[1, 3], Some("x: {"))]);
    let places: Vec<String> = differences(&left, &right).into_iter().map(|d| d.0).collect();
    assert_eq!(places, ["[a].ids[1]", "[b].text", ".order"]);
    let fewer = differences(&left, &tree(vec![topic("a", &[1, 2], Some("x: {"))]));
    assert_eq!(fewer, [("[b]".into(), "{name=\"b\" ids=[] text=None}".into(), "nothing".into())]);
}
