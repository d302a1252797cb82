//! How fast a log is compacted, on one core, with a bounded map of keys:
//!
//! ```text
//! cargo run --release -p ottla-log --example compaction [-- DIRECTORY [GIBIBYTES]]
//! ```
//!
//! Writes a log of the given size (1 GiB unless told), compacts it with 64 MiB of map, and prints
//! what that took: once with 2 million keys in records of 256 bytes, once with 10 million in
//! records of 96. Must not know how it is done.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ottla_env::{Rng, SeededRng};
use ottla_env_os::OsDisk;
use ottla_log::{
    CleaningRules, CompactionTarget, Compactor, CompactorOptions, FlushMode, LogConfig, LogDir,
    LogDirLimits, OpenOptions, PartitionLog, Pass, TopicPartition,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Millis};
use ottla_records::{BatchBuilder, BatchOptions};

const BATCH_RECORDS: u64 = 100;
const MAP_BYTES: usize = 64 << 20;
const NOW: Millis = Millis(1_700_000_000_000);
const MIB: f64 = (1 << 20) as f64;

struct Host(Mutex<PartitionLog>);

impl CompactionTarget for Host {
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Each key once, in order; then at random.
fn fill(log: &mut PartitionLog, bytes: u64, keys: u64, record_bytes: u64) {
    let rng = SeededRng::new(keys);
    // Key and the fields around both take 28 bytes.
    let value = vec![b'v'; (record_bytes - 28) as usize];
    let mut left = bytes / record_bytes;
    let mut written = 0;
    let mut unflushed = 0;
    while left > 0 {
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        for _ in 0..BATCH_RECORDS.min(left) {
            let number = if written < keys { written } else { rng.next_u64() % keys };
            written += 1;
            let key = format!("{number:020}");
            builder.append(NOW, Some(key.as_bytes()), Some(&value), &[]).unwrap();
        }
        left = left.saturating_sub(BATCH_RECORDS);
        let batch = BytesMut::from(builder.build().unwrap().as_slice());
        unflushed += batch.len();
        log.append(batch, LeaderEpoch(0), NOW, &AppendContext::CLIENT).unwrap();
        if unflushed > 8 << 20 {
            log.flush_now().unwrap();
            unflushed = 0;
        }
    }
    log.flush_now().unwrap();
}

fn measure(dir: &Path, bytes: u64, keys: u64, record_bytes: u64) {
    let path = dir.join(format!("compaction-{keys}"));
    let log_dir = LogDir::open(Arc::new(OsDisk), &path, LogDirLimits::default()).unwrap();
    let config = LogConfig {
        segment_bytes: 128 << 20,
        flush_mode: FlushMode::Os,
        file_delete_delay: Millis(0),
        ..LogConfig::default()
    };
    let partition = TopicPartition::new("compacted", 0);
    let options = OpenOptions::new(None, config, NOW);
    let (mut log, _) = PartitionLog::open(&log_dir, &partition, options).unwrap();
    fill(&mut log, bytes, keys, record_bytes);
    let stable = log.log_end();
    let host = Host(Mutex::new(log));
    let rules =
        CleaningRules { min_dirty_ratio: 0.0, min_lag: Millis(0), max_lag: Millis(i64::MAX) };
    let mut checkpoint = None;
    loop {
        let view = host.with_log(|log| log.view());
        let dirt = view.dirt(checkpoint, stable, &rules, NOW).unwrap();
        if !dirt.is_due(&rules) {
            break;
        }
        let pass = Pass { dirt, delete_retention: Millis(86_400_000), now: NOW };
        let options = CompactorOptions { map_bytes: MAP_BYTES, ..CompactorOptions::default() };
        let (wall, before) = (Instant::now(), cpu());
        let compacted = Compactor::new(options).run(&host, &pass, &mut |_| true).unwrap();
        let (wall, cpu) = (wall.elapsed(), cpu() - before);
        let stats = compacted.stats;
        let rate = |time: Duration| stats.bytes_read as f64 / MIB / time.as_secs_f64();
        println!(
            "{:>9} keys noted in {:>3} MiB of map; {:>6.0} MiB to {:>6.0} MiB, {:>9} records to \
             {:>9}; {:>5.2} s, {:>5.2} s of CPU: {:>4.0} MiB/s, {:>4.0} MiB/s per core",
            stats.keys,
            stats.map_bytes >> 20,
            stats.bytes_read as f64 / MIB,
            stats.bytes_kept as f64 / MIB,
            stats.records_read,
            stats.records_kept,
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            rate(wall),
            rate(cpu),
        );
        log_dir.remove_buried(NOW, true).unwrap();
        checkpoint = Some(compacted.clean_up_to);
    }
    drop(host);
    drop(log_dir);
    std::fs::remove_dir_all(&path).unwrap();
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let gibibytes: f64 = arguments.next().map_or(1.0, |n| n.parse().unwrap());
    let bytes = (gibibytes * 1024.0 * MIB) as u64;
    for (keys, record_bytes) in [(2_000_000, 256), (10_000_000, 96)] {
        println!("{gibibytes} GiB of {record_bytes} B records, {keys} keys:");
        measure(&dir, bytes, keys, record_bytes);
    }
}
