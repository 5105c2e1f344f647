//! CRLs: read once in one pass, entries sorted for look-up, the bytes kept. RFC 5280 §5.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as ids;
use der::Decode;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;

use super::distribution_point::{IssuingDistributionPoint, urls_of};
use super::{Budget, Reason, Revocation};
use crate::algorithm::{self, Accepted, AlgorithmError};
use crate::certificate::{Certificate, Malformed, parse_extensions};
use crate::name::DistinguishedName;
use crate::path::general_name::GeneralName;
use crate::tlv::{self, Cursor};

/// id-ce-expiredCertsOnCRL, X.509 §9.5.2.9
const EXPIRED_CERTS_ON_CRL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.60");
/// Issuers named in one indirect CRL.
const MAX_ISSUERS: u16 = 1_024;

/// Signatures verified for one validation. An archive of daily lists stays far below.
const MAX_VERIFICATIONS: usize = 16_384;
/// Keys whose signatures on lists are kept in mind.
const MAX_KEYS: usize = 64;

/// CRLs at hand, read once.
#[derive(Debug, Clone, Default)]
pub struct CrlPool {
    pub(super) crls: Vec<Crl>,
    by_issuer: HashMap<DistinguishedName, Vec<usize>>,
    /// Some did not parse or were too many.
    left_out: bool,
    /// Signatures verified so far.
    verified: Budget,
    keys: RefCell<Vec<(Accepted, SubjectPublicKeyInfoOwned)>>,
    /// Verdicts by positions of list and key.
    verdicts: RefCell<HashMap<(usize, usize), Result<(), AlgorithmError>>>,
}

impl CrlPool {
    /// More CRLs than this are not taken.
    pub const MAX: usize = 4_096;

    /// Whether `signer` signed the list at `position`, verified once; `None` if no more signatures are verified: what one validation
    /// spends on CRLs is bounded, whoever made them.
    pub(super) fn is_signed(
        &self,
        position: usize,
        crl: &Crl,
        signer: &Certificate,
        accepted: Accepted,
    ) -> Option<Result<(), AlgorithmError>> {
        let mut keys = self.keys.borrow_mut();
        let key = (accepted, signer.key.clone());
        let known = keys.iter().position(|known| *known == key).or_else(|| {
            let next = keys.len();
            (next < MAX_KEYS).then(|| {
                keys.push(key);
                next
            })
        });
        let place = known.map(|key| (position, key));
        if let Some(known) = place.and_then(|place| self.verdicts.borrow().get(&place).cloned()) {
            return Some(known);
        }
        if !self.verified.spend(MAX_VERIFICATIONS) {
            return None;
        }
        let verdict = crl.verify_accepting(&signer.key, accepted);
        if let Some(place) = place {
            self.verdicts.borrow_mut().insert(place, verdict.clone());
        }
        Some(verdict)
    }

    /// From now on what is spent here and there counts together.
    pub(crate) fn spend_with(&mut self, other: &Self) {
        self.verified = other.verified.clone();
    }

    /// Reads CRLs; those that do not parse are left out.
    #[must_use]
    pub fn from_der<'a>(crls: impl IntoIterator<Item = &'a Vec<u8>>) -> Self {
        let mut pool = Self::default();
        let mut crls = crls.into_iter();
        for bytes in crls.by_ref().take(Self::MAX) {
            match Crl::parse(bytes) {
                Ok(crl) => {
                    let of_issuer = pool.by_issuer.entry(crl.issuer.clone()).or_default();
                    of_issuer.push(pool.crls.len());
                    pool.crls.push(crl);
                }
                Err(_) => pool.left_out = true,
            }
        }
        pool.left_out |= crls.next().is_some();
        pool
    }

    /// Whether some of what was handed in could not be read, or was not.
    pub(crate) fn left_out(&self) -> bool {
        self.left_out
    }

    /// The newest of one issuer.
    pub(crate) fn newest(&self, issuer: &DistinguishedName) -> Option<&Crl> {
        let all = self.with_issuer(issuer).map(|(_, crl)| crl);
        all.max_by_key(|crl| crl.this_update)
    }

    /// Those of one issuer, with their positions.
    pub(super) fn with_issuer(&self, issuer: &DistinguishedName) -> impl Iterator<Item = (usize, &Crl)> {
        let positions = self.by_issuer.get(issuer).map(Vec::as_slice).unwrap_or_default();
        positions
            .iter()
            .filter_map(|position| Some((*position, self.crls.get(*position)?)))
    }
}

