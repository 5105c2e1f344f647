//! The order of checks, from bytes to verdict: EN 319 102-1 §5, RFC 5280 §6, and the HPKI rules of `CONTRACTS.md` §3.
//!
//! Every check is made and written down; the first row of the contract's list that matches decides (`ledger`).

mod archive;
mod authority;
mod container;
mod diagnostic;
mod ending;
mod existence;
mod ledger;
mod level;
mod material;
mod pdf;
mod profile;
mod route;
mod signature;
mod signer;
mod stamp;
mod token;
mod verdict;

use formats::asice::{Container, MAX_SIGNATURES, SignatureFile};
use formats::cades::{DetachedContent, Profile, SignedData};
use formats::envelope::DocumentKind;
use formats::hc_role::HcRole;
use formats::pdf::SignedPdf;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::anchors::Anchors;
use crate::evidence::{Evidence, EvidenceQuery};
use crate::policy::Policy;
use crate::report::{Indication, ValidationReport};
use archive::Carrier;
use existence::Existence;
use ledger::Row;
use level::Case;
use material::Material;
use signature::{Content, Judged};

pub use diagnostic::{MAX_REPORT, Mismatch, ReplayError, Snapshot};
pub use ending::{EndOf, StampEnd};
pub use token::{JudgedToken, TokenRefusal};
pub use verdict::{Validated, Verified};

/// Anchors and policy: everything a verdict depends on beside its subject, its evidence and the time.
#[derive(Debug, Clone)]
pub struct TrustStore {
    /// Whom to trust.
    pub anchors: Anchors,
    /// What to demand.
    pub policy: Policy,
}

/// What is judged.
#[derive(Clone)]
pub enum Subject {
    /// A container as read.
    Container(Box<Container>),
    /// A bare `.p7s`, with its detached content or without.
    Signature {
        /// The signature file.
        bytes: Vec<u8>,
        /// What is known of the content, if it was supplied.
        content: Option<DetachedContent>,
    },
    /// A PDF with signatures of its own, as read.
    Pdf(Box<SignedPdf>),
}

/// What an expired authority or stale evidence calls for.
const HINT: &str = "Judge it at the time it was taken in, with `--at <intake time>`, or use its archive.";

/// How much of a container is there to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Extent {
    Whole,
    /// META-INF, envelope and the first files; the rest is still to come.
    Arriving,
}

/// What every check may look at.
struct Setting<'s> {
    anchors: &'s Anchors,
    policy: &'s Policy,
    now: OffsetDateTime,
    tokens: &'s [Vec<u8>],
    material: Material,
    /// Since when what the file carries is known to have existed.
    existence: Existence,
    /// Evidence may still be fetched: a stamp that lacks nothing else counts as one that will pass.
    asking: bool,
}

impl TrustStore {
    /// What must still be fetched before a verdict is possible: fetch, add, ask again.
    ///
    /// Nothing, where no evidence could bring a row that counts more, or one that fails for good is there already. CRLs inside the signature do not count as had:
    /// its maker chose them, and one of yesterday hides what was revoked today.
    #[must_use]
    pub fn missing(&self, subject: &Subject, evidence: &Evidence, now: OffsetDateTime) -> Vec<EvidenceQuery> {
        let judged = self.judge(subject, evidence, now, true);
        let mut queries = Vec::new();
        if is_open(&judged) {
            for query in judged.into_iter().flat_map(|one| one.queries) {
                if !queries.contains(&query) {
                    queries.push(query);
                }
            }
        }
        queries
    }

    /// Judges. Total: never fails, always reports.
    #[must_use]
    pub fn validate(&self, subject: Subject, evidence: Evidence, now: OffsetDateTime) -> Validated {
        let judged = self.judge(&subject, &evidence, now, false);
        verdict::sum_up(self, &subject, Extent::Whole, evidence, now, judged)
    }

