//! GeneralName, RFC 5280 §4.2.1.6, as far as paths and CRLs need it.

use const_oid::ObjectIdentifier;

use crate::name::DistinguishedName;
use crate::tlv::{self, Cursor, Malformed, Tlv};

/// One name of any form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GeneralName {
    /// rfc822Name [1]
    Rfc822(String),
    /// dNSName [2]
    Dns(String),
    /// directoryName [4]
    Directory(DistinguishedName),
    /// uniformResourceIdentifier [6]
    Uri(String),
    /// iPAddress [7]: 4 or 16 octets, in constraints 8 or 32
    Ip(Vec<u8>),
    /// otherName [0] with its type
    Other(ObjectIdentifier, Vec<u8>),
    /// x400Address [3], ediPartyName [5], registeredID [8], with the whole value
    Unread(u8, Vec<u8>),
}

impl GeneralName {
    pub(crate) fn parse(name: Tlv<'_>) -> Result<Self, Malformed> {
        let text = || match std::str::from_utf8(name.value) {
            Ok(text) if text.is_ascii() => Ok(text.to_owned()),
            _ => Err(Malformed("a name that is not ASCII")),
        };
        Ok(match name.tag {
            0xa0 => Self::Other(name.inside().oid()?, name.whole.to_vec()),
            0x81 => Self::Rfc822(text()?),
            0x82 => Self::Dns(text()?),
            0xa4 => Self::Directory(DistinguishedName::parse(name.value)?),
            0x86 => Self::Uri(text()?),
            0x87 => Self::Ip(name.value.to_vec()),
            0xa3 | 0xa5 | 0x88 => Self::Unread(name.tag, name.whole.to_vec()),
            _ => return Err(Malformed("a name of an unknown form")),
        })
    }

    /// All names in the content of a GeneralNames.
    pub(crate) fn parse_all(mut list: Cursor<'_>) -> Result<Vec<Self>, Malformed> {
        let mut names = Vec::new();
        while !list.is_empty() {
            names.push(Self::parse(list.next()?)?);
        }
        Ok(names)
    }

    /// The names of a subjectAltName.
    pub(crate) fn of_extension(value: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut cursor = Cursor(value);
        let list = cursor.expect(tlv::SEQUENCE)?.inside();
        cursor.finish()?;
        Self::parse_all(list)
    }
}
