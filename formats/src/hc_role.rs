//! hcRole, ISO 17090-2: the profession a certificate attests.
//!
//! ```asn1
//! SubjectDirectoryAttributes ::= SEQUENCE SIZE (1..MAX) OF Attribute       -- RFC 5280 §4.2.1.8
//! HCActorData ::= SET OF HCActor                                           -- value of id-hcpki-at-healthcareactor
//! HCActor ::= SEQUENCE {
//!     codedData             [0] EXPLICIT CodedData,
//!     regionalHCActorData   [1] EXPLICIT SEQUENCE OF RegionalData OPTIONAL } -- not used
//! CodedData ::= SET {                                                      -- a SET, not a SEQUENCE
//!     codingSchemeReference [0] EXPLICIT OBJECT IDENTIFIER,                -- id-jhpki-cdata
//!     codeDataValue         [1] EXPLICIT NumericString OPTIONAL,           -- not used
//!     codeDataFreeText      [2] EXPLICIT DirectoryString }
//! ```

use crate::oid;
use crate::tlv::{self, Element, TlvError};

/// A role as the certificate states it: the English text itself is the code, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HcRole(pub String);

/// What a certificate says about professions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    /// The roles of every attribute and every actor, in the order sent.
    pub roles: Vec<HcRole>,
    /// Why something that looks like a role is none.
    pub warnings: Vec<String>,
}

/// Reads the value of the extension subjectDirectoryAttributes (2.5.29.9).
///
/// Never fails: what does not follow the rules is no role, and a warning says why. No role at all is legal and means that the
/// certificate asserts no qualification.
#[must_use]
pub fn roles(subject_directory_attributes: &[u8]) -> Roles {
    let mut found = Roles::default();
    if let Err(error) = read_attributes(subject_directory_attributes, &mut found) {
        found.warn(&format!("subjectDirectoryAttributes cannot be read: {error}"));
    }
    found
}

/// The value of the extension subjectDirectoryAttributes that states `roles`: one attribute, one HCActor per role.
#[must_use]
pub fn encode(roles: &[HcRole]) -> Vec<u8> {
    let actors = roles.iter().map(encode_actor).collect();
    let actor_data = tlv::encode_set_of(tlv::SET, actors);
    let values = tlv::encode(tlv::SET, &[&actor_data]);
    let attribute = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&oid::HEALTHCARE_ACTOR), &values]);
    tlv::encode(tlv::SEQUENCE, &[&attribute])
}

const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_1: u8 = 0xa1;
const EXPLICIT_2: u8 = 0xa2;
/// No card carries more than a handful; a certificate with more is somebody's attempt to be expensive.
const MAX_ROLES: usize = 64;

impl Roles {
    fn warn(&mut self, warning: &str) {
        if self.warnings.len() < MAX_ROLES {
            self.warnings.push(warning.to_owned());
        }
    }
}

fn encode_actor(role: &HcRole) -> Vec<u8> {
    let scheme = tlv::encode(EXPLICIT_0, &[&tlv::encode_oid(&oid::JHPKI_CODED_DATA)]);
    let text = tlv::encode(EXPLICIT_2, &[&tlv::encode(UTF8_STRING, &[role.0.as_bytes()])]);
    let coded_data = tlv::encode(tlv::SET, &[&scheme, &text]);
    tlv::encode(tlv::SEQUENCE, &[&tlv::encode(EXPLICIT_0, &[&coded_data])])
}

fn read_attributes(bytes: &[u8], found: &mut Roles) -> Result<(), TlvError> {
    tlv::check_nesting(bytes)?;
    let sequence = Element::only(bytes)?;
    sequence.tagged(tlv::SEQUENCE)?;
    let mut attributes = sequence.children();
    while let Some(attribute) = attributes.next()? {
        attribute.tagged(tlv::SEQUENCE)?;
        let mut parts = attribute.children();
        if parts.any()?.oid()? != oid::HEALTHCARE_ACTOR {
            continue;
        }
        let values = parts.expect(tlv::SET)?;
        parts.finish()?;
        let mut values = values.children();
        while let Some(actor_data) = values.next()? {
            actor_data.tagged(tlv::SET)?;
            let mut actors = actor_data.children();
            while let Some(actor) = actors.next()? {
                if found.roles.len() >= MAX_ROLES {
                    return Err(TlvError("too many roles"));
                }
                match read_actor(&actor) {
                    Ok(role) => found.roles.push(role),
                    Err(reason) => found.warn(&format!("an HCActor is no role: {reason}")),
                }
            }
        }
    }
    Ok(())
}

