//! `trust check`: whether what is configured would work now. Asks for real: every CRL by the relay's own rules, and each
//! time-stamp authority for a token.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;
use trust_store::path::{self, CertificatePool, PathInputs};
use trust_store::report::rfc3339;
use trust_store::revocation::crl::Crl;
use trust_store::revocation::urls;
use trust_store::{Certificate, TrustStore};

use crate::config::Config;
use crate::evidence::Fetcher;
use crate::expiry::{self, Near};
use crate::store::ClockGuard;
use crate::timestamps::Stamps;
use crate::trust::{CurrentTrust, summary};

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It works.
    Ok,
    /// It works, but not for long, or not for all.
    Warn,
    /// It does not.
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// In one sentence, Japanese then English.
    pub what: [String; 2],
}

fn finding(level: Level, ja: String, en: String) -> Finding {
    Finding { level, what: [ja, en] }
}

/// Looks at all of it, in the order directory, policy, dates, paths, CRLs, time stamps.
pub async fn check(config: &Config, now: OffsetDateTime) -> Vec<Finding> {
    let directory = config.trust.directory.display();
    let current = match CurrentTrust::open(&config.trust.directory) {
        Ok(current) => current,
        Err(error) => {
            return vec![finding(
                Level::Fail,
                format!("信頼ディレクトリ {directory} が使えません: {error}"),
                format!("the trust directory {directory} cannot be used: {error}"),
            )];
        }
    };
    let trust = current.current();
    let mut found = contents(&trust, &directory.to_string());
    found.extend(dates(config, &trust, now));
    found.extend(paths(&trust, now));
    found.extend(lists(config, &trust, now).await);
    found.extend(stamps(config, current).await);
    found
}

fn contents(trust: &TrustStore, directory: &str) -> Vec<Finding> {
    let (hpki, tsa) = (trust.anchors.hpki.0.len(), trust.anchors.tsa.0.len());
    let count = |count: usize, folder: &str, ja: &str, en: &str| match count {
        0 => finding(
            Level::Fail,
            format!("{ja}の信頼点がありません: {directory}/{folder} に置いてください。"),
            format!("no anchor for {en}: put one into {directory}/{folder}"),
        ),
        count => finding(
            Level::Ok,
            format!("{ja}の信頼点: {count} 件"),
            format!("anchors for {en}: {count}"),
        ),
    };
    let digest = summary(trust).digest;
    vec![
        count(hpki, "hpki", "署名者", "signers"),
        count(tsa, "tsa", "タイムスタンプ", "time stamps"),
        finding(
            Level::Ok,
            format!("検証ポリシーは読めます。ポリシーと信頼点のハッシュ値: {digest}"),
            format!("the policy can be read; digest of policy and anchors: {digest}"),
        ),
    ]
}

fn dates(config: &Config, trust: &TrustStore, now: OffsetDateTime) -> Vec<Finding> {
    let mut endings = expiry::of_trust(trust);
    endings.extend(expiry::of_config(config));
    let finding = |ending: expiry::Ending| Finding {
        level: match ending.near(now) {
            None => Level::Ok,
            Some(Near::Ended) => Level::Fail,
            Some(_) => Level::Warn,
        },
        what: ending.sentence(now),
    };
    endings.into_iter().map(finding).collect()
}

/// Every intermediate leads to an anchor; one that leads nowhere serves nobody.
fn paths(trust: &TrustStore, now: OffsetDateTime) -> Vec<Finding> {
    let anchors = &trust.anchors;
    let pool = CertificatePool::from_der(&anchors.intermediates);
    let leads_nowhere = |certificate: &&Certificate| {
        [&anchors.hpki, &anchors.tsa]
            .iter()
            .all(|set| path::build(certificate, set, &pool, &PathInputs::default(), now).is_err())
    };
    let lost = pool.certificates().iter().filter(leads_nowhere);
    lost.map(|certificate| {
        let subject = &certificate.subject;
        finding(
            Level::Warn,
            format!("{subject} からどの信頼点へも認証パスがつながりません。"),
            format!("{subject} has no path to an anchor"),
        )
    })
    .collect()
}

