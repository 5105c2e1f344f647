//! The relay's own judgement, made at the desk: its policy and anchors, as it publishes them, over the container to be sent.

use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use formats::asice::{Container, Intake, IntakeError, IntakeEvent, Limits, Severity};
use formats::content::{Hazard, Sniffer};
use formats::trail::{Checkpoint, CheckpointError};
use formats::wire::RelayPolicy;
use time::OffsetDateTime;
use trust_store::anchors::{AnchorSet, Anchors, TrustAnchor};
use trust_store::report::{SubIndication, ValidationReport};
use trust_store::{Evidence, Policy, Subject, TrustStore};

use crate::config::Home;
use crate::error::{Code, Failure};
use crate::files;
use crate::output::Output;
use crate::relay_api::{ApiError, RelayApi};

/// The relay's policy as this machine knows it.
#[derive(Debug)]
pub struct KnownPolicy {
    /// The policy.
    pub policy: RelayPolicy,
    /// Why the relay could not be asked just now: then the policy is the one last heard.
    pub unreachable: Option<String>,
    /// Whether it judges by other anchors or rules than when last heard.
    pub changed: bool,
}

/// Asks the relay for its policy and keeps it; takes the one kept if the relay cannot be reached.
///
/// # Errors
/// [`Code::RelayUnreachable`] if none is kept either; what else the relay says.
pub async fn known_policy(home: &Home, api: &RelayApi) -> Result<KnownPolicy, Failure> {
    let kept = home.relay_policy();
    match api.policy().await {
        Ok(policy) => {
            // What cannot be used is neither kept nor pinned.
            relay_trust(&policy)?;
            pin_log_key(home, &policy.log_vkey)?;
            let text = serde_json::to_vec(&policy).map_err(|error| unusable(&error.to_string()))?;
            let changed = read_kept(&kept).is_some_and(|before| rules(&before) != rules(&policy));
            files::write_atomically(&kept, &text)?;
            Ok(KnownPolicy {
                policy,
                unreachable: None,
                changed,
            })
        }
        Err(ApiError::Unreachable(cause)) => match read_kept(&kept) {
            Some(policy) => Ok(KnownPolicy {
                policy,
                unreachable: Some(cause),
                changed: false,
            }),
            None => Err(Failure::new(Code::RelayUnreachable, cause)),
        },
        Err(error) => Err(error.into()),
    }
}

fn read_kept(kept: &Path) -> Option<RelayPolicy> {
    serde_json::from_slice(&files::read_small(kept).ok()?).ok()
}

/// What a verdict depends on.
fn rules(policy: &RelayPolicy) -> (&str, [&[String]; 4]) {
    let anchors = [
        &policy.hpki_anchors,
        &policy.accredited_anchors,
        &policy.jpki_anchors,
        &policy.tsa_anchors,
    ];
    (&policy.policy_toml, anchors.map(Vec::as_slice))
}

/// The key that the relay's receipts must be signed with: the one this machine heard first. A log that changes its key unsaid
/// could tell two histories.
///
/// # Errors
/// [`Code::LogKeyChanged`]; what the relay says, if no key is pinned yet.
pub async fn log_vkey(home: &Home, api: &RelayApi) -> Result<String, Failure> {
    match std::fs::read_to_string(home.log_vkey()) {
        Ok(pinned) => Ok(pinned.trim().to_owned()),
        Err(_) => Ok(known_policy(home, api).await?.policy.log_vkey),
    }
}

fn pin_log_key(home: &Home, vkey: &str) -> Result<(), Failure> {
    match std::fs::read_to_string(home.log_vkey()) {
        Ok(pinned) if pinned.trim() == vkey => Ok(()),
        Ok(_) => Err(Failure::new(Code::LogKeyChanged, home.log_vkey().display().to_string())),
        Err(_) if Checkpoint::verify("", vkey) == Err(CheckpointError::Key) => Err(unusable("its log_vkey is no key")),
        Err(_) => files::write_atomically(&home.log_vkey(), format!("{vkey}\n").as_bytes()),
    }
}

/// A trust store that judges as the relay does.
///
/// # Errors
/// [`Code::RelayAnswer`] if what the relay publishes cannot be used here.
pub fn relay_trust(policy: &RelayPolicy) -> Result<TrustStore, Failure> {
    let anchors = |encoded: &[String]| -> Result<AnchorSet, Failure> {
        let mut found = Vec::new();
        for text in encoded {
            found.extend(TrustAnchor::parse(&decode(text)?).map_err(|error| unusable(&error.to_string()))?);
        }
        Ok(AnchorSet(found))
    };
    Ok(TrustStore {
        anchors: Anchors {
            hpki: anchors(&policy.hpki_anchors)?,
            accredited: anchors(&policy.accredited_anchors)?,
            jpki: anchors(&policy.jpki_anchors)?,
            tsa: anchors(&policy.tsa_anchors)?,
            intermediates: policy
                .intermediates
                .iter()
                .map(|text| decode(text))
                .collect::<Result<_, _>>()?,
        },
        policy: Policy::from_toml(&policy.policy_toml).map_err(|error| unusable(&error.to_string()))?,
    })
}

