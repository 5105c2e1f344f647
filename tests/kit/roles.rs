//! The hcRole extension, right and wrong: every way to get it wrong that a validator must notice.

use const_oid::ObjectIdentifier;
use der::Encode as _;
use formats::oid::{HEALTHCARE_ACTOR, JHPKI_CODED_DATA};

/// How to write an hcRole; the default is the deployed way (ISO 17090-2, CodedData a SET, explicit tags).
#[derive(Debug, Clone)]
pub struct RoleShape {
    /// The roles, one HCActor each.
    pub roles: Vec<String>,
    /// Coding scheme reference.
    pub scheme: ObjectIdentifier,
    /// Writes CodedData as SEQUENCE: wrong.
    pub coded_data_as_sequence: bool,
    /// Writes the tags inside CodedData as implicit: wrong.
    pub implicit_tags: bool,
    /// Writes one Attribute per role instead of one HCActor per role.
    pub attribute_per_role: bool,
    /// Writes codeDataValue `[1]` too: allowed, ignored.
    pub code_value: Option<String>,
}

impl RoleShape {
    /// The deployed way.
    #[must_use]
    pub fn of(roles: &[&str]) -> Self {
        Self {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            scheme: JHPKI_CODED_DATA,
            coded_data_as_sequence: false,
            implicit_tags: false,
            attribute_per_role: false,
            code_value: None,
        }
    }

    /// DER of SubjectDirectoryAttributes, the value of the extension 2.5.29.9.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut actors: Vec<Vec<u8>> = self.roles.iter().map(|role| self.actor(role)).collect();
        actors.sort();
        let attribute = |actors: &[Vec<u8>]| {
            let oid = HEALTHCARE_ACTOR.to_der().expect("an OID encodes");
            let values = tlv(0x31, &tlv(0x31, &actors.concat()));
            tlv(0x30, &[oid, values].concat())
        };
        let attributes = if self.attribute_per_role {
            actors
                .iter()
                .map(|actor| attribute(std::slice::from_ref(actor)))
                .collect()
        } else {
            vec![attribute(&actors)]
        };
        tlv(0x30, &attributes.concat())
    }

    fn actor(&self, role: &str) -> Vec<u8> {
        let scheme = self.scheme.to_der().expect("an OID encodes");
        let value = self.code_value.as_ref().map(|value| tlv(0x12, value.as_bytes()));
        let text = tlv(0x0c, role.as_bytes());
        let fields = [Some(scheme), value, Some(text)];
        let tagged = fields.into_iter().zip(0u8..).filter_map(|(field, tag)| {
            let field = field?;
            Some(if self.implicit_tags {
                [&[0x80 | tag], &field[1..]].concat()
            } else {
                tlv(0xa0 | tag, &field)
            })
        });
        let tag = if self.coded_data_as_sequence { 0x30 } else { 0x31 };
        tlv(0x30, &tlv(0xa0, &tlv(tag, &tagged.collect::<Vec<_>>().concat())))
    }
}

/// Tag, DER length, content.
#[must_use]
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    if length < 0x80 {
        bytes.push(length as u8);
    } else {
        let octets: Vec<u8> = length
            .to_be_bytes()
            .into_iter()
            .skip_while(|octet| *octet == 0)
            .collect();
        bytes.push(0x80 | octets.len() as u8);
        bytes.extend(octets);
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_bytes_real_cards_carry() {
        assert_eq!(
            hex::encode(RoleShape::of(&["Medical Doctor"]).encode()),
            "303430320606288185420001312831263024a0223120a00c060a2a830886910f01060101a2100c0e4d65646963616c20446f63746f72"
        );
    }
}
