//! The services' own controls over HTTP, for partners: revoke a card, make something go wrong.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::answer::text;
use super::{Fault, State};
use crate::CrlReason;
use crate::card::CardSpec;
use crate::revocation_lists::Revoked;

/// `POST /admin/revoke/NAME`, `POST /admin/release/NAME`, `POST /admin/forget/NAME`, `POST /admin/fault?path=…&kind=…`.
pub(super) fn answer(state: &State, method: &Method, path: &str, query: &str) -> Response<Full<Bytes>> {
    if method != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "POST only\n");
    }
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let done = match parts.as_slice() {
        ["revoke", name] => revoke(state, name, query),
        ["release", name] => release(state, name),
        ["forget", name] => forget(state, name),
        ["fault"] => fault(state, query),
        _ => Err(format!("no control at {path}")),
    };
    match done {
        Ok(said) => text(StatusCode::OK, &format!("{said}\n")),
        Err(said) => text(StatusCode::BAD_REQUEST, &format!("{said}\n")),
    }
}

fn revoke(state: &State, name: &str, query: &str) -> Result<String, String> {
    let spec = named(name)?;
    let reason = match value(query, "reason").unwrap_or("cessationOfOperation") {
        "cessationOfOperation" => CrlReason::CessationOfOperation,
        "keyCompromise" => CrlReason::KeyCompromise,
        "superseded" => CrlReason::Superseded,
        "affiliationChanged" => CrlReason::AffiliationChanged,
        "certificateHold" => CrlReason::CertificateHold,
        other => return Err(format!("no reason {other}")),
    };
    let mut changing = state.changing();
    let now = changing.now();
    changing.revoked.push((spec.ca, Revoked::new(spec.serial, now, reason)));
    Ok(format!("{name} is revoked since {now}"))
}

fn release(state: &State, name: &str) -> Result<String, String> {
    let spec = named(name)?;
    let of_card = |ca, revoked: &Revoked| ca == spec.ca && revoked.serial == spec.serial;
    state.changing().revoked.retain(|(ca, revoked)| !of_card(*ca, revoked));
    Ok(format!("{name} is not revoked"))
}

fn forget(state: &State, name: &str) -> Result<String, String> {
    let spec = named(name)?;
    state.changing().unknown.push((spec.ca, spec.serial));
    Ok(format!("{name} is unknown to its OCSP responder"))
}

fn fault(state: &State, query: &str) -> Result<String, String> {
    let path = value(query, "path").ok_or("which path?")?.to_owned();
    let kind = value(query, "kind").ok_or("which kind?")?;
    let said = format!("{path}: {kind}");
    let mut changing = state.changing();
    match fault_named(kind)? {
        Some(fault) => changing.faults.insert(path, fault),
        None => changing.faults.remove(&path),
    };
    Ok(said)
}

/// `none`, `down`, `slow-SECONDS`, `status-CODE`, `garbage`, `truncated-BYTES`, `stale`, `wrong-signer`, `wrong-nonce`,
/// `wrong-imprint`, `rejected`, `redirect-ADDRESS`, `huge`.
fn fault_named(kind: &str) -> Result<Option<Fault>, String> {
    let (name, argument) = match kind {
        "wrong-signer" | "wrong-nonce" | "wrong-imprint" => (kind, ""),
        _ => kind.split_once('-').unwrap_or((kind, "")),
    };
    let number = || {
        argument
            .parse::<u64>()
            .map_err(|_| format!("{kind}: a number is missing"))
    };
    Ok(Some(match name {
        "none" => return Ok(None),
        "down" => Fault::Down,
        "slow" => Fault::Slow(Duration::from_secs(number()?)),
        "status" => Fault::Status(u16::try_from(number()?).map_err(|_| format!("{kind}: no such status"))?),
        "garbage" => Fault::Garbage,
        "truncated" => Fault::Truncated(usize::try_from(number()?).unwrap_or(usize::MAX)),
        "stale" => Fault::Stale,
        "wrong-signer" => Fault::WrongSigner,
        "wrong-nonce" => Fault::WrongNonce,
        "wrong-imprint" => Fault::WrongImprint,
        "rejected" => Fault::Rejected,
        "sloppy" => Fault::Sloppy,
        "redirect" if http::HeaderValue::from_str(argument).is_ok() => Fault::Redirect(argument.to_owned()),
        "huge" => Fault::Huge,
        _ => return Err(format!("no fault {kind}")),
    }))
}

fn named(name: &str) -> Result<CardSpec, String> {
    CardSpec::named(name).ok_or_else(|| format!("no card {name}; there are {}", CardSpec::NAMES.join(", ")))
}

/// The value of `key` in a query string; nothing here needs percent-decoding.
fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name == key).then_some(value))
}
