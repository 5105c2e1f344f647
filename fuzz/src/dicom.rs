//! DICOM headers: the same however the disk cuts its reads, bounded, and without the patient in `Debug`.

use std::io::{self, Read};

use formats::dicom::{DicomError, Header, StudyTree, is_dicom};

pub(crate) fn run(input: &[u8]) {
    let whole = Header::read(input);
    let slow = Header::read(Slow(input));
    match (&whole, &slow) {
        (Ok(whole), Ok(slow)) => assert!(whole == slow, "the cuts change what is read"),
        (Err(whole), Err(slow)) => {
            assert_eq!(whole.to_string(), slow.to_string());
            assert!(
                !matches!(whole, DicomError::Io(_)),
                "bytes are taken for a disk that fails"
            );
        }
        _ => panic!("the cuts decide"),
    }
    if !is_dicom(input) {
        assert!(matches!(whole, Err(DicomError::NotDicom)));
    }
    let Ok(header) = whole else { return };
    for value in [
        &header.patient_name,
        &header.study_description,
        &header.series_description,
        &header.study,
    ]
    .into_iter()
    .flatten()
    {
        // A value of 64 KiB in a one-byte character set may grow threefold in UTF-8.
        assert!(value.len() <= 3 * 65_536);
    }
    if let Some(name) = header.patient_name.as_deref().filter(|name| name.len() > 24) {
        assert!(!format!("{header:?}").contains(name), "the patient's name is in a log");
    }
    assert!(header.warnings.len() <= 16);
    let mut tree = StudyTree::default();
    tree.add(&header);
    tree.add(&header);
    assert!(tree.patients() <= 1);
}

/// A reader that gives one byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}
