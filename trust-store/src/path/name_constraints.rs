//! nameConstraints, RFC 5280 §4.2.1.10. A form that is constrained but not understood here refuses the certificate that uses it.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc3280, rfc5280};

use super::general_name::GeneralName;
use crate::certificate::Certificate;
use crate::tlv::{self, Cursor, Malformed};

/// id-on-SmtpUTF8Mailbox, RFC 9598: mail addresses too, but not compared here.
const SMTP_UTF8_MAILBOX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.9");
/// Comparisons made for one certificate and one extension.
const MAX_COMPARISONS: usize = 1 << 18;

/// One extension.
/// ```text
/// NameConstraints ::= SEQUENCE { permittedSubtrees [0] GeneralSubtrees OPTIONAL, excludedSubtrees [1] GeneralSubtrees OPTIONAL }
/// GeneralSubtree  ::= SEQUENCE { base GeneralName, minimum [0] BaseDistance DEFAULT 0, maximum [1] BaseDistance OPTIONAL }
/// ```
pub(super) struct NameConstraints {
    permitted: Vec<GeneralName>,
    excluded: Vec<GeneralName>,
}

impl NameConstraints {
    pub(super) fn of(certificate: &Certificate) -> Result<Option<Self>, Malformed> {
        let Some(extension) = certificate.extension(&rfc5280::ID_CE_NAME_CONSTRAINTS) else {
            return Ok(None);
        };
        let mut fields = Cursor::sequence_of(&extension.value)?;
        let permitted = fields.optional(0xa0)?.map(|list| subtrees(list.inside())).transpose()?;
        let excluded = fields.optional(0xa1)?.map(|list| subtrees(list.inside())).transpose()?;
        fields.finish()?;
        if permitted.is_none() && excluded.is_none() {
            return Err(Malformed("nameConstraints that say nothing"));
        }
        Ok(Some(Self {
            permitted: permitted.unwrap_or_default(),
            excluded: excluded.unwrap_or_default(),
        }))
    }

    /// Whether every name of `certificate` keeps them; else why not.
    pub(super) fn judge(&self, certificate: &Certificate) -> Result<(), String> {
        let mut names = Vec::new();
        match certificate.extension(&rfc5280::ID_CE_SUBJECT_ALT_NAME) {
            Some(extension) => {
                let found = GeneralName::of_extension(&extension.value);
                names.extend(found.map_err(|malformed| format!("subjectAltName: {malformed}"))?);
            }
            None => names.extend(
                certificate
                    .subject
                    .strings(&rfc3280::EMAIL_ADDRESS)
                    .into_iter()
                    .map(GeneralName::Rfc822),
            ),
        }
        if !certificate.subject.is_empty() {
            names.push(GeneralName::Directory(certificate.subject.clone()));
        }
        if names.len().saturating_mul(self.permitted.len() + self.excluded.len()) > MAX_COMPARISONS {
            return Err("more names and constraints than are compared".into());
        }
        for name in &names {
            let mut of_its_form = 0;
            let mut inside = false;
            for base in &self.permitted {
                if let Some(verdict) = compare(name, base) {
                    of_its_form += 1;
                    inside |= verdict?;
                }
            }
            if of_its_form > 0 && !inside {
                return Err("a name lies outside the permitted subtrees".into());
            }
            for base in &self.excluded {
                if let Some(verdict) = compare(name, base)
                    && verdict?
                {
                    return Err("a name lies in an excluded subtree".into());
                }
            }
        }
        Ok(())
    }
}

fn subtrees(mut list: Cursor<'_>) -> Result<Vec<GeneralName>, Malformed> {
    let mut bases = Vec::new();
    while !list.is_empty() {
        let mut subtree = list.expect(tlv::SEQUENCE)?.inside();
        bases.push(GeneralName::parse(subtree.next()?)?);
        if let Some(minimum) = subtree.optional(0x80)?
            && minimum.value != [0]
        {
            return Err(Malformed("a subtree with a minimum"));
        }
        // maximum must be absent
        subtree.finish()?;
    }
    if bases.is_empty() {
        Err(Malformed("nameConstraints without subtree"))
    } else {
        Ok(bases)
    }
}

