//! `cargo xtask codegen`: the schema text of `crates/protocol/schema` becomes the committed Rust
//! of `crates/protocol/src/generated`. Owns the files; only `diff` and `jars` know Kafka's
//! jars.

pub(crate) mod diff;
mod field;
mod jars;
mod layout;
mod names;
mod rust;
mod schema;
mod tables;

use crate::process;
use anyhow::{Context, Result, bail, ensure};
use schema::{Kind, Message, Schema};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Generated files by path below `generated/`.
type Files = BTreeMap<PathBuf, String>;

/// Writes the generated code, or with `check` only compares and fails when it is out of date.
pub(crate) fn run(check: bool) -> Result<()> {
    run_at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol"), check)
}

/// Compares our codec with Kafka's over random messages; the work is done by a program that knows
/// both.
pub(crate) fn codec_equality(root: &Path, jars: &Path) -> Result<()> {
    let mut cargo = process::cargo(root);
    cargo.args(["run", "--quiet", "--locked", "--package", "ottla-interop"]);
    cargo.args(["--bin", "codec_equality", "--", "--jars"]).arg(jars);
    process::run(cargo.arg("--work").arg(root.join("target/codec-equality")))
}

/// As [`run`], for the protocol crate at `root`.
fn run_at(root: &Path, check: bool) -> Result<()> {
    let schemas = read_schemas(&root.join("schema"))?;
    let files = generate(&schemas, &root.join("../../rustfmt.toml"))?;
    let target = root.join("src/generated");
    let old = read_tree(&target)?;
    let stale = files.iter().filter(|(path, text)| old.get(*path) != Some(*text));
    let stale = stale.map(|(path, _)| path.clone()).collect::<Vec<_>>();
    let extra = old.keys().filter(|p| !files.contains_key(*p)).cloned().collect::<Vec<_>>();
    if check {
        if let Some(first) = stale.iter().chain(&extra).next() {
            bail!(
                "{} generated files are out of date, {} first: run cargo xtask codegen",
                stale.len() + extra.len(),
                first.display()
            );
        }
        return Ok(());
    }
    for path in &extra {
        std::fs::remove_file(target.join(path))?;
    }
    for path in &stale {
        let full = target.join(path);
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let text = files.get(path).context("a stale file is a generated one")?;
        std::fs::write(&full, text).with_context(|| full.display().to_string())?;
    }
    Ok(())
}

/// All schema files, in the order of their names.
fn read_schemas(folder: &Path) -> Result<Vec<Schema>> {
    let mut schemas = Vec::new();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "schema") {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let name = path.file_stem().and_then(|s| s.to_str()).context("a schema's file name")?;
        let text = std::fs::read_to_string(&path)?;
        schemas.push(schema::parse(name, &text)?);
    }
    ensure!(!schemas.is_empty(), "no schema files in {}", folder.display());
    Ok(schemas)
}

fn read_tree(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let full = folder.join(&below);
        if !full.exists() {
            continue;
        }
        for entry in std::fs::read_dir(full)? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.insert(path, std::fs::read_to_string(entry.path())?);
            }
        }
    }
    Ok(files)
}

/// One generated module: its name, the schema it comes from, its messages.
struct Module<'a> {
    name: String,
    schema: &'a str,
    messages: &'a [Message],
}

fn modules(schemas: &[Schema]) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    for schema in schemas {
        let live = schema.messages.iter().any(|m| m.valid.is_some());
        if !live {
            continue;
        }
        if schema.messages.iter().any(|m| m.kind == Kind::Request) {
            modules.push(Module {
                name: schema.name.clone(),
                schema: &schema.name,
                messages: &schema.messages,
            });
            continue;
        }
        for message in &schema.messages {
            modules.push(Module {
                name: tables::module_of(message),
                schema: &schema.name,
                messages: std::slice::from_ref(message),
            });
        }
    }
    modules
}

fn generate(schemas: &[Schema], config: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut index = String::from("//! Generated by `cargo xtask codegen`; do not edit.\n\n");
    let mut random_index =
        String::from("//! Generated by `cargo xtask codegen`; do not edit.\n\nmod messages;\n");
    let mut exports = String::new();
    let modules = modules(schemas);
    for module in &modules {
        let name = &module.name;
        let layouts = layout::lay_out(module.messages)?;
        let (mut code, mut random) = (String::new(), String::new());
        for one in &layouts {
            rust::message(&mut code, one)?;
            rust::random(&mut random, one)?;
        }
        add(&mut files, &format!("{name}.rs"), module.schema, &imports(&code), &code)?;
        let uses = format!("use crate::generated::{name}::*;\n{}", imports(&random));
        add(&mut files, &format!("random/{name}.rs"), module.schema, &uses, &random)?;
        index.push_str(&format!("pub mod {name};\n"));
        random_index.push_str(&format!("mod {name};\n"));
        for one in &layouts {
            exports.push_str(&format!("pub use {name}::{};\n", one.message.name));
        }
    }
    let all = modules.iter().flat_map(|m| m.messages).collect::<Vec<_>>();
    let removed = schemas.iter().flat_map(|s| &s.messages).filter(|m| m.valid.is_none());
    let with_removed = all.iter().copied().chain(removed).collect::<Vec<_>>();
    let mut tables = vec![
        ("api_key", "ApiKey", tables::api_key(&with_removed)?),
        ("request", "Request", tables::over_apis(&all, "Request")?),
        ("response", "Response", tables::over_apis(&all, "Response")?),
    ];
    for set in record_enums(schemas) {
        tables.push((set.0, set.1.name, tables::records(&set.1)));
    }
    for (name, export, code) in tables {
        add(&mut files, &format!("{name}.rs"), "*", "", &code)?;
        index.push_str(&format!("mod {name};\n"));
        exports.push_str(&format!("pub use {name}::{export};\n"));
    }
    add(&mut files, "messages.rs", "*", "", &tables::messages(&all))?;
    index.push_str("mod messages;\n#[cfg(feature = \"random\")]\npub(crate) mod random;\n\n");
    index.push_str(&exports);
    add(&mut files, "random/messages.rs", "*", "", &tables::walk(&all))?;
    random_index.push_str("\npub use messages::{MESSAGE_NAMES, each_message};\npub(crate) use crate::random::{MessageVisitor, RandomMessage};\n");
    files.insert(PathBuf::from("mod.rs"), index);
    files.insert(PathBuf::from("random/mod.rs"), random_index);
    for text in files.values_mut() {
        *text = rustfmt(config, text)?;
    }
    Ok(files)
}

