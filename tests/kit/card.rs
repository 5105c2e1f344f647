//! Cards: what to issue, and what was issued.

use const_oid::ObjectIdentifier;
use der::flagset::FlagSet;
use formats::digest::DigestAlgorithm;
use time::OffsetDateTime;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};
use x509_cert::name::Name;

use crate::hpki::Ca;
use crate::keys::Key;
use crate::x509::name;

/// `1.2.392.100495.1.5.1.1.3.1`: the signing policy.
pub const SIGNING_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.100495.1.5.1.1.3.1");
/// `1.2.392.100495.1.5.1.1.0.1`: what real test cards assert instead.
pub const TEST_SIGNING_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.100495.1.5.1.1.0.1");
/// `1.2.392.100495.1.5.1.2.3.1`: authentication of a person.
pub const AUTHENTICATION_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.100495.1.5.1.2.3.1");

/// What to issue. Start from a named one and change what the test is about; give cards that differ different serials.
#[derive(Debug, Clone)]
pub struct CardSpec {
    /// Subject.
    pub subject: Name,
    /// hcRoles; none: no extension.
    pub roles: Vec<String>,
    /// DER to use as value of subjectDirectoryAttributes instead (see [`RoleShape`](crate::RoleShape)).
    pub role_extension: Option<Vec<u8>>,
    /// certificatePolicies; none: no extension.
    pub policies: Vec<ObjectIdentifier>,
    /// keyUsage; `None`: no extension.
    pub key_usage: Option<KeyUsage>,
    /// notBefore; by default midnight in Japan a year ago.
    pub not_before: Option<OffsetDateTime>,
    /// notAfter; by default the last second of a day in Japan, four years ahead.
    pub not_after: Option<OffsetDateTime>,
    /// Who issues.
    pub ca: Ca,
    /// Key to sign the certificate with instead of the CA's: a forgery.
    pub issuer_key: Option<Key>,
    /// The card's key.
    pub key: Key,
    /// subjectAltName, a directoryName.
    pub alternative_name: Option<Name>,
    /// Serial number.
    pub serial: u64,
    /// Whether the certificate says where its CRL is.
    pub with_crldp: bool,
    /// Whether the certificate says where its OCSP responder is (none deployed does).
    pub with_ocsp: bool,
    /// Appended as they are.
    pub extra_extensions: Vec<Extension>,
}

impl CardSpec {
    /// 医師, `Medical Doctor`.
    #[must_use]
    pub fn doctor() -> Self {
        Self::signing("Taro Hikyaku", "山田　太郎", "Medical Doctor", Key::Doctor, 0x15e)
    }

    /// 薬剤師, `Pharmacist`.
    #[must_use]
    pub fn pharmacist() -> Self {
        Self::signing("Hanako Hikyaku", "山田　花子", "Pharmacist", Key::Pharmacist, 0x164)
    }

    /// 看護師, `General Nurse`.
    #[must_use]
    pub fn nurse() -> Self {
        Self::signing("Jiro Hikyaku", "山田　次郎", "General Nurse", Key::Nurse, 0x165)
    }

    /// 歯科医師, `Dentist`.
    #[must_use]
    pub fn dentist() -> Self {
        Self::signing("Saburo Hikyaku", "山田　三郎", "Dentist", Key::Dentist, 0x166)
    }

    /// A clerk: a signing card without qualification.
    #[must_use]
    pub fn no_role() -> Self {
        Self {
            roles: Vec::new(),
            ..Self::signing("Shiro Hikyaku", "山田　四郎", "", Key::NoRole, 0x167)
        }
    }

    /// A doctor whose card has a P-256 key.
    #[must_use]
    pub fn ec_doctor() -> Self {
        Self::signing("Goro Hikyaku", "山田　五郎", "Medical Doctor", Key::EcDoctor, 0x168)
    }

    /// A doctor whose card has a P-384 key.
    #[must_use]
    pub fn p384_doctor() -> Self {
        Self::signing("Rokuro Hikyaku", "山田　六郎", "Medical Doctor", Key::P384Doctor, 0x169)
    }

    /// A doctor whose card has an RSA-3072 key.
    #[must_use]
    pub fn rsa3072_doctor() -> Self {
        Self::signing(
            "Shichiro Hikyaku",
            "山田　七郎",
            "Medical Doctor",
            Key::Rsa3072Doctor,
            0x16a,
        )
    }

