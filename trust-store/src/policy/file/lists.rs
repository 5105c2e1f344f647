//! `[routes.…]`, `[[attested]]` and `[[tsa]]` of `policy.toml`.

use std::fmt::Write as _;

use time::OffsetDateTime;
use toml::{Table, Value};

use super::{LIST_OF_OIDS, LIST_OF_ROLES, MOMENT, list, moment, oids, one_of, quoted, strings, unknown, wrong};
use crate::policy::lists::{AccreditedTsa, Attestation, Qualification, RequiredUsage, Route, RouteRules};
use crate::policy::{Policy, PolicyError};
use crate::role_policy::{KINDS, kind_name};

const TEXT: &str = "a text that is not empty";
const DATE: &str = "a date such as \"2026-04-01\"";
const FINGERPRINT: &str = "the SHA-256 of the anchor's DER, 64 hexadecimal digits";

/// `[routes.accredited]`, `[routes.jpki]`
pub(super) fn routes(value: &Value, policy: &mut Policy) -> Result<(), PolicyError> {
    for (name, value) in table("routes", value)? {
        let key = format!("routes.{name}");
        let slot = match name.as_str() {
            "accredited" => &mut policy.accredited,
            "jpki" => &mut policy.jpki,
            _ => return Err(unknown(key, &["accredited", "jpki"])),
        };
        *slot = Some(rules(&key, table(&key, value)?)?);
    }
    Ok(())
}

fn rules(route: &str, table: &Table) -> Result<RouteRules, PolicyError> {
    let mut rules = RouteRules {
        signing_policies: Vec::new(),
        kinds: Vec::new(),
        qualification: Qualification::Attested,
        key_usage: RequiredUsage::NonRepudiation,
    };
    for (name, value) in table {
        let key = format!("{route}.{name}");
        match name.as_str() {
            "signing_policies" => rules.signing_policies = oids(&key, value)?,
            "kinds" => {
                let allowed = format!("a list of {}", KINDS.map(|(_, name)| name).join(", "));
                for text in strings(&key, value, &allowed)? {
                    let kind = KINDS.into_iter().find(|(_, name)| *name == text);
                    rules.kinds.push(kind.ok_or_else(|| wrong(&key, allowed.as_str()))?.0);
                }
            }
            "qualification" => rules.qualification = one_of(&key, value, &Qualification::ALL, Qualification::name)?,
            "key_usage" => rules.key_usage = one_of(&key, value, &RequiredUsage::ALL, RequiredUsage::name)?,
            _ => {
                let known = ["signing_policies", "kinds", "qualification", "key_usage"];
                return Err(unknown(key, &known));
            }
        }
    }
    if rules.signing_policies.is_empty() {
        let key = format!("{route}.signing_policies");
        return Err(wrong(&key, format!("{LIST_OF_OIDS}, with at least one entry")));
    }
    Ok(rules)
}

/// `[[attested]]`
pub(super) fn attested(value: &Value) -> Result<Vec<Attestation>, PolicyError> {
    rows("attested", value)?.into_iter().map(attestation).collect()
}

fn attestation(row: &Table) -> Result<Attestation, PolicyError> {
    let known = ["issuer", "serial", "certificate", "roles", "checked_by", "checked_on"];
    only("attested", row, &known)?;
    let roles = row.get("roles").ok_or_else(|| wrong("attested.roles", LIST_OF_ROLES))?;
    let roles = strings("attested.roles", roles, LIST_OF_ROLES)?;
    if roles.is_empty() || roles.iter().any(|role| role.is_empty() || role.contains('*')) {
        return Err(wrong("attested.roles", LIST_OF_ROLES));
    }
    let checked_on = text("attested", row, "checked_on")?;
    if checked_on.len() != 10 || moment(&checked_on).is_none() {
        return Err(wrong("attested.checked_on", DATE));
    }
    Ok(Attestation {
        issuer: text("attested", row, "issuer")?,
        serial: text("attested", row, "serial")?.to_ascii_lowercase(),
        certificate: match row.get("certificate") {
            Some(_) => Some(fingerprint("attested", row, "certificate")?),
            None => None,
        },
        roles: roles.into_iter().map(str::to_owned).collect(),
        checked_by: text("attested", row, "checked_by")?,
        checked_on,
    })
}

