//! PDFs written by hand: letters, revisions appended to them, signatures in them, and the published attacks on such signatures.

/// A letter of one page, and things beside it that some attacks need: object 6 is drawn over the page, 7 and 8 are defined and not
/// used, 9 is used by the page and not defined.
pub const LETTER: [(u32, &str); 8] = [
    (1, "<< /Type /Catalog /Pages 2 0 R >>"),
    (2, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"),
    (3, PAGE),
    (
        4,
        "<< /Length 44 >>\nstream\nBT /F1 18 Tf 72 760 Td (TEST letter) Tj ET  \nendstream",
    ),
    (5, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"),
    (
        6,
        "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 4 >>\nstream\n0 g \nendstream",
    ),
    (7, "<< /Length 7 >>\nstream\n(EVIL) \nendstream"),
    (8, "<< /Type /Pages /Kids [] /Count 0 >>"),
];
const PAGE: &str = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Group 9 0 R \
    /Resources << /Font << /F1 5 0 R >> /XObject << /X1 6 0 R >> >> >>";
/// The page with `more` in its dictionary.
#[must_use]
pub fn page_with(more: &str) -> String {
    PAGE.replace("/Type /Page ", &format!("/Type /Page {more} "))
}

/// Room for the CMS, in bytes.
const ROOM: usize = 12_000;

/// A PDF of these objects.
#[must_use]
pub fn pdf(objects: &[(u32, &str)]) -> Vec<u8> {
    appended(b"%PDF-1.7\n", objects, "/Root 1 0 R")
}

/// `pdf` with a revision of these objects behind it; `trailer` is added to its trailer.
#[must_use]
pub fn appended(pdf: &[u8], objects: &[(u32, &str)], trailer: &str) -> Vec<u8> {
    let mut bytes = pdf.to_vec();
    let mut places = Vec::new();
    for (number, text) in objects {
        places.push((*number, bytes.len()));
        bytes.extend(format!("{number} 0 obj\n{text}\nendobj\n").into_bytes());
    }
    let previous = start(pdf).map_or_else(String::new, |start| format!("/Prev {start}"));
    section(bytes, &places, &format!("{trailer} {previous}"))
}

/// A cross-reference section with these places behind `bytes`.
#[must_use]
pub fn section(mut bytes: Vec<u8>, places: &[(u32, usize)], trailer: &str) -> Vec<u8> {
    let start = bytes.len();
    let mut text = "xref\n0 1\n0000000000 65535 f \n".to_owned();
    for (number, place) in places {
        text += &format!("{number} 1\n{place:010} 00000 n \n");
    }
    text += &format!("trailer\n<< /Size 100 {trailer} >>\nstartxref\n{start}\n%%EOF\n");
    bytes.extend(text.into_bytes());
    bytes
}

/// Where the newest cross-reference section begins, as the file says.
#[must_use]
pub fn start(pdf: &[u8]) -> Option<usize> {
    let place = pdf.windows(9).rposition(|window| window == b"startxref")?;
    let number = pdf.get(place + 9..)?.trim_ascii_start();
    let digits: Vec<u8> = number.iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

/// What a signature looks like.
#[derive(Debug, Clone, Copy)]
pub struct Look<'l> {
    /// `/SubFilter`
    pub form: &'l str,
    /// More keys of the signature dictionary.
    pub more: &'l str,
    /// Number of its field; the signature is the next.
    pub number: u32,
    /// `/Rect` of its field.
    pub rectangle: &'l str,
    /// `/Fields` and `/Annots` of earlier signatures.
    pub earlier: &'l str,
    /// More keys of the catalog.
    pub catalog: &'l str,
}

impl Look<'_> {
    /// An invisible PAdES signature.
    pub const PLAIN: Look<'static> = Look {
        form: "ETSI.CAdES.detached",
        more: "/M (D:20261122100000+09'00')",
        number: 20,
        rectangle: "[0 0 0 0]",
        earlier: "",
        catalog: "",
    };
}

