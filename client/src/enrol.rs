//! Enrolment and renewal: the device key is made on this machine and never leaves it; the relay's CA certifies it for 90 days.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use der::asn1::{BitString, SetOfVec};
use der::{Encode, EncodePem};
use formats::wire::{DeviceId, EnrolmentAnswer, EnrolmentRequest};
use serde_json::json;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};

use crate::config::{Config, Home};
use crate::context::Context;
use crate::error::{Code, Exit, Failure, Language};
use crate::files;
use crate::output::japan_time;
use crate::relay_api::{ApiError, Identity, Pin, RelayApi};

/// A certificate this close to its end is renewed before anything else is done.
const RENEW_BEFORE: Duration = Duration::days(30);

/// A key made on this machine with the request for its certificate.
struct DeviceKey {
    pkcs8_pem: String,
    request_pem: String,
}

/// Options of `enroll`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The relay's portal, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub relay: String,
    /// The one-time code from the relay's operator, CODE.PIN
    #[arg(long, value_name = "CODE")]
    pub code: String,
    /// A name for this machine, 1 to 32 of a-z, 0-9 and -
    #[arg(long, value_name = "NAME", default_value = "desk")]
    pub device: DeviceId,
}

/// Runs it.
///
/// # Errors
/// As [`enrol`].
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let (home, output) = (context.home()?, &context.output);
    let answer = context.block_on(enrol(
        &home,
        &options.relay,
        &options.code,
        options.device.clone(),
        output.language,
    ))?;
    let value = json!({
        "facility": answer.facility, "facility_name": answer.facility_name, "device": answer.device,
        "relay": answer.api, "not_after": answer.not_after,
    });
    let text = output
        .pick(
            "この端末「{device}」は {name}({facility})に登録されました。証明書は {until} まで有効で、自動で更新されます。",
            "This machine, \"{device}\", is enrolled for {name} ({facility}). Its certificate is valid until {until} and renews by itself.",
        )
        .replace("{device}", answer.device.as_str())
        .replace("{name}", &answer.facility_name)
        .replace("{facility}", answer.facility.as_str())
        .replace("{until}", &japan_time(&answer.not_after));
    output.print(&value, &text);
    Ok(Exit::Done)
}

/// Enrols this machine: `code` is `CODE.PIN` as the relay's operator handed it over.
///
/// # Errors
/// [`Code::Arguments`] for a malformed code, else what the relay says.
pub async fn enrol(
    home: &Home,
    portal: &str,
    code: &str,
    device: DeviceId,
    language: Language,
) -> Result<EnrolmentAnswer, Failure> {
    let (code, pin) = code
        .rsplit_once('.')
        .and_then(|(code, pin)| Some((code.trim(), Pin::parse(pin)?)))
        .ok_or_else(|| Failure::new(Code::Arguments, "--code: the whole code, with the part after the dot"))?;
    if !portal.starts_with("https://") {
        return Err(Failure::new(
            Code::Arguments,
            format!("--relay {portal}: the address begins with https://"),
        ));
    }
    let key = DeviceKey::generate()?;
    let api = RelayApi::pinned(portal, pin, language_tag(language))?;
    let request = EnrolmentRequest {
        code: Some(code.to_owned()),
        device: Some(device),
        csr: key.request_pem.clone(),
    };
    let answer = api
        .enrol(&request)
        .await
        .and_then(|answer| usable(&Config::default(), &key, answer))?;
    keep(home, &key, &answer, Some(portal))?;
    Ok(answer)
}

