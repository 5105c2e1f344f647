//! What HPKI demands of a signer's certificate beyond RFC 5280: who it is for, under which policy, with which qualification.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use formats::hc_role::{self, HcRole};

use super::ledger::{Ledger, Row};
use crate::certificate::Certificate;
use crate::policy::{Policy, RequiredUsage};
use crate::report::{SignerSummary, rfc3339};
use crate::role_policy::{RoleClass, classify};

const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

/// What the operator decided otherwise than this software would: said in every report.
pub(super) fn local(policy: &Policy, ledger: &mut Ledger) {
    for line in policy.local() {
        ledger.pass(
            "local_policy",
            format!("The policy decides otherwise than the default: {line}."),
        );
    }
}

/// Not a CA, and keyUsage is for documents: a card's authentication certificate is not.
pub(super) fn usage(certificate: &Certificate, required: RequiredUsage, ledger: &mut Ledger) {
    let subject = &certificate.subject;
    let mut fail = |detail: String| ledger.fail("key_usage", Row::SigConstraintsFailure, detail);
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if constraints.ca => fail(format!("{subject} is a certification authority.")),
        Ok(_) => {}
        Err(error) => fail(format!("basicConstraints of {subject} cannot be read: {error}.")),
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if required == RequiredUsage::DigitalSignature && usage.digital_signature() => {
            let detail = format!("The certificate of {subject} is for signing; its route asks for no nonRepudiation.");
            ledger.pass("key_usage", detail);
        }
        Ok(Some(usage)) if usage.non_repudiation() => {
            ledger.pass(
                "key_usage",
                format!("The certificate of {subject} is for signing documents (nonRepudiation)."),
            );
        }
        Ok(_) => fail(format!(
            "The certificate of {subject} is not for signing documents: keyUsage has no nonRepudiation."
        )),
        Err(error) => fail(format!("keyUsage of {subject} cannot be read: {error}.")),
    }
}

/// A signing policy in the end entity; anyPolicy alone is none.
pub(super) fn end_entity_policy(certificate: &Certificate, accepted: &[ObjectIdentifier], ledger: &mut Ledger) {
    let subject = &certificate.subject;
    match certificate.policies() {
        Ok(stated) if stated.iter().any(|one| accepted.contains(one)) => {
            ledger.pass(
                "signing_policy",
                format!("The certificate of {subject} is issued under a signing policy."),
            );
        }
        Ok(stated) => {
            let detail = format!(
                "The certificate of {subject} is issued under {}; a signing policy is {}.",
                list(&stated),
                list(accepted)
            );
            ledger.fail("signing_policy", Row::SigConstraintsFailure, detail);
        }
        Err(error) => {
            let detail = format!("certificatePolicies of {subject} cannot be read: {error}.");
            ledger.fail("signing_policy", Row::SigConstraintsFailure, detail);
        }
    }
}

/// A signing policy or anyPolicy in each CA below the anchor.
pub(super) fn authority_policies<'c>(
    authorities: impl Iterator<Item = &'c Certificate>,
    accepted: &[ObjectIdentifier],
    ledger: &mut Ledger,
) {
    for authority in authorities {
        let stated = authority.policies().unwrap_or_default();
        let suits = |one: &ObjectIdentifier| *one == rfc5280::ANY_POLICY || accepted.contains(one);
        if !stated.iter().any(suits) {
            let detail = format!(
                "The authority {} issues under {}; a signing policy is {}.",
                authority.subject,
                list(&stated),
                list(accepted)
            );
            ledger.fail("signing_policy", Row::SigConstraintsFailure, detail);
        }
    }
}

/// The qualifications a certificate states. What only looks like one is none, with a warning.
pub(super) fn roles(certificate: &Certificate, ledger: &mut Ledger) -> Vec<HcRole> {
    let Some(extension) = certificate.extension(&rfc5280::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES) else {
        return Vec::new();
    };
    let found = hc_role::roles(&extension.value);
    for warning in found.warnings {
        ledger.warn("hc_role", warning);
    }
    for HcRole(role) in &found.roles {
        match classify(role) {
            RoleClass::Manager(_) if !is_director(certificate) => {
                let detail = format!(
                    "{role} is a manager's role, and the subject must have O and OU=Director; {} has not, so the role counts for nothing.",
                    certificate.subject
                );
                ledger.warn("hc_role", detail);
            }
            RoleClass::Unknown => {
                let detail = format!(
                    "{role:?} is none of the qualifications and manager roles of HPKI; it counts only where the policy names it."
                );
                ledger.warn("hc_role", detail);
            }
            RoleClass::Qualification(_) | RoleClass::Manager(_) => {}
        }
    }
    found.roles
}

/// HPKI certificate policy: a manager's certificate names the institution, and says Director in OU.
fn is_director(certificate: &Certificate) -> bool {
    let subject = &certificate.subject;
    let institution = subject
        .strings(&ORGANIZATION)
        .iter()
        .any(|name| !name.trim().is_empty());
    institution
        && subject
            .strings(&ORGANIZATIONAL_UNIT)
            .iter()
            .any(|unit| unit == "Director")
}

/// The signer as the report shows it.
pub(super) fn summary(certificate: &Certificate, roles: &[HcRole]) -> SignerSummary {
    SignerSummary {
        subject: certificate.subject.to_string(),
        issuer: certificate.issuer.to_string(),
        serial: hex::encode(&certificate.serial),
        not_before: rfc3339(certificate.not_before),
        not_after: rfc3339(certificate.not_after),
        hc_roles: roles.iter().map(|HcRole(role)| role.clone()).collect(),
    }
}

fn list(policies: &[ObjectIdentifier]) -> String {
    if policies.is_empty() {
        return "no policy".to_owned();
    }
    policies
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}
