//! The Rust of one message: structs with decode, encode, length and, apart, random content.
//! Knows nothing of the schema text.

use super::field::{FieldCode, negated};
use super::layout::{Flex, Layout, Layouts};
use super::schema::{Kind, Type};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Appends the structs of a message.
pub(crate) fn message(out: &mut String, layouts: &Layouts<'_>) -> Result<()> {
    let floats = float_structs(layouts);
    for (i, layout) in layouts.structs.iter().enumerate() {
        let fields = layout
            .fields
            .iter()
            .map(|f| FieldCode::new(layouts, layout, f))
            .collect::<Result<Vec<_>>>()?;
        let eq = !floats.get(layout.rust.as_str()).copied().unwrap_or(false);
        definition(out, layouts, layout, &fields, i == 0, eq);
        let _ = writeln!(out, "impl {} {{", layout.rust);
        if i == 0 {
            top(out, layouts);
        } else if layout.in_array {
            let _ = writeln!(
                out,
                "/// Fewest bytes that one encoded value can take.\npub(crate) const MIN_LEN: usize = {};\n",
                layout.min_len
            );
        }
        decode(out, layout, &fields);
        encode(out, layout, &fields);
        length(out, layout, &fields);
        out.push_str("}\n\n");
    }
    Ok(())
}

/// Appends the constructors of random content for a message's structs.
pub(crate) fn random(out: &mut String, layouts: &Layouts<'_>) -> Result<()> {
    for layout in &layouts.structs {
        let mut body = String::new();
        for field in &layout.fields {
            let code = FieldCode::new(layouts, layout, field)?;
            let _ = writeln!(
                body,
                "{}: {},",
                code.id,
                when(code.present.as_deref(), &code.random(), &code.default)
            );
        }
        if layout.flex != Flex::Never {
            let free = layout.fields.iter().filter_map(|f| f.tag).max().map_or(0, |t| t + 1);
            let tags = format!("s.tagged_fields({free})");
            let _ = writeln!(
                body,
                "unknown_tagged_fields: {},",
                when(flex_condition(layout).as_deref(), &tags, "TaggedFields::new()")
            );
        }
        let version = if uses(&body, "version") { "version" } else { "_version" };
        let source = if body.contains("s.") || body.contains("(s") { "s" } else { "_s" };
        let _ = writeln!(
            out,
            "impl {} {{\n/// Content that `version` can carry.\npub fn random({source}: &mut RandomSource, {version}: i16) -> Self {{\nSelf {{\n{body}}}\n}}\n}}\n",
            layout.rust
        );
    }
    Ok(())
}

fn when(condition: Option<&str>, then: &str, otherwise: &str) -> String {
    match condition {
        None => then.to_owned(),
        Some(c) => format!("if {c} {{ {then} }} else {{ {otherwise} }}"),
    }
}

fn flex_condition(layout: &Layout<'_>) -> Option<String> {
    match layout.flex {
        Flex::From(n) => Some(format!("version >= {n}")),
        Flex::Never | Flex::Always => None,
    }
}

fn float_structs(layouts: &Layouts<'_>) -> BTreeMap<String, bool> {
    let mut floats = BTreeMap::new();
    for _ in 0..layouts.structs.len() {
        for layout in &layouts.structs {
            let has = layout.fields.iter().any(|f| match &f.ty {
                Type::Scalar(s) | Type::ScalarArray(s) => *s == super::schema::Scalar::Float64,
                Type::Struct(n) | Type::StructArray(n) => layouts
                    .rust_names
                    .get(n.as_str())
                    .and_then(|r| floats.get(r.as_str()))
                    .copied()
                    .unwrap_or(false),
            });
            floats.insert(layout.rust.clone(), has);
        }
    }
    floats
}

fn definition(
    out: &mut String,
    layouts: &Layouts<'_>,
    layout: &Layout<'_>,
    fields: &[FieldCode],
    top: bool,
    eq: bool,
) {
    let message = layouts.message;
    if top {
        let what = match message.kind {
            Kind::Request | Kind::Response => String::new(),
            Kind::Header => " Header.".to_owned(),
            Kind::Metadata | Kind::CoordinatorKey | Kind::CoordinatorValue => {
                format!(" Record type {}.", message.key.unwrap_or_default())
            }
            Kind::Data => String::new(),
        };
        let flexible = message.flexible.map_or_else(String::new, |f| format!(", flexible {f}"));
        let _ =
            writeln!(out, "/// `{}`, versions {}{flexible}.{what}", message.name, layouts.valid);
    } else {
        let _ = writeln!(out, "/// `{}` of [`{}`].", layout.name, message.name);
    }
    let plain = fields.iter().all(|f| f.plain_default);
    let mut derives = vec!["Clone", "Debug", "PartialEq"];
    if eq {
        derives.push("Eq");
    }
    if plain {
        derives.push("Default");
    }
    let _ = writeln!(out, "#[derive({})]\npub struct {} {{", derives.join(", "), layout.rust);
    for field in fields {
        let _ = writeln!(out, "/// {}\npub {}: {},", field.doc, field.id, field.ty);
    }
    if layout.flex != Flex::Never {
        out.push_str(
            "/// Tagged fields that this schema does not know, kept as they came.\npub unknown_tagged_fields: TaggedFields,\n",
        );
    }
    out.push_str("}\n\n");
    if !plain {
        let _ =
            writeln!(out, "impl Default for {} {{\nfn default() -> Self {{\nSelf {{", layout.rust);
        for field in fields {
            let _ = writeln!(out, "{}: {},", field.id, field.default);
        }
        if layout.flex != Flex::Never {
            out.push_str("unknown_tagged_fields: TaggedFields::new(),\n");
        }
        out.push_str("}\n}\n}\n\n");
    }
}

