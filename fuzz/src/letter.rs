//! Letters (FHIR, CDA, PDF) and the look at what a file really is; the same however the bytes are cut.

use formats::content::Sniffer;
use formats::letter::{Letter, describe, recognise};

pub(crate) fn run(input: &[u8]) {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    if let Ok(Some(letter)) = describe(bytes) {
        assert_eq!(recognise(bytes), Some(letter.form));
        bounded(&letter, bytes.len());
    }
    for path in ["letter/letter.pdf", "attachments/note", "images/1.dcm"] {
        let look = |step: usize| {
            let mut sniffer = Sniffer::new(path);
            for piece in bytes.chunks(step.max(1)) {
                sniffer.push(piece);
            }
            sniffer.finish()
        };
        assert_eq!(
            look(bytes.len()),
            look(usize::from(*step)),
            "the cuts decide what a file is"
        );
    }
}

fn bounded(letter: &Letter, length: usize) {
    let patient = &letter.patient;
    let own = [
        &letter.title,
        &letter.type_code,
        &letter.date,
        &patient.id,
        &patient.name,
        &patient.kana,
    ];
    let all: usize = own
        .into_iter()
        .flatten()
        .chain(&letter.institutions)
        .map(String::len)
        .sum();
    assert!(all <= length + 1024, "a description is longer than the letter");
    assert!(letter.warnings.len() <= 16);
    if let Some(name) = patient.name.as_deref().filter(|name| name.len() > 24) {
        assert!(!format!("{letter:?}").contains(name), "the patient's name is in a log");
    }
}
