//! A container with a file of 256 MiB, written, read and taken in without ever being in memory.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::*;

const SIZE: u64 = 256 << 20;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// A file that keeps only what is not zero.
#[derive(Default)]
struct Sparse {
    parts: Vec<(u64, Vec<u8>)>,
    size: u64,
    position: u64,
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(ZEROS.len());
        if bytes[..count] != ZEROS[..count] {
            self.parts.push((self.size, bytes[..count].to_vec()));
        }
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.size - self.position).unwrap().min(buffer.len());
        buffer[..count].fill(0);
        for (start, part) in &self.parts {
            let (from, to) = (
                self.position.max(*start),
                (self.position + count as u64).min(start + part.len() as u64),
            );
            if from < to {
                let len = usize::try_from(to - from).unwrap();
                let (here, there) = (
                    usize::try_from(from - self.position).unwrap(),
                    usize::try_from(from - start).unwrap(),
                );
                buffer[here..here + len].copy_from_slice(&part[there..there + len]);
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(at) => self.size.checked_add_signed(at).unwrap(),
            SeekFrom::Current(at) => self.position.checked_add_signed(at).unwrap(),
        };
        Ok(self.position)
    }
}

#[test]
fn flat_memory() {
    let zeros = || io::repeat(0).take(SIZE);
    let mut files = plans(&content());
    files[2] = FilePlan::measure("images/large", &mut zeros()).unwrap();
    let manifest = manifest_for(&files);
    let signed = [SignedManifest {
        manifest: &manifest,
        signature: b"signature",
    }];
    let mut sparse = Sparse::default();
    let size = write(&mut sparse, &signed, &files, |path| -> io::Result<Box<dyn Read>> {
        let small = content().into_iter().find(|(name, _)| *name == path);
        Ok(small.map_or_else(
            || Box::new(zeros()) as Box<dyn Read>,
            |(_, bytes)| Box::new(Cursor::new(bytes)),
        ))
    })
    .unwrap();
    assert_eq!(size, sparse.size);
    assert!(sparse.parts.iter().map(|(_, part)| part.len()).sum::<usize>() < 8192);

    let container = Container::read(&mut sparse).unwrap();
    assert_eq!(container.findings, []);
    assert_eq!(container.files[2].size, SIZE);

    sparse.rewind().unwrap();
    let mut intake = Intake::new(Limits::default());
    let mut buffer = vec![0; 1 << 16];
    let (mut most_held, mut passed) = (0, 0);
    loop {
        let count = sparse.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        let mut on = |event: IntakeEvent<'_>| {
            if let IntakeEvent::FileBytes(bytes) = event {
                passed += bytes.len() as u64;
            }
            Ok::<(), IntakeError>(())
        };
        intake.push(&buffer[..count], &mut on).unwrap();
        most_held = most_held.max(intake.held());
    }
    assert!(most_held <= manifest.len(), "{most_held}");
    assert_eq!(passed, SIZE + LETTER.len() as u64);
    assert_eq!(substance(&intake.finish().unwrap()), substance(&container));
}