fn read_actor(actor: &Element<'_>) -> Result<HcRole, TlvError> {
    actor.tagged(tlv::SEQUENCE)?;
    let mut parts = actor.children();
    let coded_data = parts.expect(EXPLICIT_0)?.explicit()?;
    if let Some(regional) = parts.optional(EXPLICIT_1)? {
        regional.explicit()?.tagged(tlv::SEQUENCE)?;
    }
    parts.finish()?;
    if coded_data.tag != tlv::SET {
        return Err(TlvError("CodedData is not an explicitly tagged SET"));
    }
    let (mut scheme, mut value, mut text) = (None, None, None);
    let mut members = coded_data.children();
    while let Some(member) = members.next()? {
        // A SET: certificates written by hand need not have the order DER asks for.
        let slot = match member.tag {
            EXPLICIT_0 => &mut scheme,
            EXPLICIT_1 => &mut value,
            EXPLICIT_2 => &mut text,
            _ => {
                return Err(TlvError(
                    "CodedData has a member that is not explicitly tagged [0], [1] or [2]",
                ));
            }
        };
        if slot.replace(member.explicit()?).is_some() {
            return Err(TlvError("CodedData has a member twice"));
        }
    }
    if scheme.ok_or(TlvError("CodedData names no coding scheme"))?.oid()? != oid::JHPKI_CODED_DATA {
        return Err(TlvError("the coding scheme is not id-jhpki-cdata"));
    }
    if let Some(value) = value {
        value.tagged(NUMERIC_STRING)?;
    }
    let text = text.ok_or(TlvError("CodedData has no text"))?;
    let text = match text.tag {
        UTF8_STRING | PRINTABLE_STRING => {
            std::str::from_utf8(text.content).map_err(|_| TlvError("the text is not UTF-8"))
        }
        _ => Err(TlvError("the text is neither UTF8String nor PrintableString")),
    }?;
    if text.is_empty() {
        return Err(TlvError("the text is empty"));
    }
    Ok(HcRole(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    /// Extension values; the first two are those of test cards in the field.
    const VECTORS: [(&[&str], &str); 6] = [
        (
            &["Medical Doctor"],
            "303430320606288185420001312831263024a0223120a00c060a2a830886910f01060101a2100c0e4d65646963616c20446f63746f72",
        ),
        (
            &["Pharmacist"],
            "3030302e0606288185420001312431223020a01e311ca00c060a2a830886910f01060101a20c0c0a506861726d6163697374",
        ),
        (
            &["Dentist"],
            "302d302b06062881854200013121311f301da01b3119a00c060a2a830886910f01060101a2090c0744656e74697374",
        ),
        (
            &["General Nurse"],
            "303330310606288185420001312731253023a021311fa00c060a2a830886910f01060101a20f0c0d47656e6572616c204e75727365",
        ),
        (
            &["Director of Hospital"],
            "303a30380606288185420001312e312c302aa0283126a00c060a2a830886910f01060101a2160c144469726563746f72206f6620486f73706974616c",
        ),
        (
            &["Medical Doctor", "Director of Hospital"],
            "3060305e0606288185420001315431523024a0223120a00c060a2a830886910f01060101a2100c0e4d65646963616c20446f63746f72302aa0283126a00c060a2a830886910f01060101a2160c144469726563746f72206f6620486f73706974616c",
        ),
    ];

    fn named(names: &[&str]) -> Vec<HcRole> {
        names.iter().map(|name| HcRole((*name).to_owned())).collect()
    }

    /// An extension value around one HCActor.
    fn around(actor: &[u8]) -> Vec<u8> {
        let values = tlv::encode(tlv::SET, &[&tlv::encode(tlv::SET, &[actor])]);
        let attribute = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&oid::HEALTHCARE_ACTOR), &values]);
        tlv::encode(tlv::SEQUENCE, &[&attribute])
    }

    #[test]
    fn known_values_are_read_and_written_byte_for_byte() {
        for (names, hex) in VECTORS {
            let bytes = hex::decode(hex).unwrap();
            assert_eq!(
                roles(&bytes),
                Roles {
                    roles: named(names),
                    warnings: vec![]
                }
            );
            assert_eq!(hex::encode(encode(&named(names))), hex);
        }
    }

    #[test]
    fn code_value_and_regional_part_are_ignored() {
        let actor = base64::engine::general_purpose::STANDARD
            .decode("MCugJTEjoAwGCiqDCIaRDwEGAQGhBRIDMTIzogwMClBoYXJtYWNpc3ShAjAA")
            .unwrap();
        assert_eq!(roles(&around(&actor)).roles, named(&["Pharmacist"]));
    }

    #[test]
    fn roles_of_two_attributes_are_both_found() {
        let attribute = |name: &str| {
            let extension = encode(&named(&[name]));
            Element::only(&extension).unwrap().content.to_vec()
        };
        let both = tlv::encode(tlv::SEQUENCE, &[&attribute("Dentist"), &attribute("Medical Doctor")]);
        assert_eq!(roles(&both).roles, named(&["Dentist", "Medical Doctor"]));
    }

    #[test]
    fn what_breaks_a_rule_is_no_role() {
        let scheme = tlv::encode(EXPLICIT_0, &[&tlv::encode_oid(&oid::JHPKI_CODED_DATA)]);
        let other_scheme = tlv::encode(EXPLICIT_0, &[&tlv::encode_oid(&oid::HEALTHCARE_ACTOR)]);
        let implicit_scheme = tlv::encode(0x80, &[oid::JHPKI_CODED_DATA.as_bytes()]);
        let text = |tag: u8, text: &[u8]| tlv::encode(EXPLICIT_2, &[&tlv::encode(tag, &[text])]);
        let good = text(UTF8_STRING, b"Dentist");
        let actor = |set: u8, members: &[&[u8]]| {
            tlv::encode(
                tlv::SEQUENCE,
                &[&tlv::encode(EXPLICIT_0, &[&tlv::encode(set, members)])],
            )
        };
        let printable = actor(tlv::SET, &[&scheme, &text(PRINTABLE_STRING, b"Dentist")]);
        assert_eq!(roles(&around(&printable)).roles, named(&["Dentist"]));
        assert_eq!(
            roles(&around(&actor(tlv::SET, &[&good, &scheme]))).roles,
            named(&["Dentist"]),
            "any order"
        );
        for (why, bad) in [
            ("a SEQUENCE", actor(tlv::SEQUENCE, &[&scheme, &good])),
            ("another scheme", actor(tlv::SET, &[&other_scheme, &good])),
            ("an implicit tag inside", actor(tlv::SET, &[&implicit_scheme, &good])),
            (
                "an implicit tag outside",
                tlv::encode(tlv::SEQUENCE, &[&tlv::encode(EXPLICIT_0, &[&scheme, &good])]),
            ),
            ("no scheme", actor(tlv::SET, &[&good])),
            ("no text", actor(tlv::SET, &[&scheme])),
            ("two texts", actor(tlv::SET, &[&scheme, &good, &good])),
            ("not UTF-8", actor(tlv::SET, &[&scheme, &text(UTF8_STRING, &[0xff])])),
            ("empty", actor(tlv::SET, &[&scheme, &text(UTF8_STRING, b"")])),
            ("another string", actor(tlv::SET, &[&scheme, &text(0x1e, b"\0D")])),
        ] {
            let found = roles(&around(&bad));
            assert!(found.roles.is_empty(), "{why}");
            assert_eq!(found.warnings.len(), 1, "{why}");
        }
    }

    #[test]
    fn garbage_is_a_warning_never_a_panic() {
        for (_, hex) in VECTORS {
            let bytes = hex::decode(hex).unwrap();
            for cut in 0..bytes.len() {
                let found = roles(&bytes[..cut]);
                assert!(found.roles.is_empty() && found.warnings.len() == 1, "cut at {cut}");
                for value in [0x00, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    changed[cut] = value;
                    let _ = roles(&changed);
                }
            }
        }
    }
}
