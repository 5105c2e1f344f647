//! `hikyaku diagnose`: what a support desk asks for, without secrets: versions, places, modules, tokens. No keys, no PINs, no
//! names of certificate holders.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::signer::pkcs11::module;
use crate::signer::pkcs11::token;

/// Options of `diagnose`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// PKCS #11 module to look at [default: config.toml, else every installed one]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
}

/// Runs it. What does not work is part of the report, not a failure of it.
///
/// # Errors
/// None of its own.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let language = context.output.language;
    let (home, config) = (context.home(), context.config());
    let named = options
        .module
        .clone()
        .or(config.as_ref().ok().and_then(|config| config.pkcs11_module.clone()));
    let modules: Vec<Value> = match module::candidates(named.as_deref()) {
        Ok(paths) => paths.into_iter().map(|path| describe(context, &path)).collect(),
        Err(failure) => vec![failure.to_json(language)],
    };
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"), "system": std::env::consts::OS, "machine": std::env::consts::ARCH,
        "home": home.as_ref().ok().map(|home| home.path().display().to_string()),
        "configuration": match &config { Ok(_) => json!("ok"), Err(failure) => failure.to_json(language) },
        "relay": config.as_ref().ok().and_then(|config| config.relay.clone()),
        "enrolled": home.is_ok_and(|home| home.device_certificate().is_file()),
        "modules": modules,
    });
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    context.output.print(&report, &text);
    Ok(Exit::Done)
}

fn describe(context: &Context, path: &std::path::Path) -> Value {
    let read = module::load(path).and_then(|module| token::list(&module, &[]));
    let tokens = match read {
        Ok(tokens) => tokens,
        Err(failure) => return json!({ "module": path, "failure": failure.to_json(context.output.language) }),
    };
    let tokens: Vec<Value> = tokens
        .iter()
        .map(|token| {
            json!({
                "slot": token.slot.id(), "label": token.label, "model": token.model, "pin": token.pin.name(),
                "certificates": token.certificates.len(),
                "signing_certificates": token.certificates.iter().filter(|held| held.signs).count(),
            })
        })
        .collect();
    json!({ "module": path, "tokens": tokens })
}
