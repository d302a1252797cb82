//! One field in Rust: its type, its default, and the pieces of code that decode, encode, measure
//! and invent it. Knows the runtime's method names, not how a struct is put together.

use super::layout::{Flex, Layout, Layouts};
use super::names;
use super::schema::{Field, Scalar, Type, Versions};
use anyhow::{Context, Result, bail};

/// When a field may be null.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Null {
    Never,
    Always,
    /// In some of the versions that have the field: the condition.
    When(String),
}

/// The pieces of one field.
pub(crate) struct FieldCode {
    pub(crate) id: String,
    pub(crate) doc: String,
    pub(crate) ty: String,
    pub(crate) default: String,
    /// The default is the type's own.
    pub(crate) plain_default: bool,
    /// Condition under which the version has the field; `None` when all versions have it.
    pub(crate) present: Option<String>,
    pub(crate) tag: Option<u32>,
    pub(crate) ignorable: bool,
    null: Null,
    kind: Type,
    struct_rust: Option<String>,
    /// Smallest encoding of the struct, for arrays.
    flex: &'static str,
    path: String,
    default_text: Option<String>,
}

/// The condition under which `version`, known to lie in `reach`, lies in `range`.
fn condition(range: Versions, reach: Versions) -> Option<String> {
    let low = range.min > reach.min;
    let high = range.max < reach.max;
    match (low, high) {
        (false, false) => None,
        _ if range.min.max(reach.min) == range.max.min(reach.max) => {
            Some(format!("version == {}", range.min.max(reach.min)))
        }
        (true, false) => Some(format!("version >= {}", range.min)),
        (false, true) => Some(format!("version <= {}", range.max)),
        (true, true) => Some(format!("({}..={}).contains(&version)", range.min, range.max)),
    }
}

/// The opposite of a condition.
pub(crate) fn negated(condition: &str) -> String {
    for (from, to) in [(" >= ", " < "), (" <= ", " > "), (" == ", " != ")] {
        if condition.contains(from) {
            return condition.replace(from, to);
        }
    }
    format!("!{condition}")
}

impl FieldCode {
    pub(crate) fn new(layouts: &Layouts<'_>, owner: &Layout<'_>, field: &Field) -> Result<Self> {
        let within = field.versions.intersect(owner.reach).context("the field is never present")?;
        let null = match field.nullable.and_then(|n| n.intersect(within)) {
            None => Null::Never,
            Some(n) if n.covers(within) => Null::Always,
            Some(n) => match condition(n, within) {
                Some(c) => Null::When(c),
                None => Null::Always,
            },
        };
        let flex = if field.inflexible {
            "false"
        } else if field.tag.is_some() {
            "true"
        } else {
            match owner.flex {
                Flex::Never => "false",
                Flex::Always => "true",
                Flex::From(n) if within.min >= n => "true",
                Flex::From(n) if within.max < n => "false",
                Flex::From(_) => "flex",
            }
        };
        let struct_rust = match field.ty.struct_name() {
            Some(name) => Some(layouts.rust(name)?),
            None => None,
        };
        let inner = inner_type(&field.ty, struct_rust.as_deref());
        let nullable = null != Null::Never;
        let ty = if nullable { format!("Option<{inner}>") } else { inner };
        let id = names::field(&field.name);
        let path = format!("{}.{}", owner.rust, id.trim_start_matches("r#"));
        let (default, plain_default) = default_of(field, nullable)
            .with_context(|| format!("default of {}.{}", owner.name, field.name))?;
        Ok(Self {
            doc: doc(field),
            id,
            ty,
            default,
            plain_default,
            present: condition(field.versions, owner.reach),
            tag: field.tag,
            ignorable: field.ignorable,
            null,
            kind: field.ty.clone(),
            struct_rust,
            flex,
            path,
            default_text: field.default.clone(),
        })
    }

    fn rust(&self) -> &str {
        self.struct_rust.as_deref().unwrap_or_default()
    }

    fn nullable(&self) -> bool {
        self.null != Null::Never
    }

