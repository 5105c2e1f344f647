//! libFuzzer's door to the target `ocsp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("ocsp", input));