    /// The report on a container that is still arriving, if nothing still to come could make it pass: META-INF and envelope
    /// are complete, of the files some may have passed. `None` if it may still pass, or may once evidence is there.
    ///
    /// What has not arrived is taken for what the manifests promise, and the report claims nothing of it. It asks for no
    /// evidence: wherever it reports, [`TrustStore::missing`] would not have asked either.
    #[must_use]
    pub fn foresee(
        &self,
        arrived: Container,
        evidence: Evidence,
        now: OffsetDateTime,
    ) -> Option<Box<ValidationReport>> {
        let asked = self.judge_container(&arrived, Extent::Arriving, &evidence, now, true);
        let passes = asked.iter().all(|one| one.ledger.row().is_none());
        if passes || is_open(&asked) {
            return None;
        }
        let judged = self.judge_container(&arrived, Extent::Arriving, &evidence, now, false);
        let subject = Subject::Container(Box::new(arrived));
        // Only the report leaves: a container that is not whole is never `Verified`.
        let validated = verdict::sum_up(self, &subject, Extent::Arriving, evidence, now, judged);
        let hopeless = !validated.report().passed() && !validated.may_pass_later();
        hopeless.then(|| Box::new(validated.into_report()))
    }

    /// One judgement per signature, at least one.
    fn judge(&self, subject: &Subject, evidence: &Evidence, now: OffsetDateTime, asking: bool) -> Vec<Judged> {
        match subject {
            Subject::Container(container) => self.judge_container(container, Extent::Whole, evidence, now, asking),
            Subject::Pdf(pdf) => pdf::judge(self, pdf, evidence, now, asking),
            Subject::Signature { bytes, content } => {
                let parsed = SignedData::parse(bytes, Profile::Document);
                let known: Vec<&SignedData> = parsed.iter().collect();
                let mut setting = self.setting(&known, evidence, now, asking);
                if asking && known.iter().any(|signed| !signed.signer.archive_stamps.is_empty()) {
                    setting.material = Material::gather(&known, &self.anchors, evidence, false);
                }
                let carrier = Carrier {
                    bytes,
                    parsed: parsed.as_ref().ok(),
                    content_name: Some(existence::CONTENT),
                    content: content.as_ref().map(|content| &content.digests),
                    framed: content
                        .as_ref()
                        .map(|content| content.framed.as_slice())
                        .unwrap_or_default(),
                };
                let archives = archive::judge(None, &[carrier], &mut setting);
                let content = Content::Bare(content.as_ref().map(|content| &content.digests));
                let ledger = material::left_aside(evidence);
                let mut judged = signature::judge("", &parsed, &content, ledger, &setting);
                if let Ok(signed) = &parsed {
                    let case = Case {
                        name: "",
                        signed,
                        content: &content,
                        position: 0,
                        archives: &archives,
                        container: None,
                        tokens: &[],
                        covered: None,
                    };
                    level::conclude(self, &case, &mut judged, &mut setting);
                }
                // Envelope and role rules are for containers; whose signature it is, is for the caller to weigh.
                judged.ledger.pass(
                    "role",
                    "Which documents it may sign is not judged for a bare signature.",
                );
                vec![judged]
            }
        }
    }

