//! Reads schema text (`protocol/schema/README.md`) into messages. The text is part of this
//! program: one that cannot be read is a bug.

use std::collections::BTreeMap;

/// A range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) min: i16,
    pub(super) max: i16,
}

impl Versions {
    const NONE: Self = Self { min: 0, max: -1 };

    pub(super) fn has(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// `3`, `3+` or `3-5`.
    fn parse(text: &str) -> Self {
        let number = |text: &str| text.parse().unwrap_or(0);
        if text == "none" {
            Self::NONE
        } else if let Some(min) = text.strip_suffix('+') {
            Self { min: number(min), max: i16::MAX }
        } else if let Some((min, max)) = text.split_once('-') {
            Self { min: number(min), max: number(max) }
        } else {
            Self { min: number(text), max: number(text) }
        }
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Metadata,
    Key,
    Value,
    Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    Text,
    Bytes,
    Struct(String),
    Array(Box<Self>),
}

impl Type {
    fn parse(word: &str) -> Self {
        if let Some(item) = word.strip_prefix("[]") {
            return Self::Array(Box::new(Self::parse(item)));
        }
        match word {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "uint32" => Self::Uint32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::Text,
            "bytes" => Self::Bytes,
            name => Self::Struct(name.to_owned()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    /// As JSON has it: the first letter is small.
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) versions: Versions,
    pub(super) nullable: Versions,
    pub(super) tag: Option<u32>,
}

/// The fields of a message, or of a struct in it.
pub(super) type Fields = Vec<Field>;

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) versions: Versions,
    pub(super) flexible: Versions,
    pub(super) fields: Fields,
    pub(super) structs: BTreeMap<String, Fields>,
}

/// Messages by role and number; those without a number by their place.
pub(super) type Messages = BTreeMap<(Role, i16), Message>;

pub(super) fn parse(text: &str) -> Messages {
    let mut messages = Messages::new();
    let mut current: Option<(Role, i16)> = None;
    // Which struct the lines of each depth belong to; none is the message itself.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut unnumbered = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let words: Vec<&str> = line.split_whitespace().collect();
        if depth == 0 {
            current = message(&words, &mut unnumbered, &mut messages);
            open = vec![None];
            continue;
        }
        let Some(message) = current.and_then(|key| messages.get_mut(&key)) else { continue };
        open.truncate(depth);
        let [first, second, ..] = words[..] else { continue };
        if first == "struct" {
            open.push(Some(second.to_owned()));
            continue;
        }
        let field = field(first, second, &words);
        let opened = struct_of(&field.kind);
        let owner = open.last().cloned().flatten();
        match owner {
            Some(name) => message.structs.entry(name).or_default().push(field),
            None => message.fields.push(field),
        }
        open.push(opened);
    }
    messages
}

fn message(words: &[&str], unnumbered: &mut i16, messages: &mut Messages) -> Option<(Role, i16)> {
    let (role, rest) = match words {
        ["metadata", rest @ ..] => (Role::Metadata, rest),
        ["coordinator-key", rest @ ..] => (Role::Key, rest),
        ["coordinator-value", rest @ ..] => (Role::Value, rest),
        ["data", rest @ ..] => (Role::Data, rest),
        _ => return None,
    };
    let (number, rest) = match (role, rest) {
        (Role::Data, rest) => {
            *unnumbered += 1;
            (*unnumbered, rest)
        }
        (_, [number, rest @ ..]) => (number.parse().ok()?, rest),
        (_, []) => return None,
    };
    let [name, versions, options @ ..] = rest else { return None };
    let flexible = options.iter().find_map(|word| word.strip_prefix("flexible="));
    let message = Message {
        name: (*name).to_owned(),
        versions: Versions::parse(versions),
        flexible: flexible.map_or(Versions::NONE, Versions::parse),
        fields: Vec::new(),
        structs: BTreeMap::new(),
    };
    messages.insert((role, number), message);
    Some((role, number))
}

fn field(name: &str, kind: &str, words: &[&str]) -> Field {
    let versions = words.get(2).map_or(Versions::NONE, |word| Versions::parse(word));
    let mut field = Field {
        name: json_name(name),
        kind: Type::parse(kind),
        versions,
        nullable: Versions::NONE,
        tag: None,
    };
    for word in words.iter().skip(3) {
        if *word == "nullable" {
            field.nullable = versions;
        } else if let Some(range) = word.strip_prefix("nullable=") {
            field.nullable = Versions::parse(range);
        } else if let Some(tag) = word.strip_prefix("tag=") {
            field.tag = tag.parse().ok();
        }
    }
    field
}

fn struct_of(kind: &Type) -> Option<String> {
    match kind {
        Type::Struct(name) => Some(name.clone()),
        Type::Array(item) => struct_of(item),
        Type::Bool
        | Type::Int8
        | Type::Int16
        | Type::Uint16
        | Type::Int32
        | Type::Uint32
        | Type::Int64
        | Type::Float64
        | Type::Uuid
        | Type::Text
        | Type::Bytes => None,
    }
}

fn json_name(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use ottla_protocol::schema as text;

    use super::*;

    #[test]
    fn every_struct_that_is_named_has_fields() {
        for text in [
            text::METADATA_RECORDS,
            text::GROUP_RECORDS,
            text::CONSUMER_PROTOCOL,
            text::TRANSACTION_RECORDS,
            text::SHARE_RECORDS,
            text::REMOTE_LOG_METADATA,
            text::CONTROL_RECORDS,
        ] {
            let messages = parse(text);
            let expected = text
                .lines()
                .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
                .count();
            assert_eq!(messages.len(), expected);
            for message in messages.values() {
                let fields = message.fields.iter().chain(message.structs.values().flatten());
                for name in fields.filter_map(|field| struct_of(&field.kind)) {
                    let known = message.structs.get(&name).is_some_and(|f| !f.is_empty());
                    assert!(known, "{} has no struct {name}", message.name);
                }
            }
        }
    }
}
