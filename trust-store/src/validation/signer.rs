//! Whose signature it is, and whether it is one: the certificate the signer names and vouches for, and the signature's value.

use formats::cades::{CertificateHash, SignedData, Signer, SignerIdentifier, SigningCertificate};
use time::OffsetDateTime;

use super::ledger::{Ledger, Row};
use crate::algorithm::{self, AlgorithmError};
use crate::certificate::Certificate;
use crate::name::DistinguishedName;
use crate::policy::Policy;
use crate::report::rfc3339;

/// The certificate both SignerIdentifier and ESS signing-certificate name. Where they disagree, the one of the identifier: the
/// verdict is settled, but the report still says whose certificate it was.
pub(super) fn identify<'c>(
    signer: &Signer,
    certificates: &'c [Certificate],
    ledger: &mut Ledger,
) -> Option<&'c Certificate> {
    let named = |certificate: &&Certificate| is_named(&signer.identifier, certificate);
    let Some(ess) = &signer.signing_certificate else {
        return identify_by_name(signer, certificates, ledger);
    };
    let vouched = |certificate: &&Certificate| is_vouched(ess, certificate);
    if let Some(certificate) = certificates.iter().find(|one| named(one) && vouched(one)) {
        ledger.pass(
            "signing_certificate",
            format!("The signed attributes name {}.", certificate.subject),
        );
        return Some(certificate);
    }
    let stranger = certificates
        .iter()
        .find(named)
        .or_else(|| certificates.iter().find(vouched));
    match stranger {
        Some(certificate) => {
            let detail = format!(
                "The signed attribute signing-certificate does not fit the certificate of {} that the signature names.",
                certificate.subject
            );
            ledger.fail("signing_certificate", Row::SigConstraintsFailure, detail);
        }
        None => unknown(ledger),
    }
    stranger
}

/// Plain CMS: the identifier alone, which is not signed, says whose certificate it is.
fn identify_by_name<'c>(
    signer: &Signer,
    certificates: &'c [Certificate],
    ledger: &mut Ledger,
) -> Option<&'c Certificate> {
    let found = certificates.iter().find(|one| is_named(&signer.identifier, one));
    match found {
        Some(certificate) => {
            let detail = format!(
                "The signature is plain CMS: no signed attribute binds it to the certificate of {}, only issuer and serial number do.",
                certificate.subject
            );
            ledger.warn("signing_certificate", detail);
        }
        None => unknown(ledger),
    }
    found
}

fn unknown(ledger: &mut Ledger) {
    let detail = "The signer's certificate is neither in the signature nor in the evidence.";
    ledger.fail("signing_certificate", Row::NoCertificateChainFound, detail);
}

/// The signature's value over the signed attributes exactly as sent.
pub(super) fn value(signed: &SignedData, certificate: &Certificate, ledger: &mut Ledger) {
    let signer = &signed.signer;
    let verdict = algorithm::verify_with_digest(
        &signer.signature_algorithm,
        signer.digest_algorithm,
        &certificate.key,
        &signer.signed_attributes,
        &signer.signature,
    );
    match verdict {
        Ok(()) => ledger.pass(
            "signature_value",
            format!("The signature is by the key of {}.", certificate.subject),
        ),
        Err(AlgorithmError::BadSignature) => {
            let detail = format!("The signature is not by the key of {}.", certificate.subject);
            ledger.fail("signature_value", Row::SigCryptoFailure, detail);
        }
        Err(AlgorithmError::NotAccepted(what)) => {
            let detail = format!("The signature cannot be accepted: {what}.");
            ledger.fail("signature_value", Row::CryptoConstraintsFailure, detail);
        }
    }
}

/// Whether the signature's algorithms were still acceptable at `time`.
pub(super) fn algorithm_dates(
    signed: &SignedData,
    certificate: &Certificate,
    policy: &Policy,
    time: OffsetDateTime,
    ledger: &mut Ledger,
) {
    let signer = &signed.signer;
    let names = algorithm::algorithm_names(
        &signer.signature_algorithm,
        Some(signer.digest_algorithm),
        &certificate.key,
    );
    // What is not accepted at all is told by `value`.
    let Ok(names) = names else { return };
    let mut all = true;
    for name in names {
        if let Some(detail) = outlived(policy, &name, time) {
            all = false;
            ledger.fail(
                "algorithms",
                Row::CryptoConstraintsFailure,
                format!("The signature uses {detail}."),
            );
        }
    }
    if all {
        ledger.pass(
            "algorithms",
            format!("The signature's algorithms were acceptable at {}.", rfc3339(time)),
        );
    }
}

/// Why an algorithm was no longer acceptable at `time`, if so.
pub(super) fn outlived(policy: &Policy, name: &str, time: OffsetDateTime) -> Option<String> {
    let last = policy.last_acceptable(name)?;
    (time > last).then(|| format!("{name}, acceptable until {} only", rfc3339(last)))
}

fn is_named(identifier: &SignerIdentifier, certificate: &Certificate) -> bool {
    match identifier {
        SignerIdentifier::IssuerAndSerialNumber { issuer, serial } => is_issued(issuer, serial, certificate),
        SignerIdentifier::SubjectKeyIdentifier(identifier) => {
            certificate.subject_key_identifier() == Some(identifier.as_slice())
        }
    }
}

fn is_vouched(ess: &SigningCertificate, certificate: &Certificate) -> bool {
    let hash = match &ess.hash {
        CertificateHash::Sha1(hash) => algorithm::sha1(certificate.der()) == hash,
        CertificateHash::Sha2(algorithm, hash) => algorithm.digest(certificate.der()) == *hash,
    };
    hash && ess
        .issuer_serial
        .as_ref()
        .is_none_or(|(issuer, serial)| is_issued(issuer, serial, certificate))
}

fn is_issued(issuer: &[u8], serial: &[u8], certificate: &Certificate) -> bool {
    let issuer = DistinguishedName::parse(issuer);
    certificate.serial == serial && issuer.is_ok_and(|issuer| issuer == certificate.issuer)
}
