//! libFuzzer's door to the target `evidence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("evidence", input));
