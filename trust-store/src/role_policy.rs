//! Which profession may sign which kind of document (資格ポリシー). Data, not code. `CONTRACTS.md` §2.

use std::collections::BTreeMap;

use formats::envelope::DocumentKind;
use formats::hc_role::HcRole;

/// For each kind the roles that may sign it; [`ANY_QUALIFICATION`] stands for any of [`QUALIFICATIONS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePolicy(pub BTreeMap<DocumentKind, Vec<String>>);

/// What `["*"]` in `policy.toml` says: any of the 27 national qualifications.
pub const ANY_QUALIFICATION: &str = "*";

/// A role as HPKI certificates name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleName {
    /// codeDataFreeText: the English text is the code.
    pub code: &'static str,
    /// The same in Japanese.
    pub japanese: &'static str,
    /// How sure the wording of the code is.
    pub source: RoleSource,
}

/// How sure the wording of a role is. All are compared byte by byte alike; where the policy in force words one otherwise,
/// `policy.toml [roles]` takes that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleSource {
    /// Seen in published certificates.
    Certificate,
    /// Stated by the published text of the certificate policy.
    Policy,
    /// Found in software that works with cards in use.
    Software,
    /// The customary English name: not confirmed.
    Custom,
}

use RoleSource::{Certificate, Custom, Policy, Software};

const fn role(code: &'static str, japanese: &'static str, source: RoleSource) -> RoleName {
    RoleName { code, japanese, source }
}

/// The 27 national qualifications (国家資格) of the HPKI certificate policy, in its order.
///
/// [`RoleName::source`] says how sure each wording is.
pub const QUALIFICATIONS: [RoleName; 27] = [
    role("Medical Doctor", "医師", Certificate),
    role("Dentist", "歯科医師", Policy),
    role("Pharmacist", "薬剤師", Certificate),
    role("Medical Technologist", "臨床検査技師", Policy),
    role("Radiological Technologist", "診療放射線技師", Policy),
    role("General Nurse", "看護師", Policy),
    role("Public Health Nurse", "保健師", Custom),
    role("Midwife", "助産師", Custom),
    role("Physical Therapist", "理学療法士", Custom),
    role("Occupational Therapist", "作業療法士", Custom),
    role("Orthoptist", "視能訓練士", Custom),
    role("Speech Therapist", "言語聴覚士", Custom),
    role("Dental Technician", "歯科技工士", Custom),
    role("National Registered Dietitian", "管理栄養士", Custom),
    role("Certified Social Worker", "社会福祉士", Custom),
    role("Certified Care Worker", "介護福祉士", Custom),
    role("Emergency Medical Technician", "救急救命士", Custom),
    role("Psychiatric Social Worker", "精神保健福祉士", Custom),
    role("Clinical Engineer", "臨床工学技士", Custom),
    role(
        "Massage and Finger Pressure Practitioner",
        "あん摩マッサージ指圧師",
        Custom,
    ),
    role("Acupuncturist", "はり師", Custom),
    role("Moxibustion Practitioner", "きゅう師", Custom),
    role("Dental Hygienist", "歯科衛生士", Custom),
    role("Prosthetics & Orthotic", "義肢装具士", Custom),
    role("Artificial Limb Fitter", "柔道整復師", Custom),
    role("Clinical Laboratory Technician", "衛生検査技師", Custom),
    role("Certified Public Psychologist", "公認心理師", Custom),
];

/// The five manager roles (管理者等資格). They say who answers for an institution, never that its holder may sign a document.
pub const MANAGERS: [RoleName; 5] = [
    role("Director of Hospital", "病院長", Software),
    role("Director of Clinic", "診療所院長", Software),
    role("Supervisor of Pharmacy", "管理薬剤師", Custom),
    role("Proprietor of Pharmacy", "薬局開設者", Custom),
    role("Director", "その他の保健医療福祉機関の管理責任者", Custom),
];

/// Every kind with the word `policy.toml` uses for it.
pub const KINDS: [(DocumentKind, &str); 8] = [
    (DocumentKind::Referral, "Referral"),
    (DocumentKind::DischargeSummary, "DischargeSummary"),
    (DocumentKind::ImageStudy, "ImageStudy"),
    (DocumentKind::VisitingNurseInstruction, "VisitingNurseInstruction"),
    (DocumentKind::MedicationReport, "MedicationReport"),
    (DocumentKind::VisitingNurseReport, "VisitingNurseReport"),
    (DocumentKind::Reply, "Reply"),
    (DocumentKind::Other, "Other"),
];

/// What a role string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleClass {
    /// One of [`QUALIFICATIONS`].
    Qualification(RoleName),
    /// One of [`MANAGERS`].
    Manager(RoleName),
    /// A text outside both tables.
    Unknown,
}

/// What a role is. Compared byte by byte.
#[must_use]
pub fn classify(role: &str) -> RoleClass {
    let find = |table: &[RoleName]| table.iter().copied().find(|known| known.code == role);
    if let Some(known) = find(&QUALIFICATIONS) {
        RoleClass::Qualification(known)
    } else if let Some(known) = find(&MANAGERS) {
        RoleClass::Manager(known)
    } else {
        RoleClass::Unknown
    }
}

/// The word `policy.toml` and the envelope use for a kind.
#[must_use]
pub fn kind_name(kind: DocumentKind) -> &'static str {
    KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .map_or("Other", |(_, name)| name)
}

