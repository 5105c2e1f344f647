//! Study, series, instance: what a folder of images is about.

use std::collections::{BTreeMap, BTreeSet};

use super::Header;

/// The images of a submission or a folder, grouped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StudyTree {
    /// By Study Instance UID.
    pub studies: BTreeMap<String, Study>,
    patients: BTreeSet<(String, String)>,
}

/// One study.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Study {
    /// Study date, `YYYYMMDD`.
    pub date: Option<String>,
    /// Study description.
    pub description: Option<String>,
    /// By Series Instance UID.
    pub series: BTreeMap<String, Series>,
}

impl std::fmt::Debug for Study {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Study")
            .field("series", &self.series)
            .finish_non_exhaustive()
    }
}

/// One series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// Modality.
    pub modality: Option<String>,
    /// Number of distinct instances.
    pub instances: usize,
    uids: BTreeSet<String>,
}

impl StudyTree {
    /// Takes one image in. Images without study or series stand under an empty UID.
    pub fn add(&mut self, header: &Header) {
        let patient = (
            header.patient_id.clone().unwrap_or_default(),
            header.patient_id_issuer.clone().unwrap_or_default(),
        );
        self.patients.insert(patient);
        let study = self
            .studies
            .entry(header.study.clone().unwrap_or_default())
            .or_default();
        study.date = study.date.take().or_else(|| header.study_date.clone());
        study.description = study.description.take().or_else(|| header.study_description.clone());
        let series = study
            .series
            .entry(header.series.clone().unwrap_or_default())
            .or_default();
        series.modality = series.modality.take().or_else(|| header.modality.clone());
        if series.uids.insert(header.sop_instance.clone().unwrap_or_default()) {
            series.instances += 1;
        }
    }

    /// Number of distinct patients (Patient ID with issuer). More than one on one referral is a mistake.
    #[must_use]
    pub fn patients(&self) -> usize {
        self.patients.len()
    }
}
