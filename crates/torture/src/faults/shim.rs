//! The shim, compiled from its C source with the system's compiler. Must not know what it does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use ottla_interop::program;

const SOURCE: &str = include_str!("shim.c");

/// A compiled shim.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
}

impl Shim {
    /// Compiles it into `folder`.
    ///
    /// # Errors
    /// No C compiler (`CC`, or `cc` on the path), or one that fails.
    pub fn compile(folder: &Path) -> anyhow::Result<Self> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SOURCE).context("cannot write the shim's source")?;
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        command.arg(&library).arg(&source);
        program::run(&mut command, Duration::from_secs(60))
            .context("the faults need a C compiler and Linux's headers")?;
        Ok(Self { library })
    }

    /// What to preload.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }
}
