//! By which route a signer is trusted, HPKI or another that the policy opens, and what that route says of its qualification;
//! and whether a time-stamp authority is on the accredited list.

use formats::hc_role::HcRole;
use formats::timestamp::TstInfo;

use super::Setting;
use super::ledger::{Ledger, Row};
use crate::certificate::Certificate;
use crate::path::{self, CertificationPath, PathInputs};
use crate::policy::{Qualification, Route, RouteRules};

/// A route and its rules.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) route: Route,
    pub(super) rules: RouteRules,
}

/// The first open route by which the certificate leads to an anchor. HPKI, if none does: its checks say what is wrong.
pub(super) fn choose(certificate: &Certificate, setting: &Setting<'_>) -> Standing {
    let home = Standing {
        route: Route::Hpki,
        rules: setting.policy.hpki(),
    };
    let open = [Route::Accredited, Route::Jpki].into_iter().filter_map(|route| {
        let rules = setting.policy.route(route)?;
        Some(Standing { route, rules })
    });
    let open: Vec<Standing> = open.collect();
    let leads = |standing: &Standing| {
        let inputs = PathInputs {
            leaf_validity_ignored: true,
            ..PathInputs::default()
        };
        let time = setting.now.min(certificate.not_after).max(certificate.not_before);
        let anchors = standing.route.anchors(setting.anchors);
        path::build_all(certificate, anchors, &setting.material.certificates, &inputs, time).is_ok()
    };
    if open.is_empty() || leads(&home) {
        return home;
    }
    open.into_iter().find(leads).unwrap_or(home)
}

/// The roles that count: those of the certificate, or those that somebody checked. `decides`: whether the lack of them matters.
pub(super) fn qualification(
    certificate: &Certificate,
    standing: &Standing,
    stated: Vec<HcRole>,
    decides: bool,
    setting: &Setting<'_>,
    ledger: &mut Ledger,
) -> Vec<HcRole> {
    let (subject, route) = (&certificate.subject, standing.route.name());
    ledger.pass(
        "route",
        format!("{subject} is judged by the rules of the route {route}."),
    );
    if standing.rules.qualification == Qualification::Certificate {
        return stated;
    }
    if !stated.is_empty() {
        let detail =
            format!("The certificate of {subject} states qualifications; by the route {route} they do not count.");
        ledger.warn("qualification", detail);
    }
    let row = setting.policy.attested.iter().find(|row| row.is_of(certificate));
    match row {
        Some(row) => {
            let detail = format!(
                "{subject}: {}, as {} checked on {}.",
                row.roles.join(", "),
                row.checked_by,
                row.checked_on
            );
            ledger.pass("qualification", detail);
            row.roles.iter().cloned().map(HcRole).collect()
        }
        None => {
            let detail = format!(
                "By the route {route} a qualification must be attested; the policy lists no certificate of {} with serial number {}.",
                certificate.issuer,
                hex::encode(&certificate.serial)
            );
            if decides {
                ledger.fail("qualification", Row::SigConstraintsFailure, detail);
            } else {
                ledger.warn("qualification", detail);
            }
            Vec::new()
        }
    }
}

/// Whether the policy's list has the authority under this anchor, for this policy and time. Without a list every authority may.
pub(super) fn accreditation(path: &CertificationPath, info: &TstInfo, setting: &Setting<'_>, ledger: &mut Ledger) {
    let list = &setting.policy.accredited_tsas;
    if list.is_empty() {
        return;
    }
    let anchor = hex::encode(formats::digest::sha256(&path.anchor.der));
    let name = &path.anchor.certificate.subject;
    let mut objections = Vec::new();
    for row in list.iter().filter(|row| row.anchor == anchor) {
        match row.objection(&info.policy, info.gen_time) {
            None => {
                let detail = format!("Accredited: {} ({}).", row.name, row.source);
                ledger.pass("timestamp_accreditation", detail);
                return;
            }
            Some(objection) => objections.push(objection),
        }
    }
    let detail = if objections.is_empty() {
        format!("{name} is not on the list of accredited time-stamp authorities.")
    } else {
        format!(
            "The time stamp is outside the accreditation: {}.",
            objections.join("; ")
        )
    };
    ledger.fail("timestamp_accreditation", Row::SigConstraintsFailure, detail);
}
