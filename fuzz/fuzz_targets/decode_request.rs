//! Requests of every API and version.
#![no_main]

#[path = "../checks/decode.rs"]
#[expect(dead_code, reason = "each target uses one of the checks")]
mod decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    decode::request(data);
});
