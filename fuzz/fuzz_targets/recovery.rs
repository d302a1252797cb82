//! A log whose files were changed, opened.
#![no_main]

#[path = "../checks/recovery.rs"]
mod recovery;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    recovery::recovery(data);
});
