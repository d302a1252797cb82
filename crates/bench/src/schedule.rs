//! Open loop: sends at times that are fixed beforehand, whatever the other side does, and how long
//! after those each was answered. Costs next to nothing. Must not know what is sent or who answers.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::load::Latency;

/// When what is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// Between two sends.
    pub(crate) every: Duration,
    pub(crate) sends: u32,
    /// Of these no latency counts.
    pub(crate) warm_up: u32,
}

impl Schedule {
    /// Sends on a thread of its own and takes answers, which come in order, until there are as
    /// many; `answered` waits for some and gives their number.
    pub(crate) fn run(
        &self,
        mut send: impl FnMut() -> anyhow::Result<()> + Send,
        mut answered: impl FnMut() -> anyhow::Result<u32>,
    ) -> anyhow::Result<Latencies> {
        let due = |number| self.start + self.every * number;
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                for number in 0..self.sends {
                    thread::sleep(due(number).saturating_duration_since(Instant::now()));
                    send()?;
                }
                anyhow::Ok(())
            });
            let mut latencies = Latencies::default();
            let mut number = 0;
            while number < self.sends {
                let (some, now) = (answered()?, Instant::now());
                for number in (number..number + some).filter(|number| *number >= self.warm_up) {
                    let late = now.saturating_duration_since(due(number));
                    latencies.0.push(u64::try_from(late.as_micros())?);
                }
                number += some;
            }
            sender.join().map_err(|_| anyhow!("a sender has panicked"))??;
            Ok(latencies)
        })
    }
}

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn summary(mut self) -> Latency {
        self.0.sort_unstable();
        let quantile = |per_mille: usize| {
            let rank = (self.0.len() * per_mille).div_ceil(1000);
            self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Latency {
            count: self.0.len() as u64,
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            max: quantile(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let Latency { count, p50, p99, p999, max } =
            Latencies((1..=1000).rev().collect()).summary();
        assert_eq!((count, p50, p99, p999, max), (1000, 500, 990, 999, 1000));
        assert_eq!(Latencies::default().summary().max, 0);
    }

    #[test]
    fn every_send_is_answered_once_and_those_of_the_warm_up_do_not_count() {
        let (sent, answers) = mpsc::channel();
        let start = Instant::now();
        let schedule = Schedule { start, every: Duration::from_nanos(1), sends: 10, warm_up: 3 };
        let latencies = schedule
            .run(
                move || Ok(sent.send(())?),
                || {
                    answers.recv()?;
                    Ok(1 + u32::try_from(answers.try_iter().count())?)
                },
            )
            .unwrap();
        assert_eq!(latencies.summary().count, 7);
    }
}
