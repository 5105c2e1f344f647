//! libFuzzer's door to the target `certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("certificate", input));
