//! `hikyaku chain`: RFC 5280 alone, without HPKI rules and without `policy.toml`.

use std::path::{Path, PathBuf};

use const_oid::ObjectIdentifier;
use serde_json::Value;
use trust_store::Certificate;
use trust_store::algorithm::Accepted;
use trust_store::anchors::pem_or_der;
use trust_store::chain::{ChainOptions, chain};
use trust_store::path::CertificatePool;
use trust_store::revocation::{CrlPool, OcspPool};

use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::{files, trust};

/// Options of `chain`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The certificate in question
    #[arg(value_name = "LEAF")]
    pub leaf: PathBuf,
    /// Trust directory: hpki/ holds the anchors, intermediates/ serves path building
    #[arg(long, value_name = "DIR")]
    pub trust: PathBuf,
    /// Further certificates for path building
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub intermediate: Vec<PathBuf>,
    /// CRLs
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub crl: Vec<PathBuf>,
    /// OCSP responses
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub ocsp: Vec<PathBuf>,
    /// Judge as at this time, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Acceptable certificate policies [default: any]
    #[arg(long, value_name = "OID", num_args = 1..)]
    pub policy: Vec<String>,
    /// initial-explicit-policy
    #[arg(long)]
    pub require_explicit_policy: bool,
    /// initial-policy-mapping-inhibit
    #[arg(long)]
    pub inhibit_policy_mapping: bool,
    /// initial-any-policy-inhibit
    #[arg(long)]
    pub inhibit_any_policy: bool,
    /// Do not judge revocation
    #[arg(long)]
    pub no_revocation: bool,
    /// Accept RSA signatures over SHA-1, to look into chains of the past
    #[arg(long)]
    pub accept_sha1: bool,
}

/// Runs it.
///
/// # Errors
/// Arguments and files. A certificate that is not valid is no error but a verdict.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let anchors = trust::anchors(&options.trust)?;
    let at = trust::moment(options.at.as_deref())?;
    let leaf = read_one(&options.leaf)?;
    let mut intermediates = anchors.intermediates;
    for path in &options.intermediate {
        intermediates.extend(read(path, "CERTIFICATE")?);
    }
    let mut crls = Vec::new();
    for path in &options.crl {
        crls.extend(read(path, "X509 CRL")?);
    }
    let mut ocsp = Vec::new();
    for path in &options.ocsp {
        ocsp.extend(read(path, "OCSP RESPONSE")?);
    }
    let policies = options
        .policy
        .iter()
        .map(|text| {
            ObjectIdentifier::new(text).map_err(|_| Failure::new(Code::Arguments, format!("{text}: not an OID")))
        })
        .collect::<Result<_, _>>()?;
    let verdict = chain(
        &leaf,
        &anchors.hpki,
        &CertificatePool::from_der(&intermediates),
        &CrlPool::from_der(&crls),
        &OcspPool::from_der(&ocsp),
        at,
        &ChainOptions {
            policies,
            require_explicit_policy: options.require_explicit_policy,
            inhibit_policy_mapping: options.inhibit_policy_mapping,
            inhibit_any_policy: options.inhibit_any_policy,
            no_revocation: options.no_revocation,
            accepted: if options.accept_sha1 {
                Accepted::AndSha1
            } else {
                Accepted::Listed
            },
        },
    );
    let mark = match (verdict.valid, verdict.indeterminate) {
        (true, _) => "✓",
        (false, true) => "?",
        (false, false) => "✗",
    };
    let mut text = format!("{mark} {}\n", verdict.reason);
    for name in &verdict.path {
        text.push_str(&format!("  {name}\n"));
    }
    context
        .output
        .print(&serde_json::to_value(&verdict).unwrap_or(Value::Null), &text);
    Ok(match (verdict.valid, verdict.indeterminate) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Indeterminate,
        (false, false) => Exit::Refused,
    })
}

fn read(path: &Path, label: &str) -> Result<Vec<Vec<u8>>, Failure> {
    pem_or_der(&files::read_small(path)?, label)
        .map_err(|error| Failure::new(Code::FileMalformed, format!("{}: {error}", path.display())))
}

fn read_one(path: &Path) -> Result<Certificate, Failure> {
    let malformed = |why: String| Failure::new(Code::FileMalformed, format!("{}: {why}", path.display()));
    let der = read(path, "CERTIFICATE")?
        .into_iter()
        .next()
        .ok_or_else(|| malformed("no certificate inside".to_owned()))?;
    Certificate::parse(&der).map_err(|error| malformed(error.to_string()))
}
