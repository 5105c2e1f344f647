//! Archives of containers and signatures: with the house's own maker where it has one, put together by hand where it has none.

use std::io::Cursor;

use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerInfo, SignerInfos};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911;
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode as _, Encode as _, Sequence};
use formats::asice::Container;
use formats::asice::archive::{Archive, derive};
use formats::cades::with_evidence;
use formats::digest::DigestAlgorithm;
use formats::oid::{CERTIFICATE_VALUES, REVOCATION_VALUES};
use time::OffsetDateTime;
use x509_cert::attr::Attribute;

use crate::hpki::{Ca, TestHpki};
use crate::revocation_lists::{CrlSpec, Revoked};
use crate::roles::tlv;
use crate::tsa::{TokenSpec, algorithm_identifier};
use crate::x509::encoded;

/// id-aa-ets-archiveTimestamp
pub const ARCHIVE_TIME_STAMP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.27");
/// id-aa-ets-archiveTimestampV2
pub const ARCHIVE_TIME_STAMP_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.48");
/// id-aa-ets-archiveTimestampV3
pub const ARCHIVE_TIME_STAMP_V3: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1733.2.4");
/// id-aa-ATSHashIndex
pub const ATS_HASH_INDEX: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1733.2.5");
/// id-aa-ATSHashIndex-v3
pub const ATS_HASH_INDEX_V3: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.19122.1.5");

const SIGNATURE: &str = "META-INF/signature001.p7s";

/// How an archive stamp inside a signature is made.
#[derive(Debug, Clone)]
pub struct Inside {
    /// The stamp.
    pub token: TokenSpec,
    /// Which index; its hash.
    pub index: ObjectIdentifier,
    /// Hash of imprint and index.
    pub digest: DigestAlgorithm,
    /// Hash of the index, where it is another.
    pub index_digest: Option<DigestAlgorithm>,
    /// Leave these attributes out of the index.
    pub leave_out: Vec<ObjectIdentifier>,
}

impl Inside {
    /// A whole index of version 3.
    #[must_use]
    pub fn at(gen_time: OffsetDateTime) -> Self {
        Self {
            token: TokenSpec::at(gen_time),
            index: ATS_HASH_INDEX_V3,
            digest: DigestAlgorithm::Sha256,
            index_digest: None,
            leave_out: Vec::new(),
        }
    }
}

impl TestHpki {
    /// Every list a letter needs, as issued at `this_update`: of the signing CA, of the root, of the time stamp authority.
    #[must_use]
    pub fn lists(&self, this_update: OffsetDateTime, revoked: &[(Ca, Revoked)]) -> Vec<Vec<u8>> {
        let of = |ca: Ca| CrlSpec {
            revoked: revoked
                .iter()
                .filter(|(by, _)| *by == ca)
                .map(|(_, line)| line.clone())
                .collect(),
            ..CrlSpec::at(this_update)
        };
        vec![
            self.crl(Ca::Sign, of(Ca::Sign)),
            self.sarl(of(Ca::Root)),
            self.crl(Ca::TsaRoot, of(Ca::TsaRoot)),
        ]
    }

    /// The container whose first signature carries `crls` too: level B-LT.
    ///
    /// # Panics
    /// If it is no container of the kit.
    #[must_use]
    pub fn with_lists(&self, container: Vec<u8>, crls: &[Vec<u8>]) -> Vec<u8> {
        let mut reader = Cursor::new(container);
        let read = Container::read(&mut reader).expect("reading memory");
        let signature = read.signatures.iter().find(|file| file.name == SIGNATURE);
        let bytes = &signature.expect("a signature").bytes;
        let mut archive = Archive::new(read.sha256);
        let extended = with_evidence(bytes, &[], crls, &[]).expect("lists of the kit");
        archive.put(SIGNATURE, extended).expect("a name of an archive");
        derived(&mut reader, &archive)
    }

