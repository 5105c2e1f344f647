//! Which key signs: options of every command that signs, and the signer they name.

use std::path::PathBuf;
use std::time::Duration;

use crate::context::Context;
use crate::error::Failure;
use crate::output::Output;
use crate::pin::PinSource;
use crate::signer::pkcs11::Pkcs11Signer;
use crate::signer::pkcs11::token::Choice;
use crate::signer::soft::SoftSigner;
use crate::signer::{AskPin, PinState, Signer, SignerError};

/// Which key signs.
#[derive(Debug, Clone, clap::Args)]
pub struct KeyOptions {
    /// `card`, or a PKCS #12 or PEM file
    #[arg(long, value_name = "card|FILE", default_value = "card")]
    pub key: PathBuf,
    /// Certificate of a PEM key
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Read the PIN or password from this file descriptor instead of asking
    #[arg(long, value_name = "N")]
    pub pin_fd: Option<u32>,
    /// PKCS #11 module of the card [default: config.toml, else every installed one]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Slot number or part of a token's label
    #[arg(long, value_name = "SLOT")]
    pub slot: Vec<String>,
    /// Serial number of the certificate, hex
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// Sign RSA-PSS; HPKI cards do not offer it
    #[arg(long)]
    pub pss: bool,
    /// How long to wait for a card that was taken out
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait_for_card: u64,
}

impl KeyOptions {
    /// The signer. A card's PIN is asked for when it signs, a file's password now.
    ///
    /// # Errors
    /// What the signer's opening fails with.
    pub fn signer(&self, context: &Context) -> Result<Box<dyn Signer>, Failure> {
        let pins = PinSource::from_option(self.pin_fd);
        if self.key.as_os_str() != "card" {
            let signer = SoftSigner::open(&self.key, self.cert.as_deref(), || {
                pins.read(&format!(
                    "{} ({}): ",
                    context.output.pick("パスワード", "Password"),
                    self.key.display()
                ))
            })?;
            return Ok(Box::new(signer.with_pss(self.pss)));
        }
        let config = context.config()?;
        let choice = Choice {
            module: self.module.clone().or(config.pkcs11_module),
            slots: if self.slot.is_empty() {
                config.slots
            } else {
                self.slot.clone()
            },
            serial: self.serial.clone(),
        };
        let wait = Duration::from_secs(self.wait_for_card.min(3600));
        let signer = Pkcs11Signer::open(&choice, self.pss, wait, ask_pin(context.output, pins))?;
        Ok(Box::new(signer))
    }
}

/// Asks for the PIN, and says before the last try what a wrong one would do.
fn ask_pin(output: Output, pins: PinSource) -> AskPin {
    Box::new(move |token, state| {
        let warning = match state {
            PinState::Last => Some(output.pick(
                "注意: 次に間違えるとこのカードはロックされます。",
                "Warning: this is the last try; a wrong PIN locks the card.",
            )),
            PinState::Low => Some(output.pick(
                "注意: 前回 PIN が間違って入力されています。",
                "Note: a wrong PIN has been entered before.",
            )),
            _ => None,
        };
        if let Some(warning) = warning {
            output.say(warning);
        }
        pins.read(&format!("PIN ({token}): "))
            .map_err(|failure| SignerError::PinUnavailable(failure.message(output.language)))
    })
}