/// A CRL, full or delta, direct or indirect.
/// ```text
/// CertificateList ::= SEQUENCE { tbsCertList TBSCertList, signatureAlgorithm AlgorithmIdentifier, signature BIT STRING }
/// ```
#[derive(Clone)]
pub struct Crl {
    /// As handed in.
    pub(super) der: Vec<u8>,
    tbs: Range<usize>,
    pub(super) algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
    /// Who signed it.
    pub issuer: DistinguishedName,
    /// thisUpdate
    pub this_update: OffsetDateTime,
    /// nextUpdate
    pub next_update: Option<OffsetDateTime>,
    /// Content octets of CRLNumber.
    pub number: Option<Vec<u8>>,
    /// BaseCRLNumber: set in a delta.
    pub base_number: Option<Vec<u8>>,
    /// expiredCertsOnCRL
    pub expired_since: Option<OffsetDateTime>,
    pub(super) scope: Option<IssuingDistributionPoint>,
    /// The http(s) URLs of freshestCRL: where the delta on it is published.
    pub delta_urls: Vec<String>,
    /// A critical extension that is not understood: the CRL then says nothing.
    pub(super) not_understood: Option<ObjectIdentifier>,
    /// Issuers of the certificates listed; the first is the CRL's own.
    issuers: Vec<DistinguishedName>,
    /// Sorted by issuer and serial.
    entries: Vec<Entry>,
}

/// One line. There may be hundreds of thousands: small, and without anything of its own on the heap.
#[derive(Clone)]
struct Entry {
    issuer: u16,
    reason: Reason,
    /// Where the serial number stands.
    serial: Range<u32>,
    /// Seconds since 1970: CRLs know nothing finer.
    at: i64,
    /// Likewise; [`NO_DATE`] where there is none.
    invalidity_date: i64,
}

