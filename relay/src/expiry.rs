//! What runs out, and when that is said: anchors, intermediates, CRLs, time-stamp authorities, the relay's TLS certificate and
//! device CA. 60, 30 and 7 days ahead, once a day each, in the log; as seconds left in the figures. (The log key has no end.)

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use time::{Date, OffsetDateTime};
use trust_store::anchors::pem_or_der;
use trust_store::report::rfc3339;
use trust_store::{Certificate, TrustStore};

use crate::clock;
use crate::config::Config;
use crate::context::Context;
use crate::observe;

/// Looked at so often: at the change of a day at the latest an hour late.
const PAUSE: Duration = Duration::from_secs(3600);
/// CRLs shown in the figures at most; their URLs come from certificates.
const CRLS: usize = 64;
/// A CRL lives days, not years: it is near its end when fetching it anew has failed for long.
const CRL_NEAR: time::Duration = time::Duration::hours(12);

/// Something that runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `hpki`, `accredited`, `jpki`, `tsa`, `intermediate`, `crl`, `tsa-certificate`, `tls` or `device-ca`.
    pub purpose: &'static str,
    /// Short, for people.
    pub name: String,
    /// When.
    pub at: OffsetDateTime,
}

/// How near an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Near {
    /// It has ended.
    Ended,
    /// A CRL that should have been replaced by now.
    Hours,
    /// 7 days at most.
    Days7,
    /// 30 days at most.
    Days30,
    /// 60 days at most.
    Days60,
}

impl Ending {
    /// How near its end is; `None` while it is far.
    #[must_use]
    pub fn near(&self, now: OffsetDateTime) -> Option<Near> {
        let left = self.at - now;
        if left <= time::Duration::ZERO {
            return Some(Near::Ended);
        }
        if self.purpose == "crl" {
            return (left <= CRL_NEAR).then_some(Near::Hours);
        }
        [(7, Near::Days7), (30, Near::Days30), (60, Near::Days60)]
            .into_iter()
            .find(|(days, _)| left <= time::Duration::days(*days))
            .map(|(_, near)| near)
    }

    /// As one sentence, Japanese then English.
    #[must_use]
    pub fn sentence(&self, now: OffsetDateTime) -> [String; 2] {
        let (purpose, name, at) = (self.purpose, &self.name, rfc3339(self.at));
        let left = self.at - now;
        if left <= time::Duration::ZERO {
            return [
                format!("{name} ({purpose}) の有効期限は {at} に切れています。"),
                format!("{name} ({purpose}) ended {at}."),
            ];
        }
        let days = left.whole_days();
        [
            format!("{name} ({purpose}) の有効期限は {at}、残り {days} 日です。"),
            format!("{name} ({purpose}) ends {at}, in {days} days."),
        ]
    }
}

/// Anchors and intermediates.
#[must_use]
pub fn of_trust(trust: &TrustStore) -> Vec<Ending> {
    let anchors = &trust.anchors;
    let sets = anchors.sets();
    let sets = sets
        .iter()
        .flat_map(|(purpose, set)| set.0.iter().map(|anchor| (*purpose, anchor.certificate.clone())));
    let others = anchors.intermediates.iter();
    let others = others.filter_map(|der| Some(("intermediate", Certificate::parse(der).ok()?)));
    sets.chain(others)
        .map(|(purpose, certificate)| Ending::of(purpose, &certificate))
        .collect()
}

/// The relay's TLS certificate and device CA. What cannot be read keeps the relay from starting, and is told there.
#[must_use]
pub fn of_config(config: &Config) -> Vec<Ending> {
    let read = |purpose, path: &Path| {
        let ders = std::fs::read(path)
            .ok()
            .and_then(|bytes| pem_or_der(&bytes, "CERTIFICATE").ok());
        let first = ders.and_then(|ders| Certificate::parse(ders.first()?).ok())?;
        Some(Ending::of(purpose, &first))
    };
    let own = [
        read("tls", &config.tls.certificate),
        read("device-ca", &config.ca.certificate),
    ];
    own.into_iter().flatten().collect()
}

impl Ending {
    pub(crate) fn of(purpose: &'static str, certificate: &Certificate) -> Self {
        let subject = certificate.subject.to_string();
        // The most telling part of a name: its CN, else its last OU.
        let parts = || subject.split(',').map(str::trim);
        let part = |label: &str| {
            parts()
                .filter_map(|part| part.strip_prefix(label))
                .map(str::to_owned)
                .next()
        };
        let name = part("CN=").or_else(|| part("OU=")).unwrap_or_else(|| subject.clone());
        Self {
            purpose,
            name,
            at: certificate.not_after,
        }
    }
}

