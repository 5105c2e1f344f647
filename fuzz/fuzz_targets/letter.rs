//! libFuzzer's door to the target `letter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("letter", input));
