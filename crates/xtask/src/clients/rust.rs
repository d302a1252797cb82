//! The Rust clients: the workspace `clients/rust`, librdkafka included, built into
//! `target/clients/rust`.

use super::Clients;
use crate::process;

/// Builds the programs; cargo makes a second build quick.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    let mut cargo = process::cargo(&clients.source("rust"));
    cargo.args(["build", "--quiet", "--locked", "--target-dir"]).arg(clients.built("rust"));
    process::run(&mut cargo)
}
