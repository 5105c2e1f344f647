//! NIST PKITS as signed mails: what OpenSSL reads and verifies we read and verify, and nothing else. Our own profile refuses them
//! all: a person's signature over documents carries a signing-certificate attribute, and these carry none.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use formats::cades::{CadesError, Profile, SignedData, SignerIdentifier};
use trust_store::{Certificate, algorithm};

/// Mails that OpenSSL and we judge differently, each with its reason.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "SignedInvalidDSASignatureTest6.eml",
        "DSA is not accepted; what is invalid is a certificate above",
    ),
    ("SignedValidDSASignaturesTest4.eml", "DSA is not accepted"),
];

/// A mail's signed part, as it was signed, and its signature.
struct Mail {
    content: Vec<u8>,
    signature: Vec<u8>,
}

impl Mail {
    /// RFC 8551 §3.5: `multipart/signed`, the signature in base64; lines of the signed part end in CRLF.
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let boundary = text.split_once("boundary=\"")?.1.split_once('"')?.0.to_owned();
        let delimiter = format!("--{boundary}");
        let mut parts = text.split(&delimiter);
        let content = parts.nth(1)?.strip_prefix('\n')?.strip_suffix('\n')?;
        let (_, body) = parts.next()?.split_once("\n\n")?;
        let signature = BASE64_STANDARD
            .decode(body.split_whitespace().collect::<String>())
            .ok()?;
        Some(Self {
            content: content.replace('\n', "\r\n").into_bytes(),
            signature,
        })
    }
}

/// Whether content and signature fit the signer's certificate that the mail carries.
fn verify(mail: &Mail) -> Result<(), String> {
    let signed = SignedData::parse(&mail.signature, Profile::PlainCms).map_err(|error| error.to_string())?;
    let signer = &signed.signer;
    if signer.digest_algorithm.digest(&mail.content) != signer.message_digest {
        return Err("the content is not what was signed".into());
    }
    let SignerIdentifier::IssuerAndSerialNumber { issuer, serial } = &signer.identifier else {
        return Err("the signer is named by key".into());
    };
    let certificates = signed
        .certificates
        .iter()
        .filter_map(|der| Certificate::parse(der).ok());
    let mut named = certificates.filter(|one| one.issuer.der() == issuer.as_slice() && one.serial == *serial);
    let certificate = named.next().ok_or("no certificate of the signer")?;
    algorithm::verify_with_digest(
        &signer.signature_algorithm,
        signer.digest_algorithm,
        &certificate.key,
        &signer.signed_attributes,
        &signer.signature,
    )
    .map_err(|error| error.to_string())
}

fn openssl_verifies(mail: &Path) -> bool {
    let arguments = [
        "cms",
        "-verify",
        "-noverify",
        "-inform",
        "SMIME",
        "-out",
        "/dev/null",
        "-in",
    ];
    let arguments = arguments.map(PathBuf::from);
    kit::openssl(arguments.iter().map(PathBuf::as_path).chain([mail]))
        .status
        .success()
}

#[test]
fn signed_mails_are_read_and_verified_as_openssl_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/corpora/smime");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        kit::skip("signed_mails", "run tests/corpora.sh to fetch the corpus");
        return;
    };
    let mut mails: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    mails.sort();
    assert_eq!(mails.len(), 224);
    let (mut agree, mut verified, mut differ) = (0, 0, Vec::new());
    for path in &mails {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mail = Mail::read(&std::fs::read(path).unwrap()).unwrap_or_else(|| panic!("{name} is no signed mail"));
        let ours = verify(&mail);
        verified += usize::from(ours.is_ok());
        let profile = SignedData::parse(&mail.signature, Profile::Document);
        assert!(
            matches!(
                &profile,
                Err(CadesError::Attribute { .. } | CadesError::UnsupportedAlgorithm(_))
            ),
            "{name}: {profile:?}"
        );
        if ours.is_ok() == openssl_verifies(path) {
            agree += 1;
        } else {
            println!("{name}: {ours:?}");
            differ.push(name);
        }
        let mut changed = mail;
        changed.content.push(b' ');
        assert!(verify(&changed).is_err(), "{name} is verified with other content");
    }
    let listed: Vec<&str> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    assert_eq!(differ, listed, "the list of differences is no longer true");
    kit::conformance(
        "NIST PKITS as signed mails",
        "224 of 224 read or refused as expected",
        &format!(
            "{} of 224 ({verified} verified; {} refused for DSA)",
            agree + differ.len(),
            differ.len()
        ),
    );
}
