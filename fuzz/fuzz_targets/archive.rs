//! libFuzzer's door to the target `archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("archive", input));
