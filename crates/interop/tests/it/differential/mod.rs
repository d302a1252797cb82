//! The same requests and batches to Apache Kafka 4.4.0 and to Ottla: same answers, same stored
//! bytes. What differs on purpose stands in [`expected`]; anything else fails.

mod batches;
mod configs;
mod expected;
mod groups;
mod log_dirs;
mod offsets;
mod pair;
mod partitions;
mod topics;
mod tree;
mod versions;

use pair::Pair;

#[test]
fn topics_are_kafkas() -> anyhow::Result<()> {
    let mut pair = Pair::start(&[])?;
    versions::compare(&mut pair)?;
    topics::compare(&mut pair)?;
    partitions::compare(&mut pair)?;
    pair.finish("topics", 1_300)
}

#[test]
fn configs_are_kafkas() -> anyhow::Result<()> {
    let mut pair = Pair::start(&["log.retention.hours=100", "log.cleaner.threads=2"])?;
    configs::compare(&mut pair)?;
    pair.finish("configs", 900)
}

#[test]
fn offsets_and_groups_are_kafkas() -> anyhow::Result<()> {
    let mut pair = Pair::start(&[])?;
    offsets::compare(&mut pair)?;
    groups::compare(&mut pair)?;
    pair.finish("offsets", 3_500)
}
