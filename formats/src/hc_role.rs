//! hcRole, ISO 17090-2: the profession a certificate attests.

/// A role as the certificate states it: the English text itself is the code, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HcRole(pub String);
