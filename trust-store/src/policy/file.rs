//! The text of `policy.toml`: read key by key, so that every error names its key and what is allowed there, and written whole.

mod lists;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use const_oid::ObjectIdentifier;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};
use toml::{Table, Value};

use super::{Freshness, Level, Policy, PolicyError, SignerTimestamp, TsaRevocation};
use crate::role_policy::{ANY_QUALIFICATION, KINDS, RolePolicy};

const KEYS: [&str; 12] = [
    "signing_policies",
    "minimum_level",
    "signer_timestamp",
    "freshness",
    "clock_skew",
    "tsa_policies",
    "tsa_revocation",
    "roles",
    "algorithms",
    "routes",
    "attested",
    "tsa",
];

/// Names `[algorithms]` knows: keys by their strength class (a 2500-bit RSA key counts as `rsa2048`), and hash functions.
const ALGORITHMS: [&str; 10] = [
    "rsa2048", "rsa3072", "rsa4096", "rsa8192", "p256", "p384", "p521", "sha256", "sha384", "sha512",
];

const DURATION: &str = "a duration such as \"90s\", \"5m\", \"1h\" or \"1d\", at most 7 days";
const LIST_OF_ROLES: &str = "a list of roles such as [\"Medical Doctor\"], or [\"*\"] for any national qualification";
const LIST_OF_OIDS: &str = "a list of dotted object identifiers such as [\"1.2.392.100495.1.5.1.1.3.1\"]";
const MOMENT: &str = "a date such as \"2030-12-31\" (its end, UTC) or an RFC 3339 time";

pub(super) fn read(text: &str) -> Result<Policy, PolicyError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| PolicyError::Toml(error.message().to_owned()))?;
    let mut policy = Policy::default();
    for (key, value) in &table {
        match key.as_str() {
            "signing_policies" => {
                policy.signing_policies = oids(key, value)?;
                if policy.signing_policies.is_empty() {
                    return Err(wrong(key, format!("{LIST_OF_OIDS}, with at least one entry")));
                }
            }
            "minimum_level" => policy.minimum_level = one_of(key, value, &Level::ALL, Level::name)?,
            "signer_timestamp" => {
                policy.signer_timestamp = one_of(key, value, &SignerTimestamp::ALL, SignerTimestamp::name)?;
            }
            "freshness" => policy.freshness = one_of(key, value, &Freshness::ALL, Freshness::name)?,
            "clock_skew" => policy.clock_skew = duration(value).ok_or_else(|| wrong(key, DURATION))?,
            "tsa_policies" => policy.tsa_policies = oids(key, value)?,
            "tsa_revocation" => policy.tsa_revocation = one_of(key, value, &TsaRevocation::ALL, TsaRevocation::name)?,
            "roles" => roles(value, &mut policy.roles)?,
            "algorithms" => algorithms(value, &mut policy.algorithms)?,
            "routes" => lists::routes(value, &mut policy)?,
            "attested" => policy.attested = lists::attested(value)?,
            "tsa" => policy.accredited_tsas = lists::tsas(value)?,
            _ => return Err(unknown(key.clone(), &KEYS)),
        }
    }
    Ok(policy)
}

pub(super) fn write(policy: &Policy) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key} = {value}");
    };
    line(
        "signing_policies",
        list(&mut policy.signing_policies.iter().map(ToString::to_string)),
    );
    line("minimum_level", format!("\"{}\"", policy.minimum_level.name()));
    line("signer_timestamp", format!("\"{}\"", policy.signer_timestamp.name()));
    line("freshness", format!("\"{}\"", policy.freshness.name()));
    line("clock_skew", format!("\"{}s\"", policy.clock_skew.whole_seconds()));
    line(
        "tsa_policies",
        list(&mut policy.tsa_policies.iter().map(ToString::to_string)),
    );
    line("tsa_revocation", format!("\"{}\"", policy.tsa_revocation.name()));
    text.push_str("\n[roles]\n");
    for (kind, name) in KINDS {
        let accepted = policy.roles.0.get(&kind).cloned().unwrap_or_default();
        let _ = writeln!(text, "{name} = {}", list(&mut accepted.into_iter()));
    }
    text.push_str("\n[algorithms]\n");
    for (name, last) in &policy.algorithms {
        let _ = writeln!(text, "{name} = \"{}\"", crate::report::rfc3339(*last));
    }
    lists::write(policy, &mut text);
    text
}

fn list(items: &mut dyn Iterator<Item = String>) -> String {
    let mut text = "[".to_owned();
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&quoted(item));
    }
    text.push(']');
    text
}

