//! The limit program in the place of a broker that is written to. Must not know the scenarios.

use super::bulk;
use crate::bench::Bench;
use crate::figures::Found;
use crate::limit::{self, Shape, Writing};

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