/// Everything this relay depends on, nearest end first.
pub(crate) fn all(context: &Context) -> Vec<Ending> {
    let mut all = of_trust(&context.trust.current());
    all.extend(of_config(&context.config));
    all.extend(context.stamps.endings());
    let crls = context.fetcher.kept().into_iter().filter_map(|(url, kept)| {
        Some(Ending {
            purpose: "crl",
            name: url,
            at: kept.next_update?,
        })
    });
    all.extend(nearest(crls.collect(), CRLS));
    all.sort_by_key(|ending| ending.at);
    all
}

/// Those that end first: of more than are shown, the ones that matter.
fn nearest(mut endings: Vec<Ending>, most: usize) -> Vec<Ending> {
    endings.sort_by(|one, other| (one.at, &one.name).cmp(&(other.at, &other.name)));
    endings.truncate(most);
    endings
}

/// What was said today already.
#[derive(Debug, Default)]
struct Said(HashMap<(&'static str, String, Near), Date>);

impl Said {
    /// Whether it is to be said now; each once a day.
    fn admit(&mut self, ending: &Ending, near: Near, today: Date) -> bool {
        self.0.retain(|_, said| *said == today);
        let key = (ending.purpose, ending.name.clone(), near);
        self.0.insert(key, today) != Some(today)
    }
}

/// Looks at all ends again and again, until the task is dropped.
pub(crate) async fn watch(context: Context) {
    let mut said = Said::default();
    loop {
        let looked = context.clone();
        let all = tokio::task::spawn_blocking(move || all(&looked))
            .await
            .unwrap_or_default();
        let now = clock::now();
        // The nearest end last: of several under one name it is the one that counts.
        for ending in all.iter().rev() {
            metrics::gauge!(observe::EXPIRY, "purpose" => ending.purpose, "name" => ending.name.clone())
                .set((ending.at - now).as_seconds_f64());
        }
        for ending in &all {
            if let Some(near) = ending.near(now)
                && said.admit(ending, near, now.date())
            {
                let [_, what] = ending.sentence(now);
                let (purpose, name, ends) = (ending.purpose, ending.name.as_str(), rfc3339(ending.at));
                if near <= Near::Days7 {
                    tracing::error!(purpose, name, ends, "{what}");
                } else {
                    tracing::warn!(purpose, name, ends, "{what}");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = context.trust.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn ending(purpose: &'static str, left: time::Duration) -> Ending {
        Ending {
            purpose,
            name: "TEST CA".into(),
            at: NOW + left,
        }
    }

    #[test]
    fn ends_come_near_in_steps() {
        let near = |days| ending("hpki", time::Duration::days(days)).near(NOW);
        assert_eq!(near(61), None);
        assert_eq!((near(60), near(31)), (Some(Near::Days60), Some(Near::Days60)));
        assert_eq!((near(30), near(8)), (Some(Near::Days30), Some(Near::Days30)));
        assert_eq!((near(7), near(1)), (Some(Near::Days7), Some(Near::Days7)));
        assert_eq!((near(0), near(-5)), (Some(Near::Ended), Some(Near::Ended)));
        assert_eq!(ending("crl", time::Duration::days(4)).near(NOW), None);
        assert_eq!(ending("crl", time::Duration::hours(2)).near(NOW), Some(Near::Hours));
    }

    #[test]
    fn anchors_of_every_route_are_told_of_and_recorded() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/validation");
        let trust = crate::trust::open(&cases.join("accredited_route_open/trust")).unwrap();
        let accredited = trust.anchors.accredited.0.len();
        assert!(accredited > 0);
        let told = of_trust(&trust);
        let of_route = told.iter().filter(|ending| ending.purpose == "accredited");
        assert_eq!(of_route.count(), accredited);
        assert_eq!(crate::trust::summary(&trust).accredited.len(), accredited);
    }

    #[test]
    fn of_more_crls_than_are_shown_those_that_end_first_are() {
        let endings = (0..200).map(|hours| ending("crl", time::Duration::hours((hours * 37) % 200)));
        let shown = nearest(endings.collect(), CRLS);
        assert_eq!(shown.len(), CRLS);
        assert!(shown.iter().all(|one| one.at < NOW + time::Duration::hours(64)));
    }

    #[test]
    fn each_is_said_once_a_day_and_step() {
        let mut said = Said::default();
        let (ca, today) = (ending("hpki", time::Duration::days(20)), NOW.date());
        assert!(said.admit(&ca, Near::Days30, today));
        assert!(!said.admit(&ca, Near::Days30, today));
        assert!(said.admit(&ca, Near::Days7, today));
        assert!(said.admit(&ca, Near::Days30, today.next_day().unwrap()));
    }

    #[test]
    fn the_sentence_says_what_ends_and_when() {
        let [ja, en] = ending("tls", time::Duration::days(5)).sentence(NOW);
        assert_eq!(en, "TEST CA (tls) ends 2026-11-29T12:00:00Z, in 5 days.");
        assert!(ja.contains("残り 5 日"), "{ja}");
    }
}
