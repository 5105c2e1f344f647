//! Which OCSP responses are authentic and speak of a certificate: RFC 6960 §3.2 and §4.2.2.2.

use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use const_oid::db::{rfc5280, rfc5912};
use time::OffsetDateTime;

use super::ocsp::{BasicResponse, CertStatus, OcspPool, SingleResponse};
use super::status::{Finder, GIVEN_UP, MAX_DEPTH, MAX_SIGNERS};
use super::{ALL_REASONS, RevocationStatus, Source, Statement, names_ocsp};
use crate::algorithm::AlgorithmError;
use crate::certificate::Certificate;
use crate::report::rfc3339;

/// Certificates looked at by the hash of their key, for one response.
const MAX_COMPARED: usize = 256;

impl<'a> Finder<'a> {
    /// What authentic responses say of `certificate`; and, of those that say nothing, why.
    pub(super) fn ocsp_statements(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        under_way: &mut Vec<&'a Certificate>,
    ) -> (Vec<Statement>, Option<String>) {
        let pool: &'a OcspPool = self.sources.ocsp;
        let (mut statements, mut problem) = (Vec::new(), None);
        let mut judged: Option<(usize, Result<(), String>)> = None;
        for (position, response, single) in pool.about(&certificate.serial) {
            if !single.is_about(certificate, issuer) {
                problem.get_or_insert_with(|| "the OCSP response at hand is about another certificate".to_owned());
                continue;
            }
            // Answers of one response stand together: its signature is verified once.
            let authentic = match &judged {
                Some((known, verdict)) if *known == position => verdict.clone(),
                _ => self.is_authentic_response(response, issuer, under_way),
            };
            judged = Some((position, authentic.clone()));
            match authentic.and_then(|()| self.statement(response, single)) {
                Ok(statement) => statements.push(statement),
                Err(why) => problem = Some(why),
            }
        }
        if statements.is_empty() && problem.is_none() {
            problem = pool
                .refusals()
                .first()
                .map(|status| format!("the OCSP responder answered {status}"));
        }
        (statements, problem)
    }

    fn statement(&self, response: &BasicResponse, single: &SingleResponse) -> Result<Statement, String> {
        let responder = &response.responder;
        if let Some(oid) = response.not_understood.or(single.not_understood) {
            return Err(format!(
                "the OCSP response of {responder} has a critical extension {oid} that is not understood"
            ));
        }
        let latest = self.times.at.saturating_add(self.times.skew);
        for (what, time) in [("produced", response.produced_at), ("dated", single.this_update)] {
            if time > latest {
                return Err(format!(
                    "the OCSP response of {responder} is {what} at {}, later than now, {}",
                    rfc3339(time),
                    rfc3339(self.times.at)
                ));
            }
        }
        if single.this_update > response.produced_at.saturating_add(self.times.skew) {
            return Err(format!(
                "the OCSP response of {responder} is produced at {}, before what it says of {}",
                rfc3339(response.produced_at),
                rfc3339(single.this_update)
            ));
        }
        if single.next_update.is_some_and(|next| next < single.this_update) {
            return Err(format!("the OCSP response of {responder} ends before it begins"));
        }
        let revocation = match &single.status {
            CertStatus::Good => None,
            CertStatus::Revoked(revocation) => Some(revocation.clone()),
            CertStatus::Unknown => {
                return Err(format!("the OCSP responder {responder} does not know the certificate"));
            }
        };
        Ok(Statement {
            source: Source::Ocsp,
            this_update: single.this_update,
            next_update: single.next_update,
            revocation,
            reasons: if self.is_late(|| format!("OCSP response of {responder}"), &response.der) {
                0
            } else {
                ALL_REASONS
            },
            expired_since: single.archive_cutoff,
        })
    }