    /// The container with one more archive stamp; the token of the one before carries `crls`. `change` may spoil the manifest.
    ///
    /// # Panics
    /// If it is no container of the kit.
    #[must_use]
    pub fn archived(
        &self,
        container: Vec<u8>,
        crls: &[Vec<u8>],
        token: TokenSpec,
        change: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut reader = Cursor::new(container);
        let read = Container::read(&mut reader).expect("reading memory");
        let mut archive = Archive::of(&read, &mut reader).expect("the newest archive manifest");
        if let Some((name, before)) = archive.newest_token(&read).expect("an archive of the kit") {
            let extended = with_evidence(&before, &[], crls, &[]).expect("lists of the kit");
            archive.put(&name, extended).expect("a name of an archive");
        }
        let mut next = archive.next_manifest(&read).expect("room for one more");
        next.bytes = change(next.bytes);
        let imprint = DigestAlgorithm::Sha256.digest(&next.bytes);
        let token = self.tsa_token(DigestAlgorithm::Sha256, &imprint, token);
        archive.stamp(next, token);
        derived(&mut reader, &archive)
    }

    /// A signature with an archive-time-stamp-v3 over all there is, but what `inside` leaves out.
    ///
    /// # Panics
    /// If it is no signature of the kit.
    #[must_use]
    pub fn archived_v3(&self, signature: &[u8], content: &[u8], inside: &Inside) -> Vec<u8> {
        let digest = inside.digest;
        let in_index = inside.index_digest.unwrap_or(digest);
        let signed = read(signature);
        let hashes = |items: Vec<Vec<u8>>| {
            let hashes = items.iter().flat_map(|item| tlv(0x04, &in_index.digest(item)));
            tlv(0x30, &hashes.collect::<Vec<u8>>())
        };
        let signer = signer(&signed);
        let attributes: Vec<&Attribute> = signer.unsigned_attrs.iter().flat_map(SetOfVec::iter).collect();
        let named = attributes
            .into_iter()
            .filter(|attribute| !inside.leave_out.contains(&attribute.oid));
        let named: Vec<Vec<u8>> = if inside.index == ATS_HASH_INDEX_V3 {
            named
                .flat_map(|attribute| {
                    let kind = encoded(&attribute.oid);
                    attribute
                        .values
                        .iter()
                        .map(move |value| [kind.clone(), encoded(value)].concat())
                })
                .collect()
        } else {
            named.map(encoded).collect()
        };
        let certificates = signed
            .certificates
            .iter()
            .flat_map(|set| set.0.iter())
            .map(encoded)
            .collect();
        let lists = signed.crls.iter().flat_map(|set| set.0.iter()).map(encoded).collect();
        let stated = match in_index {
            DigestAlgorithm::Sha256 if inside.index == ATS_HASH_INDEX => Vec::new(),
            digest => encoded(&algorithm_identifier(digest)),
        };
        let index = tlv(
            0x30,
            &[stated, hashes(certificates), hashes(lists), hashes(named)].concat(),
        );
        let whole = [
            encoded(&signed.encap_content_info.econtent_type),
            digest.digest(content),
            fields(signer),
            index.clone(),
        ];
        let token = self.tsa_token(digest, &digest.digest(&whole.concat()), inside.token.clone());
        let token = with_attribute(&token, inside.index, &index);
        with_attribute(signature, ARCHIVE_TIME_STAMP_V3, &token)
    }

    /// A signature with the attributes certificate-values and revocation-values of RFC 5126 §6.3. `responses`: OCSPResponses, of which
    /// the attribute takes the BasicOCSPResponses.
    ///
    /// # Panics
    /// If it is no signature of the kit.
    #[must_use]
    pub fn with_values(
        &self,
        signature: &[u8],
        certificates: &[Vec<u8>],
        crls: &[Vec<u8>],
        responses: &[Vec<u8>],
    ) -> Vec<u8> {
        let basic = responses.iter().map(|response| {
            let response = OcspAnswer::from_der(response).expect("an answer of the kit");
            response.bytes.response.as_bytes().to_vec()
        });
        let basic: Vec<Vec<u8>> = basic.collect();
        let lists = |tag: u8, items: &[Vec<u8>]| match items {
            [] => Vec::new(),
            some => tlv(tag, &tlv(0x30, &some.concat())),
        };
        let revocation = tlv(0x30, &[lists(0xa0, crls), lists(0xa1, &basic)].concat());
        let signature = with_attribute(signature, CERTIFICATE_VALUES, &tlv(0x30, &certificates.concat()));
        with_attribute(&signature, REVOCATION_VALUES, &revocation)
    }

