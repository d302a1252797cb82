//! What must not be lost: a million records through kcat and back, and what was acknowledged when
//! the broker is killed in the middle of a run.

use std::hash::Hasher;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};
use ottla_interop::{program, repository};

/// Lines of 1,023 letters and a line feed: records of 1 KiB with the separator.
const LINE: usize = 1_024;
const MILLION: u64 = 1_000_000;

/// Letters from a seed; no line feed among them.
struct Letters(u64);

impl Letters {
    fn line(&mut self, line: &mut Vec<u8>) {
        line.clear();
        while line.len() < LINE {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            line.extend(self.0.to_le_bytes().map(|byte| b'@' + byte % 32));
        }
        line.truncate(LINE);
    }
}

/// Length and checksum of a stream of lines.
#[derive(Default)]
struct Sum {
    lines: u64,
    state: std::hash::DefaultHasher,
}

impl Sum {
    fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.state.write(line);
    }
}

fn kcat(broker: &Broker, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut kcat = Command::new(repository::installed("kcat")?);
    kcat.args(["-b", broker.address()]).args(arguments);
    Ok(kcat)
}

#[test]
fn a_million_records_come_back_equal() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let topic = format!("it-million-{}", std::process::id());
    let batches = ["-X", "linger.ms=20", "-X", "batch.size=1000000", "-X", "acks=all"];
    let produce = [&["-P", "-t", &topic, "-p", "0"], &batches[..]].concat();
    let mut producer = kcat(&broker, &produce)?.stdin(Stdio::piped()).spawn()?;
    let mut stdin = BufWriter::with_capacity(1 << 20, producer.stdin.take().context("no input")?);
    let (mut sent, mut letters, mut line) = (Sum::default(), Letters(42), Vec::new());
    for _ in 0..MILLION {
        letters.line(&mut line);
        sent.add(&line);
        stdin.write_all(&line)?;
        stdin.write_all(b"\n")?;
    }
    stdin.flush()?;
    drop(stdin);
    ensure!(producer.wait()?.success(), "kcat could not produce");

    let consume = ["-C", "-t", &topic, "-p", "0", "-o", "beginning", "-e", "-q"];
    let crc = ["-X", "check.crcs=true"];
    let mut consumer =
        kcat(&broker, &[&consume[..], &crc].concat())?.stdout(Stdio::piped()).spawn()?;
    let stdout = consumer.stdout.take().context("no output")?;
    let mut stdout = BufReader::with_capacity(1 << 20, stdout);
    let mut found = Sum::default();
    loop {
        line.clear();
        if stdout.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        found.add(line.strip_suffix(b"\n").unwrap_or(&line));
    }
    ensure!(consumer.wait()?.success(), "kcat could not consume");
    ensure!(found.lines == sent.lines, "{} records of {}", found.lines, sent.lines);
    ensure!(found.state.finish() == sent.state.finish(), "the checksums differ");
    Ok(())
}

/// A client program that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a producer that does not give up; each time another fifth of its records is acknowledged,
/// `interrupt` does something to the broker (told for which time, from 0). The producer reads
/// everything afterwards.
pub(crate) fn outlive_each(
    broker: &mut Broker,
    mode: &str,
    mut interrupt: impl FnMut(&mut Broker, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let count = 30_000_u64;
    let topic = format!("it-steady-{mode}");
    let mut steady = Command::new(repository::fetched("rust/debug/steady")?);
    steady.args([broker.address(), &topic, &count.to_string(), "3", mode]);
    steady.stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null());
    let mut steady = Running(steady.spawn().context("cannot start the producer")?);
    let lines = program::lines(steady.0.stdout.take().context("no output")?);
    let mut next = count / 5;
    let mut interrupted = 0;
    let mut verified = None;
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(200)) {
        let acked = line.strip_prefix("acked ").and_then(|count| count.parse().ok());
        if acked.is_some_and(|acked: u64| acked >= next) && next < count {
            interrupt(broker, interrupted)?;
            interrupted += 1;
            next += count / 5;
        }
        verified = line.starts_with("verified ").then_some(line);
    }
    let status = steady.0.wait()?;
    ensure!(status.success(), "{status}, after {interrupted} interruptions\n{}", broker.log());
    ensure!(interrupted == 4, "the broker was interrupted {interrupted} times, not 4");
    println!("{mode}: {}", verified.context("the producer verified nothing")?);
    Ok(())
}

/// Kills the broker each time another fifth of the records is acknowledged, and starts it again.
fn outlive(mode: &str) -> anyhow::Result<()> {
    let mut broker = Broker::start(&[])?;
    if matches!(broker.kind(), Kind::Outside(_)) {
        anyhow::bail!("this test kills its broker: it needs one of its own");
    }
    outlive_each(&mut broker, mode, |broker, _| {
        broker.kill()?;
        broker.start_again()
    })
}

#[test]
fn kill_9_loses_no_acknowledged_record() -> anyhow::Result<()> {
    outlive("plain")
}

#[test]
fn kill_9_keeps_idempotent_records_once_and_in_order() -> anyhow::Result<()> {
    outlive("idempotent")
}
