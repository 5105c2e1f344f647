//! libFuzzer's door to the target `envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("envelope", input));