/// A TOML string. Every report holds its policy, so what needs no escape is written without asking.
fn quoted(text: String) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b" .-*".contains(&octet);
    if text.bytes().all(plain) {
        format!("\"{text}\"")
    } else {
        Value::String(text).to_string()
    }
}

fn wrong(key: &str, allowed: impl Into<String>) -> PolicyError {
    PolicyError::Value {
        key: key.to_owned(),
        allowed: allowed.into(),
    }
}

fn unknown(key: String, known: &[&str]) -> PolicyError {
    PolicyError::UnknownKey {
        key,
        known: known.join(", "),
    }
}

fn one_of<T: Copy>(key: &str, value: &Value, all: &[T], name: fn(T) -> &'static str) -> Result<T, PolicyError> {
    all.iter()
        .copied()
        .find(|one| value.as_str() == Some(name(*one)))
        .ok_or_else(|| {
            let names: Vec<String> = all.iter().map(|one| format!("\"{}\"", name(*one))).collect();
            wrong(key, format!("one of {}", names.join(", ")))
        })
}

fn strings<'v>(key: &str, value: &'v Value, allowed: &str) -> Result<Vec<&'v str>, PolicyError> {
    let list = value.as_array().ok_or_else(|| wrong(key, allowed))?;
    list.iter()
        .map(|item| item.as_str().ok_or_else(|| wrong(key, allowed)))
        .collect()
}

fn oids(key: &str, value: &Value) -> Result<Vec<ObjectIdentifier>, PolicyError> {
    strings(key, value, LIST_OF_OIDS)?
        .into_iter()
        .map(|text| ObjectIdentifier::new(text).map_err(|_| wrong(key, LIST_OF_OIDS)))
        .collect()
}

fn duration(value: &Value) -> Option<Duration> {
    let text = value.as_str()?;
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    let duration = match unit {
        's' => Duration::seconds(count),
        'm' => Duration::minutes(count),
        'h' => Duration::hours(count),
        'd' => Duration::days(count),
        _ => return None,
    };
    (duration <= Duration::days(7)).then_some(duration)
}

fn roles(value: &Value, policy: &mut RolePolicy) -> Result<(), PolicyError> {
    let table = value
        .as_table()
        .ok_or_else(|| wrong("roles", "a table, [roles], with a list of roles for each kind"))?;
    for (name, value) in table {
        let key = format!("roles.{name}");
        let Some((kind, _)) = KINDS.into_iter().find(|(_, known)| known == name) else {
            return Err(unknown(key, &KINDS.map(|(_, known)| known)));
        };
        let accepted = strings(&key, value, LIST_OF_ROLES)?;
        if accepted
            .iter()
            .any(|role| role.is_empty() || (role.contains('*') && *role != ANY_QUALIFICATION))
        {
            return Err(wrong(&key, LIST_OF_ROLES));
        }
        policy.0.insert(kind, accepted.into_iter().map(str::to_owned).collect());
    }
    Ok(())
}

fn algorithms(value: &Value, policy: &mut BTreeMap<String, OffsetDateTime>) -> Result<(), PolicyError> {
    let table = value.as_table().ok_or_else(|| {
        wrong(
            "algorithms",
            "a table, [algorithms], with a last acceptable date for each algorithm",
        )
    })?;
    for (name, value) in table {
        let key = format!("algorithms.{name}");
        if !ALGORITHMS.contains(&name.as_str()) {
            return Err(unknown(key, &ALGORITHMS));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            // TOML has dates of its own: `rsa2048 = 2030-12-31`.
            Value::Datetime(moment) => moment.to_string(),
            _ => return Err(wrong(&key, MOMENT)),
        };
        let moment = moment(&text).ok_or_else(|| wrong(&key, MOMENT))?;
        policy.insert(name.clone(), moment);
    }
    Ok(())
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    let full = if text.len() == 10 {
        format!("{text}T23:59:59Z")
    } else {
        text.to_owned()
    };
    let moment = OffsetDateTime::parse(&full, &Rfc3339).ok()?;
    moment.to_offset(UtcOffset::UTC).replace_nanosecond(0).ok()
}

#[cfg(test)]
mod tests {
    use formats::envelope::DocumentKind;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_empty_file_is_the_default_and_the_default_survives_a_round() {
        assert_eq!(Policy::from_toml(""), Ok(Policy::default()));
        let text = Policy::default().to_toml();
        assert_eq!(Policy::from_toml(&text), Ok(Policy::default()), "{text}");
        assert_eq!(Policy::from_toml(&text).unwrap().digest(), Policy::default().digest());
    }

