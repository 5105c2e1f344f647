//! A key that never leaves its token. The second of the house's two joints: cards through PKCS #11, soft keys from files.

pub mod conformance;
pub mod pkcs11;
pub mod soft;

use formats::cades::SignatureScheme;
use formats::digest::DigestAlgorithm;
use trust_store::Certificate;
use trust_store::algorithm;
use zeroize::Zeroizing;

use crate::error::{Code, Failure};

/// A key that never leaves its token.
pub trait Signer {
    /// The certificate of the key, its DER kept.
    fn certificate(&self) -> &Certificate;

    /// Certificates of issuers found beside it, DER, in no order.
    fn chain(&self) -> &[Vec<u8>];

    /// How it signs.
    fn scheme(&self) -> SignatureScheme;

    /// Signs: hashes `to_be_signed` with `digest` and signs the hash. ECDSA signatures are DER.
    ///
    /// May ask for a PIN and may take seconds. Never tries a PIN twice.
    ///
    /// # Errors
    /// [`SignerError`]; then nothing was signed.
    fn sign(&mut self, to_be_signed: &[u8], digest: DigestAlgorithm) -> Result<Vec<u8>, SignerError>;

    /// The digest that suits the key: SHA-384 for P-384, SHA-512 for P-521, else SHA-256.
    fn digest(&self) -> DigestAlgorithm {
        match algorithm::key_name(&self.certificate().key) {
            Ok("p384") => DigestAlgorithm::Sha384,
            Ok("p521") => DigestAlgorithm::Sha512,
            _ => DigestAlgorithm::Sha256,
        }
    }
}

/// How many tries a PIN has left, as far as the token tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PinState {
    /// No wrong try since the last right one.
    Ok,
    /// At least one wrong try.
    Low,
    /// One try left: a wrong one locks it.
    Last,
    /// Locked.
    Locked,
}

impl PinState {
    /// The word the command line shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Low => "low",
            Self::Last => "last",
            Self::Locked => "locked",
        }
    }
}

/// Why a key cannot sign, or did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The PIN was wrong. It is not tried again.
    #[error("wrong PIN for {token}, tries now {}", state.name())]
    PinIncorrect {
        /// Label of the token.
        token: String,
        /// What is left.
        state: PinState,
    },
    /// The PIN is locked.
    #[error("the PIN of {0} is locked")]
    PinLocked(String),
    /// Nobody gave a PIN.
    #[error("no PIN: {0}")]
    PinUnavailable(String),
    /// The token was taken out.
    #[error("token removed: {0}")]
    TokenRemoved(String),
    /// The key, curve or token does not do what was asked.
    #[error("not offered: {0}")]
    NotOffered(String),
    /// The token, its module or the key failed otherwise.
    #[error("{0}")]
    Failed(String),
}

impl From<SignerError> for Failure {
    fn from(error: SignerError) -> Self {
        match error {
            SignerError::PinIncorrect { token, state } => {
                Self::new(Code::PinIncorrect, format!("{token} (tries: {})", state.name()))
            }
            SignerError::PinLocked(token) => Self::new(Code::PinLocked, token),
            SignerError::PinUnavailable(why) => Self::new(Code::PinUnavailable, why),
            SignerError::TokenRemoved(token) => Self::new(Code::TokenRemoved, token),
            SignerError::NotOffered(what) => Self::new(Code::MechanismNotOffered, what),
            SignerError::Failed(why) => Self::new(Code::ModuleFailed, why),
        }
    }
}

/// Asked for a PIN: the token's label and how many tries are left. Called once per login.
pub type AskPin = Box<dyn FnMut(&str, PinState) -> Result<Zeroizing<String>, SignerError>>;

/// Verifies what a signer made under its own certificate, before anyone else sees it.
///
/// # Errors
/// [`Code::SignatureFailed`]: the token signs with another key than its certificate's, or is broken.
pub fn verify_own(
    signer: &dyn Signer,
    algorithm: &spki::AlgorithmIdentifierOwned,
    digest: DigestAlgorithm,
    to_be_signed: &[u8],
    signature: &[u8],
) -> Result<(), Failure> {
    algorithm::verify_with_digest(algorithm, digest, &signer.certificate().key, to_be_signed, signature)
        .map_err(|error| Failure::new(Code::SignatureFailed, error.to_string()))
}
