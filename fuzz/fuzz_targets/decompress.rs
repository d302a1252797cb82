//! Each codec's decompressor.
#![no_main]

#[path = "../checks/decompress.rs"]
mod decompress;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    decompress::decompress(data);
});
