//! The envelope: what is read can be written and read again, and no string of it commands a terminal.

use formats::envelope::{ENVELOPE_PATH, Envelope, MAX_ENVELOPE_SIZE};

pub(crate) fn run(input: &[u8]) {
    let Ok(envelope) = Envelope::parse(input) else { return };
    assert!(input.len() <= MAX_ENVELOPE_SIZE);
    let written = envelope.to_json().expect("what was read can be written");
    let second = Envelope::parse(&written).expect("what is written can be read");
    assert!(second == envelope);
    assert_eq!(second.to_json().as_ref(), Ok(&written));
    let strings = [&envelope.sender.name, &envelope.patient.name, &envelope.patient.id];
    let titles = envelope.documents.iter().map(|document| &document.title);
    for text in strings.into_iter().chain(titles) {
        assert!(
            !text.contains(|c: char| c.is_control()),
            "a string has a control character"
        );
    }
    if envelope.patient.name.chars().count() > 8 {
        assert!(
            !format!("{envelope:?}").contains(&envelope.patient.name),
            "the patient's name is in a log"
        );
    }
    let mut paths = vec![ENVELOPE_PATH.to_owned()];
    paths.extend(
        envelope
            .documents
            .iter()
            .map(|document| match document.path.strip_suffix('/') {
                Some(folder) => format!("{folder}/file"),
                None => document.path.clone(),
            }),
    );
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    if let Ok(assigned) = envelope.assign(&paths) {
        assert_eq!(assigned.len(), paths.len());
        assert!(assigned.iter().flatten().all(|index| *index < envelope.documents.len()));
    }
}
