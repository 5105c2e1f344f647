//! Keys in cards and tokens, through PKCS #11. The only place that knows cryptoki.
//!
//! Built for what HPKI modules offer (MHLW HPKI card guideline, Cryptoki 2.20): CKM_RSA_PKCS over a DigestInfo of our own, one
//! session, no C_SignUpdate, certificates readable without PIN, a PIN before every signature.

mod key;
pub mod module;
pub mod token;

use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use formats::cades::SignatureScheme;
use formats::digest::DigestAlgorithm;
use trust_store::Certificate;
use zeroize::Zeroizing;

use self::key::PrivateKey;
use self::token::{Found, Token};
use super::{AskPin, PinState, Signer, SignerError};
use crate::error::Failure;

/// A key in a token.
pub struct Pkcs11Signer {
    module: Pkcs11,
    token: Token,
    found: Found,
    scheme: SignatureScheme,
    ask_pin: AskPin,
    wait_for_card: Duration,
    session: Option<Session>,
    /// A PIN the token has accepted in this run. Only such a PIN is used again: after a card came back, and before each
    /// signature of a key that always authenticates.
    accepted_pin: Option<Zeroizing<String>>,
}

impl Pkcs11Signer {
    /// The signer for the one signing certificate that `choice` leaves. No PIN is asked for yet.
    ///
    /// # Errors
    /// No module, no token, no or several certificates, PSS or ECDSA not offered: the codes of `error.rs`.
    pub fn open(choice: &token::Choice, pss: bool, wait_for_card: Duration, ask_pin: AskPin) -> Result<Self, Failure> {
        let (module, token, found) = token::choose(choice)?;
        let scheme = key::scheme(&found.certificate, &token, pss)?;
        Ok(Self {
            module,
            token,
            found,
            scheme,
            ask_pin,
            wait_for_card,
            session: None,
            accepted_pin: None,
        })
    }

    /// Label of the token.
    #[must_use]
    pub fn token_label(&self) -> &str {
        &self.token.label
    }

    fn attempt(&mut self, to_be_signed: &[u8], digest: DigestAlgorithm) -> Result<Vec<u8>, Trouble> {
        self.log_in()?;
        let session = self
            .session
            .as_ref()
            .ok_or_else(|| Trouble::Removed("no session".to_owned()))?;
        let key = PrivateKey::find(session, &self.found)?;
        let hash = digest.digest(to_be_signed);
        let mechanism = key::mechanism(self.scheme, digest);
        let input = key::input(self.scheme, digest, &hash);
        let signature = if key.always_authenticate {
            self.sign_after_pin(&key, &mechanism, &input)?
        } else {
            session.sign(&mechanism, key.handle, &input).map_err(Trouble::from)?
        };
        key::encode_signature(self.scheme, signature)
    }

    /// CKA_ALWAYS_AUTHENTICATE: the PIN belongs between C_SignInit and the signature.
    fn sign_after_pin(
        &mut self,
        key: &PrivateKey,
        mechanism: &cryptoki::mechanism::Mechanism<'_>,
        input: &[u8],
    ) -> Result<Vec<u8>, Trouble> {
        let pin = self.pin()?;
        let session = self
            .session
            .as_ref()
            .ok_or_else(|| Trouble::Removed("no session".to_owned()))?;
        session.sign_init(mechanism, key.handle).map_err(Trouble::from)?;
        let logged_in = session.login(UserType::ContextSpecific, Some(&auth_pin(&pin)));
        match logged_in {
            Ok(()) => self.accepted_pin = Some(pin),
            Err(error) => return Err(self.pin_trouble(error)),
        }
        let session = self
            .session
            .as_ref()
            .ok_or_else(|| Trouble::Removed("no session".to_owned()))?;
        match session.sign_update(input).and_then(|()| session.sign_final()) {
            Err(Error::Pkcs11(RvError::FunctionNotSupported, _)) => {}
            other => return other.map_err(Trouble::from),
        }
        // HPKI modules have neither C_SignUpdate nor context-specific login: there the user's login itself, fresh, is the PIN
        // before the signature.
        self.session = None;
        self.log_in()?;
        let session = self
            .session
            .as_ref()
            .ok_or_else(|| Trouble::Removed("no session".to_owned()))?;
        let key = PrivateKey::find(session, &self.found)?;
        session.sign(mechanism, key.handle, input).map_err(Trouble::from)
    }

