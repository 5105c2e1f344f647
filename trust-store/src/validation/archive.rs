//! Archive time stamps, newest first: each is judged when it is known to have existed, and proves for what it covers that it
//! existed at its genTime. EN 319 102-1 §5.6.2, EN 319 162-1 §4.4.5 and annex A.7, EN 319 122-1 §5.5.
//!
//! A stamp proves something only if everything it claims holds: its token passes, it is over its manifest (or over the parts of
//! its signature), and every reference is there and matches. Anything less proves nothing, and is a warning.

mod document;

use std::collections::HashMap;

use formats::asice::{ArchiveManifest, Container, FileEntry};
use formats::cades::{ArchiveStampKind, FramedDigest, Profile, SignedData, archive_imprint};
use formats::digest::{DigestAlgorithm, Digests};
use formats::timestamp::Token;
use time::OffsetDateTime;

use super::existence::{carried, carried_by_part};
use super::ledger::{Ledger, Row};
use super::stamp::{self, Over};
use super::{Setting, signer};
use crate::evidence::EvidenceQuery;
use crate::report::{TimestampSummary, rfc3339};

/// Archive stamps judged, over all signatures.
const MAX_STAMPS: usize = 64;
/// Of these, inside one signature: each is over nearly all of it.
const MAX_INSIDE: usize = 16;

pub(super) use document::judge as judge_documents;

/// A signature with its bytes: archive stamps inside it are over them.
pub(super) struct Carrier<'c> {
    pub(super) bytes: &'c [u8],
    pub(super) parsed: Option<&'c SignedData>,
    /// The entry it signs; [`super::existence::CONTENT`] of a bare one. `None` where that is not told.
    pub(super) content_name: Option<&'c str>,
    /// Digests of its detached content, where known.
    pub(super) content: Option<&'c Digests>,
    /// Hashes over it inside frames, where it was at hand itself.
    pub(super) framed: &'c [FramedDigest],
}

/// All archive stamps as judged.
#[derive(Default)]
pub(super) struct Archives {
    stamps: Vec<Judged>,
    /// What they found: warnings and passed checks, never a verdict.
    pub(super) ledger: Ledger,
    /// What is missing for a verdict on them.
    pub(super) queries: Vec<EvidenceQuery>,
    /// One of them lacks evidence alone.
    pub(super) hoped: bool,
}

struct Judged {
    summary: TimestampSummary,
    passed: bool,
    /// The signature it is inside of, by position; `None` beside the signatures.
    inside: Option<usize>,
    /// Names it covers, or whether it covers all of the signature it is inside of.
    names: Vec<String>,
    whole: bool,
}

impl Archives {
    /// Those that concern the signature at `position`, as the report shows them.
    pub(super) fn summaries(&self, position: usize) -> impl Iterator<Item = &TimestampSummary> {
        let concerned = move |one: &&Judged| one.inside.is_none_or(|inside| inside == position);
        self.stamps.iter().filter(concerned).map(|one| &one.summary)
    }

    /// Whether a passing stamp covers every one of these entries of the container.
    pub(super) fn cover<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> bool {
        self.stamps.iter().any(|one| {
            let covered: std::collections::HashSet<&str> = one.names.iter().map(String::as_str).collect();
            one.passed && one.inside.is_none() && names.clone().all(|name| covered.contains(name))
        })
    }

    /// Whether a passing stamp inside the signature at `position` covers all of it.
    pub(super) fn cover_signature(&self, position: usize) -> bool {
        let covers = |one: &Judged| one.passed && one.whole && one.inside == Some(position);
        self.stamps.iter().any(covers)
    }
}

/// One stamp to be judged.
struct Candidate<'c> {
    name: String,
    bytes: &'c [u8],
    token: Token,
    place: Place<'c>,
}

