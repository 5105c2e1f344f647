//! Certificates and CRLs written by hand over P-256 keys made once: no library stands between the plan and its bytes.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use time::OffsetDateTime;

/// ecdsa-with-SHA256, RFC 5758 §3.2
const ALGORITHM: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey on P-256, RFC 5480 §2.1.1
const KEY_ALGORITHM: &[u8] = &[
    0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head.as_slice(), content].concat()
}

/// An extension by the last arcs of its number below id-ce (2.5.29).
pub(crate) fn extension(id: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut fields = vec![6, 3, 0x55, 0x1d, id];
    if critical {
        fields.extend([1, 1, 0xff]);
    }
    fields.extend(tlv(4, value));
    tlv(0x30, &fields)
}

/// C=JP, O=…, CN=…
pub(crate) fn name(parts: &[(u8, &str)]) -> Vec<u8> {
    let all: Vec<u8> = parts
        .iter()
        .flat_map(|(kind, text)| {
            let tag = if *kind == 6 { 0x13 } else { 0x0c };
            let attribute = [&[6, 3, 0x55, 4, *kind], tlv(tag, text.as_bytes()).as_slice()].concat();
            tlv(0x31, &tlv(0x30, &attribute))
        })
        .collect();
    tlv(0x30, &all)
}

pub(crate) fn time(at: OffsetDateTime) -> Vec<u8> {
    let text = format!(
        "{:02}{:02}{:02}{:02}{:02}{:02}Z",
        at.year() % 100,
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    tlv(0x17, text.as_bytes())
}

pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            random: SystemRandom::new(),
        }
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        let point = [&[0], self.pair.public_key().as_ref()].concat();
        tlv(0x30, &[KEY_ALGORITHM, &tlv(3, &point)].concat())
    }

    /// A few octets of the point name the key.
    fn identifier(&self) -> &[u8] {
        &self.pair.public_key().as_ref()[1..21]
    }

    /// authorityKeyIdentifier of what this key signs.
    fn authority_key_identifier(&self) -> Vec<u8> {
        extension(35, false, &tlv(0x30, &tlv(0x80, self.identifier())))
    }

    pub(crate) fn sign(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&self.random, tbs).unwrap();
        let bits = [&[0], signature.as_ref()].concat();
        tlv(0x30, &[tbs, ALGORITHM, &tlv(3, &bits)].concat())
    }
}

pub(crate) struct Certificate<'a> {
    pub(crate) serial: u16,
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) validity: (OffsetDateTime, OffsetDateTime),
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Certificate<'_> {
    pub(crate) fn signed(&self, key: &Signer, by: &Signer) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        extensions.push(extension(14, false, &tlv(4, key.identifier())));
        extensions.push(by.authority_key_identifier());
        let tbs = [
            tlv(0xa0, &[2, 1, 2]),
            number(self.serial),
            ALGORITHM.to_vec(),
            self.issuer.to_vec(),
            tlv(0x30, &[time(self.validity.0), time(self.validity.1)].concat()),
            self.subject.to_vec(),
            key.public(),
            tlv(0xa3, &tlv(0x30, &extensions.concat())),
        ];
        by.sign(&tlv(0x30, &tbs.concat()))
    }
}

pub(crate) fn number(value: u16) -> Vec<u8> {
    let octets = value.to_be_bytes();
    match octets {
        [0, low @ 0..0x80] => vec![2, 1, low],
        [0, low] => vec![2, 2, 0, low],
        [high @ 0..0x80, low] => vec![2, 2, high, low],
        [high, low] => vec![2, 3, 0, high, low],
    }
}

pub(crate) struct List<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) updates: (OffsetDateTime, OffsetDateTime),
    /// Serial number, reason, and the entry's certificateIssuer in an indirect list.
    pub(crate) entries: Vec<(u16, Option<u8>, Option<Vec<u8>>)>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl List<'_> {
    pub(crate) fn signed(&self, by: &Signer, revoked_at: OffsetDateTime) -> Vec<u8> {
        let entries: Vec<u8> = self
            .entries
            .iter()
            .flat_map(|(serial, reason, issuer)| {
                let mut extensions = Vec::new();
                extensions.extend(reason.map(|code| extension(21, false, &[0x0a, 1, code])));
                extensions.extend(
                    issuer
                        .as_ref()
                        .map(|name| extension(29, true, &tlv(0x30, &tlv(0xa4, name)))),
                );
                let mut fields = [number(*serial), time(revoked_at)].concat();
                if !extensions.is_empty() {
                    fields.extend(tlv(0x30, &extensions.concat()));
                }
                tlv(0x30, &fields)
            })
            .collect();
        let mut tbs = [
            vec![2, 1, 1],
            ALGORITHM.to_vec(),
            self.issuer.to_vec(),
            time(self.updates.0),
            time(self.updates.1),
        ]
        .concat();
        if !entries.is_empty() {
            tbs.extend(tlv(0x30, &entries));
        }
        let mut extensions = self.extensions.clone();
        extensions.push(by.authority_key_identifier());
        tbs.extend(tlv(0xa0, &tlv(0x30, &extensions.concat())));
        by.sign(&tlv(0x30, &tbs))
    }
}
