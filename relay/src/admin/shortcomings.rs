//! What a configuration without mistakes still lacks: found from its files and rules alone, without asking anybody.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Uri;
use trust_store::Certificate;
use trust_store::revocation::urls;

use crate::config::{Config, Trust};
use crate::evidence::outbound::is_public;
use crate::expiry;
use crate::trust::{self, TrustError};

/// One sentence for each thing that will not work as configured.
///
/// # Errors
/// [`TrustError`] for a trust directory that cannot be used.
pub fn shortcomings(config: &Config) -> Result<Vec<String>, TrustError> {
    let directory = &config.trust.directory;
    let store = trust::open(directory)?;
    let mut found = Vec::new();
    for (anchors, folder, whom) in [
        (&store.anchors.hpki, "hpki", "doctors"),
        (&store.anchors.tsa, "tsa", "time stamps"),
    ] {
        if anchors.0.is_empty() {
            let folder = directory.join(folder);
            found.push(format!(
                "no certificate to trust for {whom}: put one into {}",
                folder.display()
            ));
        }
    }
    let intermediates = store.anchors.intermediates.iter();
    found.extend(unfetchable(
        &config.trust,
        intermediates.filter_map(|der| Certificate::parse(der).ok()),
    ));
    if config.timestamps.is_empty() {
        found.push("timestamps.urls is empty: each clinic needs its own time-stamp authority".to_owned());
    }
    let now = crate::clock::now();
    let mut endings = expiry::of_trust(&store);
    endings.extend(expiry::of_config(config));
    let near = endings.iter().filter(|ending| ending.near(now).is_some());
    found.extend(near.map(|ending| ending.sentence(now)[1].clone()));
    Ok(found)
}

/// Hosts of CRLs that the rules keep the relay from, each with one certificate that names it.
fn unfetchable(trust: &Trust, certificates: impl Iterator<Item = Certificate>) -> Vec<String> {
    let mut hosts = BTreeMap::new();
    for certificate in certificates {
        for uri in urls(&certificate).iter().filter_map(|url| url.parse::<Uri>().ok()) {
            let host = uri.host().unwrap_or_default().to_ascii_lowercase();
            if let Some(why) = forbidden(trust, &uri, &host) {
                hosts.entry(host).or_insert((why, certificate.subject.to_string()));
            }
        }
    }
    hosts
        .into_iter()
        .map(|(host, (why, subject))| format!("{subject} has its CRL on {host}: {why}"))
        .collect()
}

/// Why the relay would not fetch from there, as far as the address alone tells.
fn forbidden(trust: &Trust, uri: &Uri, host: &str) -> Option<&'static str> {
    if uri.scheme_str() != Some("http") {
        return Some("only http:// addresses are fetched");
    }
    if !trust.lists(host, uri.port_u16().unwrap_or(80), true) {
        return Some("add the host to trust.fetch_hosts");
    }
    let address: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    let permitted = is_public(address) || trust.fetch_private.iter().any(|target| target.permits(host, address));
    (!permitted).then_some("its address is private: add it to trust.fetch_private")
}
