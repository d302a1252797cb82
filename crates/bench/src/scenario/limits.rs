//! The limit program in the place of a broker that is written to. Must not know the scenarios.

use super::{bulk, paced};
use crate::bench::Bench;
use crate::figures::Found;
use crate::limit::{self, Paced, Shape, Writing};

/// The prepared bytes of large batches, through the page cache and past it; the way that costs
/// less CPU time is what brokers are held against.
pub(super) fn writing(bench: &Bench, durable: bool) -> anyhow::Result<Found> {
    let shape = Shape::large_batches(bench.amount(2930, 98))?;
    let write = |direct| limit::write(bench.data(), &shape, Writing { direct, durable });
    let (cache, direct) = (write(false)?.moved(), write(true)?.moved());
    let cheaper = if direct.per_core_second() > cache.per_core_second() { &direct } else { &cache };
    let mut found = Found::default();
    bulk::add(&mut found, "prepared bytes: ", cheaper);
    bulk::add(&mut found, "through the page cache: ", &cache);
    bulk::add(&mut found, "O_DIRECT: ", &direct);
    Ok(found)
}

/// The records of every rate: what the machine, its disk and a schedule make of them without a broker.
pub(super) fn paced(bench: &Bench, durable: bool) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for rate in paced::RATES {
        let (warm_up_seconds, seconds) = paced::seconds(bench);
        let record_bytes = bulk::KIB.bytes;
        let records = Paced { record_bytes, rate, warm_up_seconds, seconds, durable };
        let (limit, latency) = limit::paced(bench.data(), &records)?;
        paced::add_rate(&mut found, rate, &limit.moved(), &[("ack", &latency)]);
    }
    Ok(found)
}
