//! The relay's keys for what lies at rest. Every container, month of records and the like has a data key of its own; here data keys
//! are wrapped, as small `age` files (<https://c2sp.org/age>), to the recipients the operator lists, and opened with his identities.
//!
//! Several of both: a new key beside the old one while keys are rotated, an escrow key that lies elsewhere, an identity inside a
//! PKCS #11 token through an `age` plugin.

mod kept;
mod prompt;
mod ring;
mod rotate;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::config::KeyPaths;
pub use ring::NewIdentity;
use ring::Ring;
pub use rotate::{Rotated, rotate};

/// A wrapped key is no longer than this, bytes: room for hundreds of recipients.
pub const WRAPPED: usize = 64 << 10;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file is not as it must be.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// What is sealed now could not be opened again.
    #[error(
        "no identity of keys.identities opens what is sealed to {recipients}: the relay could not read what it keeps. \
         Add the recipient of an identity to it (`age-keygen -y IDENTITY` prints it)"
    )]
    Blind {
        /// The list of recipients.
        recipients: PathBuf,
    },
    /// None of the identities opens this.
    #[error("no identity opens a key that was sealed earlier: {0}")]
    Unopened(String),
    /// A recipient refuses.
    #[error("a key cannot be sealed to the recipients: {0}")]
    Unsealed(String),
    /// What the disk says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A key for data: 32 random bytes that are wiped from memory when dropped. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; 32]>);

/// Identities and recipients; clones share them.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

struct Shared {
    /// Read-locked while a key is wrapped and written, so that who changes it knows what was written before.
    ring: RwLock<Ring>,
    /// Held by who replaces or destroys a key file: what was destroyed must not come back.
    changing: Mutex<()>,
}

impl Keys {
    /// Reads identities and recipients, and tries whether what is sealed now could be opened again.
    ///
    /// # Errors
    /// [`KeysError`]: a file that cannot be read, that others may read, or that holds something else.
    pub fn open(paths: &KeyPaths) -> Result<Self, KeysError> {
        Ok(Self(Arc::new(Shared {
            ring: RwLock::new(proven(paths)?),
            changing: Mutex::default(),
        })))
    }

    /// Reads them anew, for all who share them. What cannot be used changes nothing.
    ///
    /// # Errors
    /// As [`Keys::open`].
    pub fn reload(&self, paths: &KeyPaths) -> Result<(), KeysError> {
        let ring = proven(paths)?;
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    /// A key as an `age` file that each recipient opens. Blocking: a plugin may ask a token.
    ///
    /// # Errors
    /// [`KeysError::Unsealed`].
    pub fn wrap(&self, key: &[u8; 32]) -> Result<Vec<u8>, KeysError> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).wrap(key)
    }

    /// The key in an `age` file made by [`Keys::wrap`]. Blocking.
    ///
    /// # Errors
    /// [`KeysError::Unopened`].
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<DataKey, KeysError> {
        self.0
            .ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap(wrapped)
    }

    /// A wrapped key, wrapped to the recipients of now; opened once more, so that it can take the place of the old. Blocking.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn wrapped_anew(&self, wrapped: &[u8]) -> Result<Vec<u8>, KeysError> {
        let key = self.unwrap(wrapped)?;
        let new = self.wrap(&key)?;
        if self.unwrap(&new)? == key {
            Ok(new)
        } else {
            Err(KeysError::Unsealed("what was sealed opens as something else".into()))
        }
    }

    /// Wraps a key into a file, durably; what was there is replaced whole. Blocking.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn keep(&self, path: &Path, key: &[u8; 32]) -> Result<(), KeysError> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        Ok(kept::write(path, &ring.wrap(key)?)?)
    }

    /// The key a file holds. Blocking.
    ///
    /// # Errors
    /// [`KeysError::Io`] of kind `NotFound` if there is none; [`KeysError::Unopened`].
    pub fn kept(&self, path: &Path) -> Result<DataKey, KeysError> {
        self.unwrap(&kept::read(path)?)
    }

    /// Wraps the key of a file to the recipients of now; a crash leaves the old file or the new one. Blocking. Whether there was
    /// one: a file that is destroyed meanwhile does not come back.
    ///
    /// # Errors
    /// [`KeysError`]; the file is then as it was.
    pub fn rewrap(&self, path: &Path) -> Result<bool, KeysError> {
        let _one = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let wrapped = match kept::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            read => read?,
        };
        self.keep(path, &*self.unwrap(&wrapped)?)?;
        Ok(true)
    }

    /// Removes the file of a key, durably; one that is not there is no error. Blocking.
    ///
    /// # Errors
    /// What the disk says.
    pub fn destroy(&self, path: &Path) -> io::Result<()> {
        let _one = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        kept::remove(path)
    }
}

/// Only a ring that opens what it seals is used: the day of a disaster is too late to learn otherwise.
fn proven(paths: &KeyPaths) -> Result<Ring, KeysError> {
    let ring = Ring::open(paths)?;
    let key = DataKey::generate()?;
    match ring.unwrap(&ring.wrap(&key)?) {
        Ok(opened) if opened == key => Ok(ring),
        _ => Err(KeysError::Blind {
            recipients: paths.recipients.clone(),
        }),
    }
}