/// `[[tsa]]`
pub(super) fn tsas(value: &Value) -> Result<Vec<AccreditedTsa>, PolicyError> {
    rows("tsa", value)?.into_iter().map(tsa).collect()
}

fn tsa(row: &Table) -> Result<AccreditedTsa, PolicyError> {
    only("tsa", row, &["name", "anchor", "policies", "source", "from", "until"])?;
    let anchor = fingerprint("tsa", row, "anchor")?;
    let policies = row.get("policies").map(|value| oids("tsa.policies", value));
    Ok(AccreditedTsa {
        name: text("tsa", row, "name")?,
        anchor,
        policies: policies.transpose()?.unwrap_or_default(),
        source: text("tsa", row, "source")?,
        // A day begins an accreditation with its first second and ends one with its last.
        from: bound(row, "from", "T00:00:00Z")?,
        until: bound(row, "until", "")?,
    })
}

/// A SHA-256 in hex, with or without colons.
fn fingerprint(table: &str, row: &Table, name: &str) -> Result<String, PolicyError> {
    let stated = text(table, row, name)?.to_ascii_lowercase().replace([':', ' '], "");
    if stated.len() != 64 || !stated.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong(&format!("{table}.{name}"), FINGERPRINT));
    }
    Ok(stated)
}

fn bound(row: &Table, name: &str, time_of_day: &str) -> Result<Option<OffsetDateTime>, PolicyError> {
    let key = format!("tsa.{name}");
    let Some(value) = row.get(name) else { return Ok(None) };
    let mut stated = match value {
        Value::String(text) => text.clone(),
        Value::Datetime(stated) => stated.to_string(),
        _ => return Err(wrong(&key, MOMENT)),
    };
    if stated.len() == 10 {
        stated.push_str(time_of_day);
    }
    moment(&stated).map(Some).ok_or_else(|| wrong(&key, MOMENT))
}

/// What is open or listed; nothing for a policy that opens and lists nothing.
pub(super) fn write(policy: &Policy, out: &mut String) {
    let quoted = |text: &str| quoted(text.to_owned());
    for (route, rules) in [(Route::Accredited, &policy.accredited), (Route::Jpki, &policy.jpki)] {
        let Some(rules) = rules else { continue };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "\n[routes.{}]\nsigning_policies = {}\nkinds = {}\nqualification = \"{}\"\nkey_usage = \"{}\"",
            route.name(),
            list(&mut rules.signing_policies.iter().map(ToString::to_string)),
            list(&mut rules.kinds.iter().map(|kind| kind_name(*kind).to_owned())),
            rules.qualification.name(),
            rules.key_usage.name(),
        );
    }
    for row in &policy.attested {
        let _ = writeln!(
            out,
            "\n[[attested]]\nissuer = {}\nserial = {}\nroles = {}\nchecked_by = {}\nchecked_on = {}",
            quoted(&row.issuer),
            quoted(&row.serial),
            list(&mut row.roles.iter().cloned()),
            quoted(&row.checked_by),
            quoted(&row.checked_on),
        );
        if let Some(certificate) = &row.certificate {
            let _ = writeln!(out, "certificate = {}", quoted(certificate));
        }
    }
    for row in &policy.accredited_tsas {
        let _ = writeln!(
            out,
            "\n[[tsa]]\nname = {}\nanchor = {}\npolicies = {}\nsource = {}",
            quoted(&row.name),
            quoted(&row.anchor),
            list(&mut row.policies.iter().map(ToString::to_string)),
            quoted(&row.source),
        );
        for (key, bound) in [("from", row.from), ("until", row.until)] {
            if let Some(bound) = bound {
                let _ = writeln!(out, "{key} = \"{}\"", crate::report::rfc3339(bound));
            }
        }
    }
}

fn table<'v>(key: &str, value: &'v Value) -> Result<&'v Table, PolicyError> {
    value.as_table().ok_or_else(|| wrong(key, format!("a table, [{key}]")))
}

