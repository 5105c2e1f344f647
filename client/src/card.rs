//! `hikyaku card`: readers, cards, certificates, professions and PIN states. Asks for no PIN.

use std::path::PathBuf;

use serde_json::{Value, json};
use trust_store::report::rfc3339;

use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::output::{Output, japan_time, profession};
use crate::signer::PinState;
use crate::signer::pkcs11::module;
use crate::signer::pkcs11::token::{self, Token, TokenCertificate};

/// Options of `card`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// PKCS #11 module of the card [default: config.toml, else every installed one]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Slot number or part of a token's label
    #[arg(long, value_name = "SLOT")]
    pub slot: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// [`Code::ModuleNotFound`], [`Code::ModuleFailed`], [`Code::NoToken`].
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let config = context.config()?;
    let named = options.module.clone().or(config.pkcs11_module);
    let slots = if options.slot.is_empty() {
        config.slots
    } else {
        options.slot.clone()
    };
    let mut found: Vec<Value> = Vec::new();
    let mut text = String::new();
    let mut failure = None;
    for path in module::candidates(named.as_deref())? {
        let tokens = module::load(&path).and_then(|module| token::list(&module, &slots));
        match tokens {
            Ok(tokens) => {
                for token in tokens {
                    text.push_str(&describe(&token, context.output));
                    let mut value = to_json(&token);
                    value["module"] = path.display().to_string().into();
                    found.push(value);
                }
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if found.is_empty() {
        return Err(failure.unwrap_or_else(|| Failure::new(Code::NoToken, "any reader")));
    }
    context.output.print(&json!({ "tokens": found }), &text);
    Ok(Exit::Done)
}

/// A token for programs.
#[must_use]
pub fn to_json(token: &Token) -> Value {
    let mechanisms: Vec<String> = token.mechanisms.iter().map(ToString::to_string).collect();
    json!({
        "slot": token.slot.id(), "label": token.label, "manufacturer": token.manufacturer, "model": token.model,
        "serial": token.serial, "pin": token.pin.name(), "login_required": token.login_required,
        "mechanisms": mechanisms,
        "certificates": token.certificates.iter().map(certificate_json).collect::<Vec<_>>(),
    })
}

fn certificate_json(held: &TokenCertificate) -> Value {
    json!({
        "id": hex::encode(&held.id), "label": held.label, "subject": held.certificate.subject.to_string(),
        "issuer": held.certificate.issuer.to_string(), "serial": hex::encode(&held.certificate.serial),
        "not_after": rfc3339(held.certificate.not_after), "ca": held.certificate.is_ca(), "signs": held.signs,
        "hc_roles": held.roles,
    })
}

fn describe(token: &Token, output: Output) -> String {
    let pin = match token.pin {
        PinState::Ok => output.pick("正常", "ok"),
        PinState::Low => output.pick("誤入力あり", "low"),
        PinState::Last => output.pick("残り 1 回", "last"),
        PinState::Locked => output.pick("ロック", "locked"),
    };
    let mut text = format!(
        "{} — {} {}, {} {}, {} {}, PIN {pin}\n",
        token.label,
        output.pick("スロット", "slot"),
        token.slot.id(),
        token.manufacturer,
        token.model,
        output.pick("シリアル番号", "serial"),
        token.serial,
    );
    for held in &token.certificates {
        let mark = if held.signs { "✓" } else { " " };
        text.push_str(&format!("  {mark} {}", held.certificate.subject));
        if !held.roles.is_empty() {
            let roles: Vec<String> = held.roles.iter().map(|role| profession(role, output)).collect();
            text.push_str(&format!(" — {}", roles.join(output.pick("・", ", "))));
        }
        let until = japan_time(&rfc3339(held.certificate.not_after));
        text.push_str(&format!(
            "{}\n",
            output.pick("（{} まで）", " (until {})").replace("{}", &until)
        ));
    }
    text
}
