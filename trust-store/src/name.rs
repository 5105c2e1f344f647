//! Distinguished names: RFC 4514 strings for people, and the comparison of RFC 5280 §7.1 for machines.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::sync::OnceLock;

use const_oid::ObjectIdentifier;
use der::Encode;
use unicode_normalization::UnicodeNormalization;

use crate::tlv::{Cursor, Malformed, SET};

/// A name as people read it: RFC 4514, last component first, UTF-8 as it is.
#[must_use]
pub fn for_people(name: &x509_cert::name::Name) -> String {
    let parsed = name
        .to_der()
        .ok()
        .and_then(|bytes| DistinguishedName::parse(&bytes).ok());
    parsed.map(|name| name.to_string()).unwrap_or_default()
}

/// A Name as sent, with what comparison needs.
///
/// Two names are equal under RFC 5280 §7.1 when their components agree after the string preparation of RFC 4518: strings of
/// every type become Unicode, what nobody sees (soft hyphens, joiners, variation selectors, control characters) falls away, then
/// NFKC, lower case, white space trimmed and collapsed (U+3000 is white space). So 山田 太郎 in full or half width, composed or
/// decomposed, is one name. Values that are not strings, or do not decode, compare by their bytes.
#[derive(Debug, Clone, Eq)]
pub struct DistinguishedName {
    der: Vec<u8>,
    /// One key per relative distinguished name.
    keys: Vec<Vec<u8>>,
    /// As people read it, once somebody asked: a report names the same few again and again.
    text: OnceLock<String>,
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl std::hash::Hash for DistinguishedName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
    }
}

/// More components than any name has.
const MAX_COMPONENTS: usize = 128;

impl DistinguishedName {
    /// Reads the DER of a Name.
    /// ```text
    /// Name ::= SEQUENCE OF SET SIZE (1..MAX) OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
    /// ```
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(der: &[u8]) -> Result<Self, Malformed> {
        let mut keys = Vec::new();
        for component in components(der)? {
            let mut parts: Vec<Vec<u8>> = component.iter().map(Attribute::key).collect();
            parts.sort();
            keys.push(match parts.as_mut_slice() {
                [only] => std::mem::take(only),
                several => several.concat(),
            });
        }
        Ok(Self {
            der: der.to_vec(),
            keys,
            text: OnceLock::new(),
        })
    }

    /// The bytes as sent.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it has no component.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it lies in the subtree under `base`, RFC 5280 §4.2.1.10.
    #[must_use]
    pub fn is_under(&self, base: &Self) -> bool {
        self.keys.starts_with(&base.keys)
    }

    /// This name with one more component, given as the content of its SET: `nameRelativeToCRLIssuer`.
    pub(crate) fn extended(&self, relative: &[u8]) -> Result<Self, Malformed> {
        let mut content = Cursor::sequence_of(&self.der)?.0.to_vec();
        content.extend(encode(SET, relative));
        Self::parse(&encode(crate::tlv::SEQUENCE, &content))
    }

    /// Values of attributes of one type that are strings.
    pub(crate) fn strings(&self, of: &ObjectIdentifier) -> Vec<String> {
        let all = components(&self.der).unwrap_or_default();
        all.iter()
            .flatten()
            .filter(|attribute| attribute.kind == *of)
            .filter_map(Attribute::text)
            .map(Cow::into_owned)
            .collect()
    }

    fn written(&self) -> String {
        let mut text = String::new();
        for (index, component) in components(&self.der).unwrap_or_default().iter().rev().enumerate() {
            if index > 0 {
                text.push(',');
            }
            for (index, attribute) in component.iter().enumerate() {
                if index > 0 {
                    text.push('+');
                }
                attribute.write(&mut text);
            }
        }
        text
    }
}

impl Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.get_or_init(|| self.written()))
    }
}

struct Attribute<'a> {
    kind: ObjectIdentifier,
    tag: u8,
    value: &'a [u8],
    whole: &'a [u8],
}

