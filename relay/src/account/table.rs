//! One record as one row of the CSV: columns, quoting, and cells no spreadsheet takes for formulas.

use formats::trail::{Access, Event, Record};
use formats::wire::{DocumentSummary, FacilityCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};

use crate::store::{Store, StoreError};

/// Byte order mark and column names.
pub(super) const HEAD: &str = "\u{feff}position,time_utc,time_jst,kind,facility,facility_seq,person_id,person_name,\
                               assurance,partner,submission,patient,scope,category,sha256,outcome,address\r\n";

/// What a kind of record says in the columns that not all kinds fill.
#[derive(Default)]
struct Row {
    facility: Option<FacilityCode>,
    partner: String,
    patient: String,
    scope: String,
    sha256: String,
    outcome: String,
}

/// Billing categories of what was provided or looked at.
pub(super) async fn categories(store: &dyn Store, event: &Event) -> Result<String, StoreError> {
    Ok(match event {
        Event::Accepted(submission) | Event::Pending { submission, .. } => named(&submission.documents, |_| true),
        Event::Delivered(access) | Event::Viewed(access) => match store.submission(&access.submission).await? {
            Some(row) => named(&row.submission.documents, |document| touches(access, document)),
            None => String::new(),
        },
        _ => String::new(),
    })
}

/// Appends the row of a record. `of` is the facility whose account this is.
pub(super) fn push(text: &mut String, position: u64, record: &Record, of: Option<&FacilityCode>, categories: &str) {
    let row = row(&record.event, of);
    let facility = of.cloned().or(row.facility);
    let sequence = facility.as_ref().and_then(|facility| record.facility_seq.get(facility));
    let actor = &record.actor;
    let assurance = actor
        .assurance
        .and_then(|assurance| serde_json::to_value(assurance).ok());
    let cells = [
        position.to_string(),
        record.time.clone(),
        japan(&record.time),
        record.event.kind().to_owned(),
        facility.map(String::from).unwrap_or_default(),
        sequence.map(ToString::to_string).unwrap_or_default(),
        actor.person_id.clone().map(String::from).unwrap_or_default(),
        actor.person_name.clone().unwrap_or_default(),
        assurance
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        row.partner,
        record.event.submission().map(ToString::to_string).unwrap_or_default(),
        row.patient,
        row.scope,
        categories.to_owned(),
        row.sha256,
        row.outcome,
        actor.address.clone().unwrap_or_default(),
    ];
    let line: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    text.push_str(&line.join(","));
    text.push_str("\r\n");
}

