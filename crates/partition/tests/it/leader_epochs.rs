//! A random run of Apache Kafka 4.4.0's `LeaderEpochFileCache`, step by step: call, answer, and
//! the entries after it.

use ottla_partition::EpochCache;
use ottla_protocol::{LeaderEpoch, Offset};

const RUN: &str = include_str!("../golden/leader-epochs-4.4.0.txt");

fn step(cache: &mut EpochCache, call: &str) -> String {
    let words: Vec<&str> = call.split(' ').collect();
    let number = |at: usize| words[at].parse::<i64>().unwrap();
    let epoch = |at: usize| LeaderEpoch(words[at].parse().unwrap());
    let before = cache.clone();
    let changed = match words[0] {
        "assign" => cache.assign(epoch(1), Offset(number(2))),
        "end" => cache.truncate_from_end(Offset(number(1))),
        "start" => cache.truncate_from_start(Offset(number(1))),
        "clear" => cache.clear(),
        "lookup" => {
            let end = cache.end_offset_for(epoch(1), Offset(number(2)));
            return format!("{} {}", end.epoch, end.end_offset);
        }
        "offset" => {
            return cache
                .epoch_for_offset(Offset(number(1)))
                .map_or("-1".into(), |e| e.to_string());
        }
        "around" => {
            let text = |e: Option<ottla_partition::EpochEntry>| e.map_or(-1, |e| e.epoch.get());
            return format!("{} {}", text(cache.previous(epoch(1))), text(cache.next(epoch(1))));
        }
        other => panic!("unknown call {other}"),
    };
    assert_eq!(changed, *cache != before, "{call}");
    String::new()
}

#[test]
fn every_step_is_kafkas() {
    let mut cache = EpochCache::new();
    let mut steps = 0;
    for line in RUN.lines() {
        let (call, rest) = line.split_once(" => ").unwrap();
        let (answer, entries) = rest.split_once(" ;").unwrap();
        assert_eq!(step(&mut cache, call), answer, "line {steps}: {line}");
        let now: String =
            cache.entries().iter().map(|e| format!(" {}@{}", e.epoch, e.start_offset)).collect();
        assert_eq!(now, entries, "line {steps}: {line}");
        let text = cache.encode_checkpoint();
        assert_eq!(EpochCache::decode_checkpoint(&text).as_ref(), Ok(&cache));
        steps += 1;
    }
    assert!(steps >= 400, "the run has {steps} steps");
}
