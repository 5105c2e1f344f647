//! What is in the readers: tokens, their certificates, the state of their PINs; and which certificate signs. No PIN is needed
//! for any of it.

use std::path::PathBuf;

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::slot::{Slot, TokenInfo};
use formats::hc_role;
use trust_store::Certificate;

use super::module;
use crate::error::{Code, Failure};
use crate::signer::PinState;

/// Which token and certificate are meant.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// PKCS #11 module; none: every installed one is tried.
    pub module: Option<PathBuf>,
    /// Slot numbers or parts of token labels; empty: all.
    pub slots: Vec<String>,
    /// Serial number of the certificate, hex.
    pub serial: Option<String>,
}

/// A token in a slot.
#[derive(Debug, Clone)]
pub struct Token {
    /// Where it is.
    pub slot: Slot,
    /// Its label.
    pub label: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// State of the user PIN.
    pub pin: PinState,
    /// CKF_LOGIN_REQUIRED
    pub login_required: bool,
    /// CKF_PROTECTED_AUTHENTICATION_PATH: the reader has a keypad of its own.
    pub protected_path: bool,
    /// Signing mechanisms of ours that it offers.
    pub mechanisms: Vec<MechanismType>,
    /// Certificates on it.
    pub certificates: Vec<TokenCertificate>,
}

/// A certificate on a token.
#[derive(Debug, Clone)]
pub struct TokenCertificate {
    /// CKA_ID
    pub id: Vec<u8>,
    /// CKA_LABEL
    pub label: String,
    /// The certificate.
    pub certificate: Certificate,
    /// Its professions.
    pub roles: Vec<String>,
    /// Whether it is an end entity's with nonRepudiation.
    pub signs: bool,
}

/// A certificate chosen to sign, with the issuers found beside it.
#[derive(Debug, Clone)]
pub struct Found {
    /// CKA_ID
    pub id: Vec<u8>,
    /// The certificate.
    pub certificate: Certificate,
    /// Certificates of CAs on the same token, DER.
    pub issuers: Vec<Vec<u8>>,
}

impl Token {
    /// State of the PIN now, as the token's flags tell it.
    pub(super) fn pin_state(&self, module: &Pkcs11) -> PinState {
        module
            .get_token_info(self.slot)
            .map_or(self.pin, |flags| pin_state(&flags))
    }
}

/// All tokens of a module that `slots` leaves.
///
/// # Errors
/// [`Code::ModuleFailed`]. A token that cannot be read is passed over.
pub fn list(module: &Pkcs11, slots: &[String]) -> Result<Vec<Token>, Failure> {
    let present = module
        .get_slots_with_token()
        .map_err(|error| Failure::new(Code::ModuleFailed, error.to_string()))?;
    Ok(present
        .into_iter()
        .filter_map(|slot| read(module, slot))
        .filter(|token| {
            slots.is_empty()
                || slots
                    .iter()
                    .any(|wanted| *wanted == token.slot.id().to_string() || token.label.contains(wanted.as_str()))
        })
        .collect())
}

