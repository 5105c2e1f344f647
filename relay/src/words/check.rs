//! What `check` found, in words.

use relay::check::Report;

/// Lists what differs, then what belongs to nothing, then what was compared.
pub(crate) fn report(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for found in &report.differences {
        let code = serde_json::to_value(found.code)?;
        print!(
            "DIFFERS  {}  {}",
            code.as_str().unwrap_or_default(),
            found.file.display()
        );
        if let Some(offset) = found.offset {
            print!(", byte {offset}");
        }
        if let Some(position) = found.position {
            print!(", record {position}");
        }
        println!(": {}\n         → {}", found.what, found.remedy);
    }
    for found in &report.leftovers {
        println!("leftover  {}: {}", found.file.display(), found.what);
    }
    let records = report.records;
    match report.checkpoint {
        Some(size) => println!("{records} records, signed for up to {size}"),
        None => println!("{records} records, no signed checkpoint"),
    }
    match report.rows {
        Some(rows) => println!("{rows} rows of the index compared"),
        None => println!("no index was compared"),
    }
    println!("{} files compared, {} bytes read", report.files, report.bytes);
    if report.differences.is_empty() {
        println!("everything agrees");
    }
    Ok(())
}
