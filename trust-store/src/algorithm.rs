//! The one door to aws-lc-rs: which signature algorithms are accepted, and their mathematics. `CONTRACTS.md` §3 "Algorithms".

use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Why a signature does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    /// An algorithm or key this house does not accept.
    #[error("algorithm not accepted: {0}")]
    NotAccepted(String),
    /// The mathematics fails.
    #[error("the signature does not verify")]
    BadSignature,
}

/// Verifies `signature` over `message` under `key`.
///
/// # Errors
/// [`AlgorithmError::NotAccepted`] for algorithms, parameters or keys outside the list, [`AlgorithmError::BadSignature`] else.
pub fn verify(
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), AlgorithmError> {
    let _ = (algorithm, key, message, signature);
    Err(AlgorithmError::NotAccepted("not built yet".into()))
}
