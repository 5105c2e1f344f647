//! RFC 5280 §6.1: the rules one path must keep. Signatures and names were verified when it was found; revocation comes after.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{self as ids, ANY_POLICY};
use const_oid::db::{rfc5912, rfc6960};
use time::OffsetDateTime;

use super::name_constraints::NameConstraints;
use super::policy_graph::PolicyGraph;
use super::{PathFailure, PathInputs};
use crate::certificate::Certificate;
use crate::tlv::{self, Cursor, Malformed};

/// Extensions that are honoured, or that have nothing to say to a path; any other that is critical refuses it.
const KNOWN: &[ObjectIdentifier] = &[
    ids::ID_CE_BASIC_CONSTRAINTS,
    ids::ID_CE_KEY_USAGE,
    ids::ID_CE_EXT_KEY_USAGE,
    ids::ID_CE_SUBJECT_ALT_NAME,
    ids::ID_CE_ISSUER_ALT_NAME,
    ids::ID_CE_CERTIFICATE_POLICIES,
    ids::ID_CE_POLICY_MAPPINGS,
    ids::ID_CE_POLICY_CONSTRAINTS,
    ids::ID_CE_INHIBIT_ANY_POLICY,
    ids::ID_CE_NAME_CONSTRAINTS,
    ids::ID_CE_CRL_DISTRIBUTION_POINTS,
    ids::ID_CE_SUBJECT_KEY_IDENTIFIER,
    rfc5912::ID_CE_AUTHORITY_KEY_IDENTIFIER,
    // A responder's, RFC 6960 §4.2.2.2.1: honoured where its answers are judged.
    rfc6960::ID_PKIX_OCSP_NOCHECK,
    // Carries hcRole, which the validation reads.
    ids::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES,
];

/// Judges `path` (the anchor's child first, the leaf last). Gives the user-constrained policy set and warnings.
pub(super) fn judge(
    anchor: &Certificate,
    path: &[&Certificate],
    inputs: &PathInputs,
    at: OffsetDateTime,
) -> Result<(Vec<ObjectIdentifier>, Vec<String>), PathFailure> {
    let mut state = State::new(anchor, path.len(), inputs, at)?;
    let (leaf, authorities) = path.split_last().ok_or_else(|| refused(anchor, "an empty path"))?;
    let mut warnings = anchor.warnings.clone();
    for authority in authorities {
        warnings.extend(
            authority
                .warnings
                .iter()
                .map(|warning| format!("{}: {warning}", authority.subject)),
        );
        if !authority.is_valid_at(at) {
            return Err(out_of_time(authority, "outside its validity"));
        }
        state.certificate(authority, false)?;
        state.authority(authority)?;
    }
    warnings.extend(leaf.warnings.iter().cloned());
    state.certificate(leaf, true)?;
    let policies = state.end(leaf)?;
    if !inputs.leaf_validity_ignored {
        leaf_validity(leaf, at)?;
    }
    Ok((policies, warnings))
}

pub(super) fn leaf_validity(leaf: &Certificate, at: OffsetDateTime) -> Result<(), PathFailure> {
    if at < leaf.not_before {
        Err(PathFailure::LeafNotYetValid(leaf.not_before))
    } else if at > leaf.not_after {
        Err(PathFailure::LeafExpired(leaf.not_after))
    } else {
        Ok(())
    }
}

/// The state variables of §6.1.2. Counters stand at "certificates that may still follow".
struct State<'a> {
    inputs: &'a PathInputs,
    graph: PolicyGraph,
    constraints: Vec<NameConstraints>,
    explicit_policy: u32,
    inhibit_any_policy: u32,
    policy_mapping: u32,
    max_path_length: u32,
}

