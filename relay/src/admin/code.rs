//! One-time enrolment codes: 128 random bits for people to read out, `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XX`.
//!
//! What the operator hands over is `CODE.PIN`, PIN being base64url of the SHA-256 of the relay CA's public key: the client
//! sends the code alone, and only to a relay whose CA has that key. The trail keeps the SHA-256 of the code's text.

use sha2::{Digest as _, Sha256};

/// RFC 4648 base32: no 0, 1, 8, 9 to take for letters.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A code. It is shown once and kept nowhere; it has no `Debug`.
pub struct OneTimeCode(String);

impl OneTimeCode {
    /// Makes a code.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        let bits = u128::from_be_bytes(bytes);
        let mut text = String::new();
        for place in 0..26_u32 {
            if place > 0 && place % 4 == 0 {
                text.push('-');
            }
            // 26 letters hold 130 bits: the last two are zero.
            let shifted = if place < 25 {
                bits >> (123 - 5 * place)
            } else {
                bits << 2
            };
            let letter = usize::try_from(shifted & 31).unwrap_or(0);
            text.push(char::from(ALPHABET.get(letter).copied().unwrap_or(b'A')));
        }
        Ok(Self(text))
    }

    /// SHA-256 of its text, hex: what the trail keeps.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    /// What the operator hands over.
    #[must_use]
    pub fn with_pin(&self, pin: &str) -> String {
        format!("{}.{pin}", self.0)
    }
}