/// Appends a signature; `cms` makes it from the bytes of both ranges.
#[must_use]
pub fn signed(pdf: &[u8], look: Look<'_>, cms: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Look {
        form,
        more,
        number,
        rectangle,
        earlier,
        catalog,
    } = look;
    let value = number + 1;
    let kind = if form == "ETSI.RFC3161" { "DocTimeStamp" } else { "Sig" };
    let contents = "0".repeat(2 * ROOM);
    let dictionary = format!(
        "<< /Type /{kind} /Filter /Adobe.PPKLite /SubFilter /{form} {more} /ByteRange [0 1111111111 2222222222 3333333333] \
         /Contents <{contents}> >>"
    );
    let field = format!(
        "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Signature{number}) /Rect {rectangle} /F 132 /P 3 0 R /V {value} 0 R >>"
    );
    let fields = format!("{earlier} {number} 0 R");
    let catalog = format!("<< /Type /Catalog /Pages 2 0 R {catalog} /AcroForm << /Fields [{fields}] /SigFlags 3 >> >>");
    let page = page_with(&format!("/Annots [{fields}]"));
    let objects = [
        (1, catalog.as_str()),
        (3, page.as_str()),
        (number, field.as_str()),
        (value, dictionary.as_str()),
    ];
    let mut bytes = appended(pdf, &objects, "/Root 1 0 R");
    let gap = bytes
        .windows(10)
        .rposition(|window| window == b"/Contents ")
        .map(|place| place + 10)
        .unwrap_or_default();
    let (after, end) = (gap + 2 * ROOM + 2, bytes.len());
    for (mark, number) in [("1111111111", gap), ("2222222222", after), ("3333333333", end - after)] {
        replace(&mut bytes, mark, &format!("{number:<10}"));
    }
    let ranges = [&bytes[..gap], &bytes[after..]].concat();
    let cms: String = cms(&ranges).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[gap + 1..=gap + cms.len()].copy_from_slice(cms.as_bytes());
    bytes
}

/// Keys of the catalog of a PDF with a security store.
pub const STORE: &str = "/DSS 40 0 R";

/// Appends a security store to a PDF whose signature fields are `fields`.
#[must_use]
pub fn stored(pdf: &[u8], fields: &str, crls: &[Vec<u8>], ocsp: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pdf.to_vec();
    let mut places = Vec::new();
    let mut number = 40;
    let mut streams = |bytes: &mut Vec<u8>, all: &[Vec<u8>]| {
        let mut references = String::new();
        for one in all {
            number += 1;
            references += &format!("{number} 0 R ");
            places.push((number, bytes.len()));
            bytes.extend(format!("{number} 0 obj\n<< /Length {} >>\nstream\n", one.len()).into_bytes());
            bytes.extend([one.as_slice(), b"\nendstream\nendobj\n"].concat());
        }
        references
    };
    let (crls, ocsp) = (streams(&mut bytes, crls), streams(&mut bytes, ocsp));
    let catalog = format!("<< /Type /Catalog /Pages 2 0 R {STORE} /AcroForm << /Fields [{fields}] /SigFlags 3 >> >>");
    for (number, text) in [
        (1, catalog),
        (40, format!("<< /Type /DSS /CRLs [{crls}] /OCSPs [{ocsp}] >>")),
    ] {
        places.push((number, bytes.len()));
        bytes.extend(format!("{number} 0 obj\n{text}\nendobj\n").into_bytes());
    }
    let previous = start(pdf).map_or_else(String::new, |start| format!("/Prev {start}"));
    section(bytes, &places, &format!("/Root 1 0 R {previous}"))
}

