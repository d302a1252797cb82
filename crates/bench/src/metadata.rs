//! The metadata log: how long a start takes that has many records of it to read, from a snapshot as
//! brokers write them and without one. The records are settings of groups, five each: they need no
//! files of their own, so that nothing else is measured.

use std::time::Instant;

use anyhow::{Context, ensure};
use ottla_protocol::k32_describe_configs::DescribeConfigsResource;
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::{DescribeConfigsRequest, DescribeConfigsResponse, StrBytes};

use crate::bench::Bench;
use crate::broker::Broker;
use crate::report::tell;
use crate::scenario::Cell;
use crate::wire::Client;

/// What each group is given; one record each.
const SETTINGS: [(&str, &str); 5] = [
    ("consumer.heartbeat.interval.ms", "5001"),
    ("consumer.session.timeout.ms", "45001"),
    ("share.heartbeat.interval.ms", "5001"),
    ("share.session.timeout.ms", "45001"),
    ("share.record.lock.duration.ms", "30001"),
];
/// One request may make 10,000 records, here and in Kafka.
const GROUPS_A_REQUEST: u64 = 2_000;
/// The resource type of groups.
const GROUP: i8 = 32;
/// No log gets as long.
const NO_SNAPSHOTS: [&str; 2] = [
    "metadata.log.max.record.bytes.between.snapshots=1000000000000",
    "metadata.log.max.snapshot.interval.ms=0",
];
/// Waited for after a start: with it everything is there.
const TOPIC: &str = "first";

/// How many records.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Records of metadata.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Starts of each kind.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
}

/// Measures each broker and prints what was found.
pub(crate) fn run(bench: &Bench, options: &Options) -> anyhow::Result<()> {
    ensure!(options.starts > 0, "no starts");
    one(bench, &Cell::OTTLA_DURABLE, options)?;
    if !options.alone {
        one(bench, &Cell::KAFKA, options)?;
    }
    Ok(())
}

fn one(bench: &Bench, cell: &Cell, options: &Options) -> anyhow::Result<()> {
    let groups = options.records.div_ceil(SETTINGS.len() as u64).max(1);
    tell(&format!("{}, {} records of metadata", cell.name, options.records));
    for (how, settings) in [("with snapshots", &[][..]), ("without them", &NO_SNAPSHOTS)] {
        let mut broker = bench.prepare(cell, settings)?;
        broker.launch(None)?;
        broker.await_port()?;
        let mut client = Client::connect(broker.address())?;
        client.create_topic(TOPIC, 1)?;
        fill(&mut client, groups)?;
        drop(client);
        broker.stop()?;
        let mut starts = Vec::with_capacity(options.starts);
        for _ in 0..options.starts {
            starts.push(start(&mut broker, groups)?);
            broker.stop()?;
        }
        starts.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let middle = starts.get(starts.len() / 2).context("no starts")?;
        let (least, most) = (starts.first().unwrap_or(middle), starts.last().unwrap_or(middle));
        tell(&format!(
            "  start, {how:<16} {:>8.2} s ({:.2} to {:.2}), CPU {:.2} s",
            middle.0, least.0, most.0, middle.1
        ));
    }
    Ok(())
}

/// Seconds until a partition can be used, and the CPU seconds of that time.
fn start(broker: &mut Broker, groups: u64) -> anyhow::Result<(f64, f64)> {
    let begun = Instant::now();
    broker.launch(None)?;
    let mut client = Client::connect(broker.address())?;
    client.wait_for_leaders(TOPIC, 1)?;
    let took = begun.elapsed().as_secs_f64();
    let used = broker.cpu_seconds()?;
    for group in [0, groups / 2, groups - 1] {
        check(&mut client, group)?;
    }
    Ok((took, used))
}

fn name(group: u64) -> StrBytes {
    StrBytes::from(format!("group-{group}"))
}

fn fill(client: &mut Client, groups: u64) -> anyhow::Result<()> {
    let configs = SETTINGS.map(|(name, value)| AlterableConfig {
        name: StrBytes::from_static(name),
        value: Some(StrBytes::from_static(value)),
        ..Default::default()
    });
    let mut from = 0;
    while from < groups {
        let to = groups.min(from + GROUPS_A_REQUEST);
        let resources = (from..to).map(|group| AlterConfigsResource {
            resource_type: GROUP,
            resource_name: name(group),
            configs: configs.to_vec(),
            ..Default::default()
        });
        client.alter_configs(resources.collect())?;
        from = to;
    }
    Ok(())
}

/// The group has its settings.
fn check(client: &mut Client, group: u64) -> anyhow::Result<()> {
    let resource = DescribeConfigsResource {
        resource_type: GROUP,
        resource_name: name(group),
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let response: DescribeConfigsResponse = client.call(4, &request)?;
    let found = response.results.first().context("no answer for the group")?;
    for (name, value) in SETTINGS {
        let config = found.configs.iter().find(|config| &*config.name == name);
        let is_there = config.and_then(|config| config.value.as_deref()) == Some(value);
        ensure!(is_there, "group {group} has lost its {name}: {config:?}");
    }
    Ok(())
}
