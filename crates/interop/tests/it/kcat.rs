//! kcat 1.7: produce, consume, headers, keys, each codec, `-L`, `-Q`, a balanced group.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(60);

/// kcat with a broker, ready for more arguments.
fn kcat(broker: &Broker) -> anyhow::Result<Command> {
    let mut kcat = Command::new(repository::installed("kcat")?);
    kcat.args(["-b", broker.address(), "-m", "30"]);
    Ok(kcat)
}

fn run(broker: &Broker, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(program::run(kcat(broker)?.args(arguments), LIMIT)?.text())
}

fn feed(broker: &Broker, arguments: &[&str], input: &str) -> anyhow::Result<()> {
    program::run_with(kcat(broker)?.args(arguments), input.as_bytes(), LIMIT).map(|_| ())
}

/// A topic that no other run uses, for brokers that are not ours.
fn topic(name: &str) -> String {
    format!("it-kcat-{name}-{}", std::process::id())
}

#[test]
fn keys_headers_and_each_codec_come_back() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(codec);
        let numbers = 0..200;
        let input: String = numbers.map(|n| format!("key{n}:{}\n", "value ".repeat(n))).collect();
        let produce = ["-P", "-t", &topic, "-K", ":", "-z", codec, "-H", "one=1", "-H", "two=2"];
        feed(&broker, &produce, &input)?;
        let format = "%k:%s|%h|%o\n";
        let consume = ["-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", format];
        let found = run(&broker, &consume)?;
        let wanted: String = input
            .lines()
            .enumerate()
            .map(|(offset, line)| format!("{line}|one=1,two=2|{offset}\n"))
            .collect();
        ensure!(found == wanted, "{codec}: got\n{found}\nwanted\n{wanted}");
    }
    Ok(())
}

#[test]
fn null_and_empty_are_told_apart() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let topic = topic("null");
    feed(&broker, &["-P", "-t", &topic, "-K", ":", "-Z"], "a:\n:b\nc:d\n")?;
    let format = "%K:%S\n";
    let found = run(&broker, &["-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", format])?;
    ensure!(found == "1:-1\n-1:1\n1:1\n", "lengths of keys and values: {found}");
    Ok(())
}

#[test]
fn metadata_and_offsets_are_listed() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let topic = topic("list");
    feed(&broker, &["-P", "-t", &topic, "-p", "0"], "a\nb\nc\n")?;
    let listed = run(&broker, &["-L", "-t", &topic])?;
    for wanted in [
        format!("topic \"{topic}\" with 1 partitions:"),
        "partition 0, leader 1, replicas: 1, isrs: 1".to_owned(),
        format!("broker 1 at {}", broker.address()),
    ] {
        ensure!(listed.contains(&wanted), "{wanted} is not in\n{listed}");
    }
    let json = run(&broker, &["-L", "-J", "-t", &topic])?;
    ensure!(json.contains("\"topics\":[{\"topic\":"), "no topics in {json}");
    for (at, offset) in [("-1", 3), ("-2", 0), ("1", 0)] {
        let found = run(&broker, &["-Q", "-t", &format!("{topic}:0:{at}")])?;
        ensure!(found.trim() == format!("{topic} [0] offset {offset}"), "{at}: {found}");
    }
    Ok(())
}

#[test]
fn offsets_from_the_end_and_counts() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let topic = topic("tail");
    let input: String = (0..100).map(|n| format!("{n}\n")).collect();
    feed(&broker, &["-P", "-t", &topic], &input)?;
    let read = |from: &str, count: &str| {
        run(&broker, &["-C", "-t", &topic, "-p", "0", "-o", from, "-c", count, "-q", "-e"])
    };
    ensure!(read("-3", "3")? == "97\n98\n99\n", "the last three");
    ensure!(read("50", "2")? == "50\n51\n", "two from fifty");
    ensure!(run(&broker, &["-C", "-t", &topic, "-o", "end", "-e", "-q"])?.is_empty(), "the end");
    Ok(())
}

#[test]
fn a_balanced_group_goes_on_where_it_was() -> anyhow::Result<()> {
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"])?;
    let topic = topic("group");
    let input: String = (0..100).map(|n| format!("{n}\n")).collect();
    feed(&broker, &["-P", "-t", &topic], &input)?;
    let group = format!("{topic}-group");
    let read = |more: &[&str]| {
        let from_start = ["-G", &group, "-X", "auto.offset.reset=earliest", "-q", "-e"];
        run(&broker, &[&from_start, more, &[&topic]].concat())
    };
    ensure!(read(&[])? == input, "the group reads everything");
    feed(&broker, &["-P", "-t", &topic], "more\n")?;
    ensure!(read(&[])? == "more\n", "the group goes on");
    Ok(())
}
