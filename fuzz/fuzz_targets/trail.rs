//! libFuzzer's door to the target `trail`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("trail", input));