    /// A signature with an archive-time-stamp-v2 over all there is.
    ///
    /// # Panics
    /// If it is no signature of the kit.
    #[must_use]
    pub fn archived_v2(&self, signature: &[u8], content: &[u8], token: TokenSpec) -> Vec<u8> {
        let outside = match read(signature).encap_content_info.econtent {
            Some(_) => &[],
            None => content,
        };
        self.archived_whole(ARCHIVE_TIME_STAMP_V2, signature, outside, token)
    }

    /// A signature with an archive time stamp of the first kind, as TS 101 733 1.5.1 to 1.6.3 have it: content outside is not in it.
    ///
    /// # Panics
    /// If it is no signature of the kit.
    #[must_use]
    pub fn archived_v1(&self, signature: &[u8], token: TokenSpec) -> Vec<u8> {
        self.archived_whole(ARCHIVE_TIME_STAMP, signature, &[], token)
    }

    /// A signature with an archive time stamp over all there is, `outside` after its encapContentInfo.
    ///
    /// # Panics
    /// If it is no signature of the kit.
    #[must_use]
    pub fn archived_whole(
        &self,
        kind: ObjectIdentifier,
        signature: &[u8],
        outside: &[u8],
        token: TokenSpec,
    ) -> Vec<u8> {
        let signed = read(signature);
        let signer = signer(&signed);
        let retagged = |tag: u8, mut der: Vec<u8>| {
            der[0] = tag;
            der
        };
        let whole = [
            encoded(&signed.encap_content_info),
            outside.to_vec(),
            signed
                .certificates
                .as_ref()
                .map_or_else(Vec::new, |set| retagged(0xa0, encoded(set))),
            signed
                .crls
                .as_ref()
                .map_or_else(Vec::new, |set| retagged(0xa1, encoded(set))),
            fields(signer),
            signer
                .unsigned_attrs
                .as_ref()
                .map_or_else(|| tlv(0xa1, &[]), |set| retagged(0xa1, encoded(set))),
        ];
        let imprint = DigestAlgorithm::Sha256.digest(&whole.concat());
        let token = self.tsa_token(DigestAlgorithm::Sha256, &imprint, token);
        with_attribute(signature, kind, &token)
    }
}

/// RFC 6960 §4.2.1 OCSPResponse that is an answer.
#[derive(Sequence)]
struct OcspAnswer {
    status: Any,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    bytes: ResponseBytes,
}

/// RFC 6960 §4.2.1 ResponseBytes.
#[derive(Sequence)]
struct ResponseBytes {
    kind: ObjectIdentifier,
    response: OctetString,
}

fn derived(reader: &mut Cursor<Vec<u8>>, archive: &Archive) -> Vec<u8> {
    let mut out = Vec::new();
    derive(reader, archive, &mut out).expect("a container of the kit");
    out
}

fn read(cms: &[u8]) -> SignedData {
    let info = ContentInfo::from_der(cms).expect("a ContentInfo of the kit");
    info.content.decode_as().expect("a SignedData of the kit")
}

fn signer(signed: &SignedData) -> &SignerInfo {
    signed.signer_infos.0.iter().next().expect("one signer")
}

/// The SignerInfo up to its signature value, without header.
fn fields(signer: &SignerInfo) -> Vec<u8> {
    let bare = SignerInfo {
        unsigned_attrs: None,
        ..signer.clone()
    };
    let whole = Any::from_der(&encoded(&bare)).expect("own DER reads back");
    whole.value().to_vec()
}

/// The signature or token with one more unsigned attribute.
fn with_attribute(cms: &[u8], oid: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    let mut signed = read(cms);
    let mut signer = signer(&signed).clone();
    let mut attributes = signer.unsigned_attrs.take().map_or_else(Vec::new, SetOfVec::into_vec);
    let value = Any::from_der(value).expect("own DER reads back");
    attributes.push(Attribute {
        oid,
        values: SetOfVec::try_from(vec![value]).expect("one value makes a set"),
    });
    signer.unsigned_attrs = Some(SetOfVec::try_from(attributes).expect("attributes make a set"));
    signed.signer_infos = SignerInfos::try_from(vec![signer]).expect("one signer makes a set");
    let info = ContentInfo {
        content_type: rfc5911::ID_SIGNED_DATA,
        content: Any::from_der(&signed.to_der().expect("own DER")).expect("own DER reads back"),
    };
    encoded(&info)
}
