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
    if let Some(apart) = &report.apart {
        if apart.without_container > 0 {
            let at = apart
                .between
                .map_or_else(String::new, |(first, last)| format!(" (records {first} to {last})"));
            println!(
                "{} submissions of the database{at} have no container in the bucket: it has lost them, or is older than the database. \
                 Bring the bucket to the database's moment; what cannot be had is sent again by its senders, under a new id",
                apart.without_container
            );
        }
        if apart.without_record > 0 {
            println!(
                "{} containers of the bucket are named by no record: the database is older than the bucket. Bring it to the bucket's \
                 moment; else their senders, who have receipts, send them again",
                apart.without_record
            );
        }
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
