//! The account as audit messages: [DICOM PS3.15 A.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part15/sect_A.5.html),
//! one XML document a line.
//!
//! ```text
//! AuditMessage = EventIdentification, ActiveParticipant+, AuditSourceIdentification, ParticipantObjectIdentification*
//! ```

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::Entry;
use super::meaning::{self, Coded, Exchange, Meaning};
use super::row::{List, Row};
use crate::store::StoredRecord;

/// Appends the line of a record.
pub(super) fn push(out: &mut Vec<u8>, row: &Row<'_>, relay: &str) {
    out.extend_from_slice(document(row, relay).as_bytes());
    out.push(b'\n');
}

/// A stored record as time and audit message; `None` if it is erased or no record of version 1.
pub(crate) fn audit_message(stored: &StoredRecord, relay: &str) -> Option<(String, String)> {
    let entry = Entry::read(&stored.content.as_ref()?.body)?;
    let mut row = Row::of(stored.position, &entry, None);
    // Receivers take at least 32,768 octets (PS3.15 A.6); what was too long to name whole is named by its beginning.
    let scope = row.scope.text();
    if scope.len() > MAX_SCOPE {
        let end = (0..=MAX_SCOPE)
            .rev()
            .find(|end| scope.is_char_boundary(*end))
            .unwrap_or_default();
        row.scope = List::Made(format!("{}…", scope.get(..end).unwrap_or_default()));
    }
    Some((entry.time.as_str().to_owned(), document(&row, relay)))
}

/// Bytes of a scope in a message that goes over syslog.
const MAX_SCOPE: usize = 16 << 10;

fn document(row: &Row<'_>, relay: &str) -> String {
    let (entry, meaning) = (row.entry, meaning::of(row.entry));
    let mut xml = String::with_capacity(2048);
    xml.push_str("<AuditMessage>");
    event(&mut xml, row, &meaning);
    participants(&mut xml, entry, &meaning, relay);
    xml.push_str("<AuditSourceIdentification");
    attribute(&mut xml, "AuditSourceID", relay);
    xml.push_str("><AuditSourceTypeCode csd-code=\"4\"/></AuditSourceIdentification>");
    objects(&mut xml, row, &meaning, relay);
    xml.push_str("</AuditMessage>");
    xml
}

fn event(xml: &mut String, row: &Row<'_>, meaning: &Meaning) {
    let entry = row.entry;
    let _ = write!(xml, "<EventIdentification EventActionCode=\"{}\"", meaning.action);
    attribute(xml, "EventDateTime", entry.time.as_str());
    let _ = write!(xml, " EventOutcomeIndicator=\"{}\">", meaning.outcome);
    dicom(xml, "EventID", &meaning.event);
    coded(
        xml,
        "EventTypeCode",
        entry.kind.as_str(),
        "Hikyaku",
        entry.kind.as_str(),
    );
    if meaning.outcome != 0 {
        xml.push_str("<EventOutcomeDescription>");
        text(xml, &row.outcome.text());
        xml.push_str("</EventOutcomeDescription>");
    }
    xml.push_str("</EventIdentification>");
}

/// Who took part: the person, the machine, the relay.
fn participants(xml: &mut String, entry: &Entry<'_>, meaning: &Meaning, relay: &str) {
    let actor = &entry.actor;
    let (person, device) = (!actor.person_id.is_empty(), !actor.device.is_empty());
    // Of what is taken in the device is where it comes from; of what is read, where it goes.
    let role = match meaning.exchange {
        Exchange::Taken => Some((SOURCE, DESTINATION)),
        Exchange::Read => Some((DESTINATION, SOURCE)),
        Exchange::No => None,
    };
    if person {
        let id = format!("{}:{}", actor.facility.as_str(), actor.person_id.as_str());
        participant(xml, (&id, actor.person_name.as_str()), true, None, None);
    }
    if device {
        let id = device_uri(entry);
        let network = (!actor.address.is_empty()).then(|| (actor.address.as_str(), '2'));
        participant(
            xml,
            (&id, ""),
            !person,
            role.as_ref().map(|(device, _)| device),
            network,
        );
    }
    let name = relay.split('/').next().unwrap_or(relay);
    let requestor = !person && !device;
    participant(
        xml,
        (relay, ""),
        requestor,
        role.as_ref().map(|(_, relay)| relay),
        Some((name, '1')),
    );
}

/// Names a device as its certificate does.
pub(super) fn device_uri(entry: &Entry<'_>) -> String {
    format!(
        "hikyaku:{}:{}",
        entry.actor.facility.as_str(),
        entry.actor.device.as_str()
    )
}

const SOURCE: Coded = Coded {
    code: "110153",
    meaning: "Source Role ID",
};
const DESTINATION: Coded = Coded {
    code: "110152",
    meaning: "Destination Role ID",
};

