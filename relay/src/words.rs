//! What `hikyaku-relay` prints: answers for people or, with `--json`, for programs.

pub(crate) mod check;
pub(crate) mod trust;
mod watch;

use std::path::Path;

use anyhow::bail;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};

pub(crate) use watch::Watch;

/// An answer of the administration; `portal` is the address clinics enrol at.
pub(crate) fn answer(answer: &Value, portal: &str, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(answer)?);
        return Ok(());
    }
    match answer {
        Value::Array(rows) if rows.is_empty() => println!("none"),
        Value::Array(rows) => rows.iter().for_each(|row| println!("{}", line(row))),
        Value::Object(fields) if fields.contains_key("expires") => {
            println!(
                "One-time code for {}, good until {}:",
                text(&answer["facility"]),
                in_japan(&text(&answer["expires"]))
            );
            println!("\n    {}\n", text(&answer["code"]));
            println!("Give it to the facility by a way you trust. There:");
            println!("    hikyaku enroll --relay {portal} --code {}", text(&answer["code"]));
        }
        other => println!("{}", line(other)),
    }
    Ok(())
}

/// What the trail was found to be.
pub(crate) fn verified(answer: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    } else {
        let sentences = answer["sentences"].as_array().into_iter().flatten();
        sentences.for_each(|sentence| println!("{}\n  {}", text(&sentence[0]), text(&sentence[1])));
    }
    if answer["valid"] == true {
        return Ok(());
    }
    Err(relay::admin::AdminError::Argument("the trail is not what was signed".into()).into())
}

/// What to do after `init`.
pub(crate) fn next_steps(folder: &Path) {
    let config = folder.join("relay.toml");
    println!("{} is ready. Next:", folder.display());
    println!(
        "  1. Read {} and set name, addresses and timestamps.urls.",
        config.display()
    );
    println!(
        "  2. Put the certificates you trust into {0}/trust/hpki and {0}/trust/tsa.",
        folder.display()
    );
    println!("  3. hikyaku-relay check-config --config {}", config.display());
    println!("  4. hikyaku-relay serve --config {}", config.display());
    println!(
        "  5. hikyaku-relay facility add --config {} CODE NAME",
        config.display()
    );
    println!(
        "  6. Keep a copy of {}/keys/identity.txt where copies of the data folder are not: without it nothing there can be read.",
        folder.display()
    );
}

/// What `check-config` found: no mistake, else it had failed; what is `missing` all the same.
pub(crate) fn checked(config: &Path, pin: &str, log_key: &str, missing: &[String], json: bool) -> anyhow::Result<()> {
    if json {
        let answer = json!({ "pin": pin, "log_key": log_key, "missing": missing });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    println!("{}: no mistakes", config.display());
    missing.iter().for_each(|what| println!("  but {what}"));
    println!("relay key pin: {pin}");
    println!("log key: {log_key}");
    Ok(())
}

/// A rate of reading: bytes a second; `None` for as fast as it goes.
pub(crate) fn rate(text: &str) -> anyhow::Result<Option<u64>> {
    match (text, relay::config::bytes(text)) {
        ("unlimited", _) => Ok(None),
        (_, Some(rate)) => Ok(Some(rate)),
        (_, None) => bail!("--rate must be bytes a second such as 50MiB, or unlimited; it is {text:?}"),
    }
}

/// How many rows the new index has.
pub(crate) fn rebuilt(rows: usize, json: bool) {
    if json {
        println!("{}", json!({ "rows": rows }));
    } else {
        println!("the index was made anew: {rows} rows");
    }
}

fn line(row: &Value) -> String {
    match row {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect::<Vec<_>>()
            .join("  "),
        other => text(other),
    }
}

/// An RFC 3339 time on Japan's clock.
fn in_japan(text: &str) -> String {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| {
            let shape = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] JST");
            time.to_offset(offset!(+9)).format(shape).ok()
        })
        .unwrap_or_else(|| text.to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
