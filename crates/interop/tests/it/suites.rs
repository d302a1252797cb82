//! Test suites of others, unmodified: kafka-python's and rskafka's integration tests. What fails
//! is compared by name with `clients/expectations.toml`: a new failure is one, and so is a test
//! that is listed as failing and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(900);

/// Which tests of a suite do not pass, and why.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Against Apache Kafka 4.4.0 as well.
    #[serde(default)]
    everywhere: BTreeMap<String, String>,
    /// Against Ottla only.
    #[serde(default)]
    ottla: BTreeMap<String, String>,
    /// Starts of names whose tests fail now and then everywhere.
    #[serde(default)]
    unsteady: BTreeMap<String, String>,
    /// How many pass against Apache Kafka 4.4.0.
    passing: usize,
}

impl Expected {
    fn of(suite: &str) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(repository::source("expectations.toml"))?;
        let mut all: BTreeMap<String, Self> = toml::from_str(&text)?;
        all.remove(suite).with_context(|| format!("expectations.toml does not have {suite}"))
    }

    /// Which of the failures deserve another try.
    fn worth_a_try(&self, failed: &[String]) -> Vec<String> {
        let unsteady = |name: &&String| self.unsteady.keys().any(|start| name.starts_with(start));
        failed.iter().filter(unsteady).cloned().collect()
    }

    /// Compares with what happened.
    fn judge(&self, kind: &Kind, passed: &[String], failed: &[String]) -> anyhow::Result<()> {
        let mut wanted: BTreeSet<&str> = self.everywhere.keys().map(String::as_str).collect();
        if *kind == Kind::Ottla {
            wanted.extend(self.ottla.keys().map(String::as_str));
        }
        let failed: BTreeSet<&str> = failed.iter().map(String::as_str).collect();
        let new: Vec<_> = failed.difference(&wanted).collect();
        ensure!(new.is_empty(), "not expected to fail: {new:#?}");
        let now_passing: Vec<_> =
            passed.iter().filter(|name| wanted.contains(name.as_str())).collect();
        ensure!(now_passing.is_empty(), "listed as failing, but pass: {now_passing:#?}");
        let ours = if *kind == Kind::Ottla { self.ottla.len() } else { 0 };
        let passing = self.passing - ours;
        ensure!(passed.len() == passing, "{} passed, not {passing}", passed.len());
        println!("{} passed, {} failed as listed", passed.len(), failed.len());
        Ok(())
    }
}

/// What passed, what failed, and everything that was said.
struct Outcome {
    passed: Vec<String>,
    failed: Vec<String>,
    said: String,
}

/// Runs kafka-python's integration tests, all or those named.
fn pytest(broker: &Broker, names: &[String]) -> anyhow::Result<Outcome> {
    let folder = repository::fetched("suites/kafka-python")?;
    let mut python = Command::new(repository::fetched("python/bin/python")?);
    python.current_dir(&folder).env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    python.env("KAFKA_ROOT", &folder).env("KAFKA_VERSION", "4.4");
    python.env("KAFKA_URI", format!("kafka://{}", broker.address()));
    python.args(["-W", "ignore", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA"]);
    python.args(["--tb=short", "--timeout=60", "--timeout-method=signal", "-o"]);
    python.arg("log_level=WARNING");
    let tests = names.iter().map(|name| format!("test/integration/{name}"));
    let all = names.is_empty().then(|| "test/integration".to_owned());
    let finished = program::finish(python.args(tests.chain(all)), &[], LIMIT)?;
    let text = finished.text();
    let named = |words: &[&str]| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once(" test/integration/"));
        let named = lines.filter(|(word, _)| words.contains(word));
        named.map(|(_, name)| name.split(" - ").next().unwrap_or(name).to_owned()).collect()
    };
    let (passed, failed) = (named(&["PASSED"]), named(&["FAILED", "ERROR"]));
    Ok(Outcome { passed, failed, said: finished.everything() })
}

#[test]
fn kafka_python() -> anyhow::Result<()> {
    // The suite's own broker has these; its tests count on them.
    let broker = Broker::start(&[
        "node.id=0",
        "group.min.session.timeout.ms=500",
        "advertised.listeners=PLAINTEXT://{address}",
    ])?;
    let expected = Expected::of("kafka-python")?;
    let mut outcome = pytest(&broker, &[])?;
    for _ in 0..3 {
        let again = expected.worth_a_try(&outcome.failed);
        if again.is_empty() {
            break;
        }
        println!("once more: {again:?}");
        let second = pytest(&broker, &again)?;
        outcome.failed.retain(|name| !second.passed.contains(name));
        outcome.passed.extend(second.passed);
        outcome.said.push_str(&second.said);
    }
    let judged = expected.judge(broker.kind(), &outcome.passed, &outcome.failed);
    judged.context(outcome.said)
}

#[test]
fn rskafka() -> anyhow::Result<()> {
    // As in the suite's own compose file; and records of 1970, which it writes, stay until they are
    // read, whenever the broker looks for old ones.
    let broker = Broker::start(&["auto.create.topics.enable=false", "log.retention.ms=-1"])?;
    let folder = repository::fetched("suites/rskafka")?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&folder).env("TEST_INTEGRATION", "1").env("TEST_BROKER_IMPL", "kafka");
    cargo.env("KAFKA_CONNECT", broker.address());
    cargo.args(["test", "--locked", "--no-fail-fast", "--test", "*", "--target-dir"]);
    cargo.arg(repository::fetched("rust")?);
    let finished = program::finish(&mut cargo, &[], LIMIT)?;
    let text = finished.text();
    let named = |end: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("test "));
        lines.filter_map(|line| line.strip_suffix(end)).map(str::to_owned).collect()
    };
    let (passed, failed) = (named(" ... ok"), named(" ... FAILED"));
    let judged = Expected::of("rskafka")?.judge(broker.kind(), &passed, &failed);
    judged.with_context(|| finished.everything())
}
