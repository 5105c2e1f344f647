//! libFuzzer's door to the target `cms`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("cms", input));