    fn log_in(&mut self) -> Result<(), Trouble> {
        if self.session.is_some() {
            return Ok(());
        }
        let session = self.module.open_ro_session(self.token.slot).map_err(Trouble::from)?;
        if !self.token.login_required {
            self.session = Some(session);
            return Ok(());
        }
        let pin = if self.token.protected_path {
            None
        } else {
            Some(self.pin()?)
        };
        let secret = pin.as_ref().map(auth_pin);
        match session.login(UserType::User, secret.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                self.accepted_pin = pin;
                self.session = Some(session);
                Ok(())
            }
            Err(error) => Err(self.pin_trouble(error)),
        }
    }

    /// A PIN the token has already accepted, else a new one from whoever holds the card.
    fn pin(&mut self) -> Result<Zeroizing<String>, Trouble> {
        if let Some(pin) = self.accepted_pin.take() {
            return Ok(pin);
        }
        let state = self.token.pin_state(&self.module);
        if state == PinState::Locked {
            return Err(Trouble::Final(SignerError::PinLocked(self.token.label.clone())));
        }
        (self.ask_pin)(&self.token.label, state).map_err(Trouble::Final)
    }

    fn pin_trouble(&self, error: Error) -> Trouble {
        let token = self.token.label.clone();
        match error {
            Error::Pkcs11(RvError::PinLocked, _) => Trouble::Final(SignerError::PinLocked(token)),
            Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
                Trouble::Final(SignerError::PinIncorrect {
                    token,
                    state: self.token.pin_state(&self.module),
                })
            }
            other => Trouble::from(other),
        }
    }

    /// Whether the token is out of its reader. Readers take a moment to notice.
    fn is_gone(&self) -> bool {
        (0..10).any(|round| {
            if round > 0 {
                std::thread::sleep(Duration::from_millis(200));
            }
            token::again(&self.module, &self.token).is_none()
        })
    }

    /// Waits until the same token is back, then starts afresh.
    fn wait_for_return(&mut self) -> bool {
        self.session = None;
        let deadline = Instant::now() + self.wait_for_card;
        loop {
            if let Some(back) = token::again(&self.module, &self.token) {
                self.token = back;
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

impl Signer for Pkcs11Signer {
    fn certificate(&self) -> &Certificate {
        &self.found.certificate
    }

    fn chain(&self) -> &[Vec<u8>] {
        &self.found.issuers
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    fn sign(&mut self, to_be_signed: &[u8], digest: DigestAlgorithm) -> Result<Vec<u8>, SignerError> {
        let trouble = match self.attempt(to_be_signed, digest) {
            Ok(signature) => return Ok(signature),
            Err(trouble) => trouble,
        };
        let Some(why) = trouble.removal(|| self.is_gone()) else {
            self.session = None;
            return Err(trouble.into_error(&self.token.label));
        };
        let removed = SignerError::TokenRemoved(format!("{} ({why})", self.token.label));
        if !self.wait_for_return() {
            return Err(removed);
        }
        // One more attempt, with the card that came back: its PIN is asked for again unless the card had accepted it.
        self.attempt(to_be_signed, digest)
            .map_err(|trouble| trouble.into_error(&self.token.label))
    }
}

/// What went wrong in one attempt, sorted by what can be done about it.
enum Trouble {
    /// The card is gone.
    Removed(String),
    /// The module failed; the card may be gone.
    Unclear(String),
    /// Nothing to try again.
    Final(SignerError),
}

impl Trouble {
    /// Why, if the card was removed; an unclear failure asks `gone`.
    fn removal(&self, gone: impl FnOnce() -> bool) -> Option<String> {
        match self {
            Self::Removed(why) => Some(why.clone()),
            Self::Unclear(why) => gone().then(|| why.clone()),
            Self::Final(_) => None,
        }
    }

    fn into_error(self, token: &str) -> SignerError {
        match self {
            Self::Removed(why) => SignerError::TokenRemoved(format!("{token} ({why})")),
            Self::Unclear(why) => SignerError::Failed(format!("{token}: {why}")),
            Self::Final(error) => error,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        use RvError::{
            DeviceError, DeviceRemoved, FunctionFailed, GeneralError, SessionClosed, SessionHandleInvalid,
            TokenNotPresent, TokenNotRecognized, UserNotLoggedIn,
        };
        let Error::Pkcs11(code, function) = &error else {
            return Self::Final(SignerError::Failed(error.to_string()));
        };
        let why = format!("{function:?}: {code:?}");
        match code {
            DeviceRemoved | TokenNotPresent | SessionClosed | SessionHandleInvalid => Self::Removed(why),
            DeviceError | FunctionFailed | GeneralError | TokenNotRecognized | UserNotLoggedIn => Self::Unclear(why),
            _ => Self::Final(SignerError::Failed(why)),
        }
    }
}

/// cryptoki wipes it too.
fn auth_pin(pin: &Zeroizing<String>) -> AuthPin {
    AuthPin::new(pin.as_str().into())
}
