//! Containers with one hostile part each, and everything else right: signed, stamped, with the digests and checksums of what is there.
#![expect(clippy::type_complexity, reason = "tables of cases, each read by one loop")]

use std::fmt::Write as _;

use formats::asice::{FilePlan, MIMETYPE, manifest_for};
use formats::cades::with_evidence;
use formats::envelope::{Envelope, MAX_ENVELOPE_SIZE};
use kit::zip::{Entry, archive};
use kit::{Ca, Card, CardSpec, ContainerOptions, CrlReason, CrlSpec, Key, Revoked, TestHpki};
use time::OffsetDateTime;

use super::SIZE;

/// What a file of one byte takes in a container.
const BYTES_A_FILE: usize = 400;

/// Who signs, and when.
pub(crate) struct Signing<'s> {
    pub(crate) hpki: &'s TestHpki,
    pub(crate) card: Card,
    pub(crate) now: OffsetDateTime,
}

/// A container made to be laborious.
pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether it breaks no rule, however it looks: it may pass.
    pub(crate) ugly: bool,
}

/// One of every kind of part, one after the other: no two are in memory at once.
pub(crate) fn containers<'s>(
    signing: &'s Signing<'s>,
    letter: &'s dyn Fn() -> (Envelope, Vec<(String, Vec<u8>)>),
) -> impl Iterator<Item = Hostile> + 's {
    let manifests = MANIFESTS.iter().map(move |(name, ugly, change)| Hostile {
        name,
        bytes: signing.container(letter(), None, change, |signature| signature),
        ugly: *ugly,
    });
    let signatures = SIGNATURES.iter().map(move |(name, ugly, change)| Hostile {
        name,
        bytes: signing.container(letter(), None, &|manifest| manifest, |signature| {
            change(signing, signature)
        }),
        ugly: *ugly,
    });
    let envelopes = ENVELOPES.iter().map(move |(name, ugly, change)| {
        let letter = letter();
        let envelope = change(letter.0.to_json().unwrap());
        Hostile {
            name,
            bytes: signing.container(letter, Some(envelope), &|manifest| manifest, |signature| signature),
            ugly: *ugly,
        }
    });
    let files = FILES.iter().map(move |(name, place, media_type, make)| {
        let (mut envelope, mut files) = letter();
        let number = usize::from(*place != "letter/");
        let path = match number {
            0 => {
                let path = format!("letter/letter.{}", media_type.rsplit(['/', '+']).next().unwrap());
                path.clone_into(&mut envelope.documents[0].path);
                (*media_type).clone_into(&mut envelope.documents[0].media_type);
                path
            }
            _ => "images/IM0001".to_owned(),
        };
        files[number] = (path, make());
        Hostile {
            name,
            bytes: signing.container((envelope, files), None, &|manifest| manifest, |signature| signature),
            ugly: true,
        }
    });
    let many = std::iter::once_with(move || Hostile {
        name: "files of one byte",
        bytes: signing.many(letter()),
        ugly: true,
    });
    manifests.chain(signatures).chain(envelopes).chain(files).chain(many)
}

/// An honest letter with so many bytes of image.
pub(crate) fn large_referral(
    (envelope, mut files): (Envelope, Vec<(String, Vec<u8>)>),
    size: usize,
) -> (Envelope, Vec<(String, Vec<u8>)>) {
    files[2].1.resize(size, 7);
    (envelope, files)
}

