//! Where PINs and passwords come from: a prompt or a file descriptor. Never an argument, never the environment.

use std::io::IsTerminal;

use zeroize::Zeroizing;

use crate::error::{Code, Failure};

/// A way to get a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinSource {
    /// Ask at the terminal.
    Prompt,
    /// Read one line from this file descriptor.
    Descriptor(u32),
}

impl PinSource {
    /// `--pin-fd`, else the prompt.
    #[must_use]
    pub fn from_option(descriptor: Option<u32>) -> Self {
        descriptor.map_or(Self::Prompt, Self::Descriptor)
    }

    /// One PIN. Wiped from memory when dropped.
    ///
    /// # Errors
    /// [`Code::PinUnavailable`] without a terminal or with an unreadable descriptor, [`Code::PinFdUnsupported`] on systems
    /// without descriptors.
    pub fn read(self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        match self {
            Self::Prompt => {
                if !std::io::stdin().is_terminal() && !std::io::stderr().is_terminal() {
                    return Err(Failure::new(Code::PinUnavailable, "no terminal to ask at"));
                }
                rpassword::prompt_password(prompt)
                    .map(Zeroizing::new)
                    .map_err(|error| Failure::new(Code::PinUnavailable, error.to_string()))
            }
            Self::Descriptor(descriptor) => from_descriptor(descriptor),
        }
    }
}

#[cfg(unix)]
fn from_descriptor(descriptor: u32) -> Result<Zeroizing<String>, Failure> {
    use std::io::Read;

    const MAX_PIN: usize = 1024;
    let unavailable = |problem: String| Failure::new(Code::PinUnavailable, format!("--pin-fd {descriptor}: {problem}"));
    // Opening by name instead of taking the raw descriptor needs no unsafe code.
    let mut file =
        std::fs::File::open(format!("/dev/fd/{descriptor}")).map_err(|error| unavailable(error.to_string()))?;
    let mut buffer = Zeroizing::new([0_u8; MAX_PIN]);
    let mut length = 0;
    // Byte by byte up to the end of the line, so that a following line stays in the pipe.
    while let Some(place) = buffer.get_mut(length..=length) {
        match file.read(place) {
            Ok(0) => break,
            Ok(_) if place == b"\n" => break,
            Ok(_) => length += 1,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unavailable(error.to_string())),
        }
    }
    let line = buffer.get(..length).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => Err(unavailable("it holds no PIN".to_owned())),
        Ok(pin) => Ok(Zeroizing::new(pin.to_owned())),
        Err(_) => Err(unavailable("not UTF-8".to_owned())),
    }
}

#[cfg(not(unix))]
fn from_descriptor(descriptor: u32) -> Result<Zeroizing<String>, Failure> {
    Err(Failure::new(Code::PinFdUnsupported, format!("--pin-fd {descriptor}")))
}