    /// In a tagged field Kafka marks a null struct in another way.
    fn in_tag(&self) -> &'static str {
        if self.tag.is_some() { "_tagged" } else { "" }
    }

    /// Reads a value that is present.
    pub(crate) fn decode(&self) -> String {
        let (flex, rust) = (self.flex, self.rust());
        let plain = match &self.kind {
            Type::Scalar(s @ (Scalar::String | Scalar::Bytes | Scalar::Records)) => {
                format!("r.{}({flex})?", method(*s))
            }
            Type::Scalar(s) => format!("r.{}()?", method(*s)),
            Type::ScalarArray(s) => format!("r.{}_array({flex})?", method(*s)),
            Type::Struct(_) => format!("{rust}::decode_body(r, version)?"),
            Type::StructArray(_) => {
                format!("r.array({flex}, {rust}::MIN_LEN, version, {rust}::decode_body)?")
            }
        };
        let or_null = match &self.kind {
            Type::Struct(_) => {
                format!("r.nullable{}(version, {rust}::decode_body)?", self.in_tag())
            }
            Type::Scalar(_) | Type::ScalarArray(_) | Type::StructArray(_) => {
                plain.replacen("r.", "r.nullable_", 1)
            }
        };
        match &self.null {
            Null::Never => plain,
            Null::Always => or_null,
            Null::When(c) => format!("if {c} {{ {or_null} }} else {{ Some({plain}) }}"),
        }
    }

    /// Writes a value that is present.
    pub(crate) fn encode(&self) -> String {
        let (flex, rust, id) = (self.flex, self.rust(), &self.id);
        let write = match &self.kind {
            Type::Scalar(s @ (Scalar::String | Scalar::Bytes | Scalar::Records)) => {
                let m = method(*s);
                if self.nullable() {
                    format!("w.nullable_{m}(self.{id}.as_ref(), {flex})?;")
                } else {
                    format!("w.{m}(&self.{id}, {flex})?;")
                }
            }
            Type::Scalar(s) => format!("w.{}(self.{id});", method(*s)),
            Type::ScalarArray(s) => {
                format!("w.{}_array({}, {flex})?;", method(*s), self.slice())
            }
            Type::Struct(_) if self.nullable() => {
                let tag = self.in_tag();
                format!("w.nullable{tag}(self.{id}.as_ref(), version, {rust}::encode_body)?;")
            }
            Type::Struct(_) => format!("self.{id}.encode_body(w, version)?;"),
            Type::StructArray(_) => {
                format!("w.array({}, {flex}, version, {rust}::encode_body)?;", self.slice())
            }
        };
        match &self.null {
            Null::Never | Null::Always => write,
            Null::When(c) => format!(
                "if self.{id}.is_none() && {} {{ return Err(EncodeError::null(\"{}\", version)); }} {write}",
                negated(c),
                self.path
            ),
        }
    }

    fn slice(&self) -> String {
        if self.nullable() {
            format!("self.{}.as_deref()", self.id)
        } else {
            format!("Some(&self.{})", self.id)
        }
    }

    /// The encoded length of a value that is present.
    pub(crate) fn len(&self) -> String {
        let (flex, rust, id) = (self.flex, self.rust(), &self.id);
        match &self.kind {
            Type::Scalar(s @ (Scalar::String | Scalar::Bytes | Scalar::Records)) => {
                let m = method(*s);
                if self.nullable() {
                    format!("len::{m}(self.{id}.as_ref(), {flex})")
                } else {
                    format!("len::{m}(Some(&self.{id}), {flex})")
                }
            }
            Type::Scalar(s) => width(*s).to_string(),
            Type::ScalarArray(Scalar::String) => {
                format!("len::string_array({}, {flex})", self.slice())
            }
            Type::ScalarArray(s) => {
                format!("len::fixed_array({}, {}, {flex})", self.slice(), width(*s))
            }
            Type::Struct(_) if self.nullable() => {
                format!("1 + self.{id}.as_ref().map_or(0, |s| s.body_len(version))")
            }
            Type::Struct(_) => format!("self.{id}.body_len(version)"),
            Type::StructArray(_) => {
                format!("len::array({}, {flex}, version, {rust}::body_len)", self.slice())
            }
        }
    }

    /// Whether the value differs from the schema's default.
    pub(crate) fn differs(&self) -> String {
        let id = &self.id;
        let null_default = self.default_text.as_deref() == Some("null");
        if self.nullable() && null_default {
            return format!("self.{id}.is_some()");
        }
        match &self.kind {
            Type::Scalar(Scalar::Bool) => match self.default.as_str() {
                "true" => format!("!self.{id}"),
                _ => format!("self.{id}"),
            },
            Type::Scalar(Scalar::Uuid) => format!("!self.{id}.is_zero()"),
            Type::Scalar(Scalar::String) if self.default_text.is_some() => {
                let text = self.default_text.as_deref().unwrap_or_default();
                if self.nullable() {
                    format!("self.{id}.as_deref() != Some(\"{text}\")")
                } else {
                    format!("*self.{id} != *\"{text}\"")
                }
            }
            Type::Scalar(Scalar::String | Scalar::Bytes | Scalar::Records)
            | Type::ScalarArray(_)
            | Type::StructArray(_) => {
                if self.nullable() {
                    format!("self.{id}.as_ref().is_none_or(|v| !v.is_empty())")
                } else {
                    format!("!self.{id}.is_empty()")
                }
            }
            Type::Scalar(_) => format!("self.{id} != {}", self.default),
            Type::Struct(_) if self.nullable() => {
                format!("self.{id}.as_ref() != Some(&{}::default())", self.rust())
            }
            Type::Struct(_) => format!("self.{id} != {}::default()", self.rust()),
        }
    }

    /// The refusal to drop a value that the version cannot carry.
    pub(crate) fn refuse(&self) -> String {
        format!("return Err(EncodeError::field(\"{}\", version));", self.path)
    }

    /// Invents a value that the version can carry.
    pub(crate) fn random(&self) -> String {
        let rust = self.rust();
        let plain = match &self.kind {
            Type::Scalar(s) => format!("s.{}()", method(*s)),
            Type::ScalarArray(s) => format!("s.array(RandomSource::{})", method(*s)),
            Type::Struct(_) => format!("{rust}::random(s, version)"),
            Type::StructArray(_) => format!("s.array(|s| {rust}::random(s, version))"),
        };
        match &self.null {
            Null::Never => plain,
            Null::Always => format!("s.maybe(|s| {plain})"),
            Null::When(c) => {
                format!("if {c} {{ s.maybe(|s| {plain}) }} else {{ Some({plain}) }}")
            }
        }
    }
}

