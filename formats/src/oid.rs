//! Object identifiers, one place for all. Grouped under the document that assigns them.

use const_oid::ObjectIdentifier;

/// `id-hcpki-at-healthcareactor`, ISO 17090-2: the attribute that carries the profession.
pub const HEALTHCARE_ACTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.0.17090.0.1");
/// `id-jhpki-cdata`: the coding scheme of the Japanese qualifications, MHLW HPKI certificate policy.
pub const JHPKI_CODED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.100495.1.6.1.1");

/// `id-data`, RFC 5652 §4: content of any kind.
pub const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// `id-signedData`, RFC 5652 §5.1.
pub const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-contentType`, RFC 5652 §11.1.
pub const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// `id-messageDigest`, RFC 5652 §11.2.
pub const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// `id-signingTime`, RFC 5652 §11.3.
pub const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// `id-aa-CMSAlgorithmProtection`, RFC 6211 §2.
pub const CMS_ALGORITHM_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52");
/// `id-aa-signingCertificate`, RFC 5035 §5.4: version 1, SHA-1.
pub const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// `id-aa-signingCertificateV2`, RFC 5035 §5.4.
pub const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// `id-aa-timeStampToken`, RFC 3161 appendix A: a stamp over the signature value.
pub const SIGNATURE_TIME_STAMP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.14");
/// `id-ri-ocsp-response`, RFC 5940 §2.2: an OCSP response among the CRLs of a SignedData.
pub const RI_OCSP_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.16.2");
/// `id-ct-TSTInfo`, RFC 3161 §2.4.2.
pub const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// `id-aa-ets-certValues`, RFC 5126 §6.3.3.
pub const CERTIFICATE_VALUES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.23");
/// `id-aa-ets-revocationValues`, RFC 5126 §6.3.4.
pub const REVOCATION_VALUES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.24");
/// Adobe's RevocationInfoArchival, ISO 32000-1 §12.8.3.3.2: a signed attribute of plain CMS.
pub const ADOBE_REVOCATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113583.1.1.8");
/// `id-aa-ets-archiveTimestamp`, RFC 3126 and later: the first kind.
pub const ARCHIVE_TIME_STAMP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.27");
/// `id-aa-ets-archiveTimestampV2`, TS 101 733 §6.4.1.
pub const ARCHIVE_TIME_STAMP_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.48");
/// `id-aa-ets-archiveTimestampV3`, EN 319 122-1 §5.5.3.
pub const ARCHIVE_TIME_STAMP_V3: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1733.2.4");
/// `id-aa-ATSHashIndex`, TS 101 733 V2.2.1 §6.4.2.
pub const ATS_HASH_INDEX: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1733.2.5");
/// `id-aa-ATSHashIndex-v3`, EN 319 122-1 §5.5.2.
pub const ATS_HASH_INDEX_V3: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.19122.1.5");

/// `rsaEncryption`, RFC 8017 appendix C: PKCS #1 v1.5 whose hash is named elsewhere.
pub const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-mgf1`, RFC 8017 appendix C.
pub const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
/// `id-RSASSA-PSS`, RFC 8017 appendix C.
pub const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
/// `sha256WithRSAEncryption`, RFC 8017 appendix C.
pub const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// `sha384WithRSAEncryption`, RFC 8017 appendix C.
pub const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
/// `sha512WithRSAEncryption`, RFC 8017 appendix C.
pub const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
/// `ecdsa-with-SHA256`, RFC 5758 §3.2.
pub const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// `ecdsa-with-SHA384`, RFC 5758 §3.2.
pub const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// `ecdsa-with-SHA512`, RFC 5758 §3.2.
pub const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
