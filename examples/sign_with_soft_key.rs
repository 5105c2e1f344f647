//! Signs a file in two phases, as a card does it: what to sign is prepared, the key signs elsewhere, the signature is finished.
//!
//!     cargo run -p examples --bin sign_with_soft_key
//!
//! Leaves `letter.txt`, `letter.txt.p7s` and `trusted.pem` in a new folder and prints how OpenSSL checks them.

use formats::cades::{self, SignatureScheme, SigningIdentity};
use formats::digest::DigestAlgorithm;
use kit::TestHpki;
use time::OffsetDateTime;

fn main() -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let card = TestHpki::new("http://hpki.test.example", now).doctor();
    let letter = "診療情報提供書";

    // Phase one: only the digest of the content is needed, so content of any size never enters memory.
    let identity = SigningIdentity {
        certificate: card.certificate.clone(),
        chain: card.chain.clone(),
        scheme: SignatureScheme::RsaPkcs1,
    };
    let digest = DigestAlgorithm::Sha256;
    let prepared = cades::prepare(&identity, digest, &digest.digest(letter.as_bytes()), Some(now))?;

    // The key, wherever it lives, signs these bytes and nothing else.
    let signature = card.sign(prepared.to_be_signed(), digest);

    // Phase two.
    let p7s = prepared.finish(&signature)?;

    let folder = tempfile::tempdir()?.keep();
    std::fs::write(folder.join("letter.txt"), letter)?;
    std::fs::write(folder.join("letter.txt.p7s"), p7s)?;
    std::fs::write(folder.join("trusted.pem"), card.certificates_pem())?;
    println!("cd {}", folder.display());
    println!(
        "openssl cms -verify -cades -binary -purpose any -inform DER -in letter.txt.p7s -content letter.txt -CAfile trusted.pem"
    );
    Ok(())
}
