//! The second judge of a chain: the crate `certval`, in this process.

use certval::{
    CertFile, CertVector, CertificationPath, CertificationPathResults, CertificationPathSettings, MemoryCrlSource,
    PDVCertificate, PDVTrustAnchorChoice, PkiEnvironment, TaSource, TimeOfInterest, check_revocation_local,
};

use super::NOW;

/// Whether the leaf leads to `root` through `authority`, nobody revoked. `Err` says why not.
pub(super) fn judge(leaf: &[u8], authority: &[u8], crls: &[Vec<u8>], root: &[u8]) -> Result<(), String> {
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
        assert!(lists.add(list), "a list it can read");
    }
    environment.add_crl_source(Box::new(lists));
    let mut settings = CertificationPathSettings::new();
    let seconds = u64::try_from(NOW.unix_timestamp()).map_err(said)?;
    settings.set_time_of_interest(TimeOfInterest::from_unix_secs(seconds).map_err(said)?);
    let path = CertificationPath::new(
        PDVTrustAnchorChoice::try_from(root).map_err(said)?,
        vec![PDVCertificate::try_from(authority).map_err(said)?],
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
