//! Reads the profession out of an HPKI certificate.
//!
//!     cargo run -p examples --bin read_hc_role [CERTIFICATE.der]
//!
//! Without an argument it reads the certificate of a test card.

use anyhow::Context;
use const_oid::db::rfc5912::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES;
use der::Decode;
use formats::hc_role;
use kit::TestHpki;
use time::OffsetDateTime;
use x509_cert::Certificate;

fn main() -> anyhow::Result<()> {
    let bytes = match std::env::args().nth(1) {
        Some(path) => std::fs::read(&path).with_context(|| path)?,
        None => {
            TestHpki::new("http://hpki.test.example", OffsetDateTime::now_utc())
                .doctor()
                .certificate
        }
    };
    let certificate = Certificate::from_der(&bytes).context("not a certificate in DER")?;
    println!(
        "subject  {}",
        trust_store::name::for_people(certificate.tbs_certificate().subject())
    );

    // hcRole lives in subjectDirectoryAttributes (2.5.29.9). The English words are the code: compare them byte by byte.
    let extensions = certificate
        .tbs_certificate()
        .extensions()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let Some(attributes) = extensions
        .iter()
        .find(|extension| extension.extn_id == ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES)
    else {
        println!("no hcRole: this certificate asserts no qualification");
        return Ok(());
    };
    let found = hc_role::roles(attributes.extn_value.as_bytes());
    for role in &found.roles {
        println!("hcRole   {}", role.0);
    }
    for warning in &found.warnings {
        println!("warning  {warning}");
    }
    Ok(())
}