fn row(event: &Event, of: Option<&FacilityCode>) -> Row {
    let received = matches!(
        event,
        Event::Delivered(_) | Event::Viewed(_) | Event::Acknowledged { .. }
    );
    let other = |sender: &FacilityCode, recipients: &[FacilityCode]| {
        if of.map_or(received, |of| of != sender) {
            return sender.to_string();
        }
        recipients
            .iter()
            .map(FacilityCode::as_str)
            .collect::<Vec<_>>()
            .join(";")
    };
    match event {
        Event::Accepted(submission) | Event::Pending { submission, .. } => {
            let recipients: Vec<_> = submission
                .recipients
                .iter()
                .map(|party| party.facility.clone())
                .collect();
            let scope: Vec<_> = submission
                .documents
                .iter()
                .map(|document| document.path.as_str())
                .collect();
            Row {
                facility: Some(submission.sender.facility.clone()),
                partner: other(&submission.sender.facility, &recipients),
                patient: submission.patient.clone(),
                scope: scope.join(";"),
                sha256: submission.container_sha256.clone(),
                outcome: if matches!(event, Event::Accepted(_)) {
                    "accepted"
                } else {
                    "pending"
                }
                .into(),
            }
        }
        Event::Refused {
            facility,
            code,
            sub_indication,
            container_sha256,
            ..
        } => Row {
            facility: Some(facility.clone()),
            sha256: container_sha256.clone().unwrap_or_default(),
            outcome: match sub_indication {
                Some(sub) => format!("refused: {code} {sub}"),
                None => format!("refused: {code}"),
            },
            ..Row::default()
        },
        Event::Delivered(access) | Event::Viewed(access) => Row {
            facility: Some(access.recipient.clone()),
            partner: other(&access.sender, std::slice::from_ref(&access.recipient)),
            patient: access.patient.clone(),
            scope: access.scope.join(";"),
            outcome: if matches!(event, Event::Viewed(_)) {
                "viewed"
            } else {
                "delivered"
            }
            .into(),
            ..Row::default()
        },
        Event::Acknowledged {
            sender,
            recipient,
            patient,
            ..
        } => Row {
            facility: Some(recipient.clone()),
            partner: other(sender, std::slice::from_ref(recipient)),
            patient: patient.clone(),
            outcome: "acknowledged".into(),
            ..Row::default()
        },
        Event::VerdictRevised {
            sender,
            recipients,
            patient,
            revision,
            ..
        } => Row {
            facility: Some(sender.clone()),
            partner: other(sender, recipients),
            patient: patient.clone(),
            scope: revision.because.clone(),
            sha256: revision.report_sha256.clone(),
            outcome: format!(
                "stopped: {}",
                revision.sub_indication.as_deref().unwrap_or(&revision.indication)
            ),
        },
        Event::TrustChanged { trusted, .. } => Row {
            scope: "trust".into(),
            sha256: trusted.digest.clone(),
            outcome: "changed".into(),
            ..Row::default()
        },
        Event::FacilityAdded { facility, name } => Row {
            facility: Some(facility.clone()),
            scope: name.clone(),
            outcome: "added".into(),
            ..Row::default()
        },
        Event::CodeIssued { facility, expires, .. } => Row {
            facility: Some(facility.clone()),
            outcome: format!("issued until {expires}"),
            ..Row::default()
        },
        Event::DeviceEnrolled {
            facility,
            device,
            certificate_sha256,
            ..
        }
        | Event::DeviceRenewed {
            facility,
            device,
            certificate_sha256,
            ..
        } => Row {
            facility: Some(facility.clone()),
            scope: device.to_string(),
            sha256: certificate_sha256.clone(),
            outcome: if matches!(event, Event::DeviceEnrolled { .. }) {
                "enrolled"
            } else {
                "renewed"
            }
            .into(),
            ..Row::default()
        },
        Event::DeviceRevoked { facility, device } => Row {
            facility: Some(facility.clone()),
            scope: device.to_string(),
            outcome: "revoked".into(),
            ..Row::default()
        },
        Event::MemberAdded { facility, member, name } => Row {
            facility: Some(facility.clone()),
            scope: format!("{member} {name}"),
            outcome: "added".into(),
            ..Row::default()
        },
        Event::ArchiveMade {
            sender,
            recipients,
            patient,
            archive_sha256,
            stamps,
            stands_until,
            ..
        } => Row {
            facility: Some(sender.clone()),
            partner: other(sender, recipients),
            patient: patient.clone(),
            scope: "archive".into(),
            sha256: archive_sha256.clone(),
            outcome: format!("stamped {stamps}, stands until {stands_until}"),
        },
        Event::ErasureAnnounced {
            sender,
            recipients,
            patient,
            erase_after,
            ..
        } => Row {
            facility: Some(sender.clone()),
            partner: other(sender, recipients),
            patient: patient.clone(),
            scope: "*".into(),
            outcome: format!("erased after {erase_after}"),
            ..Row::default()
        },
        Event::ContainerErased {
            sender,
            recipients,
            patient,
            container_sha256,
            ..
        } => Row {
            facility: Some(sender.clone()),
            partner: other(sender, recipients),
            patient: patient.clone(),
            scope: "*".into(),
            sha256: container_sha256.clone(),
            outcome: "erased".into(),
        },
        Event::TrailRead {
            facility,
            from,
            to,
            format,
        } => Row {
            facility: facility.clone(),
            scope: format!("{format} {from}/{to}"),
            outcome: "read".into(),
            ..Row::default()
        },
    }
}

/// Categories once each, in the order of the documents.
fn named(documents: &[DocumentSummary], wanted: impl Fn(&DocumentSummary) -> bool) -> String {
    let mut names: Vec<String> = Vec::new();
    for document in documents.iter().filter(|document| wanted(document)) {
        let name = serde_json::to_value(document.category).ok();
        let name = name
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(";")
}

fn touches(access: &Access, document: &DocumentSummary) -> bool {
    let folder = document.path.ends_with('/');
    let within = |path: &str| path == "*" || path == document.path || (folder && path.starts_with(&document.path));
    // Part of a file is `PATH bytes FIRST-LAST`: who asks for all of it as a range has looked at it too.
    let whole = |path: &str| path.rsplit_once(" bytes ").is_some_and(|(path, _)| within(path));
    access.scope.iter().any(|path| within(path) || whole(path))
}

fn japan(utc: &str) -> String {
    let shown = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+09:00");
    let time = OffsetDateTime::parse(utc, &Rfc3339).ok();
    time.and_then(|time| time.to_offset(offset!(+9)).format(shown).ok())
        .unwrap_or_default()
}

/// [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) §2; what a spreadsheet would run as a formula is led by an apostrophe.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}
