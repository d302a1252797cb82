//! The Node client's packages, as `clients/node/package-lock.json` pins them.

use std::fs;

use anyhow::Context;

use super::{Clients, fresh, need};
use crate::process;

/// Installs the packages into `target/clients/node/node_modules`.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    need("node", "nodejs")?;
    let source = clients.source("node");
    let pins = ["package.json", "package-lock.json"];
    let inputs = pins.map(|name| source.join(name));
    clients.once("node", &inputs, || {
        need("npm", "npm")?;
        let built = clients.built("node");
        fresh(&built)?;
        for (name, input) in pins.iter().zip(&inputs) {
            fs::copy(input, built.join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
        let mut npm = process::command("npm", &built);
        process::run(npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))
    })
}
