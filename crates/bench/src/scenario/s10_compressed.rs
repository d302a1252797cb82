//! 10: compressed batches, which a broker opens to check their records.

use super::bulk;
use super::{Bound, Cell, Goal, Scenario};
use crate::bench::Bench;
use crate::figures::Found;
use crate::load::{Fill, Produce, Record, Sending};

const LEAST: Bound = Bound::TimesAtLeast(4.0, "kafka");

pub(super) const SCENARIO: Scenario = Scenario {
    number: 10,
    name: "compressed",
    about: "records of 1 KiB of JSON in batches of up to 1 MB, lz4 and zstd, 16 partitions, \
            4 connections",
    cells: &[Cell::OTTLA_OS, Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[
        Goal {
            cell: "ottla, os",
            figure: "lz4: records per broker core-second, thousands",
            bound: LEAST,
        },
        Goal {
            cell: "ottla, os",
            figure: "zstd: records per broker core-second, thousands",
            bound: LEAST,
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let mut found = Found::default();
    for codec in ["lz4", "zstd"] {
        let moved = bench.produce(&Produce {
            target: bench.topic(&broker, codec, bulk::PARTITIONS)?,
            sending: Sending { compression: codec, ..Sending::BULK },
            record: Record { bytes: 1024, fill: Fill::Text },
            connections: bulk::CONNECTIONS,
            warm_up: bench.amount(500_000, 10_000),
            records: bench.amount(1_000_000, 40_000),
            seconds_max: None,
        })?;
        bulk::add(&mut found, &format!("{codec}: "), &moved);
    }
    Ok(found)
}
