//! The log's key in a PKCS #11 token: CKM_EDDSA with edwards25519. The relay's only use of cryptoki: it holds no doctor's key.

use std::cell::RefCell;
use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use formats::trail::{CheckpointError, sign_elsewhere, vkey_of};

use crate::config::TokenPlace;

/// A key in a token, with a session that is logged in.
pub struct TokenKey {
    name: String,
    vkey: String,
    public: [u8; 32],
    place: TokenPlace,
    open: RefCell<Open>,
}

struct Open {
    session: Session,
    key: ObjectHandle,
}

/// A module is loaded once per process; a second relay in it, or `check-config`, finds it initialised.
fn module(path: &Path) -> Result<Pkcs11, String> {
    let module = Pkcs11::new(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::CryptokiAlreadyInitialized, _)) => {
            Ok(module)
        }
        Err(error) => Err(error.to_string()),
    }
}

impl TokenKey {
    /// Finds the key and logs in.
    pub(super) fn open(name: &str, place: &TokenPlace) -> Result<Self, String> {
        let (open, public) = log_in(place)?;
        let vkey = vkey_of(name, &public).map_err(|error| error.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            vkey,
            public,
            place: place.clone(),
            open: RefCell::new(open),
        })
    }

    pub(super) fn vkey(&self) -> &str {
        &self.vkey
    }

    pub(super) fn sign(&self, size: u64, root: &[u8; 32]) -> Result<String, CheckpointError> {
        let ask = |text: &[u8]| self.signature(text);
        let first = sign_elsewhere(&self.name, &self.public, size, root, ask);
        let Err(CheckpointError::Signature) = first else {
            return first;
        };
        // A token that was taken out, or that has closed its sessions, may sign again.
        match log_in(&self.place) {
            Ok((open, public)) if public == self.public => *self.open.borrow_mut() = open,
            Ok(_) => return Err(CheckpointError::Key),
            Err(reason) => tracing::error!(reason, "the log's key is not to be had"),
        }
        sign_elsewhere(&self.name, &self.public, size, root, ask)
    }

    fn signature(&self, text: &[u8]) -> Option<Vec<u8>> {
        let open = self.open.borrow();
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        match open.session.sign(&mechanism, open.key, text) {
            Ok(signature) => Some(signature),
            Err(error) => {
                tracing::error!(%error, "the token does not sign the checkpoint");
                None
            }
        }
    }
}

fn log_in(place: &TokenPlace) -> Result<(Open, [u8; 32]), String> {
    let module = module(&place.module)?;
    let slots = module.get_slots_with_token().map_err(|error| error.to_string())?;
    let labelled = slots.into_iter().find(|slot| {
        let token = module.get_token_info(*slot);
        token.is_ok_and(|token| token.label().trim_end() == place.token)
    });
    let slot = labelled.ok_or_else(|| format!("there is no token {:?}", place.token))?;
    let session = module.open_ro_session(slot).map_err(|error| error.to_string())?;
    crate::folder::owners_alone(&place.pin).map_err(|error| format!("{}: {error}", place.pin.display()))?;
    let pin = std::fs::read_to_string(&place.pin).map_err(|error| format!("{}: {error}", place.pin.display()))?;
    match session.login(
        UserType::User,
        Some(&AuthPin::new(pin.trim_end_matches(['\r', '\n']).into())),
    ) {
        Ok(()) | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::UserAlreadyLoggedIn, _)) => {}
        Err(error) => return Err(error.to_string()),
    }
    let find = |class| {
        let wanted = [
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Label(place.key.clone().into_bytes()),
        ];
        match session
            .find_objects(&wanted)
            .map_err(|error| error.to_string())?
            .as_slice()
        {
            [one] => Ok(*one),
            [] => Err(format!("there is no Ed25519 key {:?}", place.key)),
            _ => Err(format!("there are several keys {:?}", place.key)),
        }
    };
    let (key, public) = (find(ObjectClass::PRIVATE_KEY)?, find(ObjectClass::PUBLIC_KEY)?);
    let attributes = session
        .get_attributes(public, &[AttributeType::EcPoint])
        .map_err(|error| error.to_string())?;
    let point = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    // PKCS #11 v3.0 §2.3.5: the point as it is; what came before, and SoftHSM, wrap it into an OCTET STRING.
    let point = point.ok_or("the public key has no point")?;
    let raw = point
        .strip_prefix(&[0x04, 0x20])
        .filter(|raw| raw.len() == 32)
        .unwrap_or(&point);
    let raw: [u8; 32] = raw
        .try_into()
        .map_err(|_| "the key is not of edwards25519".to_owned())?;
    Ok((Open { session, key }, raw))
}