/// Whether `name` lies in the subtree of `base`; `None` if the forms differ; `Err` if they cannot be compared.
fn compare(name: &GeneralName, base: &GeneralName) -> Option<Result<bool, String>> {
    use GeneralName::{Directory, Dns, Ip, Other, Rfc822, Unread, Uri};
    Some(match (name, base) {
        (Directory(name), Directory(base)) => Ok(name.is_under(base)),
        (Dns(name), Dns(base)) => Ok(dns_under(name, base)),
        (Rfc822(name), Rfc822(base)) => mail_under(name, base),
        (Uri(name), Uri(base)) => uri_under(name, base),
        (Ip(name), Ip(base)) => ip_under(name, base),
        (Other(kind, _), Rfc822(_)) if *kind == SMTP_UTF8_MAILBOX => Err("a constrained SmtpUTF8Mailbox".into()),
        (Other(kind, _), Other(constrained, _)) if kind == constrained => Err("a constrained otherName".into()),
        (Unread(form, _), Unread(constrained, _)) if form == constrained => {
            Err("a constrained name of a form not read".into())
        }
        _ => return None,
    })
}

/// The base itself, or with labels added to its left. A base with a leading dot: only with labels added.
fn dns_under(name: &str, base: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let base = base.strip_suffix('.').unwrap_or(base);
    base.is_empty() || (!base.starts_with('.') && name.eq_ignore_ascii_case(base)) || has_domain(name, base)
}

/// Whether `host` is a proper subdomain of `base`, written with or without leading dot.
fn has_domain(host: &str, base: &str) -> bool {
    let base = base.strip_prefix('.').unwrap_or(base);
    let Some(at) = host.len().checked_sub(base.len() + 1) else {
        return false;
    };
    at > 0
        && host
            .get(at..)
            .is_some_and(|tail| tail.starts_with('.') && tail.get(1..).is_some_and(|t| t.eq_ignore_ascii_case(base)))
}

/// A mailbox, a host, or (leading dot) all hosts below a domain.
fn mail_under(name: &str, base: &str) -> Result<bool, String> {
    let (local, host) = name.rsplit_once('@').ok_or("a mail address without host")?;
    Ok(if let Some((base_local, base_host)) = base.rsplit_once('@') {
        // A base that begins with the at sign is its host, as others read it.
        (base_local.is_empty() || local == base_local) && host.eq_ignore_ascii_case(base_host)
    } else if base.starts_with('.') {
        has_domain(host, base)
    } else {
        base.is_empty() || host.eq_ignore_ascii_case(base)
    })
}

/// The host of a URI: exact, or (leading dot) below a domain. Without a host name it cannot be compared.
fn uri_under(name: &str, base: &str) -> Result<bool, String> {
    let authority = name
        .split_once("://")
        .map(|(_, rest)| rest)
        .ok_or("a constrained URI without authority")?;
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(before, _)| before);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err("a constrained URI without host name".into());
    }
    Ok(if base.starts_with('.') {
        has_domain(host, base)
    } else {
        base.is_empty() || host.eq_ignore_ascii_case(base)
    })
}

