//! The Go clients: the module `clients/go` built into `target/clients/go`.

use std::fs;

use anyhow::Context;

use super::{Clients, need};
use crate::process;

/// Builds every command of the module; Go's own cache makes a second build quick.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    need("go", "golang-go")?;
    let built = clients.built("go");
    fs::create_dir_all(&built).with_context(|| format!("cannot create {}", built.display()))?;
    let mut go = process::command("go", &clients.source("go"));
    go.args(["build", "-trimpath", "-mod=readonly", "-o"]).arg(&built).arg("./...");
    process::run(&mut go)
}
