//! libFuzzer's door to the target `dicom`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("dicom", input));
