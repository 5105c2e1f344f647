//! libFuzzer's door to the target `container`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("container", input));
