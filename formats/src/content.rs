//! What a file really is: executables, scripts and macros found by content, not by name alone.
//!
//! The safety guideline for medical systems wants no executable content in file exchange. A name is a claim; the bytes decide.
//! A name that would make a system *run* the file is refused as well, since scripts such as `.bat` have no signature of their own.
//!
//! What this cannot see: code inside compressed streams of a PDF or inside compressed members of an archive.
//! Receivers render letters in a sandbox for that reason.

mod scan;

use scan::Scan;

/// Bytes looked at to decide what a file is. Longer than a DICOM preamble with its magic and a DOS header.
const HEAD: usize = 512;

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hazard {
    /// A program: PE, ELF, Mach-O, Java class, or one hidden in a DICOM preamble.
    Executable,
    /// A Windows shortcut or an autorun file: runs something else.
    Launcher,
    /// A script, by its first line, by markup that carries code, or by a name that makes a system run it.
    Script,
    /// An office document with macros.
    Macro,
    /// A PDF that runs JavaScript or launches programs.
    ActivePdf,
    /// An archive with one of the above inside.
    ArchivedCode,
}

impl Hazard {
    /// Stable snake_case word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::Launcher => "launcher",
            Self::Script => "script",
            Self::Macro => "macro",
            Self::ActivePdf => "active_pdf",
            Self::ArchivedCode => "archived_code",
        }
    }
}

/// Looks at one file while it passes. Memory: `HEAD` bytes and a short window.
#[derive(Debug, Clone)]
pub struct Sniffer {
    head: Vec<u8>,
    scan: Option<Scan>,
    hazard: Option<Hazard>,
}

impl Sniffer {
    /// A sniffer for the file named `path`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            head: Vec::with_capacity(HEAD),
            scan: None,
            hazard: hazardous_name(path),
        }
    }

    /// Takes the next bytes. What was found so far is the answer: nothing later can take it back.
    pub fn push(&mut self, mut bytes: &[u8]) -> Option<Hazard> {
        if self.hazard.is_some() {
            return self.hazard;
        }
        if self.scan.is_none() {
            let wanted = HEAD.saturating_sub(self.head.len()).min(bytes.len());
            let (taken, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            self.head.extend_from_slice(taken);
            bytes = rest;
            if self.head.len() < HEAD {
                return None;
            }
            self.decide();
        }
        if let Some(scan) = &mut self.scan {
            self.hazard = self.hazard.or_else(|| scan.push(bytes));
        }
        self.hazard
    }

    /// The verdict once all bytes have passed.
    #[must_use]
    pub fn finish(mut self) -> Option<Hazard> {
        if self.hazard.is_none() && self.scan.is_none() {
            self.decide();
        }
        self.hazard.or_else(|| self.scan.and_then(Scan::finish))
    }

    fn decide(&mut self) {
        self.hazard = hazardous_head(&self.head);
        let mut scan = Scan::for_head(&self.head);
        if self.hazard.is_none() {
            self.hazard = scan.push(&self.head);
        }
        self.scan = Some(scan);
    }
}

/// Extensions that a Windows, macOS or Linux desktop runs, or that make it run something.
const RUN_BY_NAME: &[&str] = &[
    "app", "bat", "chm", "cmd", "com", "command", "cpl", "desktop", "dll", "exe", "hta", "inf", "jar", "jnlp", "js",
    "jse", "lnk", "msc", "msi", "msp", "pif", "ps1", "psm1", "py", "reg", "scf", "scr", "sh", "sys", "url", "vb",
    "vbe", "vbs", "wsf", "wsh",
];

/// Office extensions that promise macros.
const MACROS_BY_NAME: &[&str] = &["docm", "dotm", "pptm", "potm", "ppsm", "xlam", "xlsm", "xltm"];

fn hazardous_name(path: &str) -> Option<Hazard> {
    // Windows drops trailing dots and blanks when it opens a file.
    let (_, extension) = path.rsplit('/').next()?.trim_end_matches([' ', '.']).rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    if extension == "lnk" || extension == "inf" {
        Some(Hazard::Launcher)
    } else if RUN_BY_NAME.contains(&extension.as_str()) {
        Some(
            if matches!(extension.as_str(), "exe" | "dll" | "com" | "scr" | "msi" | "sys") {
                Hazard::Executable
            } else {
                Hazard::Script
            },
        )
    } else {
        MACROS_BY_NAME.contains(&extension.as_str()).then_some(Hazard::Macro)
    }
}

