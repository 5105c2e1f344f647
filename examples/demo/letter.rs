//! What travels: a letter and a CT on the doctor's disk, and whether it arrived as it was sent.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::stage::{HOSPITAL, Stage};
use crate::tell::quote;

/// A letter on the doctor's disk.
pub(crate) struct Letter {
    folder: PathBuf,
    key: PathBuf,
}

impl Letter {
    /// A PDF letter, a CT of three slices and the doctor's key.
    pub(crate) fn write(stage: &Stage) -> anyhow::Result<Self> {
        let folder = stage.folder().join("letter");
        std::fs::create_dir_all(folder.join("ct"))?;
        std::fs::write(folder.join("letter.pdf"), kit::letter_pdf())?;
        for instance in 1..=3 {
            std::fs::write(folder.join(format!("ct/IM{instance:05}")), kit::dicom(1, 1, instance))?;
        }
        let card = stage.services.hpki().doctor();
        let key = folder.join("doctor.pem");
        std::fs::write(&key, card.key_pem() + &card.certificates_pem())?;
        Ok(Self { folder, key })
    }

    pub(crate) fn send_arguments(&self) -> Vec<PathBuf> {
        let options = [
            "--to",
            HOSPITAL,
            "--to-name",
            "中央病院",
            "--to-department",
            "循環器内科",
            "--patient-id",
            "12345",
            "--patient-name",
            "山田　太郎",
            "--patient-kana",
            "ヤマダ　タロウ",
            "--birth-date",
            "1970-01-01",
            "--sex",
            "M",
        ];
        let mut arguments = vec!["send".into(), self.folder.join("letter.pdf"), self.folder.join("ct")];
        arguments.extend(["--key".into(), self.key.clone()]);
        arguments.extend(options.map(PathBuf::from));
        arguments
    }

    /// Every file of the letter lies below `received` with the same bytes.
    pub(crate) fn compare(&self, received: &Path) -> anyhow::Result<()> {
        let arrived = files_below(received)?;
        for sent in [
            vec![self.folder.join("letter.pdf")],
            files_below(&self.folder.join("ct"))?,
        ]
        .concat()
        {
            let bytes = std::fs::read(&sent)?;
            let same = arrived
                .iter()
                .any(|file| file.file_name() == sent.file_name() && std::fs::read(file).is_ok_and(|b| b == bytes));
            ensure!(same, "{} did not arrive as it was sent", sent.display());
        }
        quote(&format!("{} files", arrived.len()));
        Ok(())
    }
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
