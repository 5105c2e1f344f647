//! Where PKCS #11 modules live: named, or at the places their installers use.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use crate::error::{Code, Failure};

/// The modules to try, in order: the one named, else all that are installed.
///
/// # Errors
/// [`Code::ModuleNotFound`] if the one named is not there, or none is.
pub fn candidates(named: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    if let Some(path) = named {
        return if path.is_file() {
            Ok(vec![path.to_owned()])
        } else {
            Err(Failure::new(Code::ModuleNotFound, path.display().to_string()))
        };
    }
    let installed = installed();
    if installed.is_empty() {
        return Err(Failure::new(Code::ModuleNotFound, "no driver at any known place"));
    }
    Ok(installed)
}

/// Modules at the places their installers use: HPKI signing modules first, then OpenSC, then SoftHSM.
#[must_use]
pub fn installed() -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for folder in folders() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut hpki: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| is_hpki_signing_module(path))
            .collect();
        hpki.sort();
        modules.extend(hpki);
    }
    let others = OTHERS.iter().map(PathBuf::from).filter(|path| path.is_file());
    modules.extend(others);
    modules
}

/// Loads and initialises a module. It stays initialised as long as the process: whoever loads it again shares it.
///
/// # Errors
/// [`Code::ModuleFailed`].
pub fn load(path: &Path) -> Result<Pkcs11, Failure> {
    let failed = |error: Error| Failure::new(Code::ModuleFailed, format!("{}: {error}", path.display()));
    let module = Pkcs11::new(path).map_err(failed)?;
    let initialised = module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        // HPKI modules know no locking; one thread uses them here anyway.
        .or_else(|error| match error {
            Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _) => Ok(()),
            _ => module.initialize(CInitializeArgs::new(CInitializeFlags::empty())),
        });
    match initialised {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(failed(error)),
    }
}

/// `HpkiSigP11_xxx.dll`: the guideline fixes how the names of signing modules begin.
fn is_hpki_signing_module(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let library = [".dll", ".so", ".dylib"].iter().any(|ending| name.ends_with(ending));
    library && (name.starts_with("HpkiSigP11") || name.starts_with("libHpkiSigP11"))
}

fn folders() -> &'static [&'static str] {
    if cfg!(windows) {
        &["C:\\Windows\\System32"]
    } else if cfg!(target_os = "macos") {
        &["/usr/local/lib", "/Library/HPKI/lib"]
    } else {
        &["/usr/lib", "/usr/local/lib", "/usr/lib64"]
    }
}

#[cfg(windows)]
const OTHERS: &[&str] = &[
    "C:\\Program Files\\OpenSC Project\\OpenSC\\pkcs11\\opensc-pkcs11.dll",
    "C:\\SoftHSM2\\lib\\softhsm2-x64.dll",
];
#[cfg(target_os = "macos")]
const OTHERS: &[&str] = &[
    "/Library/OpenSC/lib/opensc-pkcs11.so",
    "/opt/homebrew/lib/opensc-pkcs11.so",
    "/usr/local/lib/opensc-pkcs11.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
#[cfg(not(any(windows, target_os = "macos")))]
const OTHERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib64/opensc-pkcs11.so",
    "/usr/lib/opensc-pkcs11.so",
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];