fn participant(
    xml: &mut String,
    (id, name): (&str, &str),
    requestor: bool,
    role: Option<&Coded>,
    network: Option<(&str, char)>,
) {
    xml.push_str("<ActiveParticipant");
    attribute(xml, "UserID", id);
    if !name.is_empty() {
        attribute(xml, "UserName", name);
    }
    let _ = write!(xml, " UserIsRequestor=\"{requestor}\"");
    if let Some((address, kind)) = network {
        attribute(xml, "NetworkAccessPointID", address);
        let _ = write!(xml, " NetworkAccessPointTypeCode=\"{kind}\"");
    }
    match role {
        Some(role) => {
            xml.push('>');
            dicom(xml, "RoleIDCode", role);
            xml.push_str("</ActiveParticipant>");
        }
        None => xml.push_str("/>"),
    }
}

/// What it was about: patient, submission, and the record itself with all it says.
fn objects(xml: &mut String, row: &Row<'_>, meaning: &Meaning, relay: &str) {
    let entry = row.entry;
    if !entry.patient.is_empty() {
        object(xml, entry.patient.as_str(), ("1", "1"), None);
        coded(xml, "ParticipantObjectIDTypeCode", "2", "RFC-3881", "Patient Number");
        named(xml, entry.patient.as_str());
        detail(xml, "assigned-by", entry.sender.0.as_str());
        xml.push_str(END);
    }
    if !entry.submission.is_empty() {
        object(xml, entry.submission.as_str(), ("2", "3"), meaning.life_cycle);
        coded(xml, "ParticipantObjectIDTypeCode", "9", "RFC-3881", "Report Number");
        named(xml, entry.submission.as_str());
        detail(xml, "scope", &row.scope.text());
        detail(xml, "category", &row.categories.text());
        detail(xml, "sha256", row.sha256);
        xml.push_str(END);
    }
    let (id, role) = match entry.kind.as_str() {
        // PS3.15 A.5.3.2: the log that was read is named by its URI.
        "TrailRead" => (format!("hikyaku-log:{relay}"), "13"),
        _ => (format!("{relay}#{}", row.position), "13"),
    };
    let life_cycle = meaning.life_cycle.filter(|_| entry.submission.is_empty());
    object(xml, &id, ("2", role), life_cycle);
    coded(xml, "ParticipantObjectIDTypeCode", "12", "RFC-3881", "URI");
    named(xml, "Security Audit Log");
    detail(xml, "position", &row.position.to_string());
    for (facility, number) in &entry.facility_seq.0 {
        detail(xml, "facility_seq", &format!("{} {number}", facility.as_str()));
    }
    detail(xml, "partner", &row.partner.text());
    if entry.submission.is_empty() {
        detail(xml, "scope", &row.scope.text());
        detail(xml, "sha256", row.sha256);
    }
    detail(xml, "outcome", &row.outcome.text());
    detail(xml, "assurance", entry.actor.assurance.as_str());
    xml.push_str(END);
}

const END: &str = "</ParticipantObjectIdentification>";

fn object(xml: &mut String, id: &str, (kind, role): (&str, &str), life_cycle: Option<u8>) {
    xml.push_str("<ParticipantObjectIdentification");
    attribute(xml, "ParticipantObjectID", id);
    attribute(xml, "ParticipantObjectTypeCode", kind);
    attribute(xml, "ParticipantObjectTypeCodeRole", role);
    if let Some(stage) = life_cycle {
        let _ = write!(xml, " ParticipantObjectDataLifeCycle=\"{stage}\"");
    }
    xml.push('>');
}

/// The schema wants a name; the trail has none of patients.
fn named(xml: &mut String, name: &str) {
    xml.push_str("<ParticipantObjectName>");
    text(xml, name);
    xml.push_str("</ParticipantObjectName>");
}

/// Values are base64: what they hold is no markup.
fn detail(xml: &mut String, kind: &str, value: &str) {
    if !value.is_empty() {
        xml.push_str("<ParticipantObjectDetail");
        attribute(xml, "type", kind);
        attribute(xml, "value", &STANDARD.encode(value));
        xml.push_str("/>");
    }
}

fn dicom(xml: &mut String, element: &str, code: &Coded) {
    coded(xml, element, code.code, "DCM", code.meaning);
}

fn coded(xml: &mut String, element: &str, code: &str, system: &str, meaning: &str) {
    let _ = write!(xml, "<{element}");
    attribute(xml, "csd-code", code);
    attribute(xml, "codeSystemName", system);
    attribute(xml, "originalText", meaning);
    xml.push_str("/>");
}

fn attribute(xml: &mut String, name: &str, value: &str) {
    let _ = write!(xml, " {name}=\"");
    text(xml, value);
    xml.push('"');
}

/// [XML 1.0](https://www.w3.org/TR/xml/#charsets): what no document may hold becomes U+FFFD.
fn text(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(xml, "&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
}
