//! Owns the life of a running process: start, the ready line, signals, stop.
//! Must not know what a node is made of.

use crate::args::StartArgs;
use crate::signals::{Ended, Signals};
use crate::{Stop, logging, say, sources};
use ottla_node::{Config, Node, NodeError, Ready};
use std::time::Instant;
use tracing::{info, warn};

/// Runs a node until a signal or a failure ends it.
pub(crate) fn run(args: StartArgs, begun: Instant) -> Result<(), Stop> {
    logging::start(&args.log).map_err(Stop::Usage)?;
    let config = sources(args.settings, args.listen).gather()?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| failed("starting the signal loop", source))?;
    Ok(runtime.block_on(live(config, begun))?)
}

/// Each connection and each open segment holds a descriptor, and the usual soft limit of 1024 is
/// fewer than `max.connections`: takes all that the system grants.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let granted = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: granted, maximum: granted }) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// The node works on threads of its own; this task only waits for what happens to it, so that a
/// signal is heard at any time.
async fn live(config: Config, begun: Instant) -> Result<(), NodeError> {
    let mut signals =
        Signals::listen().map_err(|source| failed("listening for signals", source))?;
    let starting = tokio::task::spawn_blocking(move || Node::start(config));
    let node = match unless_signalled(&mut signals, starting).await {
        Ok(node) => node.map_err(|source| failed("starting", source))??,
        // Nothing has been promised to anybody yet: the logs recover at the next start.
        Err(signal) => at_once(signal),
    };
    say(&ready_line(node.ready(), begun));
    let failure = tokio::select! {
        signal = signals.next() => {
            info!("{} received, stopping; a second signal ends the process at once", signal.name());
            None
        }
        failure = node.failed() => Some(failure),
    };
    let stopping = tokio::task::spawn_blocking(move || node.stop());
    let stopped = match unless_signalled(&mut signals, stopping).await {
        Ok(stopped) => stopped.map_err(|source| failed("stopping", source))?,
        Err(signal) => at_once(signal),
    };
    match failure {
        Some(failure) => Err(failure),
        None => {
            stopped?;
            info!("stopped");
            Ok(())
        }
    }
}

/// The outcome of `work`, or the signal that came before it.
async fn unless_signalled<T>(
    signals: &mut Signals,
    work: impl Future<Output = T>,
) -> Result<T, Ended> {
    tokio::select! {
        outcome = work => Ok(outcome),
        signal = signals.next() => Err(signal),
    }
}

fn at_once(signal: Ended) -> ! {
    std::process::exit(signal.exit_code())
}

fn failed(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> NodeError {
    NodeError::Failed { what: what.to_owned(), source: source.into() }
}

fn ready_line(ready: &Ready, begun: Instant) -> String {
    let addresses: Vec<String> = ready.addresses.iter().map(ToString::to_string).collect();
    let dirs: Vec<String> = ready.log_dirs.iter().map(|dir| dir.display().to_string()).collect();
    format!(
        "ottla ready on {} (data in {}, node {}, cluster {}, started in {} ms)",
        addresses.join(", "),
        dirs.join(", "),
        ready.node_id,
        ready.cluster_id,
        begun.elapsed().as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_overtakes_work_that_does_not_end() {
        let mut signals = Signals::listen().unwrap();
        assert_eq!(unless_signalled(&mut signals, async { 7 }).await, Ok(7));
        for (raised, ended, code) in [
            (rustix::process::Signal::INT, Ended::Interrupt, 130),
            (rustix::process::Signal::TERM, Ended::Terminate, 143),
        ] {
            rustix::process::kill_process(rustix::process::getpid(), raised).unwrap();
            let overtaken = unless_signalled(&mut signals, std::future::pending::<()>()).await;
            assert_eq!(overtaken, Err(ended));
            assert_eq!(ended.exit_code(), code);
        }
    }

    #[test]
    fn the_ready_line_names_addresses_data_and_cluster() {
        let ready = Ready {
            addresses: vec!["127.0.0.1:9092".parse().unwrap(), "[::1]:9094".parse().unwrap()],
            log_dirs: vec!["./ottla-data".into()],
            node_id: 1,
            cluster_id: "9aNhZueWS4uV4h_MtWNxGQ".into(),
        };
        let line = ready_line(&ready, Instant::now());
        let (head, tail) = line.split_once("started in ").unwrap();
        assert_eq!(
            head,
            "ottla ready on 127.0.0.1:9092, [::1]:9094 (data in ./ottla-data, node 1, \
             cluster 9aNhZueWS4uV4h_MtWNxGQ, "
        );
        assert!(tail.ends_with(" ms)"));
    }
}
