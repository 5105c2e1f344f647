//! Containers zipped by ordinary tools.

use std::path::Path;
use std::process::Command;

use super::*;

const PYTHON: &str = "
import sys, zipfile
out, names, method = sys.argv[1], sys.argv[2].split('|'), int(sys.argv[3])
class Pipe:
    def __init__(self, f): self.f = f
    def write(self, b): return self.f.write(b)
    def flush(self): self.f.flush()
with open(out, 'wb') as f:
    with zipfile.ZipFile(Pipe(f) if sys.argv[4] == 'pipe' else f, 'w', method) as z:
        for name in names: z.write(name)
";

fn laid_out(folder: &Path) -> Vec<&'static str> {
    let manifest = manifest_for(&plans(&content()));
    let mut files = vec![
        ("mimetype", MIMETYPE.to_vec()),
        ("META-INF/ASiCManifest001.xml", manifest),
        ("META-INF/signature001.p7s", b"signature".to_vec()),
    ];
    files.extend(content());
    for (name, bytes) in &files {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    files.iter().map(|(name, _)| *name).collect()
}

fn made_by(command: &mut Command, folder: &Path) -> Option<Vec<u8>> {
    match command.current_dir(folder).env("LC_ALL", "C.UTF-8").output() {
        Ok(output) if output.status.success() => Some(std::fs::read(folder.join("out.asice")).unwrap()),
        _ => {
            crate::skip::skip(
                "a container zipped by another program",
                &format!("{:?} does not run here", command.get_program()),
            );
            None
        }
    }
}

#[test]
fn zipped_by_python_and_zip() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let names = laid_out(folder);
    for (method, pipe) in [("0", "file"), ("8", "file"), ("0", "pipe"), ("8", "pipe")] {
        let mut python = Command::new("python3");
        python.args(["-c", PYTHON, "out.asice", &names.join("|"), method, pipe]);
        let Some(bytes) = made_by(&mut python, folder) else {
            return;
        };
        assert_eq!(fatal_codes(&read(&bytes)), Vec::<&str>::new(), "{method} {pipe}");
        assert_eq!(
            take_in(&bytes, 1000).is_ok(),
            (method, pipe) == ("0", "file"),
            "{method} {pipe}"
        );
    }
    std::fs::remove_file(folder.join("out.asice")).unwrap();
    let mut zip = Command::new("zip");
    zip.args(["-q", "-X", "out.asice"]).args(&names);
    if let Some(bytes) = made_by(&mut zip, folder) {
        assert_eq!(fatal_codes(&read(&bytes)), Vec::<&str>::new());
    }
}
