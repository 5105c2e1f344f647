//! Our DICOM walker beside pydicom over pydicom's own test files: thirteen transfer syntaxes, Japanese character sets,
//! truncated and odd files.

use std::path::{Path, PathBuf};
use std::process::Command;

use formats::dicom::Header;

/// Files on which the two differ, and why.
const KNOWN: &[(&str, &str)] = &[
    (
        "SC_rgb_jpeg.dcm",
        "it is written in implicit VR under a syntax that demands explicit VR; pydicom guesses, we refuse",
    ),
    (
        "meta_missing_tsyntax.dcm",
        "it names no transfer syntax; pydicom reads the rest all the same, we refuse",
    ),
];

fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv")
}

fn corpus() -> Option<PathBuf> {
    let library = venv().join("lib");
    let python = std::fs::read_dir(library).ok()?.flatten().next()?.path();
    let data = python.join("site-packages/pydicom/data");
    data.is_dir().then_some(data)
}

#[test]
fn headers_read_as_pydicom_reads_them() {
    let Some(corpus) = corpus() else {
        return kit::skip("headers_read_as_pydicom_reads_them", "no pydicom in target/venv");
    };
    let output = Command::new(venv().join("bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("judges/pydicom_judge.py"))
        .arg(&corpus)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut same, mut differences) = (0, Vec::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let judged: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = judged["path"].as_str().unwrap();
        let ours = match Header::read(std::fs::File::open(corpus.join(path)).unwrap()) {
            Ok(header) => serde_json::json!({
                "path": path,
                "transfer_syntax": header.transfer_syntax,
                "sop_instance": header.sop_instance,
                "study": header.study,
                "series": header.series,
                "modality": header.modality,
                "patient_id": header.patient_id,
                "patient_name": header.patient_name,
            }),
            Err(error) => serde_json::json!({ "path": path, "error": error.to_string() }),
        };
        let known = KNOWN.iter().find(|(name, _)| path.ends_with(name));
        match (ours == judged, known) {
            (true, None) => same += 1,
            (false, Some(_)) => {}
            (true, Some((name, why))) => differences.push(format!("{name} agrees now; it was listed because {why}")),
            (false, None) => differences.push(format!("pydicom {judged}\n   ours {ours}")),
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ, {same} agree:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(same > 150, "only {same} files were compared");
}
