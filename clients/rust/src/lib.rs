//! What the Rust clients share: sample records, comparisons, the loop over scenarios. Knows no
//! client library.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;

/// How long a scenario waits for one thing.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// One record as it is sent and as it must come back.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Key, null for some.
    pub key: Option<Vec<u8>>,
    /// Value, null for some, empty for others.
    pub value: Option<Vec<u8>>,
    /// Headers by name; no name twice, since one of the clients keeps them in a map.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// Records with and without keys, values and headers; timestamps of the last minutes.
pub fn samples(count: i64) -> Vec<Sample> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let start = i64::try_from(now).unwrap_or(0) - 200_000;
    (0..count).map(|number| sample(number, start)).collect()
}

fn sample(number: i64, start: i64) -> Sample {
    let key = (number % 7 != 0).then(|| format!("key-{number}").into_bytes());
    let repeats = usize::try_from(1 + number % 50).unwrap_or(1);
    let mut value = Some(format!("value-{number}-").repeat(repeats).into_bytes());
    if number % 11 == 5 && key.is_some() {
        value = None;
    }
    if number % 13 == 3 {
        value = Some(Vec::new());
    }
    let mut headers = Vec::new();
    if number % 3 == 0 {
        headers.push(("binary".to_owned(), vec![0, 255]));
        headers.push(("empty".to_owned(), Vec::new()));
        headers.push(("h".to_owned(), b"one".to_vec()));
    }
    Sample { key, value, headers, timestamp: start + number }
}

/// Fails when the records read differ from those sent.
pub fn compare(found: &[Sample], sent: &[Sample], what: &str) -> anyhow::Result<()> {
    ensure!(found.len() == sent.len(), "{what}: {} records, sent {}", found.len(), sent.len());
    for (number, (got, wanted)) in found.iter().zip(sent).enumerate() {
        ensure!(got == wanted, "{what}: record {number}: got {got:?}, wanted {wanted:?}");
    }
    Ok(())
}

/// Fails when two values differ.
pub fn equal<T: PartialEq + std::fmt::Debug>(
    found: T,
    wanted: T,
    what: &str,
) -> anyhow::Result<()> {
    ensure!(found == wanted, "{what}: got {found:?}, wanted {wanted:?}");
    Ok(())
}

/// Asks until the answer is yes; fails after the deadline.
pub async fn until<F>(mut condition: impl FnMut() -> F, what: &str) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if condition().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("not within {DEADLINE:?}: {what}")
}

/// What a scenario gives: done, or a sentence.
pub type Outcome = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A scenario: its name, and what it does with a bootstrap address and a name of its own.
pub type Scenario = (&'static str, fn(String, String) -> Outcome);

/// Runs the scenarios against the first argument with names that start with the second; more
/// arguments choose. Gives the exit status.
pub fn run(scenarios: &[Scenario]) -> anyhow::Result<std::process::ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, prefix, chosen @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: PROGRAM BOOTSTRAP PREFIX [SCENARIO]...");
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut failed = false;
    for (name, scenario) in scenarios {
        if !chosen.is_empty() && !chosen.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        match runtime.block_on(scenario(bootstrap.clone(), format!("{prefix}-{name}"))) {
            Ok(()) => println!("ok {name} {:.1} s", start.elapsed().as_secs_f64()),
            Err(error) => {
                failed = true;
                println!("FAILED {name}: {error:#}");
            }
        }
    }
    Ok(if failed { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS })
}

/// Makes a scenario of an async function.
#[macro_export]
macro_rules! scenario {
    ($name:ident) => {
        (stringify!($name), |bootstrap, name| Box::pin($name(bootstrap, name)))
    };
}
