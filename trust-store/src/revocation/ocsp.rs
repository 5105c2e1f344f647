//! OCSP responses prove nothing yet: where a certificate names a responder and no CRL, its status stays unknown, with this reason.

/// Why an OCSP response at hand does not help.
pub(crate) const NOT_JUDGED: &str = "only an OCSP response could tell, and those are not judged yet";
