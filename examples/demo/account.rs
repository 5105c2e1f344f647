//! The officer's table, shortened for the screen.

use anyhow::Context;
use relay::admin::{Command, Export};

use crate::stage::Stage;

/// What the officer reads, one line a record: when, what, who, about which letter.
pub(crate) fn account(stage: &Stage, facility: &str) -> anyhow::Result<Vec<String>> {
    let (_, csv) = stage.export(Command::TrailExport(Export {
        facility: Some(facility.parse()?),
        ..Export::default()
    }))?;
    let text = String::from_utf8(csv)?;
    let mut rows = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let head = rows.next().context("a head")?;
    let column = |name: &str| head.iter().position(|column| *column == name).context("a column");
    let (time, kind, person, partner) = (
        column("time_jst")?,
        column("kind")?,
        column("person_name")?,
        column("partner")?,
    );
    let (scope, category) = (column("scope")?, column("category")?);
    Ok(rows
        .map(|row| {
            let cell = |at: usize| row.get(at).copied().unwrap_or_default();
            let clock = cell(time).get(..19).unwrap_or_default().replace('T', " ");
            let from = Some(cell(partner)).filter(|code| !code.is_empty());
            let about = if from.is_some() { cell(category) } else { cell(scope) };
            let line = [
                format!("{clock}  {:<14}", cell(kind)),
                cell(person).to_owned(),
                about.trim_end_matches([' ', '/']).replace(';', ", "),
                from.map(|code| format!("from {code}")).unwrap_or_default(),
            ];
            line.iter()
                .filter(|part| !part.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join("  ")
                .trim_end()
                .to_owned()
        })
        .collect())
}
