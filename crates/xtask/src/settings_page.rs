//! Generates `docs/configuration.md` from `crates/metadata/schema/configs.tsv`. Knows the columns
//! and how a reader wants them; knows nothing of what a setting does.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, bail, ensure};

use crate::workspace;

const SOURCE: &str = "crates/metadata/schema/configs.tsv";
const TARGET: &str = "docs/configuration.md";

const HEAD: &str = "# Settings

Generated from the table that the broker itself uses; do not edit. Names, types and allowed values
are those of Apache Kafka 4.4; [defaults.md](defaults.md) lists the defaults that are not.
[operations.md](operations.md) says where settings come from. A setting that is not listed here is
ignored with a warning; one without effect is kept, shown to admin clients, and warned of at start.

How a broker setting may change while the node runs: *file* only at start, *broker* for one broker,
*cluster* for one or all. *Not file*: it is not read from a properties file, in Kafka neither.
";

/// Kinds as the source names them, with their titles.
const KINDS: [(&str, &str); 4] = [
    ("broker", "Broker"),
    ("topic", "Topic"),
    ("group", "Group"),
    ("client-metrics", "Client metrics"),
];

/// One line of the source.
struct Row<'a> {
    kind: &'a str,
    name: &'a str,
    value_type: &'a str,
    default: &'a str,
    allowed: &'a str,
    update: &'a str,
    behind: &'a str,
    support: &'a str,
}

/// Writes the page, or with `check` only compares: an error when the committed one is out of date.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = workspace::root()?;
    let source = fs::read_to_string(root.join(SOURCE)).context(SOURCE)?;
    let wanted = page(&source).context(SOURCE)?;
    let target = root.join(TARGET);
    if check {
        let present = fs::read_to_string(&target).context(TARGET)?;
        ensure!(present == wanted, "{TARGET} is out of date: run `cargo xtask configs`");
        return Ok(());
    }
    fs::write(&target, wanted).context(TARGET)
}

fn page(source: &str) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for (number, line) in source.lines().enumerate() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let [kind, name, value_type, default, allowed, _, update, behind, origin, support] =
            columns[..]
        else {
            bail!("line {}: {} columns, not 10", number + 1, columns.len());
        };
        ensure!(KINDS.iter().any(|(known, _)| *known == kind), "line {}: kind {kind}", number + 1);
        // Internal settings are Kafka's own business: never listed, there as here.
        if origin != "internal" {
            rows.push(Row { kind, name, value_type, default, allowed, update, behind, support });
        }
    }
    rows.sort_by_key(|row| row.name);
    let mut text = HEAD.to_owned();
    for (kind, title) in KINDS {
        let of_kind: Vec<&Row<'_>> = rows.iter().filter(|row| row.kind == kind).collect();
        section(&mut text, kind, title, &of_kind)?;
    }
    Ok(text)
}

fn section(text: &mut String, kind: &str, title: &str, rows: &[&Row<'_>]) -> anyhow::Result<()> {
    let (in_effect, idle): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
        rows.iter().copied().partition(|row| row.support == "yes");
    writeln!(text, "\n## {title} settings")?;
    if !in_effect.is_empty() {
        let last = if kind == "broker" { "change" } else { "broker settings behind it" };
        writeln!(text, "\n| name | type | default | allowed | {last} |\n|---|---|---|---|---|")?;
        for row in in_effect {
            let last =
                if kind == "broker" { change(row.update)?.to_owned() } else { behind(row.behind) };
            writeln!(
                text,
                "| `{}` | {} | {} | {} | {last} |",
                row.name,
                row.value_type.to_lowercase(),
                default(row.default),
                row.allowed,
            )?;
        }
    }
    if !idle.is_empty() {
        writeln!(
            text,
            "\n### {title} settings without effect\n\n| name | default | instead |\n|---|---|---|"
        )?;
        for row in idle {
            writeln!(text, "| `{}` | {} | {} |", row.name, default(row.default), row.support)?;
        }
    }
    Ok(())
}

fn change(update: &str) -> anyhow::Result<&'static str> {
    Ok(match update {
        "read-only" => "file",
        "per-broker" => "broker",
        "cluster-wide" => "cluster",
        "dynamic" => "cluster, not file",
        _ => bail!("update mode {update:?} is not understood"),
    })
}

fn default(text: &str) -> String {
    match text {
        "(required)" | "null" | "" => "–".to_owned(),
        "[]" => "empty".to_owned(),
        _ => format!("`{}`", text.trim_start_matches('[').trim_end_matches(']')),
    }
}

fn behind(synonyms: &str) -> String {
    let names: Vec<String> = synonyms
        .split(';')
        .filter_map(|item| item.split('*').next())
        .filter(|name| !name.is_empty())
        .map(|name| format!("`{name}`"))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn rows_stand_in_their_sections() {
        let text = page(
            "# a comment\n\
             topic\tb.ms\tLONG\t7\t[1,...]\tLOW\t\tx.ms;x.hours*3600000\tkafka\tyes\n\
             broker\tx.ms\tLONG\tnull\t\tLOW\tcluster-wide\t\tkafka\tyes\n\
             broker\ta\tLIST\t[p, q]\t\tLOW\tread-only\t\tkafka\tyes\n\
             broker\tidle\tINT\t(required)\t\tLOW\tread-only\t\tkafka\tnothing happens\n\
             broker\thidden\tINT\t1\t\tLOW\tread-only\t\tinternal\tyes\n",
        )
        .unwrap();
        let (_, tables) = text.split_once("## Broker settings").unwrap();
        assert_eq!(
            tables,
            "\n\n| name | type | default | allowed | change |\n|---|---|---|---|---|\n\
             | `a` | list | `p, q` |  | file |\n\
             | `x.ms` | long | – |  | cluster |\n\
             \n### Broker settings without effect\n\n| name | default | instead |\n|---|---|---|\n\
             | `idle` | – | nothing happens |\n\
             \n## Topic settings\n\n| name | type | default | allowed | broker settings behind it |\n\
             |---|---|---|---|---|\n\
             | `b.ms` | long | `7` | [1,...] | `x.ms`, `x.hours` |\n\
             \n## Group settings\n\n## Client metrics settings\n"
        );
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(page("broker\ta\tINT\n").is_err());
        assert!(page("planet\ta\tINT\t1\t\tLOW\tread-only\t\tkafka\tyes\n").is_err());
        assert!(page("broker\ta\tINT\t1\t\tLOW\tsometimes\t\tkafka\tyes\n").is_err());
    }
}
