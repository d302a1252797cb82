//! A random run of an Apache Kafka 4.4.0 log (`UnifiedLog`), step by step: appends by clients,
//! coordinators and replication, verifications, end markers, high watermarks, expiry; what it
//! answered, and the producers, log end and last stable offset after each. At its end the
//! producer snapshot and the transaction index that it wrote.

use std::collections::BTreeMap;

use ottla_partition::{
    Admission, AppendContext, AppendOrigin, BatchKind, EndTxnMarker, ProducerBatch, ProducerError,
    ProducerRules, ProducerStates, VerificationGuard, encode_snapshot,
};
use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};

const RUN: &str = include_str!("../golden/producer-rules-4.4.0.txt");

struct Log {
    states: ProducerStates,
    end: Offset,
    high_watermark: Offset,
    guards: BTreeMap<u64, VerificationGuard>,
    aborted: Vec<u8>,
}

fn error_name(error: ProducerError) -> &'static str {
    error.code().name()
}

impl Log {
    fn append(&mut self, batch: &ProducerBatch, context: &AppendContext) -> String {
        match self.states.check(batch, context) {
            Err(error) => format!("err {}", error_name(error)),
            Ok(Admission::Duplicate(old)) => {
                format!("dup {} {}", old.first_offset(), old.last_offset)
            }
            Ok(Admission::Append) => {
                if let Some(txn) = self.states.apply(batch)
                    && txn.is_aborted
                {
                    self.aborted.extend(0_i16.to_be_bytes());
                    self.aborted.extend(txn.producer_id.get().to_be_bytes());
                    self.aborted.extend(txn.first_offset.get().to_be_bytes());
                    self.aborted.extend(txn.last_offset.get().to_be_bytes());
                    self.aborted.extend(txn.last_stable_offset.get().to_be_bytes());
                }
                self.end = batch.last_offset().plus(1);
                assert_eq!(self.states.end_offset(), self.end);
                format!("ok {} {}", batch.base_offset, batch.last_offset())
            }
        }
    }

    fn step(&mut self, call: &str) -> String {
        let words: Vec<&str> = call.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        let batch = |sequence: i64, count: i64, time: i64, kind| ProducerBatch {
            producer_id: ProducerId(number(1)),
            producer_epoch: ProducerEpoch(words[2].parse().unwrap()),
            base_sequence: i32::try_from(sequence).unwrap(),
            base_offset: self.end,
            last_offset_delta: i32::try_from(count - 1).unwrap(),
            max_timestamp: Millis(time + count - 1),
            kind,
        };
        match words[0] {
            "client" | "coordinator" | "replica" => {
                let kind =
                    if words[6] == "txn" { BatchKind::Transactional } else { BatchKind::Data };
                let context = AppendContext {
                    origin: match words[0] {
                        "client" => AppendOrigin::Client,
                        "coordinator" => AppendOrigin::Coordinator,
                        _ => AppendOrigin::Replication,
                    },
                    guard: words[7].parse().ok().map(|label: u64| self.guards[&label]),
                    transaction_version: 0,
                };
                let batch = batch(number(3), number(4), number(5), kind);
                self.append(&batch, &context)
            }
            "marker" => {
                let kind = BatchKind::Marker(EndTxnMarker {
                    commit: words[3] == "commit",
                    coordinator_epoch: words[4].parse().unwrap(),
                    timestamp: Millis(number(6)),
                });
                let context = AppendContext {
                    transaction_version: words[5].parse().unwrap(),
                    ..AppendContext::COORDINATOR
                };
                let batch = batch(-1, 1, number(6), kind);
                self.append(&batch, &context)
            }
            "verify" => {
                let batch = batch(number(3), 1, number(4), BatchKind::Transactional);
                let bump = words[5] == "true";
                match self.states.start_verification(&batch, bump, Millis(number(4))) {
                    Err(error) => format!("err {}", error_name(error)),
                    Ok(None) => "open".to_owned(),
                    Ok(Some(guard)) => {
                        let known = self.guards.iter().find(|(_, g)| **g == guard);
                        let next = u64::try_from(self.guards.len()).unwrap() + 1;
                        let label = known.map_or(next, |(label, _)| *label);
                        self.guards.insert(label, guard);
                        format!("guard {label}")
                    }
                }
            }
            "hw" => {
                self.high_watermark = Offset(number(1));
                self.states.on_high_watermark(self.high_watermark);
                "ok".to_owned()
            }
            "expire" => {
                self.states.remove_expired(Millis(number(1)));
                "ok".to_owned()
            }
            other => panic!("unknown call {other}"),
        }
    }

    /// The state as the run's lines have it: of the producer called, or of all three.
    fn describe(&self, call: &str) -> String {
        let words: Vec<&str> = call.split(' ').collect();
        let ids = match words[0] {
            "hw" | "expire" => vec![1, 2, 3],
            _ => vec![words[1].parse().unwrap()],
        };
        let mut text = format!(
            "end {} lso {} unstable {}",
            self.end,
            self.states.last_stable_offset(self.high_watermark, Offset::ZERO),
            self.states.first_unstable_offset().unwrap_or(Offset::NONE),
        );
        for id in ids {
            let Some(entry) = self.states.get(ProducerId(id)) else {
                text += " | -";
                continue;
            };
            text += &format!(
                " | {} {} {} {}",
                entry.producer_epoch,
                entry.coordinator_epoch,
                entry.last_timestamp,
                entry.current_txn_first_offset.unwrap_or(Offset::NONE),
            );
            for batch in entry.batches() {
                text += &format!(
                    " {}:{}@{}",
                    batch.first_sequence(),
                    batch.last_sequence,
                    batch.last_offset
                );
            }
        }
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn every_step_is_kafkas() {
    let rules = ProducerRules { expiration: Millis(1_000), verify_transactions: true };
    let mut log = Log {
        states: ProducerStates::new(rules, Offset::ZERO),
        end: Offset::ZERO,
        high_watermark: Offset::ZERO,
        guards: BTreeMap::new(),
        aborted: Vec::new(),
    };
    let mut steps = 0;
    for line in RUN.lines().filter(|l| !l.starts_with('#')) {
        if let Some(snapshot) = line.strip_prefix("snapshot ") {
            assert_eq!(hex(&encode_snapshot(log.states.entries())), snapshot);
        } else if let Some(index) = line.strip_prefix("txnindex ") {
            assert_eq!(hex(&log.aborted), index);
        } else {
            let (call, rest) = line.split_once(" => ").unwrap();
            let (answer, state) = rest.split_once(" ; ").unwrap();
            assert_eq!(log.step(call), answer, "step {steps}: {line}");
            assert_eq!(log.describe(call), state, "step {steps}: {line}");
        }
        steps += 1;
    }
    assert!(steps > 600, "the run has {steps} steps");
}
