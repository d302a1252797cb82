//! `cargo xtask schema-diff`: our schema text against the schemas in Kafka's jars, every fact of
//! every field. Knows neither jars nor generated code.

use super::schema::{Field, Message, Struct, Versions};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

/// What differs, one line each; empty when nothing does.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Debug>(&mut self, place: &str, what: &str, ours: &T, kafkas: &T) {
        if ours != kafkas {
            self.0.push(format!("{place}: {what} is {ours:?}, Kafka's is {kafkas:?}"));
        }
    }

    fn message(&mut self, ours: &Message, kafkas: &Message) {
        let place = &ours.name;
        self.compare(place, "kind", &ours.kind, &kafkas.kind);
        self.compare(place, "key", &ours.key, &kafkas.key);
        self.compare(place, "range of versions", &ours.valid, &kafkas.valid);
        self.compare(place, "range of flexible versions", &ours.flexible, &kafkas.flexible);
        self.compare(place, "list of listeners", &ours.listeners, &kafkas.listeners);
        self.compare(place, "mark of instability", &ours.unstable, &kafkas.unstable);
        self.fields(place, &ours.fields, &kafkas.fields);
        let names = |structs: &[Struct]| structs.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        self.compare(place, "list of structs", &names(&ours.structs), &names(&kafkas.structs));
        for (ours, kafkas) in ours.structs.iter().zip(&kafkas.structs) {
            let place = format!("{place}.{}", ours.name);
            self.compare(&place, "range of versions", &ours.versions, &kafkas.versions);
            self.fields(&place, &ours.fields, &kafkas.fields);
        }
    }

    fn fields(&mut self, place: &str, ours: &[Field], kafkas: &[Field]) {
        let names = |fields: &[Field]| fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        self.compare(place, "list of fields", &names(ours), &names(kafkas));
        for (ours, kafkas) in ours.iter().zip(kafkas) {
            let place = format!("{place}.{}", ours.name);
            self.compare(&place, "type", &ours.type_text, &kafkas.type_text);
            self.compare(&place, "range of versions", &ours.versions, &kafkas.versions);
            let null = |f: &Field| f.nullable.and_then(|n: Versions| n.intersect(f.versions));
            self.compare(&place, "range of nullable versions", &null(ours), &null(kafkas));
            self.compare(&place, "tag", &ours.tag, &kafkas.tag);
            self.compare(&place, "default", &ours.default, &kafkas.default);
            self.compare(&place, "mark as ignorable", &ours.ignorable, &kafkas.ignorable);
            self.compare(&place, "mark as inflexible", &ours.inflexible, &kafkas.inflexible);
            self.fields(&place, &ours.fields, &kafkas.fields);
        }
    }
}

fn compare(ours: &[Message], kafkas: &[Message]) -> Vec<String> {
    let by_name = |messages: &[Message]| {
        messages.iter().map(|m| (m.name.clone(), m.clone())).collect::<BTreeMap<_, _>>()
    };
    let (ours, kafkas) = (by_name(ours), by_name(kafkas));
    let mut differences = Differences::default();
    for (name, message) in &ours {
        match kafkas.get(name) {
            Some(kafkas) => differences.message(message, kafkas),
            None => differences.0.push(format!("{name}: Kafka has no such message")),
        }
    }
    for name in kafkas.keys().filter(|name| !ours.contains_key(*name)) {
        differences.0.push(format!("{name}: the schema text has no such message"));
    }
    differences.0
}

/// Compares the schema text below `root` with the jars in `jars`; prints and counts differences.
pub(crate) fn run(root: &Path, jars: &Path) -> Result<bool> {
    let schemas = super::read_schemas(&root.join("crates/protocol/schema"))?;
    let ours = schemas.into_iter().flat_map(|s| s.messages).collect::<Vec<_>>();
    let kafkas = super::jars::read(jars).context("Kafka's schemas")?;
    let differences = compare(&ours, &kafkas);
    for difference in &differences {
        println!("{difference}");
    }
    println!("schema-diff: {} messages, {} differences", kafkas.len(), differences.len());
    Ok(differences.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::schema::parse;
    use super::compare;

    #[test]
    fn each_difference_is_named() {
        let text = "request 1 ARequest 0-2 flexible=1+ listeners=broker\n  X int32 0+\n  Y []T 0+ \
            nullable\n    Z string 1+ nullable default=null ignorable\n";
        let ours = parse("a", text).expect("schema").messages;
        assert_eq!(compare(&ours, &ours), [""; 0]);
        for (from, to, said) in [
            ("0-2", "0-3", "ARequest: range of versions is"),
            ("flexible=1+", "flexible=2+", "ARequest: range of flexible versions is"),
            ("=broker", "=controller", "ARequest: list of listeners is"),
            ("X int32", "X int16", "ARequest.X: type is"),
            ("X int32", "W int32", "ARequest: list of fields is"),
            ("1+ nullable", "1+ nullable=2+", "ARequest.Y.Z: range of nullable versions is"),
            ("default=null", "tag=1", "ARequest.Y.Z: tag is"),
            (" ignorable", "", "ARequest.Y.Z: mark as ignorable is"),
            ("ARequest", "BRequest", "ARequest: Kafka has no such message"),
        ] {
            let kafkas = parse("a", &text.replace(from, to)).expect("schema").messages;
            let found = compare(&ours, &kafkas);
            assert!(found.iter().any(|line| line.starts_with(said)), "{said} not in {found:?}");
        }
    }
}
