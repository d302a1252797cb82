//! Kafka's own schemas, from the JSON inside its jars, as the same model as our schema text.
//! Knows the JSON's conventions, not what they are compared with.

use super::schema::{Field, Kind, Message, Struct, Type, Versions};
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The schemas in the `kafka-*.jar` files of a folder.
pub(crate) fn read(folder: &Path) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("kafka-") && name.ends_with(".jar") {
            jar(&path, &mut messages).with_context(|| path.display().to_string())?;
        }
    }
    ensure!(!messages.is_empty(), "no message schemas in the jars of {}", folder.display());
    Ok(messages)
}

fn jar(path: &Path, messages: &mut Vec<Message>) -> Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(path)?)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let name = file.name()?.into_owned();
        let in_folder = ["common/message/", "common/metadata/", "message/"]
            .iter()
            .any(|folder| name.strip_prefix(folder).is_some_and(|rest| !rest.contains('/')));
        if !in_folder || !name.ends_with(".json") {
            continue;
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        messages.push(message(&text).with_context(|| name.clone())?);
    }
    Ok(())
}

/// Line comments are no JSON, but Kafka's schemas have them.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut quoted = false;
        let mut escaped = false;
        let mut end = line.len();
        for (i, c) in line.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '/' if !quoted && line.get(i..).is_some_and(|l| l.starts_with("//")) => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        out.push_str(line.get(..end).unwrap_or_default());
        out.push('\n');
    }
    out
}

fn message(text: &str) -> Result<Message> {
    let Value::Object(json) = serde_json::from_str(&without_comments(text))? else {
        anyhow::bail!("a schema is a JSON object");
    };
    let kind = Kind::parse(text_of(&json, "type")?).context("an unknown type of message")?;
    let key = match json.get("apiKey") {
        Some(key) => Some(i16::try_from(key.as_i64().context("apiKey")?)?),
        None => None,
    };
    let mut structs = Vec::new();
    for shared in array(&json, "commonStructs") {
        let shared = shared.as_object().context("a common struct is an object")?;
        structs.push(Struct {
            name: text_of(shared, "name")?.to_owned(),
            versions: Versions::parse(text_of(shared, "versions")?)?.context("no versions")?,
            fields: fields(shared)?,
        });
    }
    Ok(Message {
        kind,
        key,
        name: text_of(&json, "name")?.to_owned(),
        valid: Versions::parse(text_of(&json, "validVersions")?)?,
        flexible: Versions::parse(word(&json, "flexibleVersions").unwrap_or("none"))?,
        listeners: array(&json, "listeners").filter_map(Value::as_str).map(Into::into).collect(),
        unstable: json.get("latestVersionUnstable").and_then(Value::as_bool).unwrap_or(false),
        fields: fields(&json)?,
        structs,
    })
}

fn word<'a>(json: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Value::as_str)
}

fn text_of<'a>(json: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    word(json, name).with_context(|| format!("no {name}"))
}

fn array<'a>(json: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    json.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn fields(json: &Map<String, Value>) -> Result<Vec<Field>> {
    array(json, "fields")
        .map(|value| {
            let value = value.as_object().context("a field is an object")?;
            let name = word(value, "name").unwrap_or("?");
            field(value).with_context(|| format!("field {name}"))
        })
        .collect()
}

fn field(json: &Map<String, Value>) -> Result<Field> {
    let range = |name: &str| Versions::parse(word(json, name).unwrap_or("none"));
    let tagged = range("taggedVersions")?;
    // A tagged field without versions has those in which it is tagged.
    let versions = range("versions")?.or(tagged).context("no versions")?;
    ensure!(
        tagged.is_none_or(|t| t == versions),
        "tagged in some versions and not in others: the schema text cannot say that"
    );
    let type_text = text_of(json, "type")?.to_owned();
    let ty = Type::parse(&type_text);
    let tag = match json.get("tag") {
        Some(tag) if tagged.is_some() => Some(u32::try_from(tag.as_u64().context("tag")?)?),
        _ => None,
    };
    let ignorable = match json.get("ignorable") {
        Some(Value::String(text)) => text == "true",
        Some(value) => value.as_bool().unwrap_or(false),
        None => false,
    };
    Ok(Field {
        name: text_of(json, "name")?.to_owned(),
        default: default(json.get("default"), &ty),
        ty,
        type_text,
        versions,
        nullable: range("nullableVersions")?,
        tag,
        ignorable,
        inflexible: word(json, "flexibleVersions") == Some("none"),
        fields: fields(json)?,
    })
}

/// The default as our text writes it: nothing for the type's zero, numbers in decimal. JSON's own
/// null says nothing; the word "null" does.
fn default(value: Option<&Value>, ty: &Type) -> Option<String> {
    let value = value.filter(|value| !value.is_null())?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.is_empty() || text == "false" {
        return None;
    }
    let Type::Scalar(_) = ty else { return Some(text) };
    let number = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    match number {
        Some(0) => None,
        Some(number) => Some(number.to_string()),
        None => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{message, without_comments};

    #[test]
    fn comments_end_where_the_line_does() {
        let text = "{ \"a\": \"x // y\", // z\n\"b\": \"\\\"//\" }";
        assert_eq!(without_comments(text), "{ \"a\": \"x // y\", \n\"b\": \"\\\"//\" }\n");
    }

    #[test]
    fn json_and_text_say_the_same() {
        let json = r#"{ "apiKey": 9, "type": "request", "name": "XRequest", "validVersions": "0-3",
            "flexibleVersions": "2+", "listeners": ["broker"], "fields": [
            { "name": "A", "type": "int32", "versions": "0+", "default": "0x7fffffff" },
            { "name": "B", "type": "int8", "versions": "1-2", "default": "0", "ignorable": true },
            { "name": "C", "type": "[]T", "versions": "0+", "nullableVersions": "1+", "fields": [
              { "name": "D", "type": "string", "versions": "0+", "default": "null",
                "nullableVersions": "0+" } ] },
            { "name": "E", "type": "bool", "taggedVersions": "2+", "tag": 1, "default": "true" } ] }"#;
        let text = "request 9 XRequest 0-3 flexible=2+ listeners=broker\n  A int32 0+ \
            default=2147483647\n  B int8 1-2 ignorable\n  C []T 0+ nullable=1+\n    D string 0+ \
            nullable default=null\n  E bool 2+ tag=1 default=true\n";
        let ours = super::super::schema::parse("x", text).expect("our text");
        assert_eq!(ours.messages, [message(json).expect("Kafka's JSON")]);
    }
}