fn rows<'v>(key: &str, value: &'v Value) -> Result<Vec<&'v Table>, PolicyError> {
    let allowed = format!("tables, [[{key}]]");
    let rows = value.as_array().ok_or_else(|| wrong(key, allowed.as_str()))?;
    rows.iter()
        .map(|row| row.as_table().ok_or_else(|| wrong(key, allowed.as_str())))
        .collect()
}

fn only(list: &str, row: &Table, known: &[&str]) -> Result<(), PolicyError> {
    match row.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(unknown(format!("{list}.{key}"), known)),
        None => Ok(()),
    }
}

fn text(list: &str, row: &Table, key: &str) -> Result<String, PolicyError> {
    let stated = match row.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Datetime(date)) => date.to_string(),
        _ => String::new(),
    };
    if stated.is_empty() {
        return Err(wrong(&format!("{list}.{key}"), TEXT));
    }
    Ok(stated)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: &str = r#"
        [routes.accredited]
        signing_policies = ["1.2.3.4"]
        kinds = ["Reply", "Other"]
        qualification = "certificate"
        key_usage = "digital-signature"
        [routes.jpki]
        signing_policies = ["1.2.3.5"]
        kinds = ["Other"]
        [[attested]]
        issuer = "CN=TEST CA,C=JP"
        serial = "0A"
        roles = ["Medical Doctor"]
        checked_by = "TEST office"
        checked_on = 2026-04-01
        certificate = "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"
        [[tsa]]
        name = "TEST stamps"
        anchor = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
        policies = ["1.2.3"]
        source = "TEST list"
        from = 2026-01-01
        until = "2027-12-31"
    "#;

    #[test]
    fn lists_are_read_and_written_and_told_as_local() {
        let policy = Policy::from_toml(LISTS).unwrap();
        assert_eq!(policy.attested[0].serial, "0a");
        let pinned = policy.attested[0].certificate.as_ref().unwrap();
        assert!(pinned.starts_with("000102") && pinned.len() == 64);
        let text = policy.to_toml();
        assert_eq!(Policy::from_toml(&text), Ok(policy.clone()), "{text}");
        let local = policy.local().join("\n");
        let told = [
            "routes.jpki.kinds = [\"Other\"]",
            "attested.checked_on = \"2026-04-01\"",
            "tsa.name = ",
        ];
        assert!(told.iter().all(|told| local.contains(told)), "{local}");
        assert_eq!(Policy::default().local(), Vec::<String>::new());
    }

    #[test]
    fn an_accreditation_has_bounds() {
        let policy = Policy::from_toml(LISTS).unwrap();
        let row = &policy.accredited_tsas[0];
        let (own, other) = ("1.2.3".parse().unwrap(), "1.2.4".parse().unwrap());
        let day = |text: &str| moment(text).unwrap();
        assert_eq!(row.objection(&own, day("2026-01-01T00:00:00Z")), None);
        assert_eq!(row.objection(&own, day("2027-12-31T23:59:59Z")), None);
        assert!(row.objection(&other, day("2026-06-01")).unwrap().contains("1.2.4"));
        assert!(row.objection(&own, day("2025-12-31")).unwrap().contains("from"));
        assert!(row.objection(&own, day("2028-01-01")).unwrap().contains("until"));
    }

    #[test]
    fn what_is_wrong_in_a_list_is_named() {
        for (text, expected) in [
            ("routes = [\"jpki\"]", "`routes` must be a table"),
            ("[routes.lpki]", "unknown key `routes.lpki`"),
            ("[routes.jpki]\nkinds = []", "`routes.jpki.signing_policies`"),
            (
                "[routes.jpki]\nsigning_policies = [\"1.2.3\"]\nkinds = [\"Letter\"]",
                "`routes.jpki.kinds`",
            ),
            (
                "[routes.jpki]\nqualification = \"guessed\"",
                "\"attested\", \"certificate\"",
            ),
            ("[[attested]]\nserial = \"01\"", "`attested.roles`"),
            ("attested = 3", "`attested` must be tables"),
            (
                "[[tsa]]\nname = \"a\"\nanchor = \"00\"\nsource = \"b\"",
                "`tsa.anchor` must be the SHA-256",
            ),
            ("[[tsa]]\noid = \"1.2.3\"", "unknown key `tsa.oid`"),
        ] {
            let error = Policy::from_toml(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