impl DataKey {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut_slice()).map_err(|_| io::Error::other("no random bytes"))?;
        Ok(Self(key))
    }

    /// Reads exactly 32 bytes.
    fn read(mut from: impl io::Read) -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        from.read_exact(key.as_mut_slice())?;
        match from.read(&mut [0])? {
            0 => Ok(Self(key)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "longer than a key")),
        }
    }
}

impl Deref for DataKey {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// Keys of one identity, the same for all tests that seal.
#[cfg(test)]
pub(crate) fn for_tests() -> Keys {
    static KEYS: std::sync::OnceLock<Keys> = std::sync::OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (identity, recipients) = (folder.path().join("identity"), folder.path().join("recipients"));
        let new = NewIdentity::generate();
        crate::folder::replace(&identity, new.file.as_bytes()).unwrap();
        std::fs::write(&recipients, new.recipient).unwrap();
        Keys::open(&KeyPaths {
            identities: vec![identity],
            recipients,
            pin: None,
        })
        .unwrap()
    });
    made.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with identities `a` and `b`, and keys that use those named.
    fn keys(folder: &Path, identities: &[&str], recipients: &[&str]) -> Result<Keys, KeysError> {
        for name in ["a", "b"] {
            let (secret, public) = (folder.join(name), folder.join(format!("{name}.pub")));
            if !secret.exists() {
                let identity = NewIdentity::generate();
                crate::folder::replace(&secret, identity.file.as_bytes()).unwrap();
                std::fs::write(public, identity.recipient).unwrap();
            }
        }
        let read = |name: &&str| std::fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
        let list: Vec<String> = recipients.iter().map(read).collect();
        std::fs::write(
            folder.join("recipients"),
            format!("# who opens\n\n{}\n", list.join("\n")),
        )
        .unwrap();
        Keys::open(&KeyPaths {
            identities: identities.iter().map(|name| folder.join(name)).collect(),
            recipients: folder.join("recipients"),
            pin: None,
        })
    }

    #[test]
    fn each_recipient_opens_and_an_old_identity_goes_on_opening() {
        let folder = tempfile::tempdir().unwrap();
        let key = DataKey::generate().unwrap();
        let old = keys(folder.path(), &["a"], &["a"]).unwrap();
        let sealed = old.wrap(&key).unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
        let both = keys(folder.path(), &["b", "a"], &["b", "a"]).unwrap();
        assert_eq!(both.unwrap(&sealed).unwrap(), key);
        let escrowed = both.wrap(&key).unwrap();
        let only_b = keys(folder.path(), &["b"], &["b"]).unwrap();
        assert_eq!(only_b.unwrap(&escrowed).unwrap(), key);
        assert!(matches!(only_b.unwrap(&sealed), Err(KeysError::Unopened(_))));
    }

    #[test]
    fn a_relay_that_could_not_read_what_it_writes_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let blind = keys(folder.path(), &["a"], &["b"]);
        assert!(matches!(blind, Err(KeysError::Blind { .. })), "{blind:?}");
        assert!(matches!(keys(folder.path(), &["a"], &[]), Err(KeysError::File { .. })));
        assert!(matches!(keys(folder.path(), &[], &["a"]), Err(KeysError::File { .. })));
        std::fs::write(folder.path().join("recipients"), "age1nonsense\n").unwrap();
        let paths = KeyPaths {
            identities: vec![folder.path().join("a")],
            recipients: folder.path().join("recipients"),
            pin: None,
        };
        let told = Keys::open(&paths).unwrap_err().to_string();
        assert!(told.contains("line 1"), "{told}");
    }

    #[test]
    fn damaged_wrappings_are_refused_and_tell_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), &["a"], &["a"]).unwrap();
        let key = DataKey::generate().unwrap();
        let sealed = keys.wrap(&key).unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(keys.unwrap(&bad).is_err(), "byte {at}");
            assert!(keys.unwrap(&sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(keys.unwrap(&vec![b'a'; WRAPPED + 1]).is_err());
        assert_eq!(format!("{keys:?} {key:?}"), "Keys DataKey");
    }

    #[test]
    fn a_file_is_wrapped_anew_and_what_was_destroyed_stays_away() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), &["a", "b"], &["a"]).unwrap();
        let (path, key) = (folder.path().join("x.key"), DataKey::generate().unwrap());
        keys.keep(&path, &key).unwrap();
        let public = std::fs::read_to_string(folder.path().join("b.pub")).unwrap();
        std::fs::write(folder.path().join("recipients"), public).unwrap();
        let paths = KeyPaths {
            identities: vec![folder.path().join("a"), folder.path().join("b")],
            recipients: folder.path().join("recipients"),
            pin: None,
        };
        keys.reload(&paths).unwrap();
        assert!(keys.rewrap(&path).unwrap());
        let only_b = self::keys(folder.path(), &["b"], &["b"]).unwrap();
        assert_eq!(only_b.kept(&path).unwrap(), key);
        keys.destroy(&path).unwrap();
        keys.destroy(&path).unwrap();
        assert!(!keys.rewrap(&path).unwrap());
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        drop(keys(folder.path(), &["a"], &["a"]).unwrap());
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(folder.path().join("a"), std::fs::Permissions::from_mode(mode)).unwrap();
            let told = keys(folder.path(), &["a"], &["a"]).unwrap_err().to_string();
            assert!(
                told.contains(&format!("{mode:04o}")) && told.contains("chmod 600"),
                "{told}"
            );
        }
    }
}