/// Earlier than any date that can be written.
const NO_DATE: i64 = i64::MIN;

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crl")
            .field("issuer", &self.issuer.to_string())
            .field("this_update", &self.this_update)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Crl {
    /// Reads one CRL.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are not one DER CRL.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let offset_of = |part: &[u8]| part.as_ptr().addr() - bytes.as_ptr().addr();
        let mut outer = Cursor::sequence_of(bytes)?;
        let tbs = outer.expect(tlv::SEQUENCE)?;
        let outer_algorithm = outer.expect(tlv::SEQUENCE)?.whole;
        let signature = tlv::octets_of_bits(outer.expect(tlv::BIT_STRING)?.value)?.to_vec();
        outer.finish()?;
        let mut fields = tbs.inside();
        if let Some(version) = fields.optional(tlv::INTEGER)?
            && version.value != [1]
        {
            return Err(Malformed("an unknown CRL version"));
        }
        if fields.expect(tlv::SEQUENCE)?.whole != outer_algorithm {
            return Err(Malformed("two different signature algorithms"));
        }
        let issuer = DistinguishedName::parse(fields.expect(tlv::SEQUENCE)?.whole)?;
        let this_update = fields.time()?;
        let next_update = match fields.peek() {
            Some(tlv::UTC_TIME | tlv::GENERALIZED_TIME) => Some(fields.time()?),
            _ => None,
        };
        let list = fields.optional(tlv::SEQUENCE)?;
        let mut crl = Self {
            der: bytes.to_vec(),
            tbs: offset_of(tbs.whole)..offset_of(tbs.whole) + tbs.whole.len(),
            algorithm: AlgorithmIdentifierOwned::from_der(outer_algorithm)
                .map_err(|_| Malformed("a signature algorithm that does not parse"))?,
            signature,
            issuers: vec![issuer.clone()],
            issuer,
            this_update,
            next_update,
            number: None,
            base_number: None,
            expired_since: None,
            scope: None,
            delta_urls: Vec::new(),
            not_understood: None,
            entries: Vec::new(),
        };
        if let Some(explicit) = fields.optional(0xa0)? {
            let mut inner = explicit.inside();
            crl.read_extensions(inner.expect(tlv::SEQUENCE)?.inside())?;
            inner.finish()?;
        }
        fields.finish()?;
        if let Some(list) = list {
            let mut issuers = HashMap::from([(crl.issuer.clone(), 0_u16)]);
            let mut current_issuer = 0;
            let mut list = list.inside();
            while !list.is_empty() {
                let mut entry = list.expect(tlv::SEQUENCE)?.inside();
                let serial = entry.expect(tlv::INTEGER)?.value;
                let at = entry.time()?;
                let mut read = Entry {
                    issuer: 0,
                    serial: short(offset_of(serial))?..short(offset_of(serial) + serial.len())?,
                    at: at.unix_timestamp(),
                    invalidity_date: NO_DATE,
                    reason: Reason::Unspecified,
                };
                if let Some(extensions) = entry.optional(tlv::SEQUENCE)? {
                    crl.read_entry_extensions(extensions.inside(), &mut read, &mut current_issuer, &mut issuers)?;
                }
                entry.finish()?;
                read.issuer = current_issuer;
                crl.entries.push(read);
            }
        }
        let der = &crl.der;
        // In place; of equal ones the first in the list comes first.
        let order = |entry: &Entry| entry.serial.start;
        crl.entries
            .sort_unstable_by(|a, b| key(der, a).cmp(&key(der, b)).then(order(a).cmp(&order(b))));
        Ok(crl)
    }

    fn read_extensions(&mut self, list: Cursor<'_>) -> Result<(), Malformed> {
        for extension in parse_extensions(list)? {
            let integer = |value: &[u8]| Cursor(value).expect(tlv::INTEGER).map(|found| found.value.to_vec());
            match extension.oid {
                ids::ID_CE_CRL_NUMBER => self.number = Some(integer(&extension.value)?),
                ids::ID_CE_DELTA_CRL_INDICATOR => self.base_number = Some(integer(&extension.value)?),
                ids::ID_CE_ISSUING_DISTRIBUTION_POINT => {
                    self.scope = Some(IssuingDistributionPoint::parse(&extension.value)?);
                }
                EXPIRED_CERTS_ON_CRL => self.expired_since = Some(Cursor(&extension.value).time()?),
                ids::ID_CE_FRESHEST_CRL => self.delta_urls = urls_of(&extension.value),
                ids::ID_CE_AUTHORITY_KEY_IDENTIFIER | ids::ID_CE_ISSUER_ALT_NAME => {}
                other if extension.critical => self.not_understood = Some(other),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_entry_extensions(
        &mut self,
        mut list: Cursor<'_>,
        entry: &mut Entry,
        current_issuer: &mut u16,
        issuers: &mut HashMap<DistinguishedName, u16>,
    ) -> Result<(), Malformed> {
        while !list.is_empty() {
            let mut fields = list.expect(tlv::SEQUENCE)?.inside();
            let oid = fields.oid()?;
            let critical = fields.boolean()?.unwrap_or(false);
            let mut value = Cursor(fields.expect(tlv::OCTET_STRING)?.value);
            match oid {
                ids::ID_CE_CRL_REASONS => match value.expect(tlv::ENUMERATED)?.value {
                    [code] => entry.reason = Reason::from_code(*code),
                    _ => return Err(Malformed("a reason code that does not parse")),
                },
                ids::ID_CE_INVALIDITY_DATE => entry.invalidity_date = value.time()?.unix_timestamp(),
                ids::ID_CE_CERTIFICATE_ISSUER => {
                    let names = GeneralName::parse_all(value.expect(tlv::SEQUENCE)?.inside())?;
                    let name = names.into_iter().find_map(|name| match name {
                        GeneralName::Directory(name) => Some(name),
                        _ => None,
                    });
                    let name = name.ok_or(Malformed("a certificate issuer without directory name"))?;
                    *current_issuer = match (issuers.get(&name), u16::try_from(self.issuers.len())) {
                        (Some(position), _) => *position,
                        (None, Ok(next)) if next < MAX_ISSUERS => {
                            self.issuers.push(name.clone());
                            issuers.insert(name, next);
                            next
                        }
                        _ => return Err(Malformed("more certificate issuers than are read")),
                    };
                }
                other if critical => self.not_understood = Some(other),
                _ => {}
            }
        }
        Ok(())
    }

    /// The names of its signature's algorithms, if `key` signs with such ones.
    pub(crate) fn algorithm_names(&self, key: &SubjectPublicKeyInfoOwned) -> Vec<String> {
        algorithm::algorithm_names(&self.algorithm, None, key).unwrap_or_default()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it lists nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry for a certificate.
    #[must_use]
    pub fn find(&self, issuer: &DistinguishedName, serial: &[u8]) -> Option<Revocation> {
        let (issuer, _) = (0..MAX_ISSUERS)
            .zip(&self.issuers)
            .find(|(_, known)| *known == issuer)?;
        let first = self
            .entries
            .partition_point(|entry| key(&self.der, entry) < (issuer, serial));
        let same = self.entries.get(first..).unwrap_or_default().iter();
        let same = same.take_while(|entry| key(&self.der, entry) == (issuer, serial));
        // Of a serial number listed twice the strictest entry decides: for good before on hold before lifted, and the earliest.
        let entry = same.min_by_key(|entry| (leniency(entry.reason), entry.at))?;
        Some(Revocation {
            at: OffsetDateTime::from_unix_timestamp(entry.at).ok()?,
            reason: entry.reason,
            // What marks that there is none is no time either.
            invalidity_date: OffsetDateTime::from_unix_timestamp(entry.invalidity_date).ok(),
            this_update: self.this_update,
        })
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// As [`algorithm::verify`].
    pub fn verify_signature(&self, key: &SubjectPublicKeyInfoOwned) -> Result<(), AlgorithmError> {
        self.verify_accepting(key, Accepted::Listed)
    }

    /// As [`Self::verify_signature`], with SHA-1 where `accepted` says so.
    pub(crate) fn verify_accepting(
        &self,
        key: &SubjectPublicKeyInfoOwned,
        accepted: Accepted,
    ) -> Result<(), AlgorithmError> {
        let tbs = self.der.get(self.tbs.clone()).unwrap_or_default();
        algorithm::verify_accepting(accepted, &self.algorithm, key, tbs, &self.signature)
    }
}

fn leniency(reason: Reason) -> u8 {
    match reason {
        Reason::RemoveFromCrl => 2,
        Reason::CertificateHold => 1,
        _ => 0,
    }
}

fn key<'a>(der: &'a [u8], entry: &Entry) -> (u16, &'a [u8]) {
    let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let serial = der.get(place(entry.serial.start)..place(entry.serial.end));
    (entry.issuer, serial.unwrap_or_default())
}

fn short(position: usize) -> Result<u32, Malformed> {
    u32::try_from(position).map_err(|_| Malformed("a CRL of four gigabytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlv::{BIT_STRING, INTEGER, SEQUENCE, UTC_TIME};

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        let octets: Vec<u8> = length
            .to_be_bytes()
            .into_iter()
            .skip_while(|octet| *octet == 0)
            .collect();
        let header = match length {
            0..0x80 => vec![tag, length as u8],
            _ => [vec![tag, 0x80 | octets.len() as u8], octets].concat(),
        };
        [header, content.to_vec()].concat()
    }

    /// A CRL with `count` entries in falling order, unsigned.
    fn crl(count: u32) -> Vec<u8> {
        let algorithm = tlv(SEQUENCE, &[0x06, 0x03, 0x2a, 0x03, 0x04]);
        let time = tlv(UTC_TIME, b"220906180000Z");
        let reason = tlv(
            SEQUENCE,
            &tlv(SEQUENCE, &[0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01, 0x05]),
        );
        let entries: Vec<u8> = (0..count)
            .rev()
            .flat_map(|serial| {
                let serial = tlv(INTEGER, &(serial + 0x0100_0000).to_be_bytes());
                tlv(SEQUENCE, &[serial, time.clone(), reason.clone()].concat())
            })
            .collect();
        let name = tlv(SEQUENCE, &[]);
        let list = if count > 0 { tlv(SEQUENCE, &entries) } else { Vec::new() };
        let tbs = [vec![INTEGER, 1, 1], algorithm.clone(), name, time, list].concat();
        tlv(
            SEQUENCE,
            &[tlv(SEQUENCE, &tbs), algorithm, tlv(BIT_STRING, &[0, 1])].concat(),
        )
    }

    #[test]
    fn large_lists_are_read_once_and_searched() {
        let bytes = crl(300_000);
        let read = Crl::parse(&bytes).unwrap();
        assert_eq!(read.len(), 300_000);
        let found = read.find(&read.issuer, &0x0100_1234_u32.to_be_bytes()).unwrap();
        assert_eq!(found.reason, Reason::CessationOfOperation);
        assert!(read.find(&read.issuer, &[7]).is_none());
    }

    #[test]
    fn of_a_serial_number_listed_twice_the_strictest_entry_decides() {
        let mut read = Crl::parse(&crl(3)).unwrap();
        let day = |day: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::days(day);
        let serial = read.entries[1].serial.clone();
        let mut entry = |reason, at| {
            let serial = serial.clone();
            read.entries.insert(
                1,
                Entry {
                    issuer: 0,
                    serial,
                    at: day(at).unix_timestamp(),
                    reason,
                    invalidity_date: NO_DATE,
                },
            );
            let found = read.find(&read.issuer, &0x0100_0001_u32.to_be_bytes()).unwrap();
            (found.reason, found.at)
        };
        let own = entry(Reason::RemoveFromCrl, 1);
        assert_eq!(own.0, Reason::CessationOfOperation);
        assert_eq!(entry(Reason::CertificateHold, 2), own);
        assert_eq!(entry(Reason::KeyCompromise, 3), (Reason::KeyCompromise, day(3)));
    }

    #[test]
    fn every_truncation_and_flip_is_read_or_refused() {
        let bytes = crl(3);
        for end in 0..bytes.len() {
            assert!(Crl::parse(&bytes[..end]).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let _ = Crl::parse(&changed);
        }
    }
}
