//! `hikyaku archive renew DIR`: walks a folder of archives, shows when each one's newest stamp ends, and stamps again what is due.
//! A detached signature (`letter.pdf.p7s`, `letter.pdf.archive.p7s`) is looked at with the file beside it that it is named after
//! (`letter.pdf`).
//! One file after the other, each streamed; the old file stays until the new one has been read back and passes.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use time::Duration;

use super::making::{self, Made, When};
use super::{Means, exit, signature, told};
use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::files;
use crate::output::Output;

/// More folders than an archive has open at once.
const MAX_DEPTH: usize = 32;

/// Options of `archive renew`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of archives (.asice, .p7s); folders in it too
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Renew what ends within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    within: u32,
    /// Renew everything, due or not
    #[arg(long)]
    all: bool,
    /// Show only what is due; stamp nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    means: Means,
}

/// How many ended how.
#[derive(Default)]
struct Count {
    renewed: u64,
    not_due: u64,
    due: u64,
    plain: u64,
    failed: u64,
}

/// Runs it. The worst outcome of a file is the command's.
///
/// # Errors
/// The folder, or what every file needs.
pub(super) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let output = context.output;
    let mut paths = Vec::new();
    walk(&options.dir, 0, &mut paths);
    let total = paths.len() as u64;
    let bar = bar(output, total);
    let (mut count, mut worst, mut files) = (Count::default(), Exit::Done, Vec::new());
    let when = if options.all {
        When::Always
    } else {
        When::EndsWithin(Duration::days(i64::from(options.within)))
    };
    context.block_on(async {
        let maker = super::maker(context, &options.means).await?;
        for path in paths {
            let content = signed_beside(&path);
            let made = match (path.found, is_signature(&path.path), options.dry_run) {
                (Err(failure), ..) => Err(failure),
                (Ok(()), true, true) => signature::look(&maker, &path.path, content.as_deref(), when, output),
                (Ok(()), true, false) => signature::renew(&maker, &path.path, content.as_deref(), when, output).await,
                (Ok(()), false, true) => making::look(&maker, &path.path, when),
                (Ok(()), false, false) => making::renew(&maker, &path.path, when).await,
            };
            let path = path.path;
            let (line, value) = match &made {
                Ok(made) => {
                    count.add(made);
                    worst = worse(worst, exit(made));
                    let (text, mut value) = told(made, &path, output);
                    if let Some(object) = value.as_object_mut() {
                        object.remove("report");
                    }
                    (text, value)
                }
                Err(failure) => {
                    count.failed += 1;
                    worst = worse(worst, failure.exit());
                    (failure.message(output.language), failure.to_json(output.language))
                }
            };
            bar.inc(1);
            bar.suspend(|| {
                output.say(&format!(
                    "{}\n  {}",
                    path.display(),
                    line.trim_end().replace('\n', "\n  ")
                ))
            });
            if output.json {
                files.push(with_file(&path, value));
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let text = output
        .pick(
            "{total} 件: 更新 {renewed}、まだ不要 {not_due}、要更新 {due}、アーカイブでない {plain}、失敗 {failed}",
            "{total} files: {renewed} renewed, {not_due} not due, {due} due, {plain} no archive, {failed} failed",
        )
        .replace("{total}", &total.to_string())
        .replace("{renewed}", &count.renewed.to_string())
        .replace("{not_due}", &count.not_due.to_string())
        .replace("{due}", &count.due.to_string())
        .replace("{plain}", &count.plain.to_string())
        .replace("{failed}", &count.failed.to_string());
    let value = json!({ "total": total, "renewed": count.renewed, "not_due": count.not_due, "due": count.due, "plain": count.plain,
        "failed": count.failed, "files": files });
    output.print(&value, &text);
    Ok(worst)
}

impl Count {
    fn add(&mut self, made: &Made) {
        let count = match made {
            Made::Archive { .. } => &mut self.renewed,
            Made::NotDue { .. } => &mut self.not_due,
            Made::Due { .. } => &mut self.due,
            Made::Plain => &mut self.plain,
            Made::Missing { .. } | Made::Fails { .. } => &mut self.failed,
        };
        *count += 1;
    }
}

/// A refusal before what could not be tried, that before what is incomplete.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Indeterminate => 1,
        Exit::CouldNotTry => 2,
        Exit::Refused => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

fn with_file(path: &Path, mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("file".to_owned(), json!(path));
    }
    value
}

fn bar(output: Output, total: u64) -> ProgressBar {
    if output.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {eta}") {
        bar.set_style(style);
    }
    bar
}

/// A place below the folder: an archive, or one that cannot be looked into.
struct Place {
    path: PathBuf,
    found: Result<(), Failure>,
}

impl Place {
    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            found: Err(files::unreadable(path, error)),
        }
    }
}

fn is_signature(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "p7s")
}

/// The file a detached signature or its archive (`letter.pdf.archive.p7s`) is named after, if it is there.
fn signed_beside(place: &Place) -> Option<PathBuf> {
    if !is_signature(&place.path) {
        return None;
    }
    let named = place.path.with_extension("");
    let archived = named.extension().is_some_and(|ending| ending == "archive");
    let before = archived.then(|| named.with_extension(""));
    std::iter::once(named).chain(before).find(|path| path.is_file())
}

/// Every container and detached signature below a folder, in the order of names; and what nobody can look into, so that no archive
/// is passed over in silence.
fn walk(folder: &Path, depth: usize, found: &mut Vec<Place>) {
    if depth > MAX_DEPTH {
        found.push(Place {
            path: folder.to_owned(),
            found: Err(Failure::new(Code::FileUnreadable, folder.display().to_string())),
        });
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return found.push(Place::unreadable(folder, &error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => found.push(Place::unreadable(folder, &error)),
        }
    }
    paths.sort();
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, depth + 1, found);
        } else if path.extension().is_some_and(|ending| ending == "asice") || is_signature(&path) {
            found.push(Place { path, found: Ok(()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_signatures_are_found_and_no_folder_is_passed_over_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let mut deep = folder.path().to_owned();
        for name in [
            "a.asice",
            "letter.pdf",
            "letter.pdf.p7s",
            "letter.pdf.archive.p7s",
            "bare.p7s",
            ".hidden.asice",
        ] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        for _ in 0..=MAX_DEPTH {
            deep.push("z");
        }
        std::fs::create_dir_all(&deep).unwrap();
        let mut found = Vec::new();
        walk(folder.path(), 0, &mut found);
        let names: Vec<(String, bool)> = found
            .iter()
            .map(|one| {
                (
                    one.path.file_name().unwrap().to_string_lossy().into_owned(),
                    one.found.is_ok(),
                )
            })
            .collect();
        let expected = [
            ("a.asice", true),
            ("bare.p7s", true),
            ("letter.pdf.archive.p7s", true),
            ("letter.pdf.p7s", true),
            ("z", false),
        ];
        assert_eq!(names, expected.map(|(name, ok)| (name.to_owned(), ok)));
        let letter = Some(folder.path().join("letter.pdf"));
        let content: Vec<Option<PathBuf>> = found.iter().map(signed_beside).collect();
        assert_eq!(content, [None, None, letter.clone(), letter, None]);
        let mut missing = Vec::new();
        walk(&folder.path().join("nowhere"), 0, &mut missing);
        assert!(missing.len() == 1 && missing[0].found.is_err());
    }
}