/// Reads a container from disk.
///
/// # Errors
/// [`Code::FileUnreadable`].
pub fn read_container(path: &Path) -> Result<Container, Failure> {
    Container::read(&mut BufReader::with_capacity(1 << 20, files::open(path)?))
        .map_err(|error| files::unreadable(path, &error))
}

/// How a container passed through the relay's intake, run here.
pub enum Passage {
    /// It is in the profile the relay takes.
    Conforms(Box<Container>),
    /// It is not, for this reason; repacking may help.
    Foreign(String),
}

/// Runs the relay's own intake over a container: its profile, every digest, and what each file really is.
///
/// # Errors
/// [`Code::FileUnreadable`]; [`Code::WouldBeRefused`] for executables, scripts and macros, which no repacking mends.
pub fn pass_through(path: &Path) -> Result<Passage, Failure> {
    let mut file = files::open(path)?;
    let mut intake = Intake::new(Limits::default());
    let mut sniffer: Option<(String, Sniffer)> = None;
    let mut block = vec![0; 1 << 20];
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => block.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(files::unreadable(path, &error)),
        };
        let pushed: Result<(), Stopped> = intake.push(read, &mut |event| {
            match event {
                IntakeEvent::FileStart { path, .. } => sniffer = Some((path.to_owned(), Sniffer::new(path))),
                IntakeEvent::FileBytes(bytes) => {
                    if let Some((_, sniffer)) = &mut sniffer {
                        sniffer.push(bytes);
                    }
                }
                IntakeEvent::FileEnd(_) => {
                    if let Some((path, sniffer)) = sniffer.take()
                        && let Some(hazard) = sniffer.finish()
                    {
                        return Err(Stopped::Hazard(path, hazard));
                    }
                }
                IntakeEvent::Manifest(_) | IntakeEvent::Signature(_) | IntakeEvent::Envelope(..) => {}
            }
            Ok(())
        });
        match pushed {
            Ok(()) => {}
            Err(Stopped::Profile(error)) => return Ok(Passage::Foreign(error.to_string())),
            Err(Stopped::Hazard(path, hazard)) => {
                return Err(Failure::new(Code::WouldBeRefused, format!("{path}: {}", hazard.code())));
            }
        }
    }
    Ok(match intake.finish() {
        Ok(container) => Passage::Conforms(Box::new(container)),
        Err(error) => Passage::Foreign(error.to_string()),
    })
}

enum Stopped {
    Profile(IntakeError),
    Hazard(String, Hazard),
}

impl From<IntakeError> for Stopped {
    fn from(error: IntakeError) -> Self {
        Self::Profile(error)
    }
}

/// What the relay would say to this container now. Evidence that only the relay can ask for is no reason to refuse.
///
/// # Errors
/// [`Code::WouldBeRefused`] with the reason in one sentence, in the language of `output`.
pub fn foresee(
    relay: &RelayPolicy,
    facility: &str,
    container: Container,
    evidence: Evidence,
    now: OffsetDateTime,
    output: Output,
) -> Result<ValidationReport, Failure> {
    let refused = |reason: String| Failure::new(Code::WouldBeRefused, reason);
    if container.size > relay.max_container_bytes {
        let text = output.pick(
            "{size} バイトです。中継サーバーの上限は {most} バイトです",
            "{size} bytes, the relay takes {most}",
        );
        return Err(refused(
            text.replace("{size}", &container.size.to_string())
                .replace("{most}", &relay.max_container_bytes.to_string()),
        ));
    }
    if let Some(finding) = container
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal)
    {
        let what = output.pick(
            "コンテナの形式が正しくありません",
            "the container is not in the form it should be",
        );
        return Err(refused(format!("{what} ({})", finding.detail)));
    }
    let sender = container
        .envelope
        .as_ref()
        .map(|envelope| envelope.sender.facility.to_string());
    if sender.as_deref() != Some(facility) {
        let text = output.pick(
            "差出人は {sender} ですが、この端末は {facility} のものです",
            "the envelope is from {sender}, this machine belongs to {facility}",
        );
        return Err(refused(
            text.replace("{sender}", sender.as_deref().unwrap_or("-"))
                .replace("{facility}", facility),
        ));
    }
    let validated = relay_trust(relay)?.validate(Subject::Container(Box::new(container)), evidence, now);
    let report = validated.report().clone();
    if report.passed() || validated.may_pass_later() {
        return Ok(report);
    }
    let sentence = report.sentence(output.language);
    let detail = report.reason().map(|check| check.detail.as_str());
    let detail = detail.unwrap_or_else(|| report.sub_indication.map_or("unknown", SubIndication::name));
    Err(refused(format!("{sentence} ({detail})")))
}

fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(text)
        .map_err(|_| unusable("a certificate is not base64"))
}

fn unusable(what: &str) -> Failure {
    Failure::new(Code::RelayAnswer, format!("the relay's policy cannot be used: {what}"))
}