/// The letter as a linearised file (ISO 32000-1 annex F): its first section stands in front and leads to the one behind it.
#[must_use]
pub fn linearised() -> Vec<u8> {
    let table = |places: &[(u32, usize)], trailer: &str| {
        let rows = places
            .iter()
            .map(|(number, place)| format!("{number} 1\n{place:010} 00000 n \n"));
        format!("xref\n{}trailer\n<< /Size 100 {trailer} >>\n", rows.collect::<String>())
    };
    let file = |front: &[(u32, usize)], back: &[(u32, usize)], previous: usize| {
        let mut bytes = b"%PDF-1.7\n".to_vec();
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        first.push((10, bytes.len()));
        bytes.extend(b"10 0 obj\n<< /Linearized 1 /L 99999 /H [0 0] /O 3 /E 0 /N 1 /T 0 >>\nendobj\n");
        let start = bytes.len();
        let text = table(front, &format!("/Root 1 0 R /Prev {previous:<10}"));
        bytes.extend(format!("{text}startxref\n0\n%%EOF\n").into_bytes());
        for (number, text) in LETTER {
            let list = if number % 2 == 1 { &mut first } else { &mut rest };
            list.push((number, bytes.len()));
            bytes.extend(format!("{number} 0 obj\n{text}\nendobj\n").into_bytes());
        }
        let behind = bytes.len();
        bytes.extend(format!("{}startxref\n{start}\n%%EOF\n", table(back, "")).into_bytes());
        (bytes, first, rest, behind)
    };
    let zeros = |many: usize| (0..many).map(|_| (9, 0)).collect::<Vec<_>>();
    // Every number has its full width, so the places of the first try are those of the second.
    let (_, first, rest, _) = file(&zeros(5), &zeros(4), 0);
    let sized = |places: &[(u32, usize)]| places.iter().map(|(number, _)| (*number, 0)).collect::<Vec<_>>();
    let (_, first, rest, behind) = file(&sized(&first), &sized(&rest), 0);
    file(&first, &rest, behind).0
}

/// The letter as a hybrid file (ISO 32000-1 §7.5.8.4): readers of tables do not see objects 5 and 6, which the stream names.
#[must_use]
pub fn hybrid() -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let (mut seen, mut hidden) = (Vec::new(), Vec::new());
    for (number, text) in LETTER {
        let list = if (5..=6).contains(&number) {
            &mut hidden
        } else {
            &mut seen
        };
        list.push((number, bytes.len()));
        bytes.extend(format!("{number} 0 obj\n{text}\nendobj\n").into_bytes());
    }
    let stream = bytes.len();
    seen.push((11, stream));
    let rows = hidden.iter().flat_map(|(_, place)| {
        let place = u32::try_from(*place).unwrap_or_default().to_be_bytes();
        [&[1][..], &place, &[0]].concat()
    });
    let rows: Vec<u8> = rows.collect();
    let dictionary = format!(
        "<< /Type /XRef /Size 100 /W [1 4 1] /Index [5 2] /Root 1 0 R /Length {} >>",
        rows.len()
    );
    bytes.extend(format!("11 0 obj\n{dictionary}\nstream\n").into_bytes());
    bytes.extend([&rows[..], b"\nendstream\nendobj\n"].concat());
    section(bytes, &seen, &format!("/Root 1 0 R /XRefStm {stream}"))
}

/// Replaces the last `from` by `to`, which is as long.
pub fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len(), "nothing may move");
    let place = bytes.windows(from.len()).rposition(|window| window == from.as_bytes());
    let place = place.unwrap_or_else(|| panic!("{from} does not occur"));
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
}

