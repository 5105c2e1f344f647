"""Judges FHIR AuditEvent resources, one a line on standard input: the structure of R4 by `fhir.resources`, and the rules of the
IHE BALP profile a resource claims. Prints one JSON object a line; exits 1 at the first resource that is none."""

import json
import sys

from fhir.resources.R4B.auditevent import AuditEvent

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DCM = "http://dicom.nema.org/resources/ontology/DCM"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
READ = "http://hl7.org/fhir/restful-interaction"
ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"


def agents(event, system, code):
    """The agents of the slice that a type names."""
    typed = [agent for agent in event.agent if agent.type]
    return [agent for agent in typed if any((c.system, c.code) == (system, code) for c in agent.type.coding)]


def only(found, what):
    assert len(found) == 1, f"{len(found)} {what}, not one"
    return found[0]


def patient(event):
    """Both profiles: one patient, known by a logical reference."""
    found = only([e for e in event.entity if (e.type.system, e.type.code) == (ENTITY, "1")], "patients")
    assert (found.role.system, found.role.code) == (ROLE, "1"), "the patient's role"
    assert found.what.type == "Patient" and found.what.identifier.value, "a reference to a patient"


def read(event):
    assert (event.type.system, event.type.code) == (REST, "rest"), "type"
    assert any((s.system, s.code) == (READ, "read") for s in event.subtype), "subtype"
    assert (event.action, event.outcome) == ("R", "0"), "action and outcome"
    client = only(agents(event, DCM, "110152"), "clients")
    server = only(agents(event, DCM, "110153"), "servers")
    for agent in (client, server):
        assert agent.who and agent.network and not agent.media, "who and network"
    users = agents(event, PARTICIPATION, "IRCP")
    assert len(users) <= 1, "users"
    for user in users:
        assert user.who and user.requestor and not user.network and not user.media, "the user"
    data = only([e for e in event.entity if (e.type.system, e.type.code) == (ENTITY, "2")], "data")
    assert data.role.system == ROLE and data.role.code in ("3", "4", "20") and data.what, "data"
    patient(event)


def disclosed(event):
    assert (event.type.system, event.type.code) == (DCM, "110107"), "type"
    assert event.action == "C" and event.outcome, "action and outcome"
    assert any((s.system, s.code) == (LIFECYCLE, "disclose") for s in event.subtype), "subtype"
    source = only(agents(event, DCM, "110153"), "sources")
    recipient = only(agents(event, DCM, "110152"), "recipients")
    for agent in (source, recipient):
        assert agent.who and agent.network, "who and network"
    assert recipient.who == event.source.observer, "val-audit-source"
    assert len(event.entity) >= 2 and not event.modifierExtension, "entities"
    patient(event)


RULES = {BALP + "PatientRead": read, BALP + "PrivacyDisclosure.Recipient": disclosed}

for number, line in enumerate(sys.stdin, 1):
    try:
        event = AuditEvent.model_validate_json(line)
        assert sum(bool(agent.requestor) for agent in event.agent) == 1, "one who asks for it"
        profiles = event.meta.profile if event.meta else []
        for profile in profiles:
            RULES[profile](event)
    except Exception as error:  # noqa: BLE001: whatever it is, the resource is wrong
        sys.exit(f"line {number}: {type(error).__name__}: {error}\n{line}")
    print(json.dumps({"id": event.id, "profiles": [profile.removeprefix(BALP) for profile in profiles]}))
