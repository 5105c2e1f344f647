//! The commitment to a record: what the log contains instead of the record, so that bodies can be erased and the log stays.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `HMAC-SHA-256(key = salt, body)`: the log's entry for a record. `CONTRACTS.md` §9.
#[must_use]
pub fn commitment(salt: &[u8; 32], body: &[u8]) -> [u8; 32] {
    // RFC 2104 fills a short key with zeros to the hash's block; done here, no length can be wrong.
    let mut key = [0; 64];
    key.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [RFC 4231](https://www.rfc-editor.org/rfc/rfc4231) §4.3, its key filled up with zeros as HMAC itself does.
    #[test]
    fn is_hmac_sha_256() {
        let mut salt = [0; 32];
        salt[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            hex::encode(commitment(&salt, b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