/// The published attacks on a signed [`LETTER`], by name. Each leaves the signature's own bytes as they were signed, except those
/// of the first class (USF), which hope for a reader that does not look.
#[must_use]
pub fn attacks(signed: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let root = "/Root 1 0 R";
    let update = |objects: &[(u32, &str)]| appended(signed, objects, root);
    let swap = |from: &str, to: &str| {
        let mut bytes = signed.to_vec();
        replace(&mut bytes, from, to);
        bytes
    };
    let evil = "<< /Length 7 >>\nstream\n(EVIL) \nendstream";
    let end = start(signed).unwrap_or_default();
    let hidden = signed
        .windows(8)
        .position(|window| window == b"\n7 0 obj")
        .map(|place| place + 1)
        .unwrap_or_default();
    let annotation = "<< /Type /Annot /Subtype /FreeText /Rect [0 0 500 800] /Contents (EVIL) >>";
    let note = page_with("/Annots [20 0 R 30 0 R]");
    let field = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Later) /Rect [0 0 500 800] /P 3 0 R >>";
    let flagged = |flags: u32| field.replace("/P 3 0 R", &format!("/F {flags} /P 3 0 R"));
    let catalog = |pages: &str, more: &str, fields: &str| {
        format!("<< /Type /Catalog /Pages {pages} 0 R {more} /AcroForm << /Fields [{fields}] /SigFlags 3 >> >>")
    };
    let text = "<< /FT /Tx /T (Name) /V (EVIL) >>";
    vec![
        // Universal signature forgery, 2019.
        ("usf-no-byte-range", swap("/ByteRange", "/ByteRangx")),
        ("usf-empty-byte-range", swap("/ByteRange [0 ", "/ByteRange [] ")),
        ("usf-negative-byte-range", swap("/ByteRange [0 ", "/ByteRange [-1")),
        ("usf-no-contents", swap("/Contents <", "/Contentx <")),
        ("usf-empty-contents", swap("/Contents <30", "/Contents <> ")),
        ("usf-zero-contents", swap("/Contents <30", "/Contents <00")),
        // Incremental saving attack, 2019: with a section, without, with one that lists nothing.
        ("isa-section", update(&[(4, evil)])),
        (
            "isa-no-section",
            [signed, format!("4 0 obj\n{evil}\nendobj\n").as_bytes()].concat(),
        ),
        (
            "isa-old-section",
            [
                signed,
                format!("4 0 obj\n{evil}\nendobj\nstartxref\n{end}\n%%EOF\n").as_bytes(),
            ]
            .concat(),
        ),
        ("isa-unlisted", {
            let bytes = [signed, format!("4 0 obj\n{evil}\nendobj\n").as_bytes()].concat();
            section(bytes, &[], &format!("{root} /Prev {end}"))
        }),
        // Signature wrapping, 2019: a second ByteRange in the room the CMS does not need, and what it skips behind it.
        ("swa", wrapped(signed, evil)),
        // Shadow attacks, 2021.
        (
            "shadow-hide",
            update(&[(
                6,
                "<< /Type /XObject /Subtype /Form /BBox [0 0 0 0] /Length 4 >>\nstream\n0 g \nendstream",
            )]),
        ),
        ("shadow-hide-removed", {
            let bytes = section(signed.to_vec(), &[], &format!("{root} /Prev {end}"));
            let table =
                String::from_utf8_lossy(&bytes[signed.len()..]).replace("trailer", "6 1\n0000000000 00001 f \ntrailer");
            [signed, table.as_bytes()].concat()
        }),
        ("shadow-replace", update(&[(5, "<< /Type /Font /Subtype /Type3 >>")])),
        (
            "shadow-replace-field",
            update(&[(1, &catalog("2", "", "20 0 R 30 0 R")), (30, text)]),
        ),
        ("shadow-hide-and-replace", update(&[(1, &catalog("8", "", "20 0 R"))])),
        ("shadow-unused", update(&[(7, evil)])),
        ("shadow-undefined", update(&[(9, "<< /S /Transparency /CS /EVIL >>")])),
        (
            "shadow-old-offset",
            section(signed.to_vec(), &[(30, hidden)], &format!("{root} /Prev {end}")),
        ),
        (
            "shadow-other-root",
            appended(signed, &[(31, &catalog("8", "", "20 0 R"))], "/Root 31 0 R"),
        ),
        ("shadow-other-chain", {
            let first = signed
                .windows(5)
                .position(|window| window == b"xref\n")
                .unwrap_or_default();
            let bytes = [signed, format!("4 0 obj\n{evil}\nendobj\n").as_bytes()].concat();
            section(bytes, &[(4, signed.len())], &format!("{root} /Prev {first}"))
        }),
        (
            "open-action",
            update(&[(1, &catalog("2", "/OpenAction [3 0 R /Fit]", "20 0 R"))]),
        ),
        ("names", update(&[(1, &catalog("2", "/Names << >>", "20 0 R"))])),
        (
            "page-size",
            update(&[(3, &note.replace("595", "300").replace(" 30 0 R", ""))]),
        ),
        // Attacks on certified PDFs, 2021: an annotation, a later signature that is seen.
        ("certified-annotation", update(&[(3, &note), (30, annotation)])),
        (
            "certified-signature",
            update(&[(1, &catalog("2", "", "20 0 R 30 0 R")), (3, &note), (30, field)]),
        ),
        // NoView keeps a field from the screen and not from paper; with ToggleNoView not even from that.
        (
            "printed-signature",
            update(&[(1, &catalog("2", "", "20 0 R 30 0 R")), (3, &note), (30, &flagged(36))]),
        ),
        (
            "toggled-signature",
            update(&[(1, &catalog("2", "", "20 0 R 30 0 R")), (3, &note), (30, &flagged(292))]),
        ),
        (
            "field-with-action",
            update(&[
                (1, &catalog("2", "", "20 0 R 30 0 R")),
                (30, &field.replace("[0 0 500 800]", "[0 0 0 0] /AA << /O 7 0 R >>")),
            ]),
        ),
    ]
}