/// The one certificate that signs: an end entity's, with nonRepudiation and hcRole if any has them.
///
/// # Errors
/// [`Code::ModuleNotFound`], [`Code::ModuleFailed`], [`Code::NoToken`], [`Code::NoSigningCertificate`],
/// [`Code::SeveralSigningCertificates`].
pub fn choose(choice: &Choice) -> Result<(Pkcs11, Token, Found), Failure> {
    let mut tokens = Vec::new();
    let mut failure = None;
    for path in module::candidates(choice.module.as_deref())? {
        let read = module::load(&path).and_then(|module| {
            let listed = list(&module, &choice.slots)?;
            Ok(listed
                .into_iter()
                .map(move |token| (module.clone(), token))
                .collect::<Vec<_>>())
        });
        match read {
            Ok(more) => tokens.extend(more),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if tokens.is_empty() {
        let slots = if choice.slots.is_empty() {
            "any reader".to_owned()
        } else {
            choice.slots.join(", ")
        };
        return Err(failure.unwrap_or_else(|| Failure::new(Code::NoToken, slots)));
    }
    let wanted = choice
        .serial
        .as_deref()
        .map(|serial| serial.trim_start_matches('0').to_ascii_lowercase());
    let mut candidates: Vec<(u8, usize, &TokenCertificate)> = Vec::new();
    for (index, (_, token)) in tokens.iter().enumerate() {
        for held in token.certificates.iter().filter(|held| !held.certificate.is_ca()) {
            let serial = hex::encode(&held.certificate.serial);
            if wanted
                .as_deref()
                .is_none_or(|wanted| serial.trim_start_matches('0') == wanted)
            {
                let rank = u8::from(held.signs) * 2 + u8::from(!held.roles.is_empty());
                candidates.push((rank, index, held));
            }
        }
    }
    let labels = || {
        tokens
            .iter()
            .map(|(_, token)| token.label.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let Some(best) = candidates.iter().map(|(rank, ..)| *rank).max() else {
        return Err(Failure::new(Code::NoSigningCertificate, labels()));
    };
    candidates.retain(|(rank, ..)| *rank == best);
    // A token reached through two modules is still one token.
    let mut chosen: Vec<(usize, &TokenCertificate)> = Vec::new();
    for (_, index, held) in candidates {
        if !chosen.iter().any(|(_, other)| other.certificate == held.certificate) {
            chosen.push((index, held));
        }
    }
    let [(index, held)] = chosen.as_slice() else {
        let names: Vec<String> = chosen
            .iter()
            .filter_map(|(index, held)| {
                let (_, token) = tokens.get(*index)?;
                Some(format!(
                    "{} (serial {})",
                    token.label,
                    hex::encode(&held.certificate.serial)
                ))
            })
            .collect();
        return Err(Failure::new(Code::SeveralSigningCertificates, names.join(", ")));
    };
    let Some((module, token)) = tokens.get(*index) else {
        return Err(Failure::new(Code::NoToken, labels()));
    };
    let issuers = token
        .certificates
        .iter()
        .filter(|other| other.certificate.is_ca() && !other.certificate.is_self_issued())
        .map(|other| other.certificate.der().to_vec())
        .collect();
    let found = Found {
        id: held.id.clone(),
        certificate: held.certificate.clone(),
        issuers,
    };
    Ok((module.clone(), token.clone(), found))
}

/// The same token, if it is (again) in any slot: labels are alike on all cards and serial numbers may be blank, so its
/// certificate decides. Another person's card never gets this person's PIN.
pub(super) fn again(module: &Pkcs11, token: &Token, found: &Found) -> Option<Token> {
    let slots = module.get_slots_with_token().ok()?;
    slots.into_iter().filter_map(|slot| read(module, slot)).find(|other| {
        let mut certificates = other.certificates.iter();
        other.serial == token.serial && certificates.any(|held| held.certificate == found.certificate)
    })
}

fn read(module: &Pkcs11, slot: Slot) -> Option<Token> {
    let flags = module.get_token_info(slot).ok()?;
    if !flags.token_initialized() {
        return None;
    }
    let offered = module.get_mechanism_list(slot).unwrap_or_default();
    let ours = [
        MechanismType::RSA_PKCS,
        MechanismType::RSA_PKCS_PSS,
        MechanismType::ECDSA,
    ];
    Some(Token {
        slot,
        label: flags.label().trim().to_owned(),
        manufacturer: flags.manufacturer_id().trim().to_owned(),
        model: flags.model().trim().to_owned(),
        serial: flags.serial_number().trim().to_owned(),
        pin: pin_state(&flags),
        login_required: flags.login_required(),
        protected_path: flags.protected_authentication_path(),
        mechanisms: ours
            .into_iter()
            .filter(|mechanism| offered.contains(mechanism))
            .collect(),
        certificates: certificates(module, slot).unwrap_or_default(),
    })
}

fn pin_state(flags: &TokenInfo) -> PinState {
    if flags.user_pin_locked() {
        PinState::Locked
    } else if flags.user_pin_final_try() {
        PinState::Last
    } else if flags.user_pin_count_low() {
        PinState::Low
    } else {
        PinState::Ok
    }
}

fn certificates(module: &Pkcs11, slot: Slot) -> cryptoki::error::Result<Vec<TokenCertificate>> {
    const MAX_CERTIFICATES: usize = 64;
    let session = module.open_ro_session(slot)?;
    let mut certificates = Vec::new();
    let objects = session.find_objects(&[Attribute::Class(ObjectClass::CERTIFICATE)])?;
    for object in objects.into_iter().take(MAX_CERTIFICATES) {
        let wanted = [AttributeType::Value, AttributeType::Id, AttributeType::Label];
        let (mut value, mut id, mut label) = (Vec::new(), Vec::new(), String::new());
        for attribute in session.get_attributes(object, &wanted)? {
            match attribute {
                Attribute::Value(bytes) => value = bytes,
                Attribute::Id(bytes) => id = bytes,
                Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).trim().to_owned(),
                _ => {}
            }
        }
        let Ok(certificate) = Certificate::parse(&value) else {
            continue;
        };
        let roles = roles(&certificate);
        let usage = certificate.key_usage().ok().flatten();
        let signs = !certificate.is_ca() && usage.is_some_and(|usage| usage.non_repudiation());
        certificates.push(TokenCertificate {
            id,
            label,
            certificate,
            roles,
            signs,
        });
    }
    Ok(certificates)
}

/// The professions a certificate attests.
#[must_use]
pub fn roles(certificate: &Certificate) -> Vec<String> {
    certificate
        .extension(&const_oid::db::rfc5280::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES)
        .map(|extension| hc_role::roles(&extension.value))
        .map(|found| found.roles.into_iter().map(|role| role.0).collect())
        .unwrap_or_default()
}
