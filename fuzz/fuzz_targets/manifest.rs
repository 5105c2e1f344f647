//! libFuzzer's door to the target `manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("manifest", input));
