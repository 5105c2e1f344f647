//! DICOM headers read by a bounded, iterative walker; the tree of study, series and instance.