impl<'a> State<'a> {
    fn new(
        anchor: &Certificate,
        length: usize,
        inputs: &'a PathInputs,
        at: OffsetDateTime,
    ) -> Result<Self, PathFailure> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let after = |zero: bool| if zero { 0 } else { length.saturating_add(1) };
        let mut state = Self {
            inputs,
            graph: PolicyGraph::new(),
            constraints: Vec::new(),
            explicit_policy: after(inputs.explicit_policy),
            inhibit_any_policy: after(inputs.any_policy_inhibit),
            policy_mapping: after(inputs.policy_mapping_inhibit),
            max_path_length: length,
        };
        if !anchor.is_valid_at(at) {
            return Err(out_of_time(anchor, "the trust anchor is outside its validity"));
        }
        match read(anchor, anchor.basic_constraints())? {
            Some(basic) if !basic.ca => return Err(refused(anchor, "the trust anchor says it is no CA")),
            Some(basic) => state.max_path_length = basic.path_len.unwrap_or(length).min(length),
            None => {}
        }
        if read(anchor, anchor.key_usage())?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(refused(anchor, "the trust anchor's key may not sign certificates"));
        }
        state.constraints.extend(read(anchor, NameConstraints::of(anchor))?);
        Ok(state)
    }

    /// §6.1.3 (b) to (f), and the critical extensions of §6.1.4 (o) and §6.1.5 (f).
    fn certificate(&mut self, certificate: &Certificate, last: bool) -> Result<(), PathFailure> {
        let self_issued = certificate.is_self_issued();
        if let Some(unknown) = certificate
            .extensions()
            .iter()
            .find(|extension| extension.critical && !KNOWN.contains(&extension.oid))
        {
            return Err(refused(
                certificate,
                format!("critical extension {} is not understood", unknown.oid),
            ));
        }
        if last || !self_issued {
            for constraints in &self.constraints {
                constraints
                    .judge(certificate)
                    .map_err(|why| refused(certificate, why))?;
            }
        }
        let policies = read(certificate, certificate.policies())?;
        let any_allowed = self.inhibit_any_policy > 0 || (!last && self_issued);
        self.graph
            .certificate(&policies, any_allowed)
            .map_err(|why| refused(certificate, why.to_string()))?;
        if self.explicit_policy == 0 && self.graph.is_null() {
            return Err(refused(
                certificate,
                "no policy is left that is valid for the whole path",
            ));
        }
        Ok(())
    }

    /// §6.1.4: prepares for the certificate below this CA.
    fn authority(&mut self, certificate: &Certificate) -> Result<(), PathFailure> {
        let mappings = read(certificate, policy_mappings(certificate))?;
        if mappings
            .iter()
            .any(|(from, to)| *from == ANY_POLICY || *to == ANY_POLICY)
        {
            return Err(refused(certificate, "maps anyPolicy"));
        }
        self.graph
            .map(&mappings, self.policy_mapping > 0)
            .map_err(|why| refused(certificate, why.to_string()))?;
        self.constraints
            .extend(read(certificate, NameConstraints::of(certificate))?);
        let self_issued = certificate.is_self_issued();
        if !self_issued {
            for counter in [
                &mut self.explicit_policy,
                &mut self.policy_mapping,
                &mut self.inhibit_any_policy,
            ] {
                *counter = counter.saturating_sub(1);
            }
        }
        let (require, inhibit) = read(certificate, policy_constraints(certificate))?;
        self.explicit_policy = self.explicit_policy.min(require.unwrap_or(u32::MAX));
        self.policy_mapping = self.policy_mapping.min(inhibit.unwrap_or(u32::MAX));
        let inhibit_any = read(certificate, inhibit_any_policy(certificate))?;
        self.inhibit_any_policy = self.inhibit_any_policy.min(inhibit_any.unwrap_or(u32::MAX));

        let basic = read(certificate, certificate.basic_constraints())?.filter(|basic| basic.ca);
        let Some(basic) = basic.filter(|_| certificate.version == 3) else {
            return Err(refused(certificate, "issues certificates but is no CA"));
        };
        if !self_issued {
            self.max_path_length = match self.max_path_length.checked_sub(1) {
                Some(left) => left,
                None => return Err(refused(certificate, "the path is longer than a CA allows")),
            };
        }
        self.max_path_length = self.max_path_length.min(basic.path_len.unwrap_or(u32::MAX));
        if read(certificate, certificate.key_usage())?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(refused(certificate, "its key may not sign certificates"));
        }
        Ok(())
    }

    /// §6.1.5: the user-constrained policy set.
    fn end(mut self, leaf: &Certificate) -> Result<Vec<ObjectIdentifier>, PathFailure> {
        self.explicit_policy = self.explicit_policy.saturating_sub(1);
        if read(leaf, policy_constraints(leaf))?.0 == Some(0) {
            self.explicit_policy = 0;
        }
        // Read so that what is critical is also sound.
        read(leaf, leaf.basic_constraints())?;
        read(leaf, leaf.key_usage())?;
        let policies = self.graph.user_constrained(&self.inputs.policies);
        if self.explicit_policy == 0 && policies.is_empty() {
            return Err(refused(
                leaf,
                "none of the policies asked for is valid for the whole path",
            ));
        }
        Ok(policies)
    }
}

