//! `submission.json` from options or a JSON file, completed with what only this moment knows: id, time, documents.

use std::path::PathBuf;

use formats::envelope::Envelope;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::material::Material;
use crate::config::Config;
use crate::error::{Code, Failure};
use crate::files;

/// Who sends what about whom to whom.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EnvelopeOptions {
    /// Envelope as JSON; id, created, sender and documents are filled in where absent
    #[arg(long, value_name = "FILE")]
    pub envelope: Option<PathBuf>,
    /// Facility code of the sender [default: the one enrolled]
    #[arg(long, value_name = "CODE")]
    pub from: Option<String>,
    /// Name of the sending facility
    #[arg(long, value_name = "NAME")]
    pub from_name: Option<String>,
    /// Facility code of a recipient
    #[arg(long, value_name = "CODE")]
    pub to: Vec<String>,
    /// Name of the recipient, in the order of --to
    #[arg(long, value_name = "NAME")]
    pub to_name: Vec<String>,
    /// Department addressed, in the order of --to
    #[arg(long, value_name = "NAME")]
    pub to_department: Vec<String>,
    /// Patient number at the sender
    #[arg(long, value_name = "ID")]
    pub patient_id: Option<String>,
    /// Patient's name
    #[arg(long, value_name = "NAME")]
    pub patient_name: Option<String>,
    /// Patient's name in kana
    #[arg(long, value_name = "NAME")]
    pub patient_kana: Option<String>,
    /// Patient's date of birth, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    pub birth_date: Option<String>,
    /// Patient's sex: M, F, O or U
    #[arg(long, value_name = "SEX")]
    pub sex: Option<String>,
    /// Submission this one answers
    #[arg(long, value_name = "ID")]
    pub in_reply_to: Option<String>,
}

/// The envelope over `material`.
///
/// # Errors
/// [`Code::EnvelopeInvalid`] naming the field; [`Code::FileUnreadable`].
pub fn build(
    options: &EnvelopeOptions,
    config: &Config,
    material: &Material,
    now: OffsetDateTime,
) -> Result<Envelope, Failure> {
    let invalid = |why: String| Failure::new(Code::EnvelopeInvalid, why);
    let mut fields = match &options.envelope {
        Some(path) => match serde_json::from_slice(&files::read_small(path)?) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(invalid(format!("{}: not an object", path.display()))),
            Err(error) => return Err(invalid(format!("{}: line {}", path.display(), error.line()))),
        },
        None => {
            complete(options)?;
            from_options(options)
        }
    };
    let mut fill = |name: &str, value: Option<Value>| {
        if let Some(value) = value
            && !fields.contains_key(name)
        {
            fields.insert(name.to_owned(), value);
        }
    };
    fill("version", Some(1.into()));
    fill("id", Some(uuid::Uuid::now_v7().hyphenated().to_string().into()));
    fill(
        "created",
        now.replace_nanosecond(0)
            .ok()
            .and_then(|now| now.format(&Rfc3339).ok())
            .map(Value::from),
    );
    let facility = options.from.as_ref().or(config.facility.as_ref());
    let name = options
        .from_name
        .as_ref()
        .or(config.facility_name.as_ref())
        .or(facility);
    fill(
        "sender",
        facility.map(|facility| json!({ "facility": facility, "name": name, "department": null, "person": null })),
    );
    fill("documents", Some(material.documents.clone().into()));
    fill("in_reply_to", Some(Value::Null));
    let bytes = serde_json::to_vec(&Value::Object(fields)).map_err(|error| invalid(error.to_string()))?;
    let envelope = Envelope::parse(&bytes).map_err(|error| invalid(error.to_string()))?;
    let paths: Vec<&str> = material.sources.iter().map(|source| source.path.as_str()).collect();
    envelope.assign(&paths).map_err(|error| invalid(error.to_string()))?;
    Ok(envelope)
}

/// Without an envelope, these options say what nothing else can.
fn complete(options: &EnvelopeOptions) -> Result<(), Failure> {
    let missing: Vec<&str> = [
        ("--to", options.to.is_empty()),
        ("--patient-id", options.patient_id.is_none()),
        ("--patient-name", options.patient_name.is_none()),
        ("--birth-date", options.birth_date.is_none()),
    ]
    .into_iter()
    .filter_map(|(option, missing)| missing.then_some(option))
    .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(
            Code::Arguments,
            format!("also needed, or --envelope FILE: {}", missing.join(", ")),
        ))
    }
}

fn from_options(options: &EnvelopeOptions) -> Map<String, Value> {
    let recipients: Vec<Value> = options
        .to
        .iter()
        .enumerate()
        .map(|(index, facility)| {
            json!({
                "facility": facility, "name": options.to_name.get(index).unwrap_or(facility),
                "department": options.to_department.get(index), "person": null,
            })
        })
        .collect();
    let mut fields = Map::new();
    fields.insert("recipients".to_owned(), recipients.into());
    fields.insert(
        "patient".to_owned(),
        json!({
            "id": options.patient_id, "name": options.patient_name, "kana": options.patient_kana,
            "birth_date": options.birth_date, "sex": options.sex.as_deref().unwrap_or("U"),
        }),
    );
    if let Some(id) = &options.in_reply_to {
        fields.insert("in_reply_to".to_owned(), id.as_str().into());
    }
    fields
}