fn top(out: &mut String, layouts: &Layouts<'_>) {
    let message = layouts.message;
    if let Some(key) = message.key {
        match message.kind {
            Kind::Request | Kind::Response => {
                let api = message.name.trim_end_matches("Request").trim_end_matches("Response");
                let _ = writeln!(
                    out,
                    "/// The API this message belongs to.\npub const API_KEY: ApiKey = ApiKey::{api};"
                );
            }
            Kind::Metadata | Kind::CoordinatorKey | Kind::CoordinatorValue => {
                let _ = writeln!(
                    out,
                    "/// The record type under which it is stored.\npub const RECORD_TYPE: i16 = {key};"
                );
            }
            Kind::Header | Kind::Data => {}
        }
    }
    let flexible = message.flexible.map_or("None".to_owned(), |f| format!("Some({})", f.min));
    let _ = writeln!(
        out,
        "crate::message::head!(\"{}\", {}, {}, {flexible});\n",
        message.name, layouts.valid.min, layouts.valid.max
    );
}

/// Whether `word` stands in `body` as a variable.
fn uses(body: &str, word: &str) -> bool {
    body.match_indices(word).any(|(i, _)| {
        let before = body[..i].chars().next_back();
        let after = body[i + word.len()..].chars().next();
        let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        // A field of the same name is no use of the parameter.
        edge(before) && edge(after) && before != Some('.') && after != Some(':')
    })
}

/// Emits `fn` with unused parameters marked and `flex` bound when the body needs it.
fn function(out: &mut String, layout: &Layout<'_>, signature: &str, io: &str, body: &str) {
    let flex = uses(body, "flex");
    let version = if flex || uses(body, "version") { "version" } else { "_version" };
    let io_name = if io.is_empty() || uses(body, io) { io.to_owned() } else { format!("_{io}") };
    let head = signature.replace("$version", version).replace("$io", &io_name);
    let bind = match layout.flex {
        Flex::From(n) if flex => format!("let flex = version >= {n};\n"),
        Flex::From(_) | Flex::Never | Flex::Always => String::new(),
    };
    let _ = writeln!(out, "{head} {{\n{bind}{body}}}\n");
}

fn decode(out: &mut String, layout: &Layout<'_>, fields: &[FieldCode]) {
    let tagged = fields.iter().any(|f| f.tag.is_some());
    let mut literal = String::new();
    for field in fields {
        let value = if field.tag.is_some() {
            field.default.clone()
        } else {
            when(field.present.as_deref(), &field.decode(), &field.default)
        };
        let _ = writeln!(literal, "{}: {value},", field.id);
    }
    let flex = match layout.flex {
        Flex::Never => None,
        Flex::Always => Some("true"),
        Flex::From(_) => Some("flex"),
    };
    let mut body = String::new();
    match flex {
        None => {
            let _ = writeln!(body, "Ok(Self {{\n{literal}}})");
        }
        Some(flex) if !tagged => {
            let _ = writeln!(
                body,
                "Ok(Self {{\n{literal}unknown_tagged_fields: r.tagged_fields({flex})?,\n}})"
            );
        }
        Some(flex) => {
            let _ = writeln!(
                body,
                "let mut m = Self {{\n{literal}unknown_tagged_fields: TaggedFields::new(),\n}};"
            );
            if flex == "flex" {
                body.push_str("if flex {\n");
            }
            body.push_str("let mut tags = r.tags()?;\nwhile let Some(tag) = r.next_tag(&mut tags)? {\nmatch tag {\n");
            for field in fields {
                let Some(tag) = field.tag else { continue };
                let guard =
                    field.present.as_deref().map_or_else(String::new, |c| format!(" if {c}"));
                let _ = writeln!(body, "{tag}{guard} => m.{} = {},", field.id, field.decode());
            }
            body.push_str("_ => r.keep_tag(&mut tags)?,\n}\nr.end_tag(&tags)?;\n}\n");
            body.push_str("m.unknown_tagged_fields = r.kept_tags(tags)?;\n");
            if flex == "flex" {
                body.push_str("}\n");
            }
            body.push_str("Ok(m)\n");
        }
    }
    function(
        out,
        layout,
        "pub(crate) fn decode_body($io: &mut Reader, $version: i16) -> Result<Self, DecodeError>",
        "r",
        &body,
    );
}