impl Signing<'_> {
    /// As many files as fit: each costs a reference, two headers and a line in everything that is told of the letter.
    fn many(&self, (envelope, mut files): (Envelope, Vec<(String, Vec<u8>)>)) -> Vec<u8> {
        files.extend((0..SIZE / BYTES_A_FILE).map(|number| (format!("images/{number}"), vec![1])));
        self.container((envelope, files), None, &|manifest| manifest, |signature| signature)
    }

    /// A container in which everything is as stated: `envelope` in place of the letter's, its manifest changed before it is signed,
    /// and its signature changed after it is made.
    fn container(
        &self,
        letter: (Envelope, Vec<(String, Vec<u8>)>),
        envelope: Option<Vec<u8>>,
        manifest: &dyn Fn(Vec<u8>) -> Vec<u8>,
        signature: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> Vec<u8> {
        let (own, files) = letter;
        let mut all = vec![(
            "submission.json".to_owned(),
            envelope.unwrap_or_else(|| own.to_json().unwrap()),
        )];
        all.extend(files);
        let plans: Vec<FilePlan> = all
            .iter()
            .map(|(path, bytes)| FilePlan::measure(path, &mut bytes.as_slice()).unwrap())
            .collect();
        let manifest = manifest(manifest_for(&plans));
        let made = self
            .hpki
            .signature(&self.card, &manifest, ContainerOptions::at(self.now));
        let mut entries = vec![
            Entry::new("mimetype", MIMETYPE),
            Entry::new("META-INF/ASiCManifest001.xml", &manifest),
            Entry::new("META-INF/signature001.p7s", &signature(made)),
        ];
        entries.extend(all.iter().map(|(path, bytes)| Entry::new(path, bytes)));
        archive(&entries)
    }
}

const MANIFESTS: &[(&str, bool, fn(Vec<u8>) -> Vec<u8>)] = &[
    ("manifest of comments", true, |manifest| {
        within(&manifest, &"<!---->".repeat(SIZE / 7))
    }),
    ("manifest of elements", false, |manifest| {
        within(&manifest, &"<a>".repeat(SIZE / 3))
    }),
    ("manifest of references", false, |manifest| {
        let mut text = String::new();
        for number in 0..SIZE / 250 {
            write!(
                text,
                "<asic:DataObjectReference URI='{number}'><ds:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#sha256'/>\
                 <ds:DigestValue>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</ds:DigestValue></asic:DataObjectReference>"
            )
            .unwrap();
        }
        within(&manifest, &text)
    }),
    ("manifest of entities", false, |manifest| {
        within(&manifest, &"&lt;".repeat(SIZE / 4))
    }),
    ("manifest of attributes", false, |manifest| {
        let mut text = String::from("<a");
        for number in 0..SIZE / 12 {
            write!(text, " a{number:x}=''").unwrap();
        }
        within(&manifest, &(text + "/>"))
    }),
];

