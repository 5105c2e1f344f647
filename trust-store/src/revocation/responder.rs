//! Which OCSP responses are authentic and speak of a certificate: RFC 6960 §3.2 and §4.2.2.2.

use const_oid::db::rfc5912;
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use time::OffsetDateTime;

use super::ocsp::{BasicResponse, CertStatus, OcspPool, SingleResponse};
use super::status::{Finder, GIVEN_UP, MAX_DEPTH, MAX_SIGNERS};
use super::{ALL_REASONS, Reason, RevocationStatus, Source, Statement, names_evidence, vouches_until};
use crate::algorithm::AlgorithmError;
use crate::certificate::Certificate;
use crate::report::rfc3339;

/// Certificates looked at by the hash of their key, for one response.
const MAX_COMPARED: usize = 256;

/// What OCSP responses say of a certificate.
pub(super) struct Said {
    pub(super) statements: Vec<Statement>,
    /// Of those that say nothing, why.
    pub(super) problem: Option<String>,
    /// One that may speak says that it does not know the certificate.
    pub(super) not_known: bool,
}

impl<'a> Finder<'a> {
    /// What authentic responses say of `certificate`.
    pub(super) fn ocsp_statements(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Said {
        let pool: &'a OcspPool = self.sources.ocsp;
        let (mut statements, mut problem, mut not_known) = (Vec::new(), None, false);
        let mut judged: Option<(usize, Result<bool, String>)> = None;
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
            not_known |= authentic == Ok(true) && self.says_not_known_now(response, single);
            match authentic.and_then(|vouched| self.statement(response, single, vouched)) {
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
        Said {
            statements,
            problem,
            not_known,
        }
    }

    /// Whether the answer is *unknown*, and was made now: one that was kept since, for as long as it may say, tells nothing about
    /// what would be answered today, and whoever asked without a nonce can play it back.
    fn says_not_known_now(&self, response: &BasicResponse, single: &SingleResponse) -> bool {
        let (at, skew, made) = (self.times.at, self.times.skew, response.produced_at);
        single.status == CertStatus::Unknown
            && response.not_understood.or(single.not_understood).is_none()
            && made <= at.saturating_add(skew)
            && made.saturating_add(skew) >= at
    }

    /// `vouched`: whether the response can prove *good*.
    fn statement(&self, response: &BasicResponse, single: &SingleResponse, vouched: bool) -> Result<Statement, String> {
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
        let vouched = !self.is_late(|| format!("OCSP response of {responder}"), &response.der) && vouched;
        let lifts = revocation
            .as_ref()
            .is_some_and(|one| one.reason == Reason::RemoveFromCrl);
        Ok(Statement {
            source: Source::Ocsp,
            this_update: single.this_update,
            next_update: single.next_update,
            revocation: revocation.filter(|_| vouched || !lifts),
            reasons: if vouched { ALL_REASONS } else { 0 },
            expired_since: single.archive_cutoff,
        })
    }

    /// Signed by the CA's own key, by another key of the CA, or by a responder to whom this CA delegated it directly. If so, whether
    /// it can also prove *good*: neither algorithm nor responder had ended when it became known.
    fn is_authentic_response(
        &self,
        response: &'a BasicResponse,
        issuer: &Certificate,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Result<bool, String> {
        let responder = &response.responder;
        let mut why = format!("no certificate at hand is that of the OCSP responder {responder}");
        if responder.is_of(issuer) {
            match self.signed_response(response, issuer) {
                Ok(vouched) => return Ok(vouched),
                Err(problem) => why = problem,
            }
        }
        if under_way.len() >= MAX_DEPTH {
            return Err(why);
        }
        let at_hand = self.sources.certificates.certificates().iter();
        let of_this_ca = |one: &&Certificate| one.issuer == issuer.subject || one.subject == issuer.subject;
        let own = response.certificates.iter().map(|one| (0, one));
        let candidates = own.chain((1..).zip(at_hand.filter(of_this_ca)));
        let (mut tried, mut found) = (0, None);
        for (compared, signer) in candidates {
            if compared <= MAX_COMPARED {
                if !responder.is_of(signer) || signer == issuer {
                    continue;
                }
                tried += 1;
            }
            if tried > MAX_SIGNERS || compared > MAX_COMPARED {
                self.given_up.set(true);
                return Err(GIVEN_UP.into());
            }
            // Nobody vouches for himself.
            if under_way.contains(&signer) {
                continue;
            }
            // Anybody can make a certificate of this name: its own key's signature is verified once a CA vouches for it.
            let is_the_ca = signer.subject == issuer.subject && signer.is_ca();
            let vouched = match is_the_ca {
                true => self.leads_somewhere(signer),
                false => self.is_issued(signer, issuer),
            };
            let vouched = vouched.map_err(|problem| format!("the OCSP responder {responder}: {problem}"));
            let vouched = match vouched.and_then(|()| self.signed_response(response, signer)) {
                Ok(vouched) => vouched,
                Err(problem) => {
                    why = problem;
                    continue;
                }
            };
            under_way.push(signer);
            let verdict = if is_the_ca {
                self.signer_until(signer, response.produced_at, under_way)
            } else {
                self.delegated_until(signer, issuer, response, under_way)
            };
            under_way.pop();
            let what = || format!("OCSP response of {responder}");
            match verdict {
                Ok(until) if vouched && !self.is_later(what, &response.der, until) => return Ok(true),
                // Its key may have another certificate, which goes on.
                Ok(_) => found = Some(false),
                Err(problem) => why = format!("the OCSP responder {responder}: {problem}"),
            }
        }
        found.ok_or(why)
    }

    /// §4.2.2.2: issued directly, by the very key that issued the certificate in question.
    fn is_issued(&self, signer: &Certificate, issuer: &Certificate) -> Result<(), String> {
        if signer.issuer != issuer.subject {
            return Err("its certificate is not issued by the CA in question".into());
        }
        self.spend()?;
        signer
            .verify_accepting(&issuer.key, self.sources.accepted)
            .map_err(|why| format!("its certificate is not issued by the key of the CA in question: {why}"))
    }

    /// Of a responder that the CA itself issued: whether for this purpose. If so, until when it vouches for what it says.
    fn delegated_until(
        &self,
        signer: &'a Certificate,
        issuer: &Certificate,
        response: &BasicResponse,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Result<OffsetDateTime, String> {
        let what = || format!("the certificate of the OCSP responder {}", response.responder);
        let in_date = self.in_date(what, &signer.signature_algorithm, &issuer.key, &response.der);
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
        // Who gets at an expired key can write any time of production.
        if !signer.is_valid_at(response.produced_at) {
            return Err(format!(
                "its certificate is not valid at {}",
                rfc3339(response.produced_at)
            ));
        }
        self.has_path(signer, response.produced_at)?;
        let until = if in_date {
            signer.not_after
        } else {
            OffsetDateTime::UNIX_EPOCH
        };
        let since = (self.sources.known_since)(&response.der).max(response.produced_at);
        if signer.extension(&ID_PKIX_OCSP_NOCHECK).is_some() {
            return Ok(until);
        }
        let status = self.status(signer, issuer, under_way);
        match &status {
            RevocationStatus::Good { .. } => Ok(vouches_until(signer, &status, Some(until))),
            RevocationStatus::Revoked { .. } => Err("it is revoked".into()),
            // §4.2.2.2.1: a CA that names no place to ask leaves it to the policy of who asks. Here silence passes; evidence at
            // hand that revokes does not.
            RevocationStatus::Unknown { .. } if !names_evidence(signer) => Ok(until),
            // Of one that has ended nobody publishes it any more; what it says against a certificate stands.
            RevocationStatus::Unknown { .. } if since > until => Ok(until),
            RevocationStatus::Unknown { reason, .. } => Err(format!("its own status is unknown: {reason}")),
        }
    }

    /// Whether the algorithms were acceptable when the response became known; an error if `signer` did not sign it, or with an
    /// algorithm that is not accepted, or if no more signatures are verified.
    fn signed_response(&self, response: &BasicResponse, signer: &Certificate) -> Result<bool, String> {
        self.spend()?;
        let responder = &response.responder;
        match response.verify_accepting(&signer.key, self.sources.accepted) {
            Err(AlgorithmError::BadSignature) => {
                Err(format!("the OCSP response is not signed by the key of {responder}"))
            }
            Err(refused) => Err(format!("the OCSP response of {responder}: {refused}")),
            Ok(()) => {
                let what = || format!("the OCSP response of {responder}");
                Ok(self.in_date(what, &response.algorithm, &signer.key, &response.der))
            }
        }
    }
}
