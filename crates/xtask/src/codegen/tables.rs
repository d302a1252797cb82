//! The Rust that spans messages: `ApiKey` and its table, `Request` and `Response`, the enums of
//! stored records, the list of all messages. Knows no struct's inside.

use super::names;
use super::schema::{Kind, Message, Versions};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;

/// An API: its request, its response, and whether any version is left.
struct Api<'a> {
    key: i16,
    name: &'a str,
    request: &'a Message,
    versions: Versions,
}

fn apis<'a>(messages: &[&'a Message]) -> Result<Vec<Api<'a>>> {
    let mut apis = Vec::new();
    for request in messages.iter().filter(|m| m.kind == Kind::Request) {
        let key = request.key.context("a request has a key")?;
        let response = messages
            .iter()
            .find(|m| m.kind == Kind::Response && m.key == Some(key))
            .with_context(|| format!("{} has no response", request.name))?;
        ensure!(
            request.valid == response.valid && request.flexible == response.flexible,
            "{} and its response differ in versions",
            request.name
        );
        let Some(versions) = request.valid else { continue };
        let name = request.name.trim_end_matches("Request");
        apis.push(Api { key, name, request, versions });
    }
    apis.sort_by_key(|a| a.key);
    Ok(apis)
}

/// `ApiKey` with what is known of each API.
pub(crate) fn api_key(messages: &[&Message]) -> Result<String> {
    let apis = apis(messages)?;
    let mut out = String::from(
        "use crate::api::{ApiInfo, Listeners};\nuse crate::VersionRange;\n\n/// The number of an API, as requests carry it. Keys 4 to 7 are gone from Kafka.\n#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]\n#[repr(i16)]\npub enum ApiKey {\n",
    );
    for api in &apis {
        let _ = writeln!(out, "/// `{}`.\n{} = {},", api.name, api.name, api.key);
    }
    let _ = writeln!(
        out,
        "}}\n\nimpl ApiKey {{\n/// Every API, by number.\npub const ALL: [Self; {}] = [",
        apis.len()
    );
    for api in &apis {
        let _ = writeln!(out, "Self::{},", api.name);
    }
    out.push_str("];\n\n/// The API with this number.\n#[must_use]\npub const fn from_i16(key: i16) -> Option<Self> {\nSome(match key {\n");
    for api in &apis {
        let _ = writeln!(out, "{} => Self::{},", api.key, api.name);
    }
    out.push_str("_ => return None,\n})\n}\n\n/// Name, versions and listeners.\n#[must_use]\npub const fn info(self) -> &'static ApiInfo {\nmatch self {\n");
    for api in &apis {
        let flexible =
            api.request.flexible.map_or("None".to_owned(), |f| format!("Some({})", f.min));
        let on = |l: &str| api.request.listeners.iter().any(|x| x == l);
        let _ = writeln!(
            out,
            "Self::{name} => &ApiInfo {{ name: \"{name}\", versions: VersionRange {{ min: {}, max: {} }}, flexible_from: {flexible}, listeners: Listeners {{ broker: {}, controller: {} }}, newest_unstable: {} }},",
            api.versions.min,
            api.versions.max,
            on("broker"),
            on("controller"),
            api.request.unstable,
            name = api.name,
        );
    }
    out.push_str("}\n}\n}\n");
    Ok(out)
}