    /// Signed by the CA's own key, by another key of the CA, or by a responder to whom this CA delegated it directly.
    fn is_authentic_response(
        &self,
        response: &'a BasicResponse,
        issuer: &Certificate,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Result<(), String> {
        let responder = &response.responder;
        let mut why = format!("no certificate at hand is that of the OCSP responder {responder}");
        if responder.is_of(issuer) {
            match self.signed_response(response, issuer) {
                Ok(()) => return Ok(()),
                Err(problem) => why = problem,
            }
        }
        if under_way.len() >= MAX_DEPTH {
            return Err(why);
        }
        let at_hand = self.sources.certificates.certificates().iter();
        let of_this_ca = |one: &&Certificate| one.issuer == issuer.subject || one.subject == issuer.subject;
        let candidates = response
            .certificates
            .iter()
            .chain(at_hand.filter(of_this_ca).take(MAX_COMPARED));
        for (tried, signer) in candidates
            .filter(|one| responder.is_of(one) && *one != issuer)
            .enumerate()
        {
            if tried >= MAX_SIGNERS {
                self.given_up.set(true);
                return Err(GIVEN_UP.into());
            }
            // Nobody vouches for himself.
            if under_way.contains(&signer) {
                continue;
            }
            if let Err(problem) = self.signed_response(response, signer) {
                why = problem;
                continue;
            }
            under_way.push(signer);
            let verdict = if signer.subject == issuer.subject && signer.is_ca() {
                self.is_good_signer(signer, response.produced_at, under_way)
            } else {
                self.is_delegated(signer, issuer, response, under_way)
            };
            under_way.pop();
            match verdict {
                Ok(()) => return Ok(()),
                Err(problem) => why = format!("the OCSP responder {responder}: {problem}"),
            }
        }
        Err(why)
    }

    /// §4.2.2.2: issued directly, by the very key that issued the certificate in question, and for this purpose.
    fn is_delegated(
        &self,
        signer: &'a Certificate,
        issuer: &Certificate,
        response: &BasicResponse,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Result<(), String> {
        if signer.issuer != issuer.subject {
            return Err("its certificate is not issued by the CA in question".into());
        }
        self.spend()?;
        signer
            .verify_accepting(&issuer.key, self.sources.accepted)
            .map_err(|why| format!("its certificate is not issued by the key of the CA in question: {why}"))?;
        self.in_date(&signer.signature_algorithm, &issuer.key, &response.der)?;
        let purposes = signer.extended_key_usage().ok().flatten().unwrap_or_default();
        if !purposes.contains(&rfc5912::ID_KP_OCSP_SIGNING) {
            return Err("its certificate is not for OCSP signing".into());
        }
        let may_sign = signer
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation()));
        if !may_sign {
            return Err("its key may not sign".into());
        }
        self.is_in_validity(signer, response)?;
        self.has_path(signer, response.produced_at)?;
        if signer.extension(&ID_PKIX_OCSP_NOCHECK).is_some() {
            return Ok(());
        }
        match self.status(signer, issuer, under_way) {
            RevocationStatus::Good { .. } => Ok(()),
            RevocationStatus::Revoked(_) => Err("it is revoked".into()),
            // §4.2.2.2.1: a CA that names no place to ask leaves it to the policy of who asks. Here silence passes; evidence at
            // hand that revokes does not.
            RevocationStatus::Unknown { .. } if !names_evidence(signer) => Ok(()),
            RevocationStatus::Unknown { reason } => Err(format!("its own status is unknown: {reason}")),
        }
    }

    /// The certificate's validity must hold the time of production, and the time since when the response is proven to exist: who
    /// gets at an expired key can write any time of production.
    fn is_in_validity(&self, signer: &Certificate, response: &BasicResponse) -> Result<(), String> {
        let produced: OffsetDateTime = response.produced_at;
        let since = (self.sources.known_since)(&response.der).max(produced);
        if !signer.is_valid_at(produced) {
            return Err(format!("its certificate is not valid at {}", rfc3339(produced)));
        }
        if since > signer.not_after {
            return Err(format!(
                "its certificate ended at {} and nothing proves that the response is older",
                rfc3339(signer.not_after)
            ));
        }
        Ok(())
    }

    /// An error if it did not sign, or with an algorithm that is not accepted, or if no more signatures are verified.
    fn signed_response(&self, response: &BasicResponse, signer: &Certificate) -> Result<(), String> {
        self.spend()?;
        let responder = &response.responder;
        match response.verify_accepting(&signer.key, self.sources.accepted) {
            Err(AlgorithmError::BadSignature) => {
                Err(format!("the OCSP response is not signed by the key of {responder}"))
            }
            Err(refused) => Err(format!("the OCSP response of {responder}: {refused}")),
            Ok(()) => self
                .in_date(&response.algorithm, &signer.key, &response.der)
                .map_err(|why| format!("the OCSP response of {responder}: {why}")),
        }
    }
}

fn names_evidence(certificate: &Certificate) -> bool {
    certificate.extension(&rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS).is_some() || names_ocsp(certificate)
}
