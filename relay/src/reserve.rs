//! Room on the disk for what must go on when it is full: looks at letters are recorded, or no letter can be fetched.
//!
//! Uploads leave `limits.reserve` free. Others on the same disk do not: so a quarter of it lies in a file, which is given up when
//! the disk fills all the same, and taken back when there is room again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::fs_std::FileExt as _;

use crate::context::Context;
use crate::folder::private_file;

/// How often is looked. Short: what fills a disk may be fast.
const LOOK: Duration = Duration::from_millis(250);

/// The file, in the trail's folder.
fn file(trail: &Path) -> PathBuf {
    trail.join("reserve")
}

/// Bytes an upload must leave free: the reserve, but for what lies in the file already.
pub(crate) fn to_leave(trail: &Path, reserve: u64) -> u64 {
    let held = file(trail).metadata().map_or(0, |file| file.len());
    reserve.saturating_sub(held)
}

/// Gives the file up; whether there was one.
pub(crate) fn give_up(trail: &Path) -> bool {
    let given = std::fs::remove_file(file(trail)).is_ok();
    if given {
        tracing::error!(
            "the disk is full; its reserve is given up for the trail. Make room: no uploads are taken until then"
        );
    }
    given
}

/// Keeps the file as long as there is room, and gives it up before there is none, until the task is dropped.
pub(crate) async fn keep(context: Context) {
    let trail = context.config.data.join("trail");
    let reserve = context.config.limits.reserve;
    loop {
        let folder = trail.clone();
        let looked = tokio::task::spawn_blocking(move || look(&folder, reserve)).await;
        if let Ok(Err(error)) = looked {
            tracing::debug!(%error, "the reserve of the disk cannot be kept");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn look(trail: &Path, reserve: u64) -> io::Result<()> {
    let (path, length) = (file(trail), reserve / 4);
    let free = fs4::available_space(trail)?;
    let there = path.metadata().is_ok_and(|found| found.len() == length);
    if there && free < reserve / 16 {
        give_up(trail);
    } else if !there && free >= reserve {
        let made = private_file()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|made| made.allocate(length));
        if made.is_err() {
            // Half of it is none.
            let _gone = std::fs::remove_file(&path);
        }
        return made;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_given_up_once_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let length = || file(folder.path()).metadata().map(|found| found.len()).ok();
        for _ in 0..2 {
            look(folder.path(), 4096).unwrap();
            assert_eq!(length(), Some(1024));
            assert_eq!(
                to_leave(folder.path(), 4096),
                3072,
                "what the file holds is not asked for twice"
            );
        }
        assert!(give_up(folder.path()) && !give_up(folder.path()));
        assert_eq!(to_leave(folder.path(), 4096), 4096);
        // More than any disk has: not made, and what was there by another figure is none.
        look(folder.path(), u64::MAX).unwrap();
        assert_eq!(length(), None);
    }
}
