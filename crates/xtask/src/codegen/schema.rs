//! The schema text of `crates/protocol/schema`: its model and its reader. Knows nothing of Rust
//! code or of Kafka's own JSON.
//!
//! One line a field, nesting by two spaces:
//!
//! ```text
//! request 1 FetchRequest 4-18 flexible=12+ listeners=broker,controller
//!   ClusterId string 12+ nullable tag=0 default=null ignorable
//!   Topics []FetchTopic 0+
//!     Topic string 0-12 ignorable
//!   struct Shared 0+
//!     Field int32 0+
//! ```

use anyhow::{Context, Result, bail, ensure};
use std::fmt;

/// An inclusive range of versions; `max` is `i16::MAX` when open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Versions {
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        if text == "none" {
            return Ok(None);
        }
        let bad = || format!("'{text}' is no version range");
        let range = if let Some(min) = text.strip_suffix('+') {
            Self { min: min.parse().with_context(bad)?, max: i16::MAX }
        } else if let Some((min, max)) = text.split_once('-') {
            Self { min: min.parse().with_context(bad)?, max: max.parse().with_context(bad)? }
        } else {
            let only = text.parse().with_context(bad)?;
            Self { min: only, max: only }
        };
        ensure!(range.min <= range.max, "'{text}' is an empty version range");
        Ok(Some(range))
    }

    pub(crate) fn intersect(self, other: Self) -> Option<Self> {
        let range = Self { min: self.min.max(other.min), max: self.max.min(other.max) };
        (range.min <= range.max).then_some(range)
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        self.min <= other.min && self.max >= other.max
    }

    pub(crate) fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.max == i16::MAX {
            write!(f, "{}+", self.min)
        } else if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

/// What a message is, as Kafka's schemas say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Request,
    Response,
    Header,
    Metadata,
    CoordinatorKey,
    CoordinatorValue,
    Data,
}

impl Kind {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "request" => Self::Request,
            "response" => Self::Response,
            "header" => Self::Header,
            "metadata" => Self::Metadata,
            "coordinator-key" => Self::CoordinatorKey,
            "coordinator-value" => Self::CoordinatorValue,
            "data" => Self::Data,
            _ => return None,
        })
    }

    fn has_key(self) -> bool {
        !matches!(self, Self::Header | Self::Data)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scalar {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
}

impl Scalar {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "uint32" => Self::Uint32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            _ => return None,
        })
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Scalar(Scalar),
    Struct(String),
    ScalarArray(Scalar),
    StructArray(String),
}

impl Type {
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_prefix("[]") {
            Some(element) => match Scalar::parse(element) {
                Some(scalar) => Self::ScalarArray(scalar),
                None => Self::StructArray(element.to_owned()),
            },
            None => match Scalar::parse(text) {
                Some(scalar) => Self::Scalar(scalar),
                None => Self::Struct(text.to_owned()),
            },
        }
    }

    pub(crate) fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Struct(name) | Self::StructArray(name) => Some(name),
            Self::Scalar(_) | Self::ScalarArray(_) => None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// The type as the schema writes it.
    pub(crate) type_text: String,
    pub(crate) versions: Versions,
    pub(crate) nullable: Option<Versions>,
    pub(crate) tag: Option<u32>,
    /// As the schema writes it; absent when it is the type's zero.
    pub(crate) default: Option<String>,
    pub(crate) ignorable: bool,
    /// Keeps the fixed-width length also in flexible versions (the header's client id).
    pub(crate) inflexible: bool,
    /// The fields of a struct defined here.
    pub(crate) fields: Vec<Self>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) versions: Versions,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) key: Option<i16>,
    pub(crate) name: String,
    /// `None` when every version was removed.
    pub(crate) valid: Option<Versions>,
    pub(crate) flexible: Option<Versions>,
    pub(crate) listeners: Vec<String>,
    pub(crate) unstable: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) structs: Vec<Struct>,
}

/// One schema file: its name without suffix and its messages.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) messages: Vec<Message>,
}

struct Line<'a> {
    number: usize,
    depth: usize,
    words: Vec<&'a str>,
}

