//! What an `age` plugin asks for: the PIN of its token, out of a file. Nobody sits before a relay; everything else is declined.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use age::Callbacks;
use age::secrecy::SecretString;
use zeroize::Zeroizing;

/// Answers plugins; clones share what they know.
#[derive(Clone, Default)]
pub(super) struct Prompt(Arc<Known>);

#[derive(Default)]
struct Known {
    pin: Option<Zeroizing<String>>,
    /// It was given, and whether it was right is not known yet.
    given: AtomicBool,
    /// It was given and nothing was opened: tokens lock after a few tries, so it is not given again.
    wrong: AtomicBool,
}

impl Prompt {
    pub(super) fn new(pin: Option<Zeroizing<String>>) -> Self {
        Self(Arc::new(Known {
            pin,
            ..Known::default()
        }))
    }

    /// A token opened what it was asked to.
    pub(super) fn opened(&self) {
        self.0.given.store(false, Ordering::Relaxed);
    }

    /// A token did not.
    pub(super) fn failed(&self) {
        if self.0.given.swap(false, Ordering::Relaxed) && !self.0.wrong.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "a token did not open after its PIN was given; it is not given again before the keys are read anew"
            );
        }
    }
}

impl Callbacks for Prompt {
    fn display_message(&self, message: &str) {
        tracing::info!(message, "an age plugin says");
    }

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _description: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _description: &str) -> Option<SecretString> {
        let pin = self.0.pin.as_ref()?;
        if self.0.wrong.load(Ordering::Relaxed) {
            return None;
        }
        self.0.given.store(true, Ordering::Relaxed);
        Some(SecretString::from(pin.as_str().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_pin_is_given_once() {
        let prompt = Prompt::new(Some(Zeroizing::new("1234".to_owned())));
        assert!(prompt.request_passphrase("PIN").is_some());
        prompt.opened();
        prompt.failed();
        assert!(
            prompt.request_passphrase("PIN").is_some(),
            "another key failed, not the PIN"
        );
        prompt.failed();
        assert!(prompt.request_passphrase("PIN").is_none());
        assert!(Prompt::default().request_passphrase("PIN").is_none());
    }
}
