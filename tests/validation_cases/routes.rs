//! Who may sign what, and by which route: roles nobody knows, managers, other anchors than HPKI, accredited time stamps.

use std::fs;
use std::path::Path;

use formats::digest::sha256;
use kit::{Ca, TestHpki};

use super::{PASSED, Plan, Row, failed, indeterminate};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "unknown_role_beside",
        PASSED,
        "a qualification, and a role outside the table: told, never guessed",
        "CONTRACTS.md §2",
        |plan| {
            plan.card.roles = vec!["Medical Doctor".into(), "Astronaut".into()];
            plan.says = Some("is none of the qualifications");
        },
    ),
    (
        "manager_without_director",
        PASSED,
        "a doctor and manager whose subject does not say Director: the manager's role counts for nothing",
        "HPKI certificate policy, subject",
        |plan| {
            plan.card.roles = vec!["Medical Doctor".into(), "Director of Clinic".into()];
            plan.says = Some("the subject must have O and OU=Director");
        },
    ),
    (
        "manager_with_director",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a manager as the policy wants one is no profession either",
        "CONTRACTS.md §2",
        |plan| {
            plan.card.roles = vec!["Director of Clinic".into()];
            plan.card.subject = kit::x509::name(&[
                ("C", "JP"),
                ("O", "TEST HIKYAKU CLINIC"),
                ("OU", "Director"),
                ("CN", "Taro Hikyaku"),
            ]);
        },
    ),
    (
        "local_policy",
        PASSED,
        "what the policy decides otherwise is told",
        "CONTRACTS.md §3",
        |plan| {
            plan.policy = "[roles]\nReferral = [\"Medical Doctor\"]\n";
            plan.says = Some("otherwise than the default: roles.Referral = ");
        },
    ),
    (
        "accredited_route_closed",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "anchors of another route count for nothing while the policy does not open it",
        "CONTRACTS.md §3 Routes",
        |plan| route(plan, "accredited", ""),
    ),
    (
        "accredited_route_open",
        PASSED,
        "an accredited authority's certificate that states the qualification",
        "CONTRACTS.md §3 Routes",
        |plan| {
            route(plan, "accredited", ACCREDITED);
            plan.says = Some("by the rules of the route accredited");
        },
    ),
    (
        "accredited_route_other_policy",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a route has signing policies of its own",
        "CONTRACTS.md §3 Routes",
        |plan| {
            route(plan, "accredited", ACCREDITED);
            plan.card.policies = vec![kit::card::AUTHENTICATION_POLICY];
        },
    ),
    (
        "accredited_route_other_kind",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "the route is open for other kinds of documents",
        "CONTRACTS.md §3 Routes",
        |plan| {
            let policy = "[routes.accredited]\nsigning_policies = [\"1.2.392.100495.1.5.1.1.3.1\"]\n\
                          kinds = [\"Other\"]\nqualification = \"certificate\"\n";
            route(plan, "accredited", policy);
            plan.says = Some("not among the kinds");
        },
    ),
    (
        "jpki_attested",
        PASSED,
        "a certificate without qualification, whose holder's was checked",
        "CONTRACTS.md §3 Routes",
        |plan| {
            plan.card.roles = Vec::new();
            jpki(plan, 0x15e);
            plan.says = Some("as TEST office checked on 2026-04-01");
        },
    ),
    (
        "jpki_not_attested",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "another certificate of the same authority was checked, not this one",
        "CONTRACTS.md §3 Routes",
        |plan| {
            plan.card.roles = Vec::new();
            jpki(plan, 0x15f);
            plan.says = Some("a qualification must be attested");
        },
    ),
    (
        "jpki_states_a_role",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "by a route that asks for attestation a role in the certificate does not count",
        "CONTRACTS.md §3 Routes",
        |plan| {
            jpki(plan, 0x15f);
            plan.says = Some("they do not count");
        },
    ),
    (
        "tsa_accredited",
        PASSED,
        "the authority is on the accredited list",
        "CONTRACTS.md §3 [[tsa]]",
        |plan| {
            accredited_tsa(plan, "from = \"2026-01-01\"\nuntil = \"2026-12-31\"");
            plan.says = Some("Accredited: TEST stamps (TEST list)");
        },
    ),
    (
        "tsa_accreditation_over",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "the accreditation ended before the stamp",
        "CONTRACTS.md §3 [[tsa]]",
        |plan| {
            accredited_tsa(plan, "until = \"2026-11-19\"");
            plan.says = Some("was accredited until");
        },
    ),
    (
        "tsa_accredited_for_other_policy",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "the accreditation is for another of the authority's policies",
        "CONTRACTS.md §3 [[tsa]]",
        |plan| {
            accredited_tsa(plan, "policies = [\"1.2.3.4.5\"]");
            plan.says = Some("not accredited for the policy");
        },
    ),
    (
        "tsa_not_accredited",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "there is a list, and the authority is not on it",
        "CONTRACTS.md §3 [[tsa]]",
        |plan| {
            let anchor = "00".repeat(32);
            policy(
                plan,
                format!("[[tsa]]\nname = \"TEST other\"\nanchor = \"{anchor}\"\nsource = \"TEST list\"\n"),
            );
            plan.says = Some("not on the list of accredited");
        },
    ),
];

const ACCREDITED: &str = "[routes.accredited]\nsigning_policies = [\"1.2.392.100495.1.5.1.1.3.1\"]\n\
                          kinds = [\"Referral\", \"ImageStudy\"]\nqualification = \"certificate\"\n";

/// The HPKI root moves into the folder of another route; `hpki/` keeps an anchor that has nothing to do with the card.
fn route(plan: &mut Plan, folder: &'static str, policy: &str) {
    let (policy, stranger) = (policy.to_owned(), plan.hpki.ca(Ca::TsaRoot));
    plan.after = Box::new(move |case: &Path| {
        let trust = case.join("trust");
        fs::create_dir_all(trust.join(folder)).unwrap();
        let root = trust.join("hpki/test-hpki-root.pem");
        fs::rename(root, trust.join(folder).join("test-root.pem")).unwrap();
        fs::write(trust.join("hpki/stranger.der"), &stranger).unwrap();
        fs::write(trust.join("policy.toml"), &policy).unwrap();
    });
}

/// The route `jpki`, with a doctor's certificate of this serial number on the list.
fn jpki(plan: &mut Plan, serial: u64) {
    let issuer = trust_store::name::for_people(&Ca::Sign.name());
    let policy = format!(
        "[routes.jpki]\nsigning_policies = [\"1.2.392.100495.1.5.1.1.3.1\"]\nkinds = [\"Referral\", \"ImageStudy\"]\n\n\
         [[attested]]\nissuer = \"{issuer}\"\nserial = \"{serial:04x}\"\nroles = [\"Medical Doctor\"]\n\
         checked_by = \"TEST office\"\nchecked_on = \"2026-04-01\"\n"
    );
    route(plan, "jpki", &policy);
}

fn accredited_tsa(plan: &mut Plan, bounds: &str) {
    let anchor = anchor_of(&plan.hpki);
    let row = "name = \"TEST stamps\"\nsource = \"TEST list\"";
    policy(plan, format!("[[tsa]]\nanchor = \"{anchor}\"\n{row}\n{bounds}\n"));
}

fn anchor_of(hpki: &TestHpki) -> String {
    hex::encode(sha256(&hpki.ca(Ca::TsaRoot)))
}

fn policy(plan: &mut Plan, text: String) {
    plan.after = Box::new(move |case: &Path| fs::write(case.join("trust/policy.toml"), &text).unwrap());
}
