//! Latency: what scenarios with a fixed schedule have in common. Must not know their cells and
//! goals.

use super::bulk;
use crate::bench::Bench;
use crate::broker::Broker;
use crate::figures::{Found, shown};
use crate::load::{Latency, Moved, OpenLoop, Sending, Timed};
use crate::report::LOAD_BUSY;

/// Records a second.
pub(super) const RATES: [u64; 3] = [1_000, 5_000, 20_000];

/// Every rate on a topic of its own with one partition, a consumer at its tail.
pub(super) fn one_partition(bench: &Bench, broker: &Broker) -> anyhow::Result<Found> {
    // A virtual machine compiles what it meets often.
    let most = RATES.iter().copied().max().unwrap_or_default();
    measure(bench, broker, "warm-up", most, (0, bench.amount(10, 1)))?;
    let mut found = Found::default();
    for rate in RATES {
        let timed = measure(bench, broker, &format!("paced-{rate}"), rate, seconds(bench))?;
        let latencies = [("ack", &timed.ack), ("end to end", &timed.end_to_end)];
        add_rate(&mut found, rate, &timed.moved, &latencies);
    }
    Ok(found)
}

/// Of the warm-up of each rate, and measured.
pub(super) fn seconds(bench: &Bench) -> (u64, u64) {
    (bench.amount(5, 1), bench.amount(20, 1))
}

/// What was found at a rate.
pub(super) fn add_rate(
    found: &mut Found,
    rate: u64,
    moved: &Moved,
    latencies: &[(&str, &Latency)],
) {
    let what = format!("{}/s: ", shown(rate as f64));
    for (name, latency) in latencies {
        add(found, &format!("{what}{name}"), latency);
    }
    found.add(format!("{what}reached, records/s"), moved.per_second() * 1000.0);
    found.add(format!("{what}broker's core busy, %"), moved.broker_busy());
    found.add(format!("{what}{LOAD_BUSY}"), moved.driver_busy());
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