/// The relay's API for this machine, its certificate renewed first if it runs out soon.
///
/// # Errors
/// [`Code::NotEnrolled`] before enrolment, else what the relay says.
pub async fn connect(home: &Home, language: Language) -> Result<RelayApi, Failure> {
    let config = home.config()?;
    let Some(relay) = &config.relay else {
        return Err(Failure::new(
            Code::NotEnrolled,
            home.config_file().display().to_string(),
        ));
    };
    let api = RelayApi::enrolled(relay, &identity(home)?, language_tag(language))?;
    let ends = config
        .not_after
        .as_deref()
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let now = OffsetDateTime::now_utc();
    if ends.is_none_or(|ends| now + RENEW_BEFORE < ends) {
        return Ok(api);
    }
    let key = DeviceKey::generate()?;
    let request = EnrolmentRequest {
        code: None,
        device: None,
        csr: key.request_pem.clone(),
    };
    let renewed = api
        .renew(&request)
        .await
        .and_then(|answer| usable(&config, &key, answer));
    match renewed {
        Ok(answer) => {
            keep(home, &key, &answer, None)?;
            RelayApi::enrolled(relay, &identity(home)?, language_tag(language)).map_err(Failure::from)
        }
        // The old certificate still works: today's letter goes out, tomorrow renewal is tried again.
        Err(error) if ends.is_some_and(|ends| now < ends) => {
            tracing::warn!(%error, "the device certificate could not be renewed yet");
            Ok(api)
        }
        Err(error) => Err(error.into()),
    }
}

/// The `Accept-Language` of a language.
#[must_use]
pub fn language_tag(language: Language) -> &'static str {
    match language {
        Language::Japanese => "ja",
        Language::English => "en",
    }
}

fn identity(home: &Home) -> Result<Identity, Failure> {
    finish_renewal(home)?;
    Ok(Identity {
        chain: files::read_small(&home.device_certificate())?,
        key: files::read_small(&home.device_key())?,
        relay_ca: files::read_small(&home.relay_ca())?,
    })
}

/// Ends a renewal that a power cut interrupted: the new key counts once its certificate is in place, else it goes.
fn finish_renewal(home: &Home) -> Result<(), Failure> {
    let next = home.next_device_key();
    let Ok(key) = std::fs::read(&next) else { return Ok(()) };
    let certificate = files::read_small(&home.device_certificate())?;
    let result = if belongs(&key, &certificate) {
        std::fs::rename(&next, home.device_key())
    } else {
        std::fs::remove_file(&next)
    };
    result.map_err(|error| files::unwritable(&next, &error))
}

/// Whether the certificate (PEM) is for the public half of the key (PEM).
fn belongs(key: &[u8], certificate: &[u8]) -> bool {
    let public = || {
        let (_, pkcs8) = der::pem::decode_vec(key).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).ok()?;
        Some(pair.public_key().as_ref().to_vec())
    };
    let certified = || {
        let chain = x509_cert::Certificate::load_pem_chain(certificate).ok()?;
        let info = chain.first()?.tbs_certificate().subject_public_key_info().clone();
        Some(info.subject_public_key.raw_bytes().to_vec())
    };
    public().is_some_and(|public| certified() == Some(public))
}

/// The answer, if it can take the place of what this machine has: nothing that works is replaced by what does not.
fn usable(earlier: &Config, key: &DeviceKey, answer: EnrolmentAnswer) -> Result<EnrolmentAnswer, ApiError> {
    let other = |before: &Option<String>, now: &str| before.as_deref().is_some_and(|before| before != now);
    let why = if !belongs(key.pkcs8_pem.as_bytes(), answer.certificate_chain.as_bytes()) {
        "the certificate is not for the key of this device"
    } else if other(&earlier.facility, answer.facility.as_str()) || other(&earlier.device, answer.device.as_str()) {
        "the certificate is for another device"
    } else if !answer.api.starts_with("https://") {
        "its API has no https address"
    } else {
        return Ok(answer);
    };
    Err(ApiError::Unexpected(why.to_owned()))
}

