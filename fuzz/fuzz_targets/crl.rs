//! libFuzzer's door to the target `crl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("crl", input));
