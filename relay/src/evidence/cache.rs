//! CRLs kept on disk: one file each, its URL in the first line, the DER after it. Survives a restart.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use der::Decode;
use time::OffsetDateTime;
use x509_cert::certificate::Raw;
use x509_cert::crl::CertificateList;

/// One CRL as fetched.
#[derive(Debug, Clone)]
pub(crate) struct Cached {
    /// DER.
    pub(crate) der: Vec<u8>,
    /// Its nextUpdate.
    pub(crate) next_update: Option<OffsetDateTime>,
    /// When it was fetched.
    pub(super) fetched: OffsetDateTime,
}

impl Cached {
    /// `None` if the bytes are not a CRL (RFC 5280 §5, CertificateList).
    pub(super) fn parse(der: Vec<u8>, fetched: OffsetDateTime) -> Option<Self> {
        let list = CertificateList::<Raw>::from_der(&der).ok()?;
        let next_update = list.tbs_cert_list.next_update.and_then(|time| {
            OffsetDateTime::from_unix_timestamp(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
        });
        Some(Self {
            der,
            next_update,
            fetched,
        })
    }
}

/// Where they are kept.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// What was kept, at most `limit`. Files that are no longer a CRL are left out and will be replaced.
    pub(super) fn read(&self, limit: usize) -> io::Result<Vec<(String, Cached)>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(limit) {
            let entry = entry?;
            if entry.path().extension().is_none_or(|extension| extension != "crl") {
                continue;
            }
            let fetched = entry.metadata()?.modified()?.into();
            let bytes = fs::read(entry.path())?;
            let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
            let (Some(url), Some(der)) = (halves.next(), halves.next()) else {
                continue;
            };
            if let (Ok(url), Some(cached)) = (str::from_utf8(url), Cached::parse(der.to_vec(), fetched)) {
                kept.push((url.to_owned(), cached));
            }
        }
        Ok(kept)
    }

    /// Keeps one, replacing what was there in one step.
    pub(super) fn keep(&self, url: &str, cached: &Cached) -> io::Result<()> {
        let path = self.0.join(super::file_name(url));
        let beside = path.with_extension(format!("{}.new", uuid::Uuid::now_v7().simple()));
        let mut file = fs::File::create(&beside)?;
        file.write_all(url.as_bytes())?;
        file.write_all(b"\n")?;
        file.write_all(&cached.der)?;
        file.sync_all()?;
        fs::rename(beside, path)
    }
}