    fn judge_container(
        &self,
        container: &Container,
        extent: Extent,
        evidence: &Evidence,
        now: OffsetDateTime,
        asking: bool,
    ) -> Vec<Judged> {
        // 1. The container itself: what is wrong with it weighs on every signature.
        let mut common = container::structure(container, extent);
        common.extend(material::left_aside(evidence));
        container::created(container, self.policy.clock_skew, now, &mut common);
        if container.signatures.len() > MAX_SIGNATURES {
            common.fail(
                "signatures",
                Row::FormatFailure,
                format!("More than {MAX_SIGNATURES} signatures."),
            );
        }
        // 2. Each signature over its manifest, with all that is at hand.
        let files = container.signatures.iter().take(MAX_SIGNATURES);
        let parsed: Vec<_> = files
            .clone()
            .map(|file| SignedData::parse(&file.bytes, Profile::Document))
            .collect();
        let tokens: Vec<SignedData> = container
            .tokens
            .iter()
            .filter_map(|token| SignedData::parse(&token.bytes, Profile::Token).ok())
            .collect();
        let known: Vec<&SignedData> = parsed.iter().flatten().chain(&tokens).collect();
        let mut setting = self.setting(&known, evidence, now, asking);
        if asking && !container.archives.is_empty() {
            // What an archive keeps cannot be had elsewhere any more. (A relay takes in no archives.)
            setting.material = Material::gather(&known, &self.anchors, evidence, false);
        }
        // 3. What archive time stamps prove of all that.
        let named = |file: &SignatureFile| container.manifests.iter().find(|one| one.signature == file.name);
        let carriers: Vec<Carrier<'_>> = files
            .clone()
            .zip(&parsed)
            .map(|(file, parsed)| Carrier {
                bytes: &file.bytes,
                parsed: parsed.as_ref().ok(),
                content_name: named(file).map(|manifest| manifest.name.as_str()),
                content: named(file).map(|manifest| &manifest.digests),
                framed: &[],
            })
            .collect();
        let archives = archive::judge(Some(container), &carriers, &mut setting);
        let mut judged: Vec<Judged> = files
            .zip(&parsed)
            .enumerate()
            .map(|(position, (file, parsed))| {
                let mut ledger = common.clone();
                let manifest = container::manifest_of(container, &file.name, &mut ledger);
                if let Some(manifest) = manifest {
                    container::files(container, extent, manifest, &mut ledger);
                }
                let content = Content::Manifest(manifest);
                let mut judged = signature::judge(&file.name, parsed, &content, ledger, &setting);
                if let Ok(signed) = parsed {
                    let case = Case {
                        name: &file.name,
                        signed,
                        content: &content,
                        position,
                        archives: &archives,
                        container: Some(container),
                        tokens: &tokens,
                        covered: None,
                    };
                    level::conclude(self, &case, &mut judged, &mut setting);
                }
                judged
            })
            .collect();
        if judged.is_empty() {
            return vec![Judged::without_signature(common)];
        }
        // 4. Together they must suit every document. A signer nobody knows has a row already, and qualifications nobody knows.
        if judged.iter().any(|one| one.signer.is_none()) {
            return judged;
        }
        let signers = judged.iter().map(|one| (one.roles.clone(), one.kinds.clone()));
        let signers: Vec<(Vec<HcRole>, Vec<DocumentKind>)> = signers.collect();
        for one in &mut judged {
            container::roles(container, &self.policy.roles, &signers, &mut one.ledger);
        }
        judged
    }

    fn setting<'s>(
        &'s self,
        known: &[&SignedData],
        evidence: &'s Evidence,
        now: OffsetDateTime,
        asking: bool,
    ) -> Setting<'s> {
        Setting {
            anchors: &self.anchors,
            policy: &self.policy,
            now,
            tokens: &evidence.tokens,
            material: Material::gather(known, &self.anchors, evidence, asking),
            existence: Existence::unproven(now),
            asking,
        }
    }
}

/// Whether evidence still to be fetched may change the verdict: it may pass, or fail by a row that comes before.
fn is_open(judged: &[Judged]) -> bool {
    let Some(row) = judged.iter().filter_map(|one| one.ledger.row()).min() else {
        return false;
    };
    let possible = judged.iter().filter_map(|one| one.ledger.possible()).min();
    let telling = row.indication() == Indication::Indeterminate && possible.is_some_and(|possible| possible < row);
    let mut queries = judged.iter().flat_map(|one| &one.queries);
    let issuer_missing = queries.any(|query| matches!(query, EvidenceQuery::Certificate { .. }));
    row == Row::TryLater || telling || (row == Row::NoCertificateChainFound && issuer_missing)
}

impl Setting<'_> {
    /// Nothing dated later is usable.
    fn latest(&self) -> OffsetDateTime {
        self.now.saturating_add(self.policy.clock_skew)
    }
}
