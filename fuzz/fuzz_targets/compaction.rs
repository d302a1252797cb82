//! Compaction beside an oracle.
#![no_main]

#[path = "../checks/compaction.rs"]
mod compaction;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    compaction::compaction(data);
});
