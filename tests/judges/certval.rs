//! A second judge of certification paths: the crate `certval`, in this process.

use certval::{
    CertFile, CertVector, CertificationPath, CertificationPathResults, CertificationPathSettings, MemoryCrlSource,
    PDVCertificate, PDVTrustAnchorChoice, PkiEnvironment, TaSource, TimeOfInterest, check_revocation_local,
};
use time::OffsetDateTime;
use trust_store::chain::ChainOptions;

/// Whether `leaf` leads to `root` through `authorities` (the root's own child first), nobody revoked. `Err` says why not.
pub(crate) fn judge(
    leaf: &[u8],
    authorities: &[&[u8]],
    crls: &[Vec<u8>],
    root: &[u8],
    at: OffsetDateTime,
    options: &ChainOptions,
) -> Result<(), String> {
    let mut environment = PkiEnvironment::default();
    environment.populate_5280_pki_environment();
    let mut anchors = TaSource::new();
    anchors.push(CertFile {
        filename: "root".to_owned(),
        bytes: root.to_vec(),
    });
    anchors.initialize().map_err(said)?;
    environment.add_trust_anchor_source(Box::new(anchors));
    let lists = MemoryCrlSource::new();
    for list in crls {
        // One it cannot read is one it has not: the revocation check says so.
        lists.add(list);
    }
    environment.add_crl_source(Box::new(lists));
    let mut settings = CertificationPathSettings::new();
    let seconds = u64::try_from(at.unix_timestamp()).map_err(said)?;
    settings.set_time_of_interest(TimeOfInterest::from_unix_secs(seconds).map_err(said)?);
    if !options.policies.is_empty() {
        settings.set_initial_policy_set(options.policies.iter().map(ToString::to_string).collect());
    }
    settings.set_initial_explicit_policy_indicator(options.require_explicit_policy);
    settings.set_initial_policy_mapping_inhibit_indicator(options.inhibit_policy_mapping);
    settings.set_initial_inhibit_any_policy_indicator(options.inhibit_any_policy);
    let authorities: Result<Vec<PDVCertificate>, _> =
        authorities.iter().map(|der| PDVCertificate::try_from(*der)).collect();
    let path = CertificationPath::new(
        PDVTrustAnchorChoice::try_from(root).map_err(said)?,
        authorities.map_err(said)?,
        PDVCertificate::try_from(leaf).map_err(said)?,
    );
    let mut results = CertificationPathResults::new();
    // The first error is the verdict: the revocation check after a failed validation would write `Valid` over it.
    environment
        .validate_path(&environment, &settings, &path, &mut results)
        .map_err(said)?;
    check_revocation_local(&environment, &settings, &path, &mut results).map_err(said)
}

fn said(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
