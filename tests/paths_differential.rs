//! Two thousand random chains: we, `openssl verify` and `certval` judge every one. None that we accept is refused by another
//! without a reason written here.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use time::OffsetDateTime;
use time::macros::datetime;
use trust_store::Certificate;
use trust_store::anchors::{AnchorSet, TrustAnchor};
use trust_store::chain::{ChainOptions, ChainVerdict};
use trust_store::path::CertificatePool;
use trust_store::revocation::{CrlPool, OcspPool};

#[path = "judges/certval.rs"]
mod certval_judge;
#[path = "paths_differential/der.rs"]
mod der;
#[path = "paths_differential/plan.rs"]
mod plan;

use plan::{Chain, Keys};

const NOW: OffsetDateTime = datetime!(2026-11-22 03:00 UTC);
const CHAINS: u64 = 2_000;

/// Where OpenSSL refuses what we accept: part of what it says, what the chain has, and why. There is no such case.
const OPENSSL_REFUSES: &[(&str, &str, &str)] = &[];

/// The same of `certval`.
const CERTVAL_REFUSES: &[(&str, &str, &str)] = &[
    (
        "RevocationStatusNotDetermined",
        "indirect",
        "It reads no indirect lists; OpenSSL and we do (RFC 5280 §6.3.3 (b)).",
    ),
    (
        "RevocationStatusNotDetermined",
        "reasons",
        "It does not put lists of some reasons together; OpenSSL and we do (RFC 5280 §6.3.3 (d), (e)).",
    ),
    (
        "InvalidKeyUsage",
        "no keyUsage",
        "It wants keyUsage in every CA. RFC 5280 §6.1.4 (n) asks for keyCertSign only where there is one; so does OpenSSL.",
    ),
    (
        "NullPolicySet",
        "two mappings",
        "A CA maps one policy onto another that stands beside it, and anyPolicy below it is for both. Ours and OpenSSL's tree keeps \
         the one that was asked for (RFC 5280 §6.1.3 (d) (2)).",
    ),
];

fn options(chain: &Chain) -> ChainOptions {
    ChainOptions {
        policies: chain.policies.iter().map(|policy| policy.parse().unwrap()).collect(),
        require_explicit_policy: chain.explicit,
        inhibit_policy_mapping: chain.no_mapping,
        inhibit_any_policy: chain.no_any,
        ..ChainOptions::default()
    }
}

fn ours(chain: &Chain) -> ChainVerdict {
    let between: Vec<Vec<u8>> = chain.authorities.iter().chain(&chain.others).cloned().collect();
    trust_store::chain::chain(
        &Certificate::parse(&chain.leaf).unwrap(),
        &AnchorSet(TrustAnchor::parse(&chain.root).unwrap()),
        &CertificatePool::from_der(&between),
        &CrlPool::from_der(&chain.lists),
        &OcspPool::default(),
        NOW,
        &options(chain),
    )
}

fn openssl(folder: &Path, chain: &Chain) -> Result<(), String> {
    let write = |name: &str, label: &'static str, parts: &[Vec<u8>]| {
        let path = folder.join(name);
        fs::write(
            &path,
            parts.iter().map(|part| kit::pem(label, part)).collect::<String>(),
        )
        .unwrap();
        path
    };
    let mut command = Command::new("openssl");
    command.args([
        "verify",
        "-no-CApath",
        "-no-CAstore",
        "-crl_check_all",
        "-extended_crl",
        "-use_deltas",
    ]);
    command.args(["-policy_check", "-attime", &NOW.unix_timestamp().to_string()]);
    let any = ["2.5.29.32.0".to_owned()];
    let asked = if chain.policies.is_empty() {
        &any[..]
    } else {
        &chain.policies
    };
    for policy in asked {
        command.args(["-policy", policy]);
    }
    for (wanted, flag) in [
        (chain.explicit, "-explicit_policy"),
        (chain.no_mapping, "-inhibit_map"),
        (chain.no_any, "-inhibit_any"),
    ] {
        command.args(wanted.then_some(flag));
    }
    let between: Vec<Vec<u8>> = chain.authorities.iter().chain(&chain.others).cloned().collect();
    command
        .arg("-CAfile")
        .arg(write("root.pem", "CERTIFICATE", std::slice::from_ref(&chain.root)));
    if !chain.lists.is_empty() {
        command
            .arg("-CRLfile")
            .arg(write("lists.pem", "X509 CRL", &chain.lists));
    }
    if !between.is_empty() {
        command
            .arg("-untrusted")
            .arg(write("between.pem", "CERTIFICATE", &between));
    }
    command.arg(write("leaf.pem", "CERTIFICATE", std::slice::from_ref(&chain.leaf)));
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn certval(chain: &Chain) -> Result<(), String> {
    let authorities: Vec<&[u8]> = chain.authorities.iter().map(Vec::as_slice).collect();
    certval_judge::judge(
        &chain.leaf,
        &authorities,
        &chain.lists,
        &chain.root,
        NOW,
        &options(chain),
    )
}