enum Place<'c> {
    Manifest(&'c ArchiveManifest),
    Inside(usize, &'c formats::cades::ArchiveStamp),
}

/// Judges all archive stamps there are and enters what they prove into the setting's existence.
pub(super) fn judge(container: Option<&Container>, carriers: &[Carrier<'_>], setting: &mut Setting<'_>) -> Archives {
    let mut archives = Archives::default();
    let mut candidates = candidates(container, carriers, &mut archives.ledger);
    if candidates.is_empty() {
        return archives;
    }
    // Newest first; of two with one genTime the one that covers more.
    candidates.sort_by_key(|one| {
        let count = match one.place {
            Place::Manifest(manifest) => manifest.references.len(),
            Place::Inside(..) => 0,
        };
        (std::cmp::Reverse(one.token.info.gen_time), std::cmp::Reverse(count))
    });
    if candidates.len() > MAX_STAMPS {
        let detail = format!(
            "Of {} archive time stamps only the newest {MAX_STAMPS} are judged.",
            candidates.len()
        );
        archives.ledger.warn("archive", detail);
        candidates.truncate(MAX_STAMPS);
    }
    let mut known = Contents::of(container);
    for candidate in &candidates {
        let judged = match candidate.place {
            Place::Manifest(manifest) => beside(candidate, manifest, &mut known, setting, &mut archives),
            Place::Inside(position, stamp) => {
                let carrier = carriers.get(position);
                carrier.and_then(|carrier| inside(candidate, position, stamp, carrier, setting, &mut archives))
            }
        };
        archives.stamps.extend(judged);
    }
    archives
}

fn candidates<'c>(
    container: Option<&'c Container>,
    carriers: &'c [Carrier<'c>],
    ledger: &mut Ledger,
) -> Vec<Candidate<'c>> {
    let mut found = Vec::new();
    let mut take = |name: String, bytes: &'c [u8], place: Place<'c>| match Token::parse(bytes) {
        Ok(token) => found.push(Candidate {
            name,
            bytes,
            token,
            place,
        }),
        Err(error) => ledger.warn(
            "archive",
            format!("{name} proves nothing: its token cannot be read: {error}."),
        ),
    };
    let (mut missing, mut crowded) = (Vec::new(), false);
    for manifest in container.into_iter().flat_map(|container| &container.archives) {
        let tokens = container.into_iter().flat_map(|container| &container.tokens);
        match tokens.into_iter().find(|token| token.name == manifest.token) {
            Some(token) => take(manifest.name.clone(), &token.bytes, Place::Manifest(manifest)),
            None => missing.push(&manifest.name),
        }
    }
    for (position, carrier) in carriers.iter().enumerate() {
        let stamps = carrier.parsed.iter().flat_map(|parsed| &parsed.signer.archive_stamps);
        if carrier
            .parsed
            .is_some_and(|parsed| parsed.signer.archive_stamps.len() > MAX_INSIDE)
        {
            crowded = true;
        }
        for stamp in stamps.take(MAX_INSIDE) {
            let kind = match stamp.kind {
                ArchiveStampKind::V1 => "archive-time-stamp",
                ArchiveStampKind::V2 => "archive-time-stamp-v2",
                ArchiveStampKind::V3 => "archive-time-stamp-v3",
            };
            take(kind.to_owned(), &stamp.token, Place::Inside(position, stamp));
        }
    }
    if crowded {
        let detail = format!("Of the archive time stamps inside a signature only the first {MAX_INSIDE} are judged.");
        ledger.warn("archive", detail);
    }
    for name in missing {
        ledger.warn(
            "archive",
            format!("{name} proves nothing: the container lacks its token."),
        );
    }
    found
}

/// What entries of META-INF carry, computed once.
struct Contents<'c> {
    entries: HashMap<&'c str, &'c FileEntry>,
    signed: HashMap<&'c str, (&'c [u8], Profile)>,
    carried: HashMap<String, Vec<[u8; 32]>>,
}

