//! Latency: what scenarios with a fixed schedule have in common. Must not know their cells and
//! goals.

use super::bulk;
use crate::bench::Bench;
use crate::broker::Broker;
use crate::figures::{Found, shown};
use crate::load::{Latency, OpenLoop, Sending, Timed};
use crate::report::LOAD_BUSY;

/// Records a second.
const RATES: [u64; 3] = [1_000, 5_000, 20_000];

/// Every rate on a topic of its own with one partition, a consumer at its tail.
pub(super) fn one_partition(bench: &Bench, broker: &Broker) -> anyhow::Result<Found> {
    // A virtual machine compiles what it meets often.
    let most = RATES.iter().copied().max().unwrap_or_default();
    measure(bench, broker, "warm-up", most, (0, bench.amount(10, 1)))?;
    let mut found = Found::default();
    for rate in RATES {
        let seconds = (bench.amount(5, 1), bench.amount(20, 1));
        let timed = measure(bench, broker, &format!("paced-{rate}"), rate, seconds)?;
        let what = format!("{}/s: ", shown(rate as f64));
        add(&mut found, &format!("{what}ack"), &timed.ack);
        add(&mut found, &format!("{what}end to end"), &timed.end_to_end);
        found.add(format!("{what}reached, records/s"), timed.moved.per_second() * 1000.0);
        found.add(format!("{what}broker's core busy, %"), timed.moved.broker_busy());
        found.add(format!("{what}{LOAD_BUSY}"), timed.moved.driver_busy());
    }
    Ok(found)
}

/// Quantiles in milliseconds; `what` stands before their names.
pub(super) fn add(found: &mut Found, what: &str, latency: &Latency) {
    let quantiles =
        [("p50", latency.p50), ("p99", latency.p99), ("p99.9", latency.p999), ("max", latency.max)];
    for (name, micros) in quantiles {
        found.add(format!("{what} {name}, ms"), micros as f64 / 1000.0);
    }
}

/// `seconds`: of the warm-up, and measured.
fn measure(
    bench: &Bench,
    broker: &Broker,
    topic: &str,
    rate: u64,
    (warm_up_seconds, seconds): (u64, u64),
) -> anyhow::Result<Timed> {
    bench.open_loop(&OpenLoop {
        target: bench.topic(broker, topic, 1)?,
        sending: Sending::PROMPT,
        record: bulk::KIB,
        connections: 1,
        consumers: 1,
        shared_out: false,
        rate,
        warm_up_seconds,
        seconds,
    })
}
