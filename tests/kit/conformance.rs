//! What the public corpora and foreign judges say, one line each: kept where `tests/run` collects them into one summary.

use std::io::Write as _;

/// Notes that `corpus` had to reach `wanted` and reached `reached`. Call it after the assertion that holds the test to it: the
/// summary tells figures, the assertions judge them.
///
/// # Panics
/// If the file that `HIKYAKU_CONFORMANCE` names cannot be written.
pub fn conformance(corpus: &str, wanted: &str, reached: &str) {
    println!("{corpus}: {reached} (must reach: {wanted})");
    if let Some(file) = std::env::var_os("HIKYAKU_CONFORMANCE") {
        let line = format!("{corpus}\t{wanted}\t{reached}\n");
        let file = std::fs::File::options().create(true).append(true).open(file);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        assert!(written.is_ok(), "HIKYAKU_CONFORMANCE: {written:?}");
    }
}