/// `Request` or `Response` over all APIs.
pub(crate) fn over_apis(messages: &[&Message], suffix: &str) -> Result<String> {
    let apis = apis(messages)?;
    let mut out = String::from("use crate::{ApiKey, DecodeError, EncodeError, Reader, Writer};\n");
    for api in &apis {
        let _ = writeln!(out, "use crate::{}{suffix};", api.name);
    }
    let word = suffix.to_lowercase();
    let _ = writeln!(
        out,
        "\n/// A {word} of any API. Meant for tools and tests; the hot path decodes by API.\n#[derive(Clone, Debug, PartialEq)]\npub enum {suffix} {{"
    );
    for api in &apis {
        let _ = writeln!(out, "/// [`{0}{suffix}`].\n{0}(Box<{0}{suffix}>),", api.name);
    }
    let _ = writeln!(
        out,
        "}}\n\nimpl {suffix} {{\n/// The API this is a {word} of.\n#[must_use]\npub const fn api_key(&self) -> ApiKey {{\nmatch self {{"
    );
    for api in &apis {
        let _ = writeln!(out, "Self::{0}(_) => ApiKey::{0},", api.name);
    }
    let _ = writeln!(
        out,
        "}}\n}}\n\n/// Reads the body of a {word}.\n///\n/// # Errors\n/// When the version is not valid or the bytes are no such {word}.\npub fn decode(key: ApiKey, r: &mut Reader, version: i16) -> Result<Self, DecodeError> {{\nOk(match key {{"
    );
    for api in &apis {
        let _ = writeln!(
            out,
            "ApiKey::{0} => Self::{0}(Box::new({0}{suffix}::decode(r, version)?)),",
            api.name
        );
    }
    let _ = writeln!(
        out,
        "}})\n}}\n\n/// Writes the body of the {word}.\n///\n/// # Errors\n/// When the version is not valid or cannot carry what is set.\npub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{\nmatch self {{"
    );
    for api in &apis {
        let _ = writeln!(out, "Self::{}(m) => m.encode(w, version),", api.name);
    }
    out.push_str("}\n}\n\n/// The exact number of bytes that [`Self::encode`] writes.\n#[must_use]\npub fn encoded_len(&self, version: i16) -> usize {\nmatch self {\n");
    for api in &apis {
        let _ = writeln!(out, "Self::{}(m) => m.encoded_len(version),", api.name);
    }
    out.push_str("}\n}\n}\n");
    for api in &apis {
        let _ = writeln!(
            out,
            "\nimpl From<{0}{suffix}> for {suffix} {{\nfn from(message: {0}{suffix}) -> Self {{\nSelf::{0}(Box::new(message))\n}}\n}}",
            api.name
        );
    }
    Ok(out)
}

/// An enum of stored records of one kind.
pub(crate) struct RecordEnum<'a> {
    pub(crate) name: &'a str,
    pub(crate) about: &'a str,
    /// Cut from each record's name to name its variant.
    pub(crate) suffix: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) records: Vec<&'a Message>,
}

/// The enum over the records of one log.
pub(crate) fn records(set: &RecordEnum<'_>) -> String {
    let name = set.name;
    let variant = |m: &Message| {
        let short = m.name.strip_suffix(set.suffix).unwrap_or(&m.name);
        short.strip_prefix(set.prefix).unwrap_or(short).to_owned()
    };
    let mut out =
        String::from("use crate::{DecodeError, EncodeError, Reader, VersionRange, Writer};\n");
    for m in &set.records {
        let _ = writeln!(out, "use crate::{};", m.name);
    }
    let _ = writeln!(
        out,
        "\n/// {}\n#[derive(Clone, Debug, PartialEq)]\npub enum {name} {{",
        set.about
    );
    for m in &set.records {
        let _ = writeln!(
            out,
            "/// Type {}.\n{}(Box<{}>),",
            m.key.unwrap_or_default(),
            variant(m),
            m.name
        );
    }
    let _ = writeln!(
        out,
        "}}\n\nimpl {name} {{\n/// The record type under which it is stored.\n#[must_use]\npub const fn record_type(&self) -> i16 {{\nmatch self {{"
    );
    for m in &set.records {
        let _ = writeln!(out, "Self::{}(_) => {}::RECORD_TYPE,", variant(m), m.name);
    }
    out.push_str("}\n}\n\n/// The versions of a record type; `None` when there is no such type.\n#[must_use]\npub const fn versions(record_type: i16) -> Option<VersionRange> {\nSome(match record_type {\n");
    for m in &set.records {
        let _ = writeln!(out, "{0}::RECORD_TYPE => {0}::VALID_VERSIONS,", m.name);
    }
    out.push_str("_ => return None,\n})\n}\n\n/// Reads the content of a record.\n///\n/// # Errors\n/// When the type or version is unknown or the bytes are no such record.\npub fn decode_content(\nrecord_type: i16,\nr: &mut Reader,\nversion: i16,\n) -> Result<Self, DecodeError> {\nOk(match record_type {\n");
    for m in &set.records {
        let _ = writeln!(
            out,
            "{1}::RECORD_TYPE => Self::{0}(Box::new({1}::decode(r, version)?)),",
            variant(m),
            m.name
        );
    }
    out.push_str("_ => return Err(DecodeError::UnknownRecordType { record_type }),\n})\n}\n\n/// Writes the content of the record.\n///\n/// # Errors\n/// When the version is not valid or cannot carry what is set.\npub fn encode_content(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {\nmatch self {\n");
    for m in &set.records {
        let _ = writeln!(out, "Self::{}(m) => m.encode(w, version),", variant(m));
    }
    out.push_str("}\n}\n\n/// The exact number of bytes that [`Self::encode_content`] writes.\n#[must_use]\npub fn content_len(&self, version: i16) -> usize {\nmatch self {\n");
    for m in &set.records {
        let _ = writeln!(out, "Self::{}(m) => m.encoded_len(version),", variant(m));
    }
    out.push_str("}\n}\n}\n");
    for m in &set.records {
        let _ = writeln!(
            out,
            "\nimpl From<{1}> for {name} {{\nfn from(record: {1}) -> Self {{\nSelf::{0}(Box::new(record))\n}}\n}}",
            variant(m),
            m.name
        );
    }
    out
}