fn ip_under(name: &[u8], base: &[u8]) -> Result<bool, String> {
    if !matches!(name.len(), 4 | 16) || !matches!(base.len(), 8 | 32) {
        return Err("an IP address of wrong length".into());
    }
    let (network, mask) = base.split_at(base.len() / 2);
    Ok(network.len() == name.len()
        && name
            .iter()
            .zip(network)
            .zip(mask)
            .all(|((address, network), mask)| address & mask == network & mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert!(dns_under("a.example.jp", "example.jp") && dns_under("Example.jp.", "example.JP"));
        assert!(!dns_under("badexample.jp", "example.jp") && !dns_under("example.jp", ".example.jp"));
        assert!(!has_domain(".example.jp", "example.jp"));
    }

    #[test]
    fn mail() {
        assert_eq!(mail_under("a@Example.jp", "example.jp"), Ok(true));
        assert_eq!(mail_under("a@x.example.jp", "example.jp"), Ok(false));
        assert_eq!(mail_under("a@x.example.jp", ".example.jp"), Ok(true));
        assert_eq!(mail_under("A@example.jp", "a@example.jp"), Ok(false));
        assert_eq!(mail_under("a@Bad.jp", "@bad.jp"), Ok(true));
    }

    #[test]
    fn uris() {
        assert_eq!(uri_under("http://u@x.example.jp:80/p", ".example.jp"), Ok(true));
        assert_eq!(uri_under("http://example.jp/", ".example.jp"), Ok(false));
        assert!(uri_under("ldap:///cn=x", "example.jp").is_err() && uri_under("http://10.0.0.1/", "x").is_err());
    }

    /// Whether a certificate of these names keeps one constraint; what cannot be compared is an error.
    fn within(name: &GeneralName, base: &GeneralName) -> Option<Result<bool, String>> {
        compare(name, base)
    }

    #[test]
    fn forms_that_are_not_read_refuse_under_a_constraint_of_their_form_alone() {
        let other = |arc: &str| GeneralName::Other(ObjectIdentifier::new(arc).unwrap(), vec![1]);
        assert_eq!(within(&other("1.2.3"), &other("1.2.4")), None);
        assert!(matches!(within(&other("1.2.3"), &other("1.2.3")), Some(Err(_))));
        let mailbox = GeneralName::Other(SMTP_UTF8_MAILBOX, vec![1]);
        assert!(matches!(
            within(&mailbox, &GeneralName::Rfc822("example.jp".into())),
            Some(Err(_))
        ));
        let registered = GeneralName::Unread(0x88, vec![1]);
        assert!(matches!(within(&registered, &registered), Some(Err(_))));
        assert_eq!(within(&registered, &GeneralName::Dns("example.jp".into())), None);
    }

    #[test]
    fn directory_names_lie_under_their_base_in_every_normal_form() {
        let directory = |organisation: &str, people: &[&str]| {
            let component = |last: u8, text: &str| {
                let value = [&[0x0c, text.len() as u8], text.as_bytes()].concat();
                let attribute = [&[6, 3, 0x55, 4, last], value.as_slice()].concat();
                let inner = [&[0x30, attribute.len() as u8], attribute.as_slice()].concat();
                [&[0x31, inner.len() as u8], inner.as_slice()].concat()
            };
            let mut content = component(10, organisation);
            content.extend(people.iter().flat_map(|one| component(3, one)));
            let der = [&[0x30, content.len() as u8], content.as_slice()].concat();
            GeneralName::Directory(crate::name::DistinguishedName::parse(&der).unwrap())
        };
        let base = directory("ﾊﾞｲｵ診療所", &[]);
        assert_eq!(
            within(&directory("バイオ診療所", &["山田　太郎"]), &base),
            Some(Ok(true))
        );
        assert_eq!(within(&directory("ハ\u{3099}イオ診療所", &[]), &base), Some(Ok(true)));
        // What nobody sees takes no name out of an excluded subtree.
        assert_eq!(within(&directory("バイオ\u{200b}診療所", &[]), &base), Some(Ok(true)));
        assert_eq!(within(&directory("ハイオ診療所", &[]), &base), Some(Ok(false)));
        assert_eq!(
            within(&base, &directory("バイオ診療所", &["山田　太郎"])),
            Some(Ok(false))
        );
    }

    #[test]
    fn addresses() {
        assert_eq!(ip_under(&[10, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]), Ok(true));
        assert_eq!(ip_under(&[11, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]), Ok(false));
        assert!(ip_under(&[1], &[10, 0, 0, 0, 255, 0, 0, 0]).is_err());
    }
}