/// Keeps key and certificate. Whenever the power goes, the two that belong together are there: the new key waits under another
/// name until its certificate is in place.
fn keep(home: &Home, key: &DeviceKey, answer: &EnrolmentAnswer, portal: Option<&str>) -> Result<(), Failure> {
    files::create_directory(home.path())?;
    let earlier = home.config()?;
    if portal.is_some() {
        for of_another_relay in [home.relay_policy(), home.log_vkey()] {
            let _ = std::fs::remove_file(of_another_relay);
        }
    }
    files::write_atomically(&home.next_device_key(), key.pkcs8_pem.as_bytes())?;
    files::write_atomically(&home.device_certificate(), answer.certificate_chain.as_bytes())?;
    finish_renewal(home)?;
    files::write_atomically(&home.relay_ca(), answer.relay_ca.as_bytes())?;
    home.save(&Config {
        relay: Some(answer.api.clone()),
        portal: portal.map(str::to_owned).or_else(|| earlier.portal.clone()),
        facility: Some(answer.facility.to_string()),
        facility_name: Some(answer.facility_name.clone()),
        device: Some(answer.device.to_string()),
        not_after: Some(answer.not_after.clone()),
        ..earlier
    })
}

impl DeviceKey {
    /// A P-256 key and a PKCS #10 request that proves its possession (RFC 2986). The subject is the relay's to decide.
    fn generate() -> Result<Self, Failure> {
        let failed = |what: &str| Failure::new(Code::KeyUnreadable, format!("making the device key: {what}"));
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| failed("no randomness"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
            .map_err(|_| failed("the key is not usable"))?;
        let encoding = |_: der::Error| failed("encoding");
        let public_key = SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: const_oid::db::rfc5912::ID_EC_PUBLIC_KEY,
                parameters: Some(der::Any::encode_from(&const_oid::db::rfc5912::SECP_256_R_1).map_err(encoding)?),
            },
            subject_public_key: BitString::from_bytes(pair.public_key().as_ref()).map_err(encoding)?,
        };
        let info = CertReqInfo {
            version: Version::V1,
            subject: Name::default(),
            public_key,
            attributes: SetOfVec::new(),
        };
        let signature = pair
            .sign(&SystemRandom::new(), &info.to_der().map_err(encoding)?)
            .map_err(|_| failed("signing the request"))?;
        let request = CertReq {
            info,
            algorithm: AlgorithmIdentifierOwned {
                oid: const_oid::db::rfc5912::ECDSA_WITH_SHA_256,
                parameters: None,
            },
            signature: BitString::from_bytes(signature.as_ref()).map_err(encoding)?,
        };
        let pkcs8_pem = der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, pkcs8.as_ref())
            .map_err(|_| failed("encoding"))?;
        let request_pem = request.to_pem(der::pem::LineEnding::LF).map_err(encoding)?;
        Ok(Self { pkcs8_pem, request_pem })
    }
}

#[cfg(test)]
mod tests {
    use der::DecodePem;

    use super::*;

    #[test]
    fn the_request_proves_possession_of_a_fresh_key() {
        let (one, two) = (DeviceKey::generate().unwrap(), DeviceKey::generate().unwrap());
        assert_ne!(one.pkcs8_pem, two.pkcs8_pem);
        let request = CertReq::from_pem(&one.request_pem).unwrap();
        trust_store::algorithm::verify(
            &request.algorithm,
            &request.info.public_key,
            &request.info.to_der().unwrap(),
            request.signature.raw_bytes(),
        )
        .unwrap();
    }

    #[test]
    fn a_renewal_cut_short_leaves_a_key_that_fits_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        let old = DeviceKey::generate().unwrap();
        std::fs::write(home.device_key(), &old.pkcs8_pem).unwrap();
        std::fs::write(home.device_certificate(), "not of the new key").unwrap();
        std::fs::write(home.next_device_key(), DeviceKey::generate().unwrap().pkcs8_pem).unwrap();
        finish_renewal(&home).unwrap();
        assert_eq!(std::fs::read_to_string(home.device_key()).unwrap(), old.pkcs8_pem);
        assert!(!home.next_device_key().exists());
    }
}