fn components(der: &[u8]) -> Result<Vec<Vec<Attribute<'_>>>, Malformed> {
    let mut sequence = Cursor::sequence_of(der)?;
    let mut all = Vec::new();
    let mut count = 0;
    while !sequence.is_empty() {
        let mut set = sequence.expect(SET)?.inside();
        let mut component = Vec::new();
        while !set.is_empty() {
            let mut attribute = set.expect(crate::tlv::SEQUENCE)?.inside();
            let kind = attribute.oid()?;
            let value = attribute.next()?;
            attribute.finish()?;
            component.push(Attribute {
                kind,
                tag: value.tag,
                value: value.value,
                whole: value.whole,
            });
            count += 1;
            if count > MAX_COMPONENTS {
                return Err(Malformed("a name of too many components"));
            }
        }
        if component.is_empty() {
            return Err(Malformed("a name with an empty component"));
        }
        all.push(component);
    }
    Ok(all)
}

impl<'a> Attribute<'a> {
    /// The value as Unicode, if it is a string that decodes.
    fn text(&self) -> Option<Cow<'a, str>> {
        match self.tag {
            // UTF8String
            0x0c => std::str::from_utf8(self.value).ok().map(Cow::Borrowed),
            // NumericString, PrintableString, IA5String, VisibleString: ASCII, read without complaint about the repertoire
            0x12 | 0x13 | 0x16 | 0x1a if self.value.is_ascii() => {
                std::str::from_utf8(self.value).ok().map(Cow::Borrowed)
            }
            // TeletexString: read as Latin-1, as everybody does
            0x14 => Some(
                self.value
                    .iter()
                    .map(|octet| char::from(*octet))
                    .collect::<String>()
                    .into(),
            ),
            // BMPString
            0x1e if self.value.len().is_multiple_of(2) => {
                let units = self
                    .value
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|pair| u16::from_be_bytes(*pair));
                let text: Option<String> = char::decode_utf16(units).collect::<Result<_, _>>().ok();
                text.map(Cow::Owned)
            }
            // UniversalString
            0x1c if self.value.len().is_multiple_of(4) => {
                let units = self.value.as_chunks::<4>().0.iter();
                let text: Option<String> = units.map(|four| char::from_u32(u32::from_be_bytes(*four))).collect();
                text.map(Cow::Owned)
            }
            _ => None,
        }
    }

    fn key(&self) -> Vec<u8> {
        let (kind, value) = match self.text() {
            Some(text) => (b's', Cow::Owned(prepared(&text).into_bytes())),
            None => (b'b', Cow::Borrowed(self.whole)),
        };
        let oid = self.kind.as_bytes();
        let mut key = Vec::with_capacity(oid.len() + value.len() + 10);
        key.extend((oid.len() as u32).to_be_bytes());
        key.extend(oid);
        key.push(kind);
        key.extend((value.len() as u32).to_be_bytes());
        key.extend_from_slice(&value);
        key
    }

    /// As RFC 4514 writes it. Writing to a String cannot fail.
    fn write(&self, out: &mut String) {
        match short_name(&self.kind) {
            Some(name) => out.push_str(name),
            None => {
                let _ = write!(out, "{}", self.kind);
            }
        }
        let Some(text) = self.text() else {
            out.push_str("=#");
            out.push_str(&hex::encode(self.whole));
            return;
        };
        out.push('=');
        let last = text.chars().count().saturating_sub(1);
        for (index, c) in text.chars().enumerate() {
            match c {
                '#' if index == 0 => out.push_str("\\#"),
                ' ' if index == 0 || index == last => out.push_str("\\ "),
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
                // Control characters and those that reorder text could dress one name as another.
                '\0'..='\x1f'
                | '\x7f'..='\u{9f}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    let mut buffer = [0; 4];
                    for octet in c.encode_utf8(&mut buffer).bytes() {
                        let _ = write!(out, "\\{octet:02X}");
                    }
                }
                _ => out.push(c),
            }
        }
    }
}

/// RFC 4514 §3, and serialNumber and emailAddress, by which cards are told apart.
fn short_name(kind: &ObjectIdentifier) -> Option<&'static str> {
    use const_oid::db::{rfc3280, rfc4519};
    Some(match *kind {
        rfc4519::CN => "CN",
        rfc4519::L => "L",
        rfc4519::ST => "ST",
        rfc4519::O => "O",
        rfc4519::OU => "OU",
        rfc4519::C => "C",
        rfc4519::STREET => "STREET",
        rfc4519::DC => "DC",
        rfc4519::UID => "UID",
        rfc4519::SERIAL_NUMBER => "serialNumber",
        rfc3280::EMAIL_ADDRESS => "emailAddress",
        _ => return None,
    })
}