/// `Message` for every message, and the list that tools walk.
pub(crate) fn messages(messages: &[&Message]) -> String {
    let live = messages.iter().filter(|m| m.valid.is_some()).collect::<Vec<_>>();
    let mut out = String::from(
        "use crate::message::Message;\nuse crate::{DecodeError, EncodeError, Reader, VersionRange, Writer};\n",
    );
    for m in &live {
        let _ = writeln!(out, "use crate::{};", m.name);
    }
    out.push_str("\nmacro_rules! message {\n($($name:ident)*) => {$(\nimpl Message for $name {\nconst NAME: &'static str = $name::NAME;\nconst VALID_VERSIONS: VersionRange = $name::VALID_VERSIONS;\nconst FLEXIBLE_FROM: Option<i16> = $name::FLEXIBLE_FROM;\n\nfn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {\n$name::decode(r, version)\n}\n\nfn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {\n$name::encode(self, w, version)\n}\n\nfn encoded_len(&self, version: i16) -> usize {\n$name::encoded_len(self, version)\n}\n}\n)*};\n}\n\nmessage! {\n");
    for m in &live {
        let _ = writeln!(out, "{}", m.name);
    }
    out.push_str("}\n\nmacro_rules! api {\n($($request:ident $response:ident)*) => {$(\nimpl crate::message::ApiRequest for $request {\nconst API_KEY: crate::ApiKey = $request::API_KEY;\ntype Response = $response;\n}\n)*};\n}\n\napi! {\n");
    for m in live.iter().filter(|m| m.kind == Kind::Request) {
        let _ = writeln!(out, "{} {}Response", m.name, m.name.trim_end_matches("Request"));
    }
    out.push_str("}\n");
    out
}

/// `for_each_message!`, which tests and tools use to run one generic function on every message.
pub(crate) fn walk(messages: &[&Message]) -> String {
    let live = messages.iter().filter(|m| m.valid.is_some()).collect::<Vec<_>>();
    let mut out =
        String::from("use super::RandomMessage;\nuse crate::{RandomSource, message::Message};\n");
    for m in &live {
        let _ = writeln!(out, "use crate::{};", m.name);
    }
    out.push_str("\nmacro_rules! random {\n($($name:ident)*) => {$(\nimpl RandomMessage for $name {\nfn random(s: &mut RandomSource, version: i16) -> Self {\n$name::random(s, version)\n}\n}\n)*};\n}\n\nrandom! {\n");
    for m in &live {
        let _ = writeln!(out, "{}", m.name);
    }
    out.push_str("}\n\n/// Calls `visitor` once for every message type.\npub fn each_message<V: super::MessageVisitor>(visitor: &mut V) {\n");
    for m in &live {
        let _ = writeln!(out, "visitor.visit::<{}>();", m.name);
    }
    out.push_str("}\n\n/// The names of all messages.\npub const MESSAGE_NAMES: &[&str] = &[\n");
    for m in &live {
        let _ = writeln!(out, "<{} as Message>::NAME,", m.name);
    }
    out.push_str("];\n");
    out
}

/// The module of one message outside the API pairs.
pub(crate) fn module_of(message: &Message) -> String {
    names::snake(&message.name)
}
