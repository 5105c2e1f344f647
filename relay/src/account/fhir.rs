//! The account as [FHIR R4 `AuditEvent`](https://hl7.org/fhir/R4/auditevent.html) resources, one a line, after IHE BALP
//! ([Basic Audit Log Patterns](https://profiles.ihe.net/ITI/BALP/)).
//!
//! What the relay took in is a PrivacyDisclosure as its recipient records it, what a recipient read a PatientRead. All else
//! carries no profile, and DICOM's codes.

use serde_json::{Value, json};

use super::dicom::device_uri;
use super::entry::Entry;
use super::meaning::{self, Exchange, Meaning};
use super::row::Row;

const BALP: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ENTITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const LIFE_CYCLE: &str = "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle";
/// Kinds of records as codes.
const KIND: &str = "hikyaku:trail:kind";

/// Appends the line of a record.
pub(super) fn push(out: &mut Vec<u8>, row: &Row<'_>, relay: &str) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *out, &resource(row, relay));
    out.push(b'\n');
}

fn resource(row: &Row<'_>, relay: &str) -> Value {
    let (entry, meaning) = (row.entry, meaning::of(row.entry));
    let (kind, subtypes, profile) = what(entry, &meaning);
    let mut resource = json!({
        "resourceType": "AuditEvent",
        "id": format!("trail-{}", row.position),
        "type": kind,
        "subtype": subtypes,
        "action": meaning.action.to_string(),
        "recorded": entry.time.as_str(),
        "outcome": meaning.outcome.to_string(),
        "agent": agents(entry, &meaning, relay),
        "source": {
            "site": relay,
            "observer": observer(relay),
            "type": [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        "entity": entities(row, &meaning, relay),
    });
    let outcome = row.outcome.text();
    if let Some(object) = resource.as_object_mut() {
        if !outcome.is_empty() {
            object.insert("outcomeDesc".into(), outcome.into());
        }
        if let Some(profile) = profile {
            object.insert("meta".into(), json!({ "profile": [format!("{BALP}{profile}")] }));
        }
    }
    resource
}

/// Type, subtypes and profile.
fn what(entry: &Entry<'_>, meaning: &Meaning) -> (Value, Value, Option<&'static str>) {
    let own = coding(KIND, entry.kind.as_str(), entry.kind.as_str());
    match meaning.exchange {
        Exchange::Taken => {
            let disclose = coding(
                "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
                "disclose",
                "Disclose Record Lifecycle Event",
            );
            (
                coding(DCM, "110107", "Import"),
                json!([disclose, own]),
                Some("PrivacyDisclosure.Recipient"),
            )
        }
        Exchange::Read => {
            let rest = coding(
                "http://terminology.hl7.org/CodeSystem/audit-event-type",
                "rest",
                "Restful Operation",
            );
            let read = coding("http://hl7.org/fhir/restful-interaction", "read", "read");
            (rest, json!([read, own]), Some("PatientRead"))
        }
        Exchange::No => (
            coding(DCM, meaning.event.code, meaning.event.meaning),
            json!([own]),
            None,
        ),
    }
}

fn agents(entry: &Entry<'_>, meaning: &Meaning, relay: &str) -> Value {
    let actor = &entry.actor;
    let (person, device) = (!actor.person_id.is_empty(), !actor.device.is_empty());
    let (destination, source) = (("110152", "Destination Role ID"), ("110153", "Source Role ID"));
    let application = ("110150", "Application");
    let (device_role, relay_role) = match meaning.exchange {
        Exchange::Taken => (source, destination),
        Exchange::Read => (destination, source),
        Exchange::No => (application, application),
    };
    let mut agents = Vec::new();
    if person {
        let (code, meaning) = match meaning.exchange {
            Exchange::Read => ("IRCP", "information recipient"),
            _ => ("AUT", "author (originator)"),
        };
        agents.push(json!({
            "type": { "coding": [coding(PARTICIPATION, code, meaning)] },
            "who": {
                "identifier": { "system": format!("hikyaku:{}", actor.facility.as_str()), "value": actor.person_id.as_str() },
                "display": actor.person_name.as_str(),
            },
            "name": actor.person_name.as_str(),
            "requestor": true,
        }));
    }
    let typed = |(code, meaning): (&str, &str)| json!({ "coding": [coding(DCM, code, meaning)] });
    if device {
        let uri = device_uri(entry);
        let network = if actor.address.is_empty() {
            json!({ "address": uri, "type": "5" })
        } else {
            json!({ "address": actor.address.as_str(), "type": "2" })
        };
        agents.push(json!({
            "type": typed(device_role),
            "who": { "identifier": { "system": "urn:ietf:rfc:3986", "value": uri } },
            "requestor": !person,
            "network": network,
        }));
    }
    agents.push(json!({
        "type": typed(relay_role),
        "who": observer(relay),
        "requestor": !person && !device,
        "network": { "address": relay.split('/').next().unwrap_or(relay), "type": "1" },
    }));
    agents.into()
}

fn entities(row: &Row<'_>, meaning: &Meaning, relay: &str) -> Value {
    let entry = row.entry;
    let mut entities = Vec::new();
    if !entry.patient.is_empty() {
        entities.push(json!({
            "type": coding(ENTITY_TYPE, "1", "Person"),
            "role": coding(ENTITY_ROLE, "1", "Patient"),
            "what": {
                "type": "Patient",
                "identifier": { "system": patients_of(entry.sender.0.as_str()), "value": entry.patient.as_str() },
            },
        }));
    }
    let position = row.position.to_string();
    let numbers: Vec<String> = entry
        .facility_seq
        .0
        .iter()
        .map(|(facility, number)| format!("{} {number}", facility.as_str()))
        .collect();
    let (scope, categories, partner) = (row.scope.text(), row.categories.text(), row.partner.text());
    let details = [
        ("position", position.as_str()),
        ("facility_seq", &numbers.join(";")),
        ("partner", &partner),
        ("scope", &scope),
        ("category", &categories),
        ("sha256", row.sha256),
        ("assurance", entry.actor.assurance.as_str()),
    ];
    let details: Vec<Value> = details
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(kind, value)| json!({ "type": kind, "valueString": value }))
        .collect();
    let (role, name) = match entry.kind.as_str() {
        _ if !entry.submission.is_empty() => ("3", "Report"),
        "TrailRead" => ("13", "Security Resource"),
        _ => ("4", "Domain Resource"),
    };
    let identifier = if entry.submission.is_empty() {
        json!({ "system": "urn:ietf:rfc:3986", "value": format!("hikyaku-log:{relay}#{position}") })
    } else {
        json!({ "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", entry.submission.as_str()) })
    };
    let mut object = json!({
        "type": coding(ENTITY_TYPE, "2", "System Object"),
        "role": coding(ENTITY_ROLE, role, name),
        "what": { "identifier": identifier },
        "detail": details,
    });
    if let (Some(stage), Some(object)) = (meaning.life_cycle, object.as_object_mut()) {
        object.insert(
            "lifecycle".into(),
            json!({ "system": LIFE_CYCLE, "code": stage.to_string() }),
        );
    }
    entities.push(object);
    entities.into()
}

/// The relay as who observed.
fn observer(relay: &str) -> Value {
    json!({ "identifier": { "system": "hikyaku:log", "value": relay } })
}

/// System of the patient numbers of a facility: [JP Core](https://jpfhir.jp/fhir/core/)'s for one with an institution code.
fn patients_of(facility: &str) -> String {
    if facility.len() == 10 && facility.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("urn:oid:1.2.392.100495.20.3.51.1{facility}")
    } else {
        format!("hikyaku:{facility}")
    }
}

fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({ "system": system, "code": code, "display": display })
}