impl<'c> Contents<'c> {
    fn of(container: Option<&'c Container>) -> Self {
        let mut signed = HashMap::new();
        for file in container.into_iter().flat_map(|container| &container.signatures) {
            signed.insert(file.name.as_str(), (&*file.bytes, Profile::Document));
        }
        for file in container.into_iter().flat_map(|container| &container.tokens) {
            signed.insert(file.name.as_str(), (&*file.bytes, Profile::Token));
        }
        Self {
            entries: container.map(Container::entries).unwrap_or_default(),
            signed,
            carried: HashMap::new(),
        }
    }

    /// The objects inside an entry that is a signature or a token.
    fn carried(&mut self, name: &str) -> &[[u8; 32]] {
        let signed = self.signed.get(name);
        self.carried.entry(name.to_owned()).or_insert_with(|| {
            signed
                .map(|(bytes, profile)| carried(bytes, *profile))
                .unwrap_or_default()
        })
    }
}

/// Judges a token at the time it is known, and writes down how that ended. Whether it may prove something.
fn token_passes(
    name: &str,
    bytes: &[u8],
    over: &Over<'_>,
    known: OffsetDateTime,
    claims: Ledger,
    setting: &Setting<'_>,
    archives: &mut Archives,
) -> (bool, TimestampSummary) {
    let mut judged = stamp::judge(bytes, over, known, setting);
    let gen_time = judged.gen_time.unwrap_or(setting.now);
    judged.ledger.extend(claims);
    if gen_time > setting.latest() {
        let detail = format!("It is of {}, later than {}.", rfc3339(gen_time), rfc3339(setting.now));
        judged.ledger.fail("archive", Row::OutOfBoundsNoPoe, detail);
    }
    let row = judged.ledger.row();
    let hoped = setting.asking && row == Some(Row::TryLater);
    archives.hoped |= hoped;
    let summary = judged.summary();
    archives.ledger.extend_as_warnings(judged.ledger);
    archives.queries.extend(judged.queries);
    if let Some(row) = row {
        let detail = format!(
            "{name} of {} proves nothing: {}.",
            rfc3339(gen_time),
            row.sub_indication().name()
        );
        archives.ledger.warn("archive", detail);
    }
    (row.is_none() || hoped, summary)
}

/// A stamp over an archive manifest.
fn beside(
    candidate: &Candidate<'_>,
    manifest: &ArchiveManifest,
    contents: &mut Contents<'_>,
    setting: &mut Setting<'_>,
    archives: &mut Archives,
) -> Option<Judged> {
    let existence = &setting.existence;
    let gen_time = candidate.token.info.gen_time;
    // The imprint binds token and manifest: it must have been sound as long as either was unproven.
    let known = existence
        .of(candidate.bytes)
        .max(existence.of_entry(&manifest.name))
        .max(gen_time);
    let mut claims = Ledger::default();
    let wrong = manifest.references.iter().find_map(|reference| {
        let name = shown(&reference.path);
        match contents.entries.get(reference.path.as_str()) {
            None => Some(format!("{} refers to {name}, which is not there.", manifest.name)),
            Some(found) if found.digests.get(reference.algorithm) == Some(&reference.digest) => None,
            Some(_) => Some(format!("{name} is not what {} refers to.", manifest.name)),
        }
    });
    if let Some(wrong) = wrong {
        claims.fail("archive", Row::HashFailure, wrong);
    }
    let over = Over::Manifest(&manifest.digests);
    let (name, bytes) = (&candidate.name, candidate.bytes);
    let (passed, summary) = token_passes(name, bytes, &over, known, claims, setting, archives);
    let mut names = Vec::new();
    let mut outlived = 0_usize;
    if passed {
        for reference in &manifest.references {
            // A hash that had been given up before anything newer vouched for the entry may have been matched by another one.
            let since = setting.existence.of_entry(&reference.path).max(gen_time);
            if signer::outlived(setting.policy, reference.algorithm.name(), since).is_some() {
                outlived += 1;
                continue;
            }
            names.push(reference.path.clone());
            setting.existence.prove_entry(&reference.path, gen_time);
            setting.existence.prove(contents.carried(&reference.path), gen_time);
        }
        if outlived > 0 {
            let detail = format!(
                "{outlived} references of {} are by a hash given up since.",
                manifest.name
            );
            archives.ledger.warn("archive", detail);
        }
        let detail = format!(
            "{} proves that {} entries of the container existed at {}.",
            manifest.name,
            names.len(),
            rfc3339(gen_time)
        );
        archives.ledger.pass("archive", detail);
    }
    Some(Judged {
        summary,
        passed: passed && !names.is_empty(),
        inside: None,
        names,
        whole: false,
    })
}