/// What the three said of one chain.
struct Verdicts {
    plan: u64,
    traits: Vec<&'static str>,
    ours: ChainVerdict,
    openssl: Result<(), String>,
    certval: Result<(), String>,
}

fn judge_all() -> Vec<Verdicts> {
    let keys = Keys::new();
    let next = Mutex::new(0..CHAINS);
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                loop {
                    let Some(plan) = next.lock().unwrap().next() else {
                        break;
                    };
                    let chain = plan::chain(plan, &keys);
                    let verdicts = Verdicts {
                        plan,
                        ours: ours(&chain),
                        openssl: openssl(folder.path(), &chain),
                        certval: certval(&chain),
                        traits: chain.traits,
                    };
                    all.lock().unwrap().push(verdicts);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// What of the refusals of one judge no row explains; rows that explain nothing are found too.
fn unexplained(
    judge: &str,
    rows: &[(&'static str, &'static str, &'static str)],
    all: &[Verdicts],
    said: impl Fn(&Verdicts) -> &Result<(), String>,
) -> Vec<String> {
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for one in all.iter().filter(|one| one.ours.valid) {
        let Err(refusal) = said(one) else {
            continue;
        };
        let row = rows
            .iter()
            .find(|(words, of, _)| refusal.contains(words) && (of.is_empty() || one.traits.contains(of)));
        match row {
            Some((_, _, reason)) => *used.entry(reason).or_default() += 1,
            None => wrong.push(format!(
                "{judge} refuses chain {} {:?}, which we accept: {refusal}",
                one.plan, one.traits
            )),
        }
    }
    for (_, _, reason) in rows {
        match used.get(reason) {
            Some(count) => println!("  {judge} refuses {count} that we accept: {reason}"),
            None => wrong.push(format!("{judge}: no chain for the row: {reason}")),
        }
    }
    wrong
}

#[test]
fn no_judge_refuses_what_we_accept_without_a_reason() {
    let began = Instant::now();
    let all = judge_all();
    let valid = all.iter().filter(|one| one.ours.valid).count();
    let count = |valid: bool, said: &dyn Fn(&Verdicts) -> bool| {
        let of_ours = all.iter().filter(|one| one.ours.valid == valid);
        of_ours.filter(|one| said(one)).count()
    };
    assert!(all.len() as u64 == CHAINS && valid > 200, "{valid} of {}", all.len());
    let mut wrong = unexplained("OpenSSL", OPENSSL_REFUSES, &all, |one| &one.openssl);
    wrong.extend(unexplained("certval", CERTVAL_REFUSES, &all, |one| &one.certval));
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n")
    );
    kit::conformance(
        "Generated chains against OpenSSL and certval",
        "2,000; no acceptance without a reason",
        &format!(
            "{} in {:.0} s; of {valid} that we accept OpenSSL refuses {} and certval {}, each with a reason; of those that we \
             refuse they accept {} and {}",
            all.len(),
            began.elapsed().as_secs_f32(),
            count(true, &|one| one.openssl.is_err()),
            count(true, &|one| one.certval.is_err()),
            count(false, &|one| one.openssl.is_ok()),
            count(false, &|one| one.certval.is_ok()),
        ),
    );
}
