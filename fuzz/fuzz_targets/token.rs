//! libFuzzer's door to the target `token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("token", input));