/// A string as RFC 4518 §2 prepares it for comparison.
fn prepared(text: &str) -> String {
    // Printable ASCII is in every normal form already, and most names are nothing else.
    let folded: String = if text.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
        let plain = text.to_ascii_lowercase();
        if !plain.starts_with(' ') && !plain.ends_with(' ') && !plain.contains("  ") {
            return plain;
        }
        plain
    } else {
        let seen = text.chars().filter(|c| !is_mapped_to_nothing(*c));
        let lower = seen.nfkc().collect::<String>().to_lowercase();
        // Where case folding is more than lower case (RFC 3454 table B.2), in the letters that names have.
        lower.replace('ß', "ss").replace('ς', "σ").nfkc().collect()
    };
    let mut words = folded.split_whitespace();
    let mut result = words.next().unwrap_or_default().to_owned();
    for word in words {
        result.push(' ');
        result.push_str(word);
    }
    result
}

/// RFC 4518 §2.2, characters mapped to nothing. Those that are mapped to SPACE are white space anyway.
fn is_mapped_to_nothing(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{ad}' | '\u{34f}'
        | '\u{6dd}' | '\u{70f}' | '\u{1806}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}')
}

fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
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
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(components: &[(&[u8], u8, &[u8])]) -> DistinguishedName {
        let content: Vec<u8> = components
            .iter()
            .flat_map(|(oid, tag, value)| {
                encode(SET, &encode(0x30, &[encode(0x06, oid), encode(*tag, value)].concat()))
            })
            .collect();
        DistinguishedName::parse(&encode(0x30, &content)).unwrap()
    }

    const CN: &[u8] = &[0x55, 4, 3];
    const C: &[u8] = &[0x55, 4, 6];

    #[test]
    fn people_read_rfc_4514() {
        let japanese = name(&[(C, 0x13, b"JP"), (CN, 0x0c, "山田　太郎, #1".as_bytes())]);
        assert_eq!(japanese.to_string(), "CN=山田　太郎\\, #1,C=JP");
        let odd = name(&[(CN, 0x13, b" a\x00 "), (CN, 0x04, b"\x01")]);
        assert_eq!(odd.to_string(), "CN=#040101,CN=\\ a\\00\\ ");
    }

    #[test]
    fn comparison_folds_type_case_and_white_space() {
        let one = name(&[(CN, 0x13, b"  Good   CA ")]);
        assert_eq!(one, name(&[(CN, 0x0c, b"good ca")]));
        assert_eq!(one, name(&[(CN, 0x0c, "Good\u{3000}ＣＡ".as_bytes())]));
        assert_ne!(one, name(&[(CN, 0x0c, b"goodca")]));
        assert_ne!(one, name(&[(C, 0x0c, b"good ca")]));
        assert!(name(&[(C, 0x13, b"jp"), (CN, 0x13, b"x")]).is_under(&name(&[(C, 0x0c, b"JP")])));
        assert!(!name(&[(C, 0x13, b"jp")]).is_under(&name(&[(CN, 0x0c, b"JP")])));
    }

    #[test]
    fn japanese_names_are_one_in_every_normal_form() {
        let plain = name(&[(CN, 0x0c, "東京ガス 病院".as_bytes())]);
        for other in [
            "東京ｶﾞｽ 病院",
            "東京カ\u{3099}ス\u{3000}病院",
            "東\u{ad}京ガス\u{200b}\u{a0} 病院",
            "東京ガス\u{fe0e} 病院 ",
        ] {
            assert_eq!(plain, name(&[(CN, 0x0c, other.as_bytes())]), "{other}");
        }
        // BMPString
        let wide: Vec<u8> = "東京ガス 病院".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(plain, name(&[(CN, 0x1e, &wide)]));
        for other in ["東京カス 病院", "東京ガス病院", "東京がす 病院"] {
            assert_ne!(plain, name(&[(CN, 0x0c, other.as_bytes())]), "{other}");
        }
        assert_eq!(
            name(&[(CN, 0x0c, "Straße".as_bytes())]),
            name(&[(CN, 0x13, b"STRASSE")])
        );
    }

    #[test]
    fn relative_names_append() {
        let base = name(&[(C, 0x13, b"JP")]);
        let relative = encode(0x30, &[encode(0x06, CN), encode(0x13, b"CRL1")].concat());
        assert_eq!(
            base.extended(&relative).unwrap(),
            name(&[(C, 0x13, b"JP"), (CN, 0x13, b"CRL1")])
        );
    }
}