fn inner_type(ty: &Type, rust: Option<&str>) -> String {
    let rust = rust.unwrap_or_default();
    match ty {
        Type::Scalar(s) => scalar_type(*s).to_owned(),
        Type::ScalarArray(s) => format!("Vec<{}>", scalar_type(*s)),
        Type::Struct(_) => rust.to_owned(),
        Type::StructArray(_) => format!("Vec<{rust}>"),
    }
}

fn scalar_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::Int8 => "i8",
        Scalar::Int16 => "i16",
        Scalar::Uint16 => "u16",
        Scalar::Int32 => "i32",
        Scalar::Uint32 => "u32",
        Scalar::Int64 => "i64",
        Scalar::Float64 => "f64",
        Scalar::Uuid => "Uuid",
        Scalar::String => "StrBytes",
        Scalar::Bytes => "Bytes",
        Scalar::Records => "Records",
    }
}

fn method(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::Uuid => "uuid",
        Scalar::String => "string",
        Scalar::Bytes => "bytes",
        Scalar::Records => "records",
        Scalar::Int8
        | Scalar::Int16
        | Scalar::Uint16
        | Scalar::Int32
        | Scalar::Uint32
        | Scalar::Int64
        | Scalar::Float64 => scalar_type(scalar),
    }
}

fn width(scalar: Scalar) -> usize {
    match scalar {
        Scalar::Bool | Scalar::Int8 => 1,
        Scalar::Int16 | Scalar::Uint16 => 2,
        Scalar::Int32 | Scalar::Uint32 => 4,
        Scalar::Int64 | Scalar::Float64 => 8,
        Scalar::Uuid => 16,
        Scalar::String | Scalar::Bytes | Scalar::Records => 0,
    }
}

/// The default as an expression, and whether it is the type's own default.
fn default_of(field: &Field, nullable: bool) -> Result<(String, bool)> {
    let text = field.default.as_deref();
    if text == Some("null") {
        return if nullable {
            Ok(("None".to_owned(), true))
        } else {
            bail!("null, but the field is never nullable")
        };
    }
    let wrap = |expr: String, plain: bool| {
        if nullable { (format!("Some({expr})"), false) } else { (expr, plain) }
    };
    let plain = text.is_none();
    Ok(match &field.ty {
        Type::Scalar(Scalar::Bool) => wrap(text.unwrap_or("false").to_owned(), plain),
        Type::Scalar(Scalar::Float64) => {
            wrap(text.map_or("0.0".to_owned(), |t| format!("{t}_f64")), plain)
        }
        Type::Scalar(
            Scalar::Int8
            | Scalar::Int16
            | Scalar::Uint16
            | Scalar::Int32
            | Scalar::Uint32
            | Scalar::Int64,
        ) => wrap(text.unwrap_or("0").to_owned(), plain),
        Type::Scalar(Scalar::Uuid) => wrap("Uuid::ZERO".to_owned(), plain),
        Type::Scalar(Scalar::String) => match text {
            None => wrap("StrBytes::new()".to_owned(), true),
            Some(t) => wrap(format!("StrBytes::from_static(\"{t}\")"), false),
        },
        Type::Scalar(Scalar::Bytes) => wrap("Bytes::new()".to_owned(), plain),
        Type::Scalar(Scalar::Records) => wrap("Records::new()".to_owned(), plain),
        Type::ScalarArray(_) | Type::StructArray(_) => wrap("Vec::new()".to_owned(), plain),
        Type::Struct(name) => {
            let _ = name;
            wrap("Default::default()".to_owned(), plain)
        }
    })
}

fn doc(field: &Field) -> String {
    let mut doc = format!("`{}`, versions {}", field.type_text, field.versions);
    if let Some(n) = field.nullable {
        if n.covers(field.versions) {
            doc.push_str(", nullable");
        } else {
            doc.push_str(&format!(", nullable in {n}"));
        }
    }
    if let Some(tag) = field.tag {
        doc.push_str(&format!(", tag {tag}"));
    }
    if let Some(default) = &field.default {
        doc.push_str(&format!(", default {default}"));
    }
    doc.push('.');
    doc
}