    #[test]
    fn strings_are_quoted_as_the_toml_library_does() {
        for text in [
            "",
            "Medical Doctor",
            "*",
            "1.2.3",
            "a\"b",
            "a\\b",
            "医師",
            "a\nb",
            "it's",
            "/x",
        ] {
            assert_eq!(quoted(text.to_owned()), Value::String(text.to_owned()).to_string());
        }
    }

    #[test]
    fn every_key_is_read_and_written() {
        let text = r#"
            signing_policies = ["1.2.392.100495.1.5.1.1.3.1", "1.2.392.100495.1.5.1.1.0.1"]
            minimum_level = "B-B"
            signer_timestamp = "relay-adds"
            freshness = "strict"
            clock_skew = "1h"
            tsa_policies = ["1.2.3"]
            tsa_revocation = "off"
            [roles]
            Referral = ["Medical Doctor"]
            Other = ["*"]
            [algorithms]
            rsa2048 = "2028-06-30"
            sha256 = 2040-01-01
            p256 = "2035-01-01T09:00:00+09:00"
        "#;
        let policy = Policy::from_toml(text).unwrap();
        assert_eq!(policy.signing_policies.len(), 2);
        assert_eq!(policy.minimum_level, Level::BB);
        assert_eq!(policy.signer_timestamp, SignerTimestamp::RelayAdds);
        assert_eq!(policy.freshness, Freshness::Strict);
        assert_eq!(policy.clock_skew, Duration::hours(1));
        assert_eq!(policy.tsa_policies, [ObjectIdentifier::new_unwrap("1.2.3")]);
        assert_eq!(policy.tsa_revocation, TsaRevocation::Off);
        assert_eq!(policy.roles.0[&DocumentKind::Referral], ["Medical Doctor"]);
        assert_eq!(
            policy.roles.0[&DocumentKind::MedicationReport],
            ["Pharmacist"],
            "kinds not named keep the default"
        );
        assert_eq!(
            policy.last_acceptable("rsa2048"),
            Some(datetime!(2028-06-30 23:59:59 UTC))
        );
        assert_eq!(
            policy.last_acceptable("sha256"),
            Some(datetime!(2040-01-01 23:59:59 UTC))
        );
        assert_eq!(policy.last_acceptable("p256"), Some(datetime!(2035-01-01 00:00:00 UTC)));
        assert_eq!(policy.last_acceptable("sha512"), None);
        assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("minimum_levle = \"B-T\"", "unknown key `minimum_levle`"),
            (
                "minimum_level = \"B\"",
                "`minimum_level` must be one of \"B-B\", \"B-T\", \"B-LT\", \"B-LTA\"",
            ),
            ("minimum_level = 3", "`minimum_level` must be"),
            ("signer_timestamp = \"Required\"", "\"required\", \"relay-adds\""),
            ("freshness = \"\"", "\"service\", \"strict\""),
            ("tsa_revocation = false", "\"if-named\", \"required\", \"off\""),
            ("clock_skew = \"5\"", "`clock_skew` must be a duration"),
            ("clock_skew = \"-5m\"", "`clock_skew` must be a duration"),
            ("clock_skew = \"8d\"", "`clock_skew` must be a duration"),
            ("clock_skew = 300", "`clock_skew` must be a duration"),
            ("clock_skew = \"５m\"", "`clock_skew` must be a duration"),
            ("clock_skew = \"\"", "`clock_skew` must be a duration"),
            ("signing_policies = \"1.2.3\"", "`signing_policies` must be a list"),
            ("signing_policies = []", "at least one"),
            (
                "signing_policies = [\"sign\"]",
                "`signing_policies` must be a list of dotted",
            ),
            ("tsa_policies = [1]", "`tsa_policies` must be a list"),
            ("roles = [\"Dentist\"]", "`roles` must be a table"),
            ("[roles]\nReferal = []", "unknown key `roles.Referal`"),
            ("[roles]\nReferral = \"*\"", "`roles.Referral` must be a list"),
            ("[roles]\nReferral = [\"Medical*\"]", "`roles.Referral` must be a list"),
            ("[algorithms]\nmd5 = \"2030-12-31\"", "unknown key `algorithms.md5`"),
            (
                "[algorithms]\nrsa2048 = \"soon\"",
                "`algorithms.rsa2048` must be a date",
            ),
            (
                "[algorithms]\nrsa2048 = \"2030-02-30\"",
                "`algorithms.rsa2048` must be a date",
            ),
            ("[algorithms]\nrsa2048 = 2030", "`algorithms.rsa2048` must be a date"),
            ("freshness =", "does not parse"),
            ("freshness = \"strict\"\nfreshness = \"strict\"", "does not parse"),
        ] {
            let error = Policy::from_toml(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