/// What may be appended to a signed [`LETTER`]: by name.
#[must_use]
pub fn additions(signed: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let catalog = "<< /Type /Catalog /Pages 2 0 R /DSS 40 0 R /AcroForm << /Fields [20 0 R] /SigFlags 3 >> >>";
    let store = "<< /Type /DSS /Certs [41 0 R] >>";
    let stream = "<< /Length 4 >>\nstream\nxxxx\nendstream";
    let invisible = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Empty) /Rect [0 0 0 0] /P 3 0 R >>";
    let page = page_with("/Annots [20 0 R 30 0 R]");
    let fields = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [20 0 R 30 0 R] /SigFlags 3 >> >>";
    let first = appended(signed, &[(1, catalog), (40, store), (41, stream)], "/Root 1 0 R");
    vec![
        ("line-end", [signed, b"\n"].concat()),
        (
            "hidden-field",
            appended(
                signed,
                &[
                    (1, fields),
                    (3, &page),
                    (30, &invisible.replace("[0 0 0 0]", "[0 0 9 9] /F 2")),
                ],
                "/Root 1 0 R",
            ),
        ),
        (
            "validation-material-again",
            appended(
                &first,
                &[(40, "<< /Type /DSS /Certs [41 0 R 42 0 R] >>"), (42, stream)],
                "/Root 1 0 R",
            ),
        ),
        ("validation-material", first),
        (
            "empty-field",
            appended(signed, &[(1, fields), (3, &page), (30, invisible)], "/Root 1 0 R"),
        ),
        (
            "information",
            appended(signed, &[(50, "<< /Producer (x) >>")], "/Root 1 0 R /Info 50 0 R"),
        ),
    ]
}

/// The CMS keeps its place; the rest of its room closes the dictionary with a ByteRange of the attacker's, and a cross-reference
/// section of theirs stands where the old one stood, so that the old end, moved behind it, still leads there.
fn wrapped(signed: &[u8], evil: &str) -> Vec<u8> {
    let gap = signed
        .windows(10)
        .rposition(|window| window == b"/Contents ")
        .map(|place| place + 10)
        .unwrap_or_default();
    let (after, old) = (gap + 2 * ROOM + 2, start(signed).unwrap_or_default());
    let rest = signed.len() - after;
    let kept = gap + 1 + 2 * ROOM * 4 / 5;
    let places: Vec<(u32, usize)> = [1, 3, 20, 21]
        .into_iter()
        .map(|number| {
            let header = format!("\n{number} 0 obj").into_bytes();
            let place = signed[..gap].windows(header.len()).rposition(|window| window == header);
            (number, place.map_or(0, |place| place + 1))
        })
        .collect();
    let forged = |moved: usize| {
        let mut bytes = signed[..kept].to_vec();
        bytes.extend(format!(">/ByteRange [0 {gap} {moved:<10} {rest}] >>\nendobj\n").into_bytes());
        let place = bytes.len();
        bytes.extend(format!("4 0 obj\n{evil}\nendobj\n").into_bytes());
        bytes.resize(old, b' ');
        let previous = signed
            .windows(5)
            .position(|window| window == b"xref\n")
            .unwrap_or_default();
        section(
            bytes,
            &[places.as_slice(), &[(4, place)]].concat(),
            &format!("/Root 1 0 R /Prev {previous}"),
        )
    };
    let mut bytes = forged(forged(0).len());
    bytes.extend_from_slice(&signed[after..]);
    bytes
}
