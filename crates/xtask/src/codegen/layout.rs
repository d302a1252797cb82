//! A message's structs with their Rust names, the versions in which each can occur, and what
//! follows from that. Knows no Rust syntax.

use super::schema::{Field, Message, Scalar, Type, Versions};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// When a struct is encoded in the flexible way (KIP-482).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flex {
    Never,
    Always,
    From(i16),
}

impl Flex {
    fn of(flexible: Option<Versions>, reach: Versions) -> Self {
        match flexible {
            None => Self::Never,
            Some(v) if v.min <= reach.min => Self::Always,
            Some(v) if v.min > reach.max => Self::Never,
            Some(v) => Self::From(v.min),
        }
    }

    fn at(self, version: i16) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::From(min) => version >= min,
        }
    }
}

/// One struct to generate: a message itself or a struct inside it.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    /// Kafka's name.
    pub(crate) name: &'a str,
    pub(crate) rust: String,
    pub(crate) fields: Vec<&'a Field>,
    /// Versions of the message in which it can occur.
    pub(crate) reach: Versions,
    pub(crate) flex: Flex,
    /// Whether some array holds it.
    pub(crate) in_array: bool,
    /// Fewest bytes of one encoded value over all versions, at least 1.
    pub(crate) min_len: usize,
}

/// The structs of one message, the message first.
#[derive(Debug)]
pub(crate) struct Layouts<'a> {
    pub(crate) message: &'a Message,
    pub(crate) valid: Versions,
    pub(crate) structs: Vec<Layout<'a>>,
    pub(crate) rust_names: BTreeMap<&'a str, String>,
}

/// Lays out every message of one generated module; names that two of them use are prefixed with
/// the message's own.
pub(crate) fn lay_out(messages: &[Message]) -> Result<Vec<Layouts<'_>>> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for message in messages {
        for name in struct_names(message) {
            if !seen.insert(name) {
                twice.insert(name);
            }
        }
    }
    messages.iter().filter(|m| m.valid.is_some()).map(|m| one(m, &twice)).collect()
}

fn struct_names(message: &Message) -> Vec<&str> {
    fn inner<'a>(fields: &'a [Field], out: &mut Vec<&'a str>) {
        for field in fields {
            if let (Some(name), false) = (field.ty.struct_name(), field.fields.is_empty()) {
                out.push(name);
            }
            inner(&field.fields, out);
        }
    }
    let mut out = Vec::new();
    inner(&message.fields, &mut out);
    for shared in &message.structs {
        out.push(&shared.name);
        inner(&shared.fields, &mut out);
    }
    out
}

fn one<'a>(message: &'a Message, twice: &BTreeSet<&str>) -> Result<Layouts<'a>> {
    let valid = message.valid.context("a removed message has no layout")?;
    let mut layouts = Layouts { message, valid, structs: Vec::new(), rust_names: BTreeMap::new() };
    for name in struct_names(message) {
        let rust = if twice.contains(name) || name == message.name {
            format!("{}{name}", message.name)
        } else {
            name.to_owned()
        };
        ensure!(
            layouts.rust_names.insert(name, rust).is_none(),
            "{}: struct {name} is defined twice",
            message.name
        );
    }
    layouts.add(&message.name, message.name.clone(), &message.fields, valid);
    for shared in &message.structs {
        let rust = layouts.rust(&shared.name)?;
        layouts.add(&shared.name, rust, &shared.fields, valid);
    }
    layouts.finish()?;
    Ok(layouts)
}

impl<'a> Layouts<'a> {
    /// Rust's name of a struct of this message.
    pub(crate) fn rust(&self, name: &str) -> Result<String> {
        self.rust_names
            .get(name)
            .cloned()
            .with_context(|| format!("{}: no struct {name}", self.message.name))
    }

    fn add(&mut self, name: &'a str, rust: String, fields: &'a [Field], reach: Versions) {
        let present =
            fields.iter().filter(|f| f.versions.intersect(reach).is_some()).collect::<Vec<_>>();
        self.structs.push(Layout {
            name,
            rust,
            fields: present.clone(),
            reach,
            flex: Flex::of(self.message.flexible, reach),
            in_array: false,
            min_len: 0,
        });
        for field in present {
            let (Some(inner), Some(reach)) =
                (field.ty.struct_name(), field.versions.intersect(reach))
            else {
                continue;
            };
            if !field.fields.is_empty()
                && let Some(rust) = self.rust_names.get(inner).cloned()
            {
                self.add(inner, rust, &field.fields, reach);
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        let in_arrays = self
            .structs
            .iter()
            .flat_map(|s| &s.fields)
            .filter_map(|f| match &f.ty {
                Type::StructArray(name) => Some(name.as_str()),
                Type::Scalar(_) | Type::Struct(_) | Type::ScalarArray(_) => None,
            })
            .collect::<BTreeSet<_>>();
        let mut lens = Vec::new();
        for layout in &self.structs {
            let versions = layout.reach.min..=layout.reach.max;
            let mut least = usize::MAX;
            for version in versions {
                least = least.min(self.struct_len(layout, version)?);
            }
            lens.push((in_arrays.contains(layout.name), least.max(1)));
        }
        for (layout, (in_array, min_len)) in self.structs.iter_mut().zip(lens) {
            layout.in_array = in_array;
            layout.min_len = min_len;
        }
        Ok(())
    }

    /// The layout of a struct by Kafka's name.
    pub(crate) fn layout(&self, name: &str) -> Result<&Layout<'a>> {
        self.structs
            .iter()
            .skip(1)
            .find(|s| s.name == name)
            .with_context(|| format!("{}: no struct {name}", self.message.name))
    }

    fn struct_len(&self, layout: &Layout<'_>, version: i16) -> Result<usize> {
        let flex = layout.flex.at(version);
        let mut len = usize::from(flex);
        for field in &layout.fields {
            if !field.versions.contains(version) || field.tag.is_some() {
                continue;
            }
            let nullable = field.nullable.is_some_and(|n| n.contains(version));
            let flex = flex && !field.inflexible;
            len += match &field.ty {
                Type::Scalar(s) => scalar_len(*s, flex),
                Type::ScalarArray(_) | Type::StructArray(_) => {
                    if flex {
                        1
                    } else {
                        4
                    }
                }
                Type::Struct(_) if nullable => 1,
                Type::Struct(name) => self.struct_len(self.layout(name)?, version)?,
            };
        }
        Ok(len)
    }
}

fn scalar_len(scalar: Scalar, flex: bool) -> usize {
    match scalar {
        Scalar::Bool | Scalar::Int8 => 1,
        Scalar::Int16 | Scalar::Uint16 => 2,
        Scalar::Int32 | Scalar::Uint32 => 4,
        Scalar::Int64 | Scalar::Float64 => 8,
        Scalar::Uuid => 16,
        Scalar::String => {
            if flex {
                1
            } else {
                2
            }
        }
        Scalar::Bytes | Scalar::Records => {
            if flex {
                1
            } else {
                4
            }
        }
    }
}
