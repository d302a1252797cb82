//! An idempotent producer that goes on while Kafka and Ottla take the directory over from each
//! other: nothing lost, nothing twice, everything in order. Must not know how the producer does it.

use ottla_interop::broker::{Broker, Kind};

use super::kafka_log;
use crate::durability::outlive_each;

#[test]
fn an_idempotent_producer_outlives_takeovers() -> anyhow::Result<()> {
    let mut broker = Broker::movable(Kind::Kafka, &["group.initial.rebalance.delay.ms=0"], 1)?;
    outlive_each(&mut broker, "idempotent", |broker, number| {
        let clean = number % 2 == 1;
        if clean {
            broker.stop()?;
        } else {
            broker.kill()?;
        }
        let next = if number % 2 == 0 { Kind::Ottla } else { Kind::Kafka };
        broker.start_again_as(next)?;
        if *broker.kind() == Kind::Kafka {
            kafka_log::check(&broker.said()?, clean)?;
        }
        Ok(())
    })
}