/// A stamp inside the signature at `position`.
fn inside(
    candidate: &Candidate<'_>,
    position: usize,
    stamp: &formats::cades::ArchiveStamp,
    carrier: &Carrier<'_>,
    setting: &mut Setting<'_>,
    archives: &mut Archives,
) -> Option<Judged> {
    let gen_time = candidate.token.info.gen_time;
    let known = setting.existence.of(candidate.bytes).max(gen_time);
    let imprint = match archive_imprint(carrier.bytes, stamp, &candidate.token, carrier.content, carrier.framed) {
        Ok(imprint) => imprint,
        Err(error) => {
            let detail = format!("{} of {} proves nothing: {error}.", candidate.name, rfc3339(gen_time));
            archives.ledger.warn("archive", detail);
            return None;
        }
    };
    let mut claims = Ledger::default();
    for algorithm in &imprint.algorithms {
        if let Some(detail) = signer::outlived(setting.policy, algorithm.name(), known) {
            let detail = format!("What it is over is hashed with {detail}.");
            claims.fail("archive", Row::CryptoConstraintsFailure, detail);
        }
    }
    let over = Over::Imprints(&imprint.accepted);
    let (name, bytes) = (&candidate.name, candidate.bytes);
    let (passed, summary) = token_passes(name, bytes, &over, known, claims, setting, archives);
    if passed {
        for part in &imprint.covered {
            setting.existence.prove(&carried_by_part(part), gen_time);
        }
        if let (true, Some(content)) = (imprint.covers_content, carrier.content_name) {
            prove_content(content, &imprint.algorithms, gen_time, setting);
        }
        if let Some(parsed) = carrier.parsed {
            setting
                .existence
                .prove(&[formats::digest::sha256(&parsed.signer.signature)], gen_time);
        }
        let detail = format!(
            "{} proves that the signature and {} of its parts existed at {}.",
            candidate.name,
            imprint.covered.len(),
            rfc3339(gen_time)
        );
        archives.ledger.pass("archive", detail);
        if imprint.uncovered > 0 {
            let detail = format!(
                "{} parts of the signature are not in the hash index of {}: nothing is proven of them.",
                imprint.uncovered, candidate.name
            );
            archives.ledger.warn("archive", detail);
        }
    }
    Some(Judged {
        summary,
        passed,
        inside: Some(position),
        names: Vec::new(),
        whole: imprint.uncovered == 0,
    })
}

/// The content existed when a stamp over it was made, unless the hash in between was given up before anything newer vouched for the
/// content: another one may match it.
fn prove_content(content: &str, algorithms: &[DigestAlgorithm], gen_time: OffsetDateTime, setting: &mut Setting<'_>) {
    let since = setting.existence.of_entry(content).max(gen_time);
    let over = algorithms.first();
    if over.is_some_and(|over| signer::outlived(setting.policy, over.name(), since).is_none()) {
        setting.existence.prove_entry(content, gen_time);
    }
}

/// A name in META-INF, or the fact that it is a file: file names may be a patient's.
fn shown(path: &str) -> &str {
    if path.starts_with("META-INF/") { path } else { "a file" }
}
