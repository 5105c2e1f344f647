//! Which level a signature reaches, ETSI EN 319 122-1 §6: what it carries itself (B-LT), and what an archive time stamp covers of
//! that (B-LTA); and whether the policy asks for more.

use formats::asice::Container;
use formats::cades::SignedData;
use formats::digest::DigestAlgorithm;

use super::archive::Archives;
use super::existence::Existence;
use super::ledger::{Ledger, Row};
use super::material::Material;
use super::signature::{self, Content, Judged, Moment, Proof};
use super::{Setting, TrustStore};
use crate::anchors::Anchors;
use crate::evidence::{Evidence, EvidenceQuery};
use crate::policy::{Level, SignerTimestamp};

/// One signature with what stands around it.
pub(super) struct Case<'c> {
    pub(super) name: &'c str,
    pub(super) signed: &'c SignedData,
    pub(super) content: &'c Content<'c>,
    /// Its position among the signatures.
    pub(super) position: usize,
    pub(super) archives: &'c Archives,
    pub(super) container: Option<&'c Container>,
    /// The tokens beside the signatures.
    pub(super) tokens: &'c [SignedData],
    /// In a PDF, what the document time stamps that cover the signature cover of what is carried beside it.
    pub(super) covered: Option<&'c SignedData>,
}

/// The last checks on a signature that was judged: its archive, its level.
pub(super) fn conclude(store: &TrustStore, case: &Case<'_>, judged: &mut Judged, setting: &mut Setting<'_>) {
    judged
        .timestamps
        .extend(case.archives.summaries(case.position).cloned());
    judged.queries.extend(case.archives.queries.iter().cloned());
    judged.ledger.extend(case.archives.ledger.clone());
    if case.archives.hoped {
        let detail = "Evidence on an archive time stamp is missing.";
        judged.ledger.fail("archive", Row::TryLater, detail);
    }
    let files_beside = case.container.is_some() && !case.signed.signer.archive_stamps.is_empty();
    if files_beside {
        let detail = "An archive time stamp inside a signature covers its manifest, not the files behind it.";
        judged.ledger.warn("archive", detail);
    }
    let Some(moment) = judged.moment else { return };
    let row = judged.ledger.row();
    // What only waits for evidence is taken for what it will be.
    let passes = row.is_none() || (setting.asking && row == Some(Row::TryLater));
    if row.is_none() && !setting.existence.is_empty() {
        needed(case, judged, setting);
    }
    // A document time stamp is as good as a stamp of the signature: EN 319 142-1 §6.3.
    let stamped = match moment.proof {
        Proof::Proven => !moment.bare || case.covered.is_some(),
        Proof::Archived => case.covered.is_some(),
        Proof::Hoped | Proof::Missing => false,
    };
    let mut reached = if stamped { Level::BT } else { Level::BB };
    if passes && reached == Level::BT && carries_evidence(store, case.signed, case.tokens, setting) {
        let whole = match (case.container, case.content) {
            (Some(container), Content::Manifest(Some(manifest))) => {
                let files = container.files.iter().map(|file| file.path.as_str());
                let own = [case.name, manifest.name.as_str()];
                case.archives.cover(files.chain(own))
            }
            (Some(_), _) => false,
            (None, _) => match case.covered {
                Some(covered) => carries_evidence(store, case.signed, std::slice::from_ref(covered), setting),
                None => case.archives.cover_signature(case.position),
            },
        };
        reached = if whole { Level::BLta } else { Level::BLt };
    }
    judged.level = Some(reached);
    if let Some(failed) = judged.failed_stamp.take() {
        // Where a stamp was asked for, the one that is there and does not pass speaks for itself.
        if reached >= setting.policy.minimum_level {
            judged.ledger.extend_as_warnings(failed.ledger);
        } else {
            judged.ledger.extend(failed.ledger);
            judged.queries.extend(failed.queries);
        }
    }
    check(reached, &moment, setting, &mut judged.ledger);
    // What the relay may add, if nothing else but evidence is missing: it proves the time also while that is awaited.
    let addable = moment.bare && setting.policy.signer_timestamp == SignerTimestamp::RelayAdds;
    if addable && setting.policy.minimum_level > Level::BB && judged.ledger.row() == Some(Row::TryLater) {
        let algorithm = DigestAlgorithm::Sha256;
        let signer = judged.signer.as_ref();
        judged.queries.push(EvidenceQuery::Timestamp {
            subject: signer.map(|signer| signer.subject.clone()).unwrap_or_default(),
            algorithm,
            digest: algorithm.digest(&case.signed.signer.signature),
        });
    }
}

/// Says what the verdict would be without any archive time stamp, where it would be another.
fn needed(case: &Case<'_>, judged: &mut Judged, setting: &mut Setting<'_>) {
    let proven = std::mem::replace(&mut setting.existence, Existence::unproven(setting.now));
    let parsed = Ok(case.signed.clone());
    let without = signature::judge(case.name, &parsed, case.content, Ledger::default(), setting);
    setting.existence = proven;
    if let Some(row) = without.ledger.row() {
        let name = row.sub_indication().name();
        let detail = format!("What its archive proves decides: without it this would be {name}.");
        judged.ledger.pass("archive_needed", detail);
    }
}

/// Whether certificates, revocation of the signer's path and of its stamp's authority all lie in the file itself: what it carries
/// would have been enough when the stamp was made.
fn carries_evidence(store: &TrustStore, signed: &SignedData, beside: &[SignedData], setting: &Setting<'_>) -> bool {
    let has = |one: &SignedData| {
        let lists = !one.crls.is_empty() || !one.ocsp.is_empty();
        lists || one.signer.values != formats::cades::ValidationValues::default()
    };
    // Nothing is judged twice unless there is something to judge with.
    if !has(signed) && !beside.iter().any(has) {
        return false;
    }
    let carriers: Vec<&SignedData> = std::iter::once(signed).chain(beside).collect();
    let anchors = Anchors {
        intermediates: Vec::new(),
        ..store.anchors.clone()
    };
    let alone = Setting {
        anchors: setting.anchors,
        policy: setting.policy,
        now: setting.now,
        tokens: &[],
        material: Material::gather(&carriers, &anchors, &Evidence::default(), false).spend_with(&setting.material),
        existence: Existence::supposed(),
        asking: false,
    };
    signature::stands(signed, &alone)
}

/// The level reaches `minimum_level`. A stamp that is there and does not pass speaks for itself.
fn check(reached: Level, moment: &Moment, setting: &Setting<'_>, ledger: &mut Ledger) {
    let wanted = setting.policy.minimum_level;
    let proven = moment.proof == Proof::Proven;
    if reached >= wanted {
        ledger.pass(
            "level",
            format!("Level {}; the policy asks for {}.", reached.name(), wanted.name()),
        );
    } else if moment.bare && setting.policy.signer_timestamp == SignerTimestamp::RelayAdds {
        let detail = "The signature bears no time stamp yet; the policy lets the relay add one.";
        ledger.fail("level", Row::TryLater, detail);
    } else if moment.bare || proven {
        let detail = format!(
            "The signature is of level {}; the policy asks for {}.",
            reached.name(),
            wanted.name()
        );
        ledger.fail("level", Row::BelowMinimumLevel, detail);
    }
}