    /// The doctor's *authentication* card: same person, other key, other CA, digitalSignature.
    #[must_use]
    pub fn auth() -> Self {
        Self {
            policies: vec![AUTHENTICATION_POLICY],
            key_usage: Some(usage(KeyUsages::DigitalSignature)),
            ca: Ca::Auth,
            ..Self::signing("Taro Hikyaku", "山田　太郎", "Medical Doctor", Key::Auth, 0x20)
        }
    }

    /// Names of the ready-made cards, for command lines.
    pub const NAMES: [&str; 9] = [
        "doctor",
        "pharmacist",
        "nurse",
        "dentist",
        "no-role",
        "ec-doctor",
        "p384-doctor",
        "rsa3072-doctor",
        "auth",
    ];

    /// The ready-made card called `name`, one of [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "doctor" => Self::doctor(),
            "pharmacist" => Self::pharmacist(),
            "nurse" => Self::nurse(),
            "dentist" => Self::dentist(),
            "no-role" => Self::no_role(),
            "ec-doctor" => Self::ec_doctor(),
            "p384-doctor" => Self::p384_doctor(),
            "rsa3072-doctor" => Self::rsa3072_doctor(),
            "auth" => Self::auth(),
            _ => return None,
        })
    }

    fn signing(romaji: &str, japanese: &str, role: &str, key: Key, serial: u64) -> Self {
        let number = format!("Test{:06}", 117_000 + serial);
        Self {
            subject: name(&[
                ("C", "JP"),
                ("O", "TEST HIKYAKU CLINIC"),
                ("CN", romaji),
                ("serialNumber", &number),
            ]),
            roles: vec![role.to_owned()],
            role_extension: None,
            policies: vec![SIGNING_POLICY],
            key_usage: Some(usage(KeyUsages::NonRepudiation)),
            not_before: None,
            not_after: None,
            ca: Ca::Sign,
            issuer_key: None,
            key,
            alternative_name: Some(name(&[
                ("C", "JP"),
                ("O", "テスト飛脚診療所"),
                ("CN", japanese),
                ("serialNumber", &number),
            ])),
            serial,
            with_crldp: true,
            with_ocsp: false,
            extra_extensions: Vec::new(),
        }
    }
}

/// A keyUsage from its bits.
#[must_use]
pub fn usage(bits: impl Into<FlagSet<KeyUsages>>) -> KeyUsage {
    KeyUsage(bits.into())
}

/// An issued card: certificate, chain, key.
#[derive(Debug, Clone)]
pub struct Card {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The CAs above it, DER, issuer first, root last.
    pub chain: Vec<Vec<u8>>,
    /// The private key, DER of PKCS #8.
    pub pkcs8: Vec<u8>,
    /// Serial number, as on CRLs.
    pub serial: u64,
    /// Who issued it.
    pub ca: Ca,
    pub(crate) key: Key,
}

impl Card {
    /// Signs `message`, hashed with `digest`: PKCS #1 v1.5, or ECDSA as DER.
    #[must_use]
    pub fn sign(&self, message: &[u8], digest: DigestAlgorithm) -> Vec<u8> {
        self.key.sign(message, digest)
    }

    /// The algorithm of [`sign`](Self::sign).
    #[must_use]
    pub fn signature_algorithm(&self, digest: DigestAlgorithm) -> spki::AlgorithmIdentifierOwned {
        self.key.signature_algorithm(digest)
    }

    /// The hash that suits the key.
    #[must_use]
    pub fn natural_digest(&self) -> DigestAlgorithm {
        self.key.natural_digest()
    }

    /// Certificate, then chain, as PEM.
    #[must_use]
    pub fn certificates_pem(&self) -> String {
        std::iter::once(&self.certificate)
            .chain(&self.chain)
            .map(|certificate| pem("CERTIFICATE", certificate))
            .collect()
    }

    /// The private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// Key, certificate and chain as PKCS #12.
    #[must_use]
    pub fn pkcs12(&self, password: &str) -> Vec<u8> {
        let chain = std::iter::once(&self.certificate)
            .chain(&self.chain)
            .map(|der| p12_keystore::Certificate::from_der(der).expect("own certificates parse"))
            .collect::<Vec<_>>();
        let mut store = p12_keystore::KeyStore::new();
        let entry = p12_keystore::PrivateKeyChain::new(&self.pkcs8, b"\x17", chain);
        store.add_entry("hpki", p12_keystore::KeyStoreEntry::PrivateKeyChain(entry));
        store.writer(password).write().expect("a key store can be written")
    }
}

/// PEM of `der`, 64 columns.
#[must_use]
pub fn pem(label: &'static str, der: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).expect("PEM can be written")
}