/// §4.2.1.5: `SEQUENCE OF SEQUENCE { issuerDomainPolicy, subjectDomainPolicy }`
fn policy_mappings(certificate: &Certificate) -> Result<Vec<(ObjectIdentifier, ObjectIdentifier)>, Malformed> {
    let mut mappings = Vec::new();
    if let Some(extension) = certificate.extension(&ids::ID_CE_POLICY_MAPPINGS) {
        let mut list = Cursor::sequence_of(&extension.value)?;
        while !list.is_empty() {
            let mut pair = list.expect(tlv::SEQUENCE)?.inside();
            mappings.push((pair.oid()?, pair.oid()?));
            pair.finish()?;
        }
    }
    Ok(mappings)
}

/// §4.2.1.11: `SEQUENCE { requireExplicitPolicy [0] INTEGER OPTIONAL, inhibitPolicyMapping [1] INTEGER OPTIONAL }`
fn policy_constraints(certificate: &Certificate) -> Result<(Option<u32>, Option<u32>), Malformed> {
    let Some(extension) = certificate.extension(&ids::ID_CE_POLICY_CONSTRAINTS) else {
        return Ok((None, None));
    };
    let mut fields = Cursor::sequence_of(&extension.value)?;
    let require = fields
        .optional(0x80)?
        .map(|found| tlv::small_integer(found.value))
        .transpose()?;
    let inhibit = fields
        .optional(0x81)?
        .map(|found| tlv::small_integer(found.value))
        .transpose()?;
    fields.finish()?;
    if require.is_none() && inhibit.is_none() {
        return Err(Malformed("policyConstraints that say nothing"));
    }
    Ok((require, inhibit))
}

/// §4.2.1.14: `INTEGER`
fn inhibit_any_policy(certificate: &Certificate) -> Result<Option<u32>, Malformed> {
    let Some(extension) = certificate.extension(&ids::ID_CE_INHIBIT_ANY_POLICY) else {
        return Ok(None);
    };
    let mut cursor = Cursor(&extension.value);
    let skip = tlv::small_integer(cursor.expect(tlv::INTEGER)?.value)?;
    cursor.finish()?;
    Ok(Some(skip))
}

fn read<T>(certificate: &Certificate, value: Result<T, Malformed>) -> Result<T, PathFailure> {
    value.map_err(|malformed| refused(certificate, format!("an extension does not parse: {malformed}")))
}

fn refused(certificate: &Certificate, why: impl std::fmt::Display) -> PathFailure {
    PathFailure::Constraints(told(certificate, why))
}

fn out_of_time(certificate: &Certificate, why: &str) -> PathFailure {
    PathFailure::OutOfTime(told(certificate, why))
}

fn told(certificate: &Certificate, why: impl std::fmt::Display) -> String {
    // The leaf may be a person: only its serial number is named.
    let who = if certificate.is_ca() {
        certificate.subject.to_string()
    } else {
        format!("certificate {}", hex::encode(&certificate.serial))
    };
    format!("{who}: {why}")
}