const SIGNATURES: &[(&str, bool, fn(&Signing<'_>, Vec<u8>) -> Vec<u8>)] = &[
    ("signature of indefinite lengths", false, |_, _| {
        [0x30, 0x80].repeat(SIZE / 2)
    }),
    ("signature of empty elements", false, |_, _| [0x30, 0].repeat(SIZE / 2)),
    ("signature with megabytes behind", false, |_, signature| {
        [signature, vec![0; SIZE]].concat()
    }),
    // It says nothing of the signer: another serial number for each line.
    ("signature with a list of megabytes", true, |signing, signature| {
        let at = signing.now - time::Duration::days(30);
        let revoked =
            (1_000_000..1_000_000 + SIZE as u64 / 40).map(|serial| Revoked::new(serial, at, CrlReason::Superseded));
        let spec = CrlSpec {
            revoked: revoked.collect(),
            ..CrlSpec::at(signing.now)
        };
        with_evidence(&signature, &[], &[signing.hpki.crl(Ca::Sign, spec)], &[]).unwrap()
    }),
    // Nobody signed them, and each of many might have.
    ("signature with lists of made-up CAs", true, |signing, signature| {
        let list = signing.hpki.crl(Ca::Sign, CrlSpec::at(signing.now));
        let lists: Vec<Vec<u8>> = (0..900_u32)
            .map(|number| {
                let mut list = list.clone();
                let end = list.len() - 4;
                list[end..].copy_from_slice(&number.to_be_bytes());
                list
            })
            .collect();
        let made_up = |serial| {
            let spec = CardSpec {
                subject: Ca::Sign.name(),
                key: Key::P384Doctor,
                issuer_key: Some(Key::Spare),
                serial,
                ..CardSpec::doctor()
            };
            signing.hpki.card(spec).certificate
        };
        let certificates: Vec<Vec<u8>> = (50_000..50_015).map(made_up).collect();
        with_evidence(&signature, &certificates, &lists, &[]).unwrap()
    }),
];

const ENVELOPES: &[(&str, bool, fn(Vec<u8>) -> Vec<u8>)] = &[
    ("envelope of spaces", true, |mut envelope| {
        envelope.resize(MAX_ENVELOPE_SIZE, b' ');
        envelope
    }),
    ("envelope of megabytes", false, |mut envelope| {
        envelope.resize(SIZE, b' ');
        envelope
    }),
    ("envelope of objects", false, |_| {
        b"{\"a\":".repeat(MAX_ENVELOPE_SIZE / 5)
    }),
    ("envelope of lists", false, |envelope| {
        let rest = envelope.strip_prefix(b"{").unwrap();
        let lists = "[],".repeat(MAX_ENVELOPE_SIZE / 3 - 2_000);
        [format!("{{\"a\":[{lists}[]],").as_bytes(), rest].concat()
    }),
];

const FILES: &[(&str, &str, &str, fn() -> Vec<u8>)] = &[
    ("PDF of beginnings", "letter/", "application/pdf", || {
        [b"%PDF-1.7\n".to_vec(), b"/ByteRang".repeat(SIZE / 9)].concat()
    }),
    ("PDF of objects", "letter/", "application/pdf", || {
        let object = b"1 0 obj<</ByteRange[0 1 2 3]/Type/Sig>>endobj\n";
        [b"%PDF-1.7\n".to_vec(), object.repeat(SIZE / object.len())].concat()
    }),
    ("CDA of elements", "letter/", "application/xml", || {
        [
            b"<ClinicalDocument xmlns='urn:hl7-org:v3'>".to_vec(),
            b"<a>".repeat(SIZE / 3),
        ]
        .concat()
    }),
    ("CDA of attributes", "letter/", "application/xml", || {
        let mut text = String::from("<ClinicalDocument xmlns='urn:hl7-org:v3'");
        for number in 0..SIZE / 12 {
            write!(text, " a{number:x}=''").unwrap();
        }
        (text + "></ClinicalDocument>").into_bytes()
    }),
    ("FHIR of lists", "letter/", "application/fhir+json", || {
        [
            b"{\"resourceType\":\"Bundle\",\"type\":\"document\",\"entry\":[".to_vec(),
            b"[],".repeat(SIZE / 3),
            b"{}]}".to_vec(),
        ]
        .concat()
    }),
    ("FHIR of objects", "letter/", "application/fhir+json", || {
        b"{\"a\":".repeat(SIZE / 5)
    }),
    ("DICOM of empty elements", "images/", "application/dicom", || {
        [vec![0; 128], b"DICM".to_vec(), b"\x08\0\x05\0CS\0\0".repeat(SIZE / 8)].concat()
    }),
    ("DICOM of sequences without end", "images/", "application/dicom", || {
        let sequence = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
        let mut image = kit::dicom(1, 1, 1);
        // Behind the header, before the first element of the data set ends the meta group.
        let meta = 132 + 12 + usize::from(image[140]) + (usize::from(image[141]) << 8);
        image.truncate(meta);
        [image, sequence.repeat(SIZE / sequence.len())].concat()
    }),
];

/// The manifest with this before its end.
fn within(manifest: &[u8], text: &str) -> Vec<u8> {
    let end = manifest.windows(2).rposition(|two| two == b"</").unwrap();
    [&manifest[..end], text.as_bytes(), &manifest[end..]].concat()
}