impl RolePolicy {
    /// Whether a signer with `roles` may sign a document of `kind`. A kind without a row permits nobody.
    #[must_use]
    pub fn permits(&self, kind: DocumentKind, roles: &[HcRole]) -> bool {
        let Some(accepted) = self.0.get(&kind) else {
            return false;
        };
        roles.iter().any(|HcRole(role)| match classify(role) {
            RoleClass::Manager(_) => false,
            RoleClass::Qualification(_) => accepted.iter().any(|one| one == role || one == ANY_QUALIFICATION),
            // "*" is a text of the policy, not a profession: a certificate that states it gains nothing.
            RoleClass::Unknown => role != ANY_QUALIFICATION && accepted.iter().any(|one| one == role),
        })
    }

    /// Which roles would be accepted for `kind`, as one phrase for a report.
    #[must_use]
    pub fn accepted(&self, kind: DocumentKind) -> String {
        let roles: Vec<&str> = self
            .0
            .get(&kind)
            .into_iter()
            .flatten()
            .filter(|role| !matches!(classify(role), RoleClass::Manager(_)))
            .map(|role| match role.as_str() {
                ANY_QUALIFICATION => "any national qualification",
                other => other,
            })
            .collect();
        match roles.split_last() {
            None => "nobody".to_owned(),
            Some((only, [])) => (*only).to_owned(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        }
    }
}

impl Default for RolePolicy {
    fn default() -> Self {
        let accepted = |kind| -> &[&str] {
            match kind {
                DocumentKind::Referral | DocumentKind::DischargeSummary | DocumentKind::ImageStudy => {
                    &["Medical Doctor", "Dentist"]
                }
                DocumentKind::VisitingNurseInstruction => &["Medical Doctor"],
                DocumentKind::MedicationReport => &["Pharmacist"],
                DocumentKind::VisitingNurseReport => &["General Nurse", "Public Health Nurse", "Midwife"],
                DocumentKind::Reply | DocumentKind::Other => &[ANY_QUALIFICATION],
            }
        };
        Self(
            KINDS
                .into_iter()
                .map(|(kind, _)| (kind, accepted(kind).iter().map(ToString::to_string).collect()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(names: &[&str]) -> Vec<HcRole> {
        names.iter().map(|name| HcRole((*name).to_owned())).collect()
    }

    #[test]
    fn the_default_follows_the_table() {
        let policy = RolePolicy::default();
        for (kind, role, permitted) in [
            (DocumentKind::Referral, "Medical Doctor", true),
            (DocumentKind::Referral, "Dentist", true),
            (DocumentKind::Referral, "Pharmacist", false),
            (DocumentKind::VisitingNurseInstruction, "Dentist", false),
            (DocumentKind::MedicationReport, "Pharmacist", true),
            (DocumentKind::MedicationReport, "Medical Doctor", false),
            (DocumentKind::VisitingNurseReport, "Midwife", true),
            (DocumentKind::Other, "Clinical Engineer", true),
            (DocumentKind::Reply, "Medical Doctor", true),
        ] {
            assert_eq!(policy.permits(kind, &roles(&[role])), permitted, "{role} on {kind:?}");
        }
        assert_eq!(policy.accepted(DocumentKind::Referral), "Medical Doctor or Dentist");
        assert_eq!(policy.accepted(DocumentKind::Other), "any national qualification");
    }

    #[test]
    fn roles_are_compared_byte_by_byte() {
        let policy = RolePolicy::default();
        for near in [
            "medical doctor",
            "Medical Doctor ",
            "MedicalDoctor",
            "Medical\u{a0}Doctor",
            "",
        ] {
            assert!(!policy.permits(DocumentKind::Referral, &roles(&[near])), "{near:?}");
        }
    }

    #[test]
    fn managers_alone_satisfy_none() {
        let mut policy = RolePolicy::default();
        policy
            .0
            .insert(DocumentKind::Referral, vec!["*".into(), "Director of Hospital".into()]);
        for (kind, _) in KINDS {
            for manager in MANAGERS {
                assert!(!policy.permits(kind, &roles(&[manager.code])), "{}", manager.code);
            }
        }
        assert!(policy.permits(
            DocumentKind::Referral,
            &roles(&["Director of Hospital", "Medical Doctor"])
        ));
        assert_eq!(policy.accepted(DocumentKind::Referral), "any national qualification");
    }

    #[test]
    fn a_star_covers_the_27_only() {
        let policy = RolePolicy::default();
        for unknown in ["Astronaut", "*"] {
            assert!(!policy.permits(DocumentKind::Other, &roles(&[unknown])), "{unknown}");
        }
        let named = RolePolicy([(DocumentKind::Other, vec!["Astronaut".to_owned()])].into());
        assert!(named.permits(DocumentKind::Other, &roles(&["Astronaut"])));
        assert!(
            !named.permits(DocumentKind::Referral, &roles(&["Medical Doctor"])),
            "a kind without a row"
        );
    }

    #[test]
    fn the_tables_hold_each_role_once() {
        let all: std::collections::BTreeSet<_> =
            QUALIFICATIONS.iter().chain(&MANAGERS).map(|known| known.code).collect();
        assert_eq!(all.len(), 32);
        let sure = |known: &&RoleName| known.source != Custom;
        let sure: Vec<_> = QUALIFICATIONS.iter().filter(sure).map(|known| known.code).collect();
        assert_eq!(
            sure,
            QUALIFICATIONS[..6].iter().map(|known| known.code).collect::<Vec<_>>()
        );
    }
}