fn hazardous_head(head: &[u8]) -> Option<Hazard> {
    const MACH_O: [[u8; 4]; 5] = [
        [0xfe, 0xed, 0xfa, 0xce],
        [0xfe, 0xed, 0xfa, 0xcf],
        [0xce, 0xfa, 0xed, 0xfe],
        [0xcf, 0xfa, 0xed, 0xfe],
        [0xca, 0xfe, 0xba, 0xbe], // also a Java class
    ];
    const SHORTCUT: [u8; 8] = [0x4c, 0, 0, 0, 0x01, 0x14, 0x02, 0];
    if head.starts_with(b"\x7fELF") || MACH_O.iter().any(|magic| head.starts_with(magic)) {
        return Some(Hazard::Executable);
    }
    // A DOS header is binary, a text that begins with the letters MZ is not. This also catches a program
    // whose header hides in the 128 free bytes before `DICM`.
    if head.starts_with(b"MZ") && head.iter().take(64).any(|byte| *byte == 0) {
        return Some(Hazard::Executable);
    }
    if head.starts_with(&SHORTCUT) {
        return Some(Hazard::Launcher);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if text.starts_with(b"#!") {
        return Some(Hazard::Script);
    }
    let start: Vec<u8> = text
        .trim_ascii_start()
        .iter()
        .take(16)
        .map(u8::to_ascii_lowercase)
        .collect();
    if start.starts_with(b"[autorun]") {
        return Some(Hazard::Launcher);
    }
    start.starts_with(b"@echo off").then_some(Hazard::Script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniff(path: &str, bytes: &[u8]) -> Option<Hazard> {
        let whole = {
            let mut sniffer = Sniffer::new(path);
            sniffer.push(bytes);
            sniffer.finish()
        };
        let mut sniffer = Sniffer::new(path);
        for byte in bytes {
            sniffer.push(std::slice::from_ref(byte));
        }
        assert_eq!(sniffer.finish(), whole, "{path}: byte by byte and at once must agree");
        whole
    }

    fn padded(start: &[u8]) -> Vec<u8> {
        let mut bytes = start.to_vec();
        bytes.resize(bytes.len().max(2048), 0);
        bytes
    }

    #[test]
    fn programs_are_found_whatever_their_name() {
        let mut pe_in_preamble = padded(b"MZ\x90\0\x03");
        pe_in_preamble.splice(128..132, *b"DICM");
        for (bytes, hazard) in [
            (padded(b"MZ\x90\0\x03"), Hazard::Executable),
            (pe_in_preamble, Hazard::Executable),
            (padded(b"\x7fELF\x02\x01"), Hazard::Executable),
            (padded(b"\xcf\xfa\xed\xfe"), Hazard::Executable),
            (padded(b"\xca\xfe\xba\xbe\0\0\0\x3d"), Hazard::Executable),
            (padded(b"L\0\0\0\x01\x14\x02\0"), Hazard::Launcher),
            (b"#!/bin/sh\nrm -rf /\n".to_vec(), Hazard::Script),
            (b"\xef\xbb\xbf#!/usr/bin/env python\n".to_vec(), Hazard::Script),
            (b"\r\n@ECHO OFF\r\nformat c:".to_vec(), Hazard::Script),
            (b"[AutoRun]\r\nopen=viewer.exe".to_vec(), Hazard::Launcher),
            (
                b"<!DOCTYPE html><html><ScRiPt>alert(1)</script>".to_vec(),
                Hazard::Script,
            ),
            (
                b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>".to_vec(),
                Hazard::Script,
            ),
            (
                b"%PDF-1.7\n1 0 obj <</S /JavaScript /JS (x)>>".to_vec(),
                Hazard::ActivePdf,
            ),
            (b"%PDF-1.7\n1 0 obj <</S /Java#53cript>>".to_vec(), Hazard::ActivePdf),
            (b"%PDF-1.4\n<</S/Launch/F(cmd.exe)>>".to_vec(), Hazard::ActivePdf),
        ] {
            assert_eq!(
                sniff("letter/letter.pdf", &bytes),
                Some(hazard),
                "{:?}",
                &bytes[..16.min(bytes.len())]
            );
        }
    }

    #[test]
    fn names_that_make_a_system_run_a_file_are_refused() {
        for path in [
            "a/viewer.EXE",
            "start.bat",
            "x.ps1. ",
            "images/autorun.inf",
            "letter.docm",
            "page.hta",
            "x.js",
        ] {
            assert!(sniff(path, b"harmless").is_some(), "{path}");
        }
        for path in [
            "exe",
            "letter.pdf",
            "IM000001",
            "a.exe/readme.txt",
            "report.json",
            ".profile",
        ] {
            assert_eq!(sniff(path, b"harmless"), None, "{path}");
        }
    }

    #[test]
    fn macros_and_archived_code_are_found_deep_inside() {
        let mut docx = padded(b"PK\x03\x04");
        docx.extend(vec![7; 70_000]);
        docx.extend_from_slice(b"PK\x03\x04 word/vbaProject.bin");
        assert_eq!(sniff("letter.docx", &docx), Some(Hazard::Macro));

        let mut ole = padded(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]);
        ole.extend("_VBA_PROJECT".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(sniff("old.doc", &ole), Some(Hazard::Macro));

        let member = |name: &str| {
            let mut zip = b"PK\x03\x04".to_vec();
            zip.extend_from_slice(&[0; 22]);
            zip.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            zip.extend_from_slice(&[0, 0]);
            zip.extend_from_slice(name.as_bytes());
            zip.extend(vec![1; 600]);
            zip
        };
        assert_eq!(sniff("cd.zip", &member("VIEWER/setup.exe")), Some(Hazard::ArchivedCode));
        assert_eq!(sniff("cd.zip", &member("IMAGES/IM1")), None);
    }

    #[test]
    fn what_letters_are_made_of_passes() {
        for (path, bytes) in [
            (
                "letter/letter.pdf",
                b"%PDF-1.7\n1 0 obj <</Type/Catalog/JSON 1>>".to_vec(),
            ),
            (
                "letter/bundle.json",
                br#"{"resourceType":"Bundle","text":"<script> is only a word here"}"#.to_vec(),
            ),
            (
                "letter/cda.xml",
                b"<?xml version='1.0'?><ClinicalDocument xmlns='urn:hl7-org:v3'><title>x</title></ClinicalDocument>"
                    .to_vec(),
            ),
            ("images/IM1", {
                let mut d = vec![0; 128];
                d.extend_from_slice(b"DICM");
                d.extend(vec![0; 4000]);
                d
            }),
            (
                "note.txt",
                b"MZ is how this text begins, and it goes on long enough to be looked at as a whole header would."
                    .to_vec(),
            ),
            ("photo.jpg", padded(b"\xff\xd8\xff\xe0")),
            ("empty", Vec::new()),
        ] {
            assert_eq!(sniff(path, &bytes), None, "{path}");
        }
    }
}
