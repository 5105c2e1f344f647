//! Tests that cannot run here: said by name, and kept where `tests/run` collects them.

use std::io::Write as _;

/// Says that the test or judge `name` is skipped and `why`. The test harness swallows what passing tests print, so the line
/// is also added to the file that `HIKYAKU_SKIPS` names.
///
/// # Panics
/// If that file cannot be written: a skip nobody sees is a test that cannot fail.
pub fn skip(name: &str, why: &str) {
    let line = format!("skipped: {name}: {why}\n");
    eprint!("{line}");
    if let Some(file) = std::env::var_os("HIKYAKU_SKIPS") {
        let file = std::fs::File::options().create(true).append(true).open(file);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        assert!(written.is_ok(), "HIKYAKU_SKIPS: {written:?}");
    }
}
