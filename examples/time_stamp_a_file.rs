//! Stamps a file after RFC 3161 and reads what the authority states.
//!
//!     cargo run -p examples --bin time_stamp_a_file [FILE [TSA-URL]]
//!
//! Without arguments it stamps this source file at a test authority.

use anyhow::{Context, ensure};
use formats::digest::DigestAlgorithm;
use formats::timestamp::{Request, Response, Token};
use kit::{Services, plain_http};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/time_stamp_a_file.rs").to_owned());
    let services = Services::start_blocking(0);
    let tsa = arguments.next().unwrap_or_else(|| services.tsa_url());

    let algorithm = DigestAlgorithm::Sha256;
    let imprint = algorithm.digest(&std::fs::read(&file).with_context(|| file.clone())?);
    let request = Request {
        algorithm,
        imprint: imprint.clone(),
        nonce: Some(uuid::Uuid::now_v7().as_bytes().to_vec()),
        cert_req: true,
        policy: None,
    };
    let answer = plain_http::post(&tsa, &request.encode())?;
    let token = Token::parse(&Response::parse(&answer.body)?)?;

    // A token proves nothing until it is tied to what was asked: this imprint, this nonce.
    ensure!(token.info.imprint == imprint, "the token is about something else");
    ensure!(token.info.nonce == request.nonce, "the token answers another request");
    println!(
        "{file}\nexisted at {}\naccording to {tsa}, policy {}",
        token.info.gen_time, token.info.policy
    );
    // Whether the authority itself is to be trusted is `trust-store`'s to say: see `verify_offline`.
    Ok(())
}