async fn lists(config: &Config, trust: &TrustStore, now: OffsetDateTime) -> Vec<Finding> {
    let anchors = &trust.anchors;
    let intermediates = anchors.intermediates.iter();
    let mut known: Vec<Certificate> = intermediates.filter_map(|der| Certificate::parse(der).ok()).collect();
    let mut wanted: BTreeSet<String> = known.iter().flat_map(urls).collect();
    let all = anchors.hpki.0.iter().chain(&anchors.tsa.0);
    known.extend(all.map(|anchor| anchor.certificate.clone()));
    let fetcher = match fetcher(config) {
        Ok(fetcher) => fetcher,
        Err(error) => {
            return vec![finding(
                Level::Fail,
                format!("失効リストの保存先が使えません: {error}"),
                format!("the folder of CRLs cannot be used: {error}"),
            )];
        }
    };
    // Those of cards are named by cards alone; what the relay has met before is kept.
    wanted.extend(fetcher.kept().into_iter().map(|(url, _)| url));
    let mut found = Vec::new();
    for url in wanted {
        let kept = match fetcher.anew(&url).await {
            Ok(kept) => kept,
            Err(reason) => {
                found.push(finding(
                    Level::Fail,
                    format!("失効リスト {url} を取得できません: {reason}"),
                    format!("the CRL {url} cannot be had: {reason}"),
                ));
                continue;
            }
        };
        found.push(list(&url, &kept.der, &known, now));
    }
    if found.is_empty() {
        found.push(finding(
            Level::Warn,
            "失効リストの場所がまだ分かりません。".to_owned(),
            "no CRL is known yet".to_owned(),
        ));
    }
    found
}

fn list(url: &str, der: &[u8], known: &[Certificate], now: OffsetDateTime) -> Finding {
    let Ok(crl) = Crl::parse(der) else {
        return finding(
            Level::Fail,
            format!("{url} は失効リストではありません。"),
            format!("{url} is no CRL"),
        );
    };
    let mut signers = known.iter().filter(|one| one.subject == crl.issuer);
    let authentic = signers.any(|signer| crl.verify_signature(&signer.key).is_ok());
    let (issuer, this) = (&crl.issuer, rfc3339(crl.this_update));
    let next = crl.next_update.map(rfc3339);
    let until = next.as_deref().unwrap_or("?");
    if !authentic {
        return finding(
            Level::Warn,
            format!("失効リスト {url} ({issuer}) に署名した認証局の証明書が手元にありません。"),
            format!("the CRL {url} of {issuer} is not signed by any certificate at hand"),
        );
    }
    if crl.next_update.is_some_and(|next| next < now) {
        return finding(
            Level::Fail,
            format!(
                "失効リスト {url} の次回更新は {until} で、現在 {} には過ぎています。",
                rfc3339(now)
            ),
            format!("the CRL {url} was due for replacement {until}; it is {}", rfc3339(now)),
        );
    }
    finding(
        Level::Ok,
        format!("失効リスト {url} ({issuer}): {this} 発行、次回更新 {until}"),
        format!("the CRL {url} of {issuer}: thisUpdate {this}, nextUpdate {until}"),
    )
}

/// The relay's own answers, and its way out.
fn fetcher(config: &Config) -> std::io::Result<Arc<Fetcher>> {
    let (folder, rest) = (config.data.join("evidence"), config.limits.longest_rest());
    Fetcher::open(folder, config.trust.clone(), rest, Arc::default()).map(Arc::new)
}

async fn stamps(config: &Config, trust: CurrentTrust) -> Vec<Finding> {
    if config.timestamps.is_empty() {
        return vec![finding(
            Level::Warn,
            "timestamps.urls が空です。医療機関ごとにタイムスタンプ局が必要になります。".to_owned(),
            "timestamps.urls is empty: each clinic needs its own time-stamp authority".to_owned(),
        )];
    }
    // A folder that cannot be used is told where the lists are.
    let Ok(fetcher) = fetcher(config) else {
        return Vec::new();
    };
    let guard = Arc::new(ClockGuard::new(config.limits.clock_drift));
    let stamps = Stamps::new(config, Arc::new(trust), fetcher, Arc::default(), guard);
    stamps.try_all().await;
    let mut found = Vec::new();
    for health in stamps.health() {
        let host = &health.authority;
        found.push(match (&health.reason, &health.gen_time) {
            (None, Some(time)) => {
                let drift = health.drift_seconds.unwrap_or_default();
                finding(
                    Level::Ok,
                    format!("{host} はタイムスタンプを発行しました: {time} (時計の差 {drift:.1} 秒)"),
                    format!("{host} gave a time stamp: {time} (it is {drift:.1} s from the clock here)"),
                )
            }
            (reason, _) => {
                let reason = reason.as_deref().unwrap_or("no answer");
                finding(
                    Level::Fail,
                    format!("{host} からタイムスタンプを得られません: {reason}"),
                    format!("{host} gives no time stamp: {reason}"),
                )
            }
        });
    }
    found
}
