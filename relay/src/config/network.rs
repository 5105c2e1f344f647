//! Host names and networks in the configuration: what the relay may fetch although its address is private.

use std::net::IpAddr;

/// A target that may have a private address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateTarget {
    /// This host, lower case, whatever its address.
    Host(String),
    /// Any host whose address is in this network: first address and prefix length.
    Network(IpAddr, u8),
}

impl PrivateTarget {
    /// Whether this entry lets `host` be fetched at `address`.
    #[must_use]
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => host.eq_ignore_ascii_case(name),
            Self::Network(network, prefix) => match (network, address.to_canonical()) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    same_prefix(u32::from(*network).into(), u32::from(address).into(), 32, *prefix)
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => {
                    same_prefix(u128::from(*network), u128::from(address), 128, *prefix)
                }
                _ => false,
            },
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Network(address, if address.is_ipv4() { 32 } else { 128 }));
        }
        if let Some((address, prefix)) = text.split_once('/') {
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            let longest = if address.is_ipv4() { 32 } else { 128 };
            return (prefix <= longest).then_some(Self::Network(address, prefix));
        }
        host_name(text).map(Self::Host)
    }
}

/// A host name or address in lower case, nothing else.
pub(super) fn host_name(text: &str) -> Option<String> {
    let labels = text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    (labels && text.len() <= 253).then(|| text.to_ascii_lowercase())
}

/// A host name, alone or with a port, lower case.
pub(super) fn host_or_authority(text: &str) -> Option<String> {
    let Some((host, port)) = text.split_once(':') else {
        return host_name(text);
    };
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    Some(format!("{}:{port}", host_name(host)?))
}

fn same_prefix(a: u128, b: u128, width: u32, prefix: u8) -> bool {
    let shift = width.saturating_sub(u32::from(prefix));
    a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_hosts() {
        let permits = |entry: &str, host: &str, address: &str| {
            PrivateTarget::parse(entry)
                .unwrap()
                .permits(host, address.parse().unwrap())
        };
        assert!(permits("10.1.0.0/16", "a.example", "10.1.255.3"));
        assert!(!permits("10.1.0.0/16", "a.example", "10.2.0.1"));
        assert!(permits("127.0.0.1", "127.0.0.1", "127.0.0.1"));
        assert!(permits("127.0.0.0/8", "a.example", "::ffff:127.0.0.1"));
        assert!(permits("0.0.0.0/0", "a.example", "192.168.1.1"));
        assert!(!permits("0.0.0.0/0", "a.example", "::1"));
        assert!(permits("fd00::/8", "a.example", "fd12::1"));
        assert!(permits("CRL.example", "crl.example", "10.0.0.1"));
        assert!(!permits("crl.example", "other.example", "10.0.0.1"));
        assert_eq!(host_or_authority("CRL.example"), Some("crl.example".to_owned()));
        assert_eq!(
            host_or_authority("CRL.example:8080"),
            Some("crl.example:8080".to_owned())
        );
        for bad in ["a:", "a:0", "a:65536", ":80", "a:80:80", "http://a"] {
            assert_eq!(host_or_authority(bad), None, "{bad}");
        }
        for bad in ["", "10.0.0.0/33", "::/129", "http://a.example", "a..example", "a b"] {
            assert_eq!(PrivateTarget::parse(bad), None, "{bad}");
        }
    }
}
