//! A virtual environment with the Python clients of `clients/python/requirements.txt`.

use super::{Clients, fresh, need};
use crate::process;

/// Makes the environment in `target/clients/python`.
pub(super) fn provide(clients: &Clients) -> anyhow::Result<()> {
    need("python3", "python3-venv")?;
    let pins = clients.source("python").join("requirements.txt");
    clients.once("python", std::slice::from_ref(&pins), || {
        let environment = clients.built("python");
        fresh(&environment)?;
        let root = &clients.root;
        process::run(process::command("python3", root).args(["-m", "venv"]).arg(&environment))?;
        let mut pip = process::command(environment.join("bin/python"), root);
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--requirement"]);
        process::run(pip.arg(&pins))
    })
}