/// Reads one schema file.
pub(crate) fn parse(name: &str, text: &str) -> Result<Schema> {
    let mut lines = Vec::new();
    for (i, raw) in text.lines().enumerate() {
        let content = raw.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = raw.len() - content.len();
        ensure!(indent % 2 == 0, "{name}:{}: odd indentation", i + 1);
        let words = content.split(' ').collect::<Vec<_>>();
        ensure!(words.iter().all(|w| !w.is_empty()), "{name}:{}: stray space", i + 1);
        lines.push(Line { number: i + 1, depth: indent / 2, words });
    }
    let mut messages = Vec::new();
    let mut rest = lines.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let at = || format!("{name}:{}", first.number);
        ensure!(first.depth == 0, "{}: a message begins at the margin", at());
        let end = after.iter().position(|l| l.depth == 0).unwrap_or(after.len());
        let (body, next) = after.split_at(end);
        messages.push(message(first, body).with_context(at)?);
        rest = next;
    }
    Ok(Schema { name: name.to_owned(), messages })
}

fn message(head: &Line<'_>, body: &[Line<'_>]) -> Result<Message> {
    let mut words = head.words.iter().copied();
    let mut next = || words.next().context("a message line is: kind [key] name versions …");
    let kind_word = next()?;
    let kind = Kind::parse(kind_word).with_context(|| format!("unknown kind '{kind_word}'"))?;
    let key = if kind.has_key() { Some(next()?.parse().context("bad key")?) } else { None };
    let name = next()?.to_owned();
    let valid = Versions::parse(next()?)?;
    let mut message = Message {
        kind,
        key,
        name,
        valid,
        flexible: None,
        listeners: Vec::new(),
        unstable: false,
        fields: Vec::new(),
        structs: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("flexible", range)) => message.flexible = Versions::parse(range)?,
            Some(("listeners", list)) => {
                message.listeners = list.split(',').map(str::to_owned).collect();
            }
            None if word == "unstable" => message.unstable = true,
            _ => bail!("unknown word '{word}'"),
        }
    }
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        let end = after.iter().position(|l| l.depth <= 1).unwrap_or(after.len());
        let (inner, next) = after.split_at(end);
        ensure!(first.depth == 1, "line {}: nested too deep", first.number);
        if first.words.first() == Some(&"struct") {
            let [_, name, versions] = first.words.as_slice() else {
                bail!("line {}: a struct line is: struct name versions", first.number);
            };
            let versions = Versions::parse(versions)?.context("a struct needs versions")?;
            message.structs.push(Struct {
                name: (*name).to_owned(),
                versions,
                fields: fields(inner, 2)?,
            });
        } else {
            message.fields.push(field(first, inner)?);
        }
        rest = next;
    }
    Ok(message)
}

fn fields(lines: &[Line<'_>], depth: usize) -> Result<Vec<Field>> {
    let mut out = Vec::new();
    let mut rest = lines;
    while let Some((first, after)) = rest.split_first() {
        ensure!(first.depth == depth, "line {}: wrong indentation", first.number);
        let end = after.iter().position(|l| l.depth <= depth).unwrap_or(after.len());
        let (inner, next) = after.split_at(end);
        out.push(field(first, inner)?);
        rest = next;
    }
    Ok(out)
}

fn field(line: &Line<'_>, inner: &[Line<'_>]) -> Result<Field> {
    let at = || format!("line {}", line.number);
    let [name, ty, versions, flags @ ..] = line.words.as_slice() else {
        bail!("{}: a field line is: name type versions …", at());
    };
    let versions = Versions::parse(versions).with_context(at)?.context("a field needs versions")?;
    let mut field = Field {
        name: (*name).to_owned(),
        ty: Type::parse(ty),
        type_text: (*ty).to_owned(),
        versions,
        nullable: None,
        tag: None,
        default: None,
        ignorable: false,
        inflexible: false,
        fields: fields(inner, line.depth + 1)?,
    };
    for word in flags {
        match word.split_once('=') {
            None if *word == "nullable" => field.nullable = Some(versions),
            None if *word == "ignorable" => field.ignorable = true,
            Some(("nullable", range)) => {
                field.nullable = Versions::parse(range).with_context(at)?
            }
            Some(("tag", tag)) => field.tag = Some(tag.parse().with_context(at)?),
            Some(("default", value)) => field.default = Some(value.to_owned()),
            Some(("flexible", "none")) => field.inflexible = true,
            _ => bail!("{}: unknown word '{word}'", at()),
        }
    }
    ensure!(
        field.fields.is_empty() || field.ty.struct_name().is_some(),
        "{}: only a struct has fields",
        at()
    );
    Ok(field)
}
