//! libFuzzer's door to the target `intake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("intake", input));