/// The enums over the records of each log: module name and content.
fn record_enums(schemas: &[Schema]) -> Vec<(&'static str, tables::RecordEnum<'_>)> {
    let of = |schema: &str, kind: Kind| {
        let found = schemas.iter().filter(|s| s.name == schema).flat_map(|s| &s.messages);
        found.filter(|m| m.kind == kind).collect::<Vec<_>>()
    };
    let set = |name, about, prefix, suffix, records| tables::RecordEnum {
        name,
        about,
        suffix,
        prefix,
        records,
    };
    vec![
        (
            "metadata_record",
            set(
                "MetadataRecord",
                "A record of `__cluster_metadata`.",
                "",
                "Record",
                of("metadata_records", Kind::Metadata),
            ),
        ),
        (
            "remote_log_metadata_record",
            set(
                "RemoteLogMetadataRecord",
                "A record of `__remote_log_metadata` (KIP-405).",
                "",
                "Record",
                of("remote_log_metadata", Kind::Metadata),
            ),
        ),
        (
            "group_record_key",
            set(
                "GroupRecordKey",
                "The key of a record of `__consumer_offsets`.",
                "",
                "Key",
                of("group_records", Kind::CoordinatorKey),
            ),
        ),
        (
            "group_record_value",
            set(
                "GroupRecordValue",
                "The value of a record of `__consumer_offsets`.",
                "",
                "Value",
                of("group_records", Kind::CoordinatorValue),
            ),
        ),
        (
            "transaction_record_key",
            set(
                "TransactionRecordKey",
                "The key of a record of `__transaction_state`.",
                "",
                "Key",
                of("transaction_records", Kind::CoordinatorKey),
            ),
        ),
        (
            "transaction_record_value",
            set(
                "TransactionRecordValue",
                "The value of a record of `__transaction_state`.",
                "",
                "Value",
                of("transaction_records", Kind::CoordinatorValue),
            ),
        ),
        (
            "share_record_key",
            set(
                "ShareRecordKey",
                "The key of a record of `__share_group_state` (KIP-932).",
                "",
                "Key",
                of("share_records", Kind::CoordinatorKey),
            ),
        ),
        (
            "share_record_value",
            set(
                "ShareRecordValue",
                "The value of a record of `__share_group_state` (KIP-932).",
                "",
                "Value",
                of("share_records", Kind::CoordinatorValue),
            ),
        ),
    ]
}

/// The imports that a message's code needs.
fn imports(code: &str) -> String {
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words = words.collect::<std::collections::BTreeSet<_>>();
    let mut out = String::new();
    let own = [
        "ApiKey",
        "DecodeError",
        "EncodeError",
        "RandomSource",
        "Reader",
        "Records",
        "StrBytes",
        "TaggedFields",
        "Uuid",
        "Writer",
    ];
    let own = own.into_iter().filter(|n| words.contains(n)).collect::<Vec<_>>();
    if code.contains("len::") {
        out.push_str("use crate::len;\n");
    }
    out.push_str(&format!("use crate::{{{}}};\n", own.join(", ")));
    if words.contains("Bytes") {
        out.push_str("use bytes::Bytes;\n");
    }
    out
}

fn add(files: &mut Files, path: &str, schema: &str, imports: &str, code: &str) -> Result<()> {
    let text = format!(
        "//! Generated by `cargo xtask codegen` from `schema/{schema}.schema`; do not edit.\n\n{imports}\n{code}"
    );
    ensure!(files.insert(PathBuf::from(path), text).is_none(), "two schemas generate {path}");
    Ok(())
}

/// Formats one file as the repository is formatted.
fn rustfmt(config: &Path, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt is needed to generate code")?;
    let mut stdin = child.stdin.take().context("rustfmt reads its input")?;
    let input = text.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    match feeder.join() {
        Ok(written) => written?,
        Err(_) => bail!("the thread that feeds rustfmt panicked"),
    }
    ensure!(output.status.success(), "rustfmt refused generated code");
    Ok(String::from_utf8(output.stdout)?)
}
