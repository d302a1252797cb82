//! Owns the `format` command: its arguments in, what was written out.
//! Must not know what a formatted directory contains.

use crate::args::FormatArgs;
use crate::{Stop, say, sources};
use ottla_node::{FormatRequest, Formatted};

/// Formats the directories that the settings name.
pub(crate) fn run(args: FormatArgs) -> Result<(), Stop> {
    let features = args
        .features
        .iter()
        .map(|text| feature(text))
        .collect::<Result<_, _>>()
        .map_err(Stop::Usage)?;
    let config = sources(args.settings, None).gather()?;
    for warning in &config.warnings {
        crate::complain(&format!("warning: {warning}"), None);
    }
    let request = FormatRequest {
        cluster_id: args.cluster_id,
        directory_id: args.directory_id,
        release_version: args.release_version,
        features,
        standalone: args.standalone,
        ignore_formatted: args.ignore_formatted,
    };
    for Formatted { path, node_id, cluster_id, directory_id, already } in
        ottla_node::format(&config, &request)?
    {
        let done = if already { "was formatted already" } else { "formatted" };
        say(&format!(
            "{} {done} (node {node_id}, cluster {cluster_id}, directory {directory_id})",
            path.display()
        ));
    }
    Ok(())
}

/// Reads `NAME=LEVEL`.
fn feature(text: &str) -> Result<(String, i16), String> {
    let bad = || format!("--feature {text:?} is not of the form NAME=LEVEL");
    let (name, level) = text.split_once('=').ok_or_else(bad)?;
    let level: i16 = level.trim().parse().map_err(|_| bad())?;
    if name.trim().is_empty() || level < 0 {
        return Err(bad());
    }
    Ok((name.trim().to_owned(), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features() {
        assert_eq!(feature("kraft.version=1"), Ok(("kraft.version".into(), 1)));
        assert_eq!(feature(" a = 2 "), Ok(("a".into(), 2)));
        for bad in ["", "a", "=1", "a=", "a=x", "a=-1", "a=40000"] {
            assert!(feature(bad).is_err(), "{bad}");
        }
    }
}
