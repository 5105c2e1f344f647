//! libFuzzer's door to the target `pdf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("pdf", input));
