//! Keys in cards and tokens, through PKCS #11. The only place that knows cryptoki.
//!
//! Built for what HPKI modules offer (MHLW HPKI card guideline, Cryptoki 2.20): CKM_RSA_PKCS over a DigestInfo of our own, one
//! session, C_Sign alone, CKU_USER alone, certificates readable without PIN, a PIN before every signature.

mod key;
pub mod module;
pub mod token;

use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
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
    /// Whether a signature was made since the login.
    login_used: bool,
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
            login_used: false,
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
        let session = opened(self.session.as_ref())?;
        let key = PrivateKey::find(session, &self.found)?;
        let hash = digest.digest(to_be_signed);
        let mechanism = key::mechanism(self.scheme, digest);
        let input = key::input(self.scheme, digest, &hash);
        let signature = if !key.always_authenticate {
            session.sign(&mechanism, key.handle, &input).map_err(Trouble::from)?
        } else if signs_in_parts(session) {
            self.sign_after_pin(&key, &mechanism, &input)?
        } else {
            self.sign_after_login(key, &mechanism, &input)?
        };
        key::encode_signature(self.scheme, signature)
    }

    /// CKA_ALWAYS_AUTHENTICATE as PKCS #11 §5.13 has it: the PIN, as CKU_CONTEXT_SPECIFIC, between C_SignInit and the signature.
    ///
    /// cryptoki gives C_SignInit and C_Sign in one call only, so that nothing fits between them; C_SignInit, C_SignUpdate and
    /// C_SignFinal come apart.
    fn sign_after_pin(
        &mut self,
        key: &PrivateKey,
        mechanism: &Mechanism<'_>,
        input: &[u8],
    ) -> Result<Vec<u8>, Trouble> {
        opened(self.session.as_ref())?
            .sign_init(mechanism, key.handle)
            .map_err(Trouble::from)?;
        let pin = self.secret()?;
        let session = opened(self.session.as_ref())?;
        match session.login(UserType::ContextSpecific, pin.as_ref().map(auth_pin).as_ref()) {
            Ok(()) => self.accepted_pin = pin,
            Err(error) => return Err(self.pin_trouble(error)),
        }
        session
            .sign_update(input)
            .and_then(|()| session.sign_final())
            .map_err(Trouble::from)
    }

    /// CKA_ALWAYS_AUTHENTICATE on HPKI modules. They have C_Sign alone, without C_SignUpdate and C_SignFinal, and know no other
    /// user than CKU_USER: their "PIN before every signature" is a user login that no signature has used yet. So each signature
    /// but the first after a login closes the session, which logs out, and logs in again.
    fn sign_after_login(
        &mut self,
        key: PrivateKey,
        mechanism: &Mechanism<'_>,
        input: &[u8],
    ) -> Result<Vec<u8>, Trouble> {
        let mut key = key;
        if self.login_used {
            self.session = None;
            self.log_in()?;
            // Object handles end with their session.
            key = PrivateKey::find(opened(self.session.as_ref())?, &self.found)?;
        }
        self.login_used = true;
        opened(self.session.as_ref())?
            .sign(mechanism, key.handle, input)
            .map_err(Trouble::from)
    }

    fn log_in(&mut self) -> Result<(), Trouble> {
        if self.session.is_some() {
            return Ok(());
        }
        let session = self.module.open_ro_session(self.token.slot).map_err(Trouble::from)?;
        if self.token.login_required {
            let pin = self.secret()?;
            let secret = pin.as_ref().map(auth_pin);
            let mut answer = session.login(UserType::User, secret.as_ref());
            if matches!(answer, Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _))) {
                // By an earlier session of this process: the token has not looked at the PIN yet.
                answer = session
                    .logout()
                    .and_then(|()| session.login(UserType::User, secret.as_ref()));
            }
            if let Err(error) = answer {
                return Err(self.pin_trouble(error));
            }
            self.accepted_pin = pin;
        }
        self.login_used = false;
        self.session = Some(session);
        Ok(())
    }

    /// The PIN; none where the reader has a keypad of its own.
    fn secret(&mut self) -> Result<Option<Zeroizing<String>>, Trouble> {
        if self.token.protected_path {
            return Ok(None);
        }
        self.pin().map(Some)
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

    /// After an error neither session nor PIN is kept.
    fn give_up(&mut self, trouble: Trouble) -> SignerError {
        self.session = None;
        self.accepted_pin = None;
        trouble.into_error(&self.token.label)
    }

    /// Whether the token is out of its reader. Readers take a moment to notice.
    fn is_gone(&self) -> bool {
        (0..10).any(|round| {
            if round > 0 {
                std::thread::sleep(Duration::from_millis(200));
            }
            token::again(&self.module, &self.token, &self.found).is_none()
        })
    }

    /// Waits until the same token is back, then starts afresh.
    fn wait_for_return(&mut self) -> bool {
        self.session = None;
        let deadline = Instant::now() + self.wait_for_card;
        loop {
            if let Some(back) = token::again(&self.module, &self.token, &self.found) {
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
            return Err(self.give_up(trouble));
        };
        if !self.wait_for_return() {
            return Err(self.give_up(Trouble::Removed(why)));
        }
        // One more attempt, with the card that came back: its PIN is asked for again unless the card had accepted it.
        self.attempt(to_be_signed, digest)
            .map_err(|trouble| self.give_up(trouble))
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

fn opened(session: Option<&Session>) -> Result<&Session, Trouble> {
    session.ok_or_else(|| Trouble::Removed("no session".to_owned()))
}

/// Whether a module has C_SignUpdate: asked by calling it before any C_SignInit, which changes nothing. A module without it has
/// nothing there, or a function that says so.
fn signs_in_parts(session: &Session) -> bool {
    !matches!(
        session.sign_update(&[]),
        Err(Error::NullFunctionPointer | Error::Pkcs11(RvError::FunctionNotSupported, _))
    )
}

/// cryptoki wipes it too.
fn auth_pin(pin: &Zeroizing<String>) -> AuthPin {
    AuthPin::new(pin.as_str().into())
}