fn encode(out: &mut String, layout: &Layout<'_>, fields: &[FieldCode]) {
    let mut body = String::new();
    for field in fields {
        let refuse = format!("if {} {{ {} }}", field.differs(), field.refuse());
        match (&field.present, field.tag.is_some()) {
            (None, false) => {
                let _ = writeln!(body, "{}", field.encode());
            }
            (Some(c), false) if field.ignorable => {
                let _ = writeln!(body, "if {c} {{ {} }}", field.encode());
            }
            (Some(c), false) => {
                let _ = writeln!(body, "if {c} {{ {} }} else {refuse}", field.encode());
            }
            (Some(c), true) if !field.ignorable => {
                let _ = writeln!(
                    body,
                    "if {} && {} {{ {} }}",
                    negated(c),
                    field.differs(),
                    field.refuse()
                );
            }
            (_, true) => {}
        }
    }
    let tagged = tagged(fields);
    match layout.flex {
        Flex::Never => {}
        flex @ (Flex::Always | Flex::From(_)) if tagged.is_empty() => {
            let on = if flex == Flex::Always { "true" } else { "flex" };
            let _ = writeln!(body, "w.tagged_fields(&self.unknown_tagged_fields, {on}, version)?;");
        }
        flex @ (Flex::Always | Flex::From(_)) => {
            if flex != Flex::Always {
                body.push_str("if flex {\n");
            }
            body.push_str("let mut tags = w.tags(&self.unknown_tagged_fields);\n");
            for field in &tagged {
                let _ = writeln!(body, "if {} {{ tags.count += 1; }}", set(field));
            }
            body.push_str("w.tag_count(&tags);\n");
            for field in &tagged {
                let _ = writeln!(
                    body,
                    "if {} {{ w.tag(&mut tags, {}, {})?; {} }}",
                    set(field),
                    field.tag.unwrap_or_default(),
                    field.len(),
                    field.encode()
                );
            }
            body.push_str("w.last_tags(tags);\n");
            if flex != Flex::Always {
                body.push_str(
                    "} else if !self.unknown_tagged_fields.is_empty() {\nreturn Err(EncodeError::tags(version));\n}\n",
                );
            }
        }
    }
    body.push_str("Ok(())\n");
    function(
        out,
        layout,
        "pub(crate) fn encode_body(&self, $io: &mut Writer, $version: i16) -> Result<(), EncodeError>",
        "w",
        &body,
    );
}

/// The tagged fields in the order of their tags.
fn tagged(fields: &[FieldCode]) -> Vec<&FieldCode> {
    let mut tagged = fields.iter().filter(|f| f.tag.is_some()).collect::<Vec<_>>();
    tagged.sort_by_key(|f| f.tag);
    tagged
}

/// A tagged field is written when the version has it and it is not the default. A tag that the
/// struct has from its first flexible version on needs no test.
fn set(field: &FieldCode) -> String {
    match &field.present {
        Some(c) => format!("{c} && {}", field.differs()),
        None => field.differs(),
    }
}

fn length(out: &mut String, layout: &Layout<'_>, fields: &[FieldCode]) {
    let mut sum = Vec::new();
    let mut fixed = 0_usize;
    for field in fields.iter().filter(|f| f.tag.is_none()) {
        let len = field.len();
        match (&field.present, len.parse::<usize>()) {
            (None, Ok(n)) => fixed += n,
            (None, Err(_)) => sum.push(format!("n += {len};")),
            (Some(c), _) => sum.push(format!("if {c} {{ n += {len}; }}")),
        }
    }
    let tagged = tagged(fields);
    match layout.flex {
        Flex::Never => {}
        flex @ (Flex::Always | Flex::From(_)) if tagged.is_empty() => {
            let line = "n += self.unknown_tagged_fields.encoded_len();";
            sum.push(if flex == Flex::Always {
                line.to_owned()
            } else {
                format!("if flex {{ {line} }}")
            });
        }
        flex @ (Flex::Always | Flex::From(_)) => {
            let mut block = String::from("let mut tags = self.unknown_tagged_fields.count();\n");
            for field in &tagged {
                let _ = writeln!(
                    block,
                    "if {} {{ tags += 1; n += len::tag({}, {}); }}",
                    set(field),
                    field.tag.unwrap_or_default(),
                    field.len()
                );
            }
            block.push_str("n += len::tags(tags, &self.unknown_tagged_fields);");
            sum.push(if flex == Flex::Always { block } else { format!("if flex {{ {block} }}") });
        }
    }
    let body = if sum.is_empty() {
        format!("{fixed}\n")
    } else {
        format!("let mut n = {fixed};\n{}\nn\n", sum.join("\n"))
    };
    function(out, layout, "pub(crate) fn body_len(&self, $version: i16) -> usize", "", &body);
}
