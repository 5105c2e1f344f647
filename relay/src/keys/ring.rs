//! Identities and recipients as their files list them: one a line, `#` begins a comment.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, Encryptor, IdentityFile};
use zeroize::Zeroizing;

use super::prompt::Prompt;
use super::{DataKey, KeysError, WRAPPED};
use crate::config::KeyPaths;
use crate::folder::owners_alone;

/// A key file is no longer than this, bytes.
const LONGEST: u64 = 64 << 10;

/// What is sealed to whom, and what opens it.
pub(super) struct Ring {
    identities: Vec<Box<dyn age::Identity + Send + Sync>>,
    recipients: Vec<Recipient>,
    prompt: Prompt,
}

enum Recipient {
    Native(age::x25519::Recipient),
    Plugin(age::plugin::Recipient),
}

/// A new identity, as [`init`](crate::admin::init) writes it.
pub struct NewIdentity {
    /// The text of its file.
    pub file: Zeroizing<String>,
    /// Its recipient, `age1…`.
    pub recipient: String,
}

impl NewIdentity {
    /// A new X25519 identity.
    #[must_use]
    pub fn generate() -> Self {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        let secret = identity.to_string();
        let file = format!(
            "# The key of what the relay keeps: without it nothing in its data folder can be read. Keep a copy of this file\n\
             # in a safe place that is not the one where copies of the data folder are.\n\
             # public key: {recipient}\n{}\n",
            secret.expose_secret()
        );
        Self {
            file: Zeroizing::new(file),
            recipient,
        }
    }
}

impl Ring {
    pub(super) fn open(paths: &KeyPaths) -> Result<Self, KeysError> {
        let pin = paths.pin.as_deref().map(secret).transpose()?;
        let prompt = Prompt::new(pin.map(|text| Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())));
        let mut identities = Vec::new();
        for path in &paths.identities {
            let text = secret(path)?;
            let file = IdentityFile::from_buffer(text.as_bytes()).map_err(|error| refused(path, &error))?;
            let found = file.with_callbacks(prompt.clone()).into_identities();
            identities.extend(found.map_err(|error| refused(path, &error))?);
        }
        if identities.is_empty() {
            let path = paths.identities.first().unwrap_or(&paths.recipients);
            return Err(refused(
                path,
                &"there is no identity (AGE-SECRET-KEY-1… or AGE-PLUGIN-…)",
            ));
        }
        Ok(Self {
            identities,
            recipients: recipients(&paths.recipients)?,
            prompt,
        })
    }

    pub(super) fn wrap(&self, key: &[u8; 32]) -> Result<Vec<u8>, KeysError> {
        let unsealed = |error: &dyn std::fmt::Display| KeysError::Unsealed(error.to_string());
        let mut boxed: Vec<Box<dyn age::Recipient>> = Vec::new();
        let mut plugins: Vec<age::plugin::Recipient> = Vec::new();
        for recipient in &self.recipients {
            match recipient {
                Recipient::Native(native) => boxed.push(Box::new(native.clone())),
                Recipient::Plugin(plugin) => plugins.push(plugin.clone()),
            }
        }
        let mut names: Vec<&str> = plugins.iter().map(age::plugin::Recipient::plugin).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let plugin = age::plugin::RecipientPluginV1::new(name, &plugins, &[], self.prompt.clone());
            boxed.push(Box::new(plugin.map_err(|error| unsealed(&error))?));
        }
        let encryptor = Encryptor::with_recipients(boxed.iter().map(|recipient| &**recipient));
        let mut wrapped = Vec::new();
        let mut writer = encryptor.map_err(|error| unsealed(&error))?.wrap_output(&mut wrapped)?;
        writer.write_all(key)?;
        writer.finish()?;
        if wrapped.len() > WRAPPED {
            return Err(unsealed(&"too many recipients"));
        }
        Ok(wrapped)
    }

    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Result<DataKey, KeysError> {
        let unopened = |error: &dyn std::fmt::Display| KeysError::Unopened(error.to_string());
        if wrapped.len() > WRAPPED {
            return Err(unopened(&"it is too long"));
        }
        let mut reason = DecryptError::NoMatchingKeys;
        // One after the other: a token that is away must not keep the identity after it from opening.
        for identity in &self.identities {
            let decryptor = Decryptor::new_buffered(wrapped).map_err(|error| unopened(&error))?;
            match decryptor.decrypt(std::iter::once(&**identity as &dyn age::Identity)) {
                Ok(reader) => {
                    self.prompt.opened();
                    return DataKey::read(reader).map_err(|error| unopened(&error));
                }
                Err(DecryptError::NoMatchingKeys) => {}
                Err(error) => {
                    self.prompt.failed();
                    reason = error;
                }
            }
        }
        Err(unopened(&reason))
    }
}

fn recipients(path: &Path) -> Result<Vec<Recipient>, KeysError> {
    let text = text(path)?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let recipient = match line.parse() {
            Ok(native) => Recipient::Native(native),
            Err(_) => Recipient::Plugin(line.parse().map_err(|_| {
                let reason = format!("line {} is no age recipient (age1…)", number + 1);
                refused(path, &reason)
            })?),
        };
        found.push(recipient);
    }
    if found.is_empty() {
        return Err(refused(path, &"it lists no recipient (age1…)"));
    }
    Ok(found)
}

/// The text of a file that only its owner may read.
fn secret(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    owners_alone(path).map_err(|error| refused(path, &error))?;
    text(path)
}

fn text(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    let read = || {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        io::Result::Ok(text)
    };
    read().map_err(|error| refused(path, &error))
}

fn refused(path: &Path, reason: &dyn std::fmt::Display) -> KeysError {
    KeysError::File {
        path: path.into(),
        reason: reason.to_string(),
    }
}
