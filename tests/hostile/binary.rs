//! Laborious ASN.1 and DICOM: deep, wide, with lengths that lie.

use std::hint::black_box;

use formats::cades::{Profile, SignedData};
use formats::dicom::Header;
use formats::hc_role;
use formats::timestamp::{Response, Token, TstInfo};
use trust_store::path::CertificatePool;
use trust_store::revocation::CrlPool;
use trust_store::revocation::crl::Crl;
use trust_store::revocation::ocsp::OcspPool;
use trust_store::{Evidence, Subject, TrustAnchor};

use super::{Case, SIZE};

const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make, read| Case { name, make, read };
    vec![
        case(
            "a signature nested without end",
            || [0x30, 0x80].repeat(SIZE / 2),
            signature,
        ),
        case("a signature whose length lies", lying, signature),
        case(
            "a signature of indefinite lengths inside each other",
            indefinite,
            signature,
        ),
        case(
            "a signature with a million certificates",
            || signed_data(0xa0, &[0x30, 0]),
            signature,
        ),
        case(
            "a signature with a million lists",
            || signed_data(0xa1, &[0x30, 0]),
            signature,
        ),
        case(
            "a signature with a million signers",
            || signed_data(0x31, &[0x30, 0]),
            signature,
        ),
        case(
            "a signature with a million unsigned attributes",
            || spoilt(true),
            signature,
        ),
        case(
            "a signature with a million signed attributes",
            || spoilt(false),
            signature,
        ),
        case("content in a million chunks", chunked, signature),
        case(
            "a token with a million accuracies",
            || element(0x30, &[&[2, 1, 1][..], &[0x30, 0].repeat(SIZE / 2)].concat()),
            token,
        ),
        case(
            "a token of one long number",
            || element(0x30, &element(2, &vec![1; SIZE])),
            token,
        ),
        case("a response with a million texts", rejected, token),
        case("a list with half a million lines", || list(&line(0), SIZE), crl),
        case("a list with an issuer on each line", || list(&line(1), SIZE), crl),
        case(
            "ten certificates with policies only",
            || certificates(&[0x55, 0x1d, 0x20], &element(0x30, &[0x06, 1, 0x2a])),
            evidence,
        ),
        case(
            "ten certificates with name constraints only",
            || certificates(&[0x55, 0x1d, 0x1e], &element(0x30, &[0x82, 1, b'a'])),
            evidence,
        ),
        case(
            "ten certificates with other names only",
            || certificates(&[0x55, 0x1d, 0x11], &[0x82, 1, b'a']),
            evidence,
        ),
        case(
            "ten certificates with distribution points only",
            || {
                certificates(
                    &[0x55, 0x1d, 0x1f],
                    &element(0x30, &element(0xa0, &element(0xa0, &element(0x86, b"http://a")))),
                )
            },
            evidence,
        ),
        case(
            "one certificate ten thousand times, nearly",
            many_certificates,
            evidence,
        ),
        case("ten thousand lists, nearly the same", many_lists, evidence),
        case(
            "evidence of nothing but empty elements",
            || [0x30, 0].repeat(SIZE / 2),
            evidence,
        ),
        case(
            "anchors of nothing but empty elements",
            || [0x30, 0].repeat(SIZE / 2),
            anchors,
        ),
        case(
            "roles without end",
            || element(0x30, &[0x30, 0].repeat(SIZE / 2)),
            roles,
        ),
        case(
            "roles in a million attributes",
            || {
                element(
                    0x30,
                    &element(0x30, &[&[0x06, 4, 0x28, 0x81, 0x85, 0x42][..], &[0x31, 0]].concat()).repeat(SIZE / 10),
                )
            },
            roles,
        ),
        case(
            "DICOM nested without end",
            || {
                dicom(
                    &[
                        &[8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff][..],
                        &[0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff].repeat(SIZE / 8),
                    ]
                    .concat(),
                )
            },
            image,
        ),
        case(
            "DICOM with a million elements",
            || dicom(&[8, 0, 0x40, 0x11, b'L', b'O', 0, 0].repeat(SIZE / 8)),
            image,
        ),
        case(
            "DICOM with long names",
            || {
                dicom(
                    &[&[0x10, 0, 0x10, 0, b'P', b'N', 0xfe, 0xff][..], &vec![b'^'; 65_534]]
                        .concat()
                        .repeat(SIZE / 65_542),
                )
            },
            image,
        ),
        case(
            "DICOM whose lengths lie",
            || dicom(&[8, 0, 0x40, 0x11, b'O', b'B', 0, 0, 0xfe, 0xff, 0xff, 0xff]),
            image,
        ),
        case("DICOM deflated from nothing", deflated_image, image),
    ]
}

pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let octets: Vec<u8> = length.into_iter().skip_while(|octet| *octet == 0).collect();
    let header = match content.len() {
        short @ 0..0x80 => vec![tag, u8::try_from(short).unwrap()],
        _ => [&[tag, 0x80 | u8::try_from(octets.len()).unwrap()], &octets[..]].concat(),
    };
    [&header, content].concat()
}

fn signature(bytes: &[u8]) {
    let _ = black_box(SignedData::parse(bytes, Profile::Document));
    let _ = black_box(SignedData::parse(bytes, Profile::Token));
    let subject = Subject::Signature {
        bytes: bytes.to_vec(),
        content: None,
    };
    let _ = black_box(
        super::texts::store()
            .validate(subject, Evidence::default(), kit_now())
            .report(),
    );
}

fn kit_now() -> time::OffsetDateTime {
    time::macros::datetime!(2026-11-20 03:00:00 UTC)
}

fn token(bytes: &[u8]) {
    let _ = black_box(Token::parse(bytes));
    let _ = black_box(TstInfo::parse(bytes));
    let _ = black_box(Response::parse(bytes));
}

fn crl(bytes: &[u8]) {
    let list = Crl::parse(bytes);
    if let Ok(list) = &list {
        let _ = black_box(list.find(&list.issuer, &[7]));
    }
    drop(list);
    let _ = black_box(CrlPool::from_der([&bytes.to_vec()]));
}

fn evidence(bytes: &[u8]) {
    let mut evidence = Evidence::default();
    evidence.add("one", bytes);
    evidence.add("two", bytes);
    let pool = CertificatePool::from_der(&evidence.certificates);
    for certificate in pool.certificates() {
        let _ = black_box((
            certificate.policies(),
            certificate.key_usage(),
            certificate.basic_constraints(),
        ));
        let _ = black_box(trust_store::revocation::urls(certificate));
    }
    let lists = CrlPool::default();
    let options = trust_store::chain::ChainOptions::default();
    if let Some(leaf) = pool.certificates().first() {
        let anchors = trust_store::AnchorSet::default();
        let _ = black_box(trust_store::chain::chain(
            leaf,
            &anchors,
            &pool,
            &lists,
            &OcspPool::default(),
            kit_now(),
            &options,
        ));
    }
}

fn anchors(bytes: &[u8]) {
    let _ = black_box(TrustAnchor::parse(bytes));
}

fn roles(bytes: &[u8]) {
    let _ = black_box(hc_role::roles(bytes));
}

fn image(bytes: &[u8]) {
    let _ = black_box(Header::read(bytes));
}

fn lying() -> Vec<u8> {
    let mut bytes = vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff];
    bytes.resize(SIZE, 0x04);
    bytes
}

/// Thirty levels, each without a length, around many small elements.
fn indefinite() -> Vec<u8> {
    let mut bytes = [0x30, 0x80].repeat(30);
    bytes.extend([0x05, 0].repeat(SIZE / 2));
    bytes.extend([0, 0].repeat(30));
    bytes
}

/// A SignedData that is nothing but many of `inside` in its certificates, lists or signers.
fn signed_data(tag: u8, inside: &[u8]) -> Vec<u8> {
    let many = element(tag, &inside.repeat(SIZE / inside.len()));
    let before = [&[2, 1, 1][..], &[0x31, 0], &element(0x30, &DATA)].concat();
    let after: &[u8] = if tag == 0x31 { &[] } else { &[0x31, 0] };
    let signed = element(0x30, &[&before, &many, after].concat());
    element(0x30, &[&SIGNED_DATA[..], &element(0xa0, &signed)].concat())
}

/// A good signature with many attributes more.
fn spoilt(unsigned: bool) -> Vec<u8> {
    let hpki = kit::TestHpki::new("http://hpki.example", kit_now());
    let options = kit::ContainerOptions {
        stamp: None,
        signing_time: None,
    };
    let good = hpki.signature(&hpki.doctor(), b"content", options);
    let inside = |bytes: &[u8]| children(bytes);
    let info = inside(&good);
    let explicit = inside(&info[1]);
    let mut fields = inside(&explicit[0]);
    let signers = inside(fields.last().unwrap());
    let mut signer = inside(&signers[0]);
    let attribute = element(0x30, &[&[0x06, 1, 0x2a][..], &[0x31, 0]].concat());
    let many = attribute.repeat(SIZE / attribute.len());
    if unsigned {
        signer.push(element(0xa1, &many));
    } else {
        let signed = signer.iter().position(|part| part[0] == 0xa0).unwrap();
        signer[signed] = element(0xa0, &[contents(&signer[signed]), &many].concat());
    }
    *fields.last_mut().unwrap() = element(0x31, &element(0x30, &signer.concat()));
    let explicit = element(0xa0, &element(0x30, &fields.concat()));
    element(0x30, &[&info[0][..], &explicit].concat())
}

fn contents(der: &[u8]) -> &[u8] {
    let header = match der[1] {
        0..0x80 => 2,
        long => 2 + usize::from(long & 0x7f),
    };
    &der[header..]
}

/// The elements inside a DER element.
fn children(der: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut found) = (contents(der), Vec::new());
    while !rest.is_empty() {
        let body = contents(rest);
        let header = rest.len() - body.len();
        let length = match rest[1] {
            short @ 0..0x80 => usize::from(short),
            _ => rest[2..header]
                .iter()
                .fold(0, |all, octet| all << 8 | usize::from(*octet)),
        };
        found.push(rest[..header + length].to_vec());
        rest = &rest[header + length..];
    }
    found
}

fn chunked() -> Vec<u8> {
    let content = element(0xa0, &element(0x24, &[4, 0].repeat(SIZE / 2)));
    let signed = [
        &[2, 1, 1][..],
        &[0x31, 0],
        &element(0x30, &[&DATA[..], &content].concat()),
        &[0x31, 0],
    ]
    .concat();
    element(
        0x30,
        &[&SIGNED_DATA[..], &element(0xa0, &element(0x30, &signed))].concat(),
    )
}

fn rejected() -> Vec<u8> {
    let texts = element(0x30, &[0x0c, 0].repeat(SIZE / 2));
    element(0x30, &element(0x30, &[&[2, 1, 2][..], &texts].concat()))
}

/// A line of a CRL: the shortest, or one that names an issuer.
fn line(extensions: u8) -> Vec<u8> {
    let time = element(0x17, b"260906180000Z");
    let serial = [2, 1, 7];
    if extensions == 0 {
        return element(0x30, &[&serial[..], &time].concat());
    }
    let name = element(
        0x30,
        &element(
            0x31,
            &element(0x30, &[&[0x06, 3, 0x55, 4, 3, 0x0c, 1, b'a'][..]].concat()),
        ),
    );
    let issuer = element(
        0x30,
        &[
            &[0x06, 3, 0x55, 0x1d, 0x1d][..],
            &element(4, &element(0x30, &element(0xa4, &name))),
        ]
        .concat(),
    );
    element(0x30, &[&serial[..], &time, &element(0x30, &issuer)].concat())
}

fn list(line: &[u8], size: usize) -> Vec<u8> {
    let algorithm = element(0x30, &[0x06, 3, 0x2a, 3, 4]);
    let lines = element(0x30, &line.repeat(size / line.len()));
    let tbs = [
        &[2, 1, 1][..],
        &algorithm,
        &[0x30, 0],
        &element(0x17, b"260906180000Z"),
        &lines,
    ]
    .concat();
    element(0x30, &[&element(0x30, &tbs)[..], &algorithm, &[3, 2, 0, 1]].concat())
}

/// Ten certificates just below the greatest size, each with one extension that is nothing but many of `inside`.
fn certificates(kind: &[u8], inside: &[u8]) -> Vec<u8> {
    let hpki = kit::TestHpki::new("http://hpki.example", kit_now());
    let good = hpki.ca(kit::Ca::Sign);
    let many = inside.repeat(1_040_000 / inside.len());
    let many = if kind[2] == 0x1e { element(0xa0, &many) } else { many };
    let value = element(4, &element(0x30, &many));
    let extension = element(0x30, &[&element(6, kind)[..], &value].concat());
    let mut parts = children(&good);
    let mut tbs = children(&parts[0]);
    *tbs.last_mut().unwrap() = element(0xa3, &element(0x30, &extension));
    (0..9)
        .flat_map(|serial| {
            tbs[1] = vec![2, 1, serial];
            parts[0] = element(0x30, &tbs.concat());
            element(0x30, &parts.concat())
        })
        .collect()
}

/// Thousands of certificates that differ in their last bytes only.
fn many_certificates() -> Vec<u8> {
    let hpki = kit::TestHpki::new("http://hpki.example", kit_now());
    many(&hpki.ca(kit::Ca::Sign))
}

fn many_lists() -> Vec<u8> {
    let hpki = kit::TestHpki::new("http://hpki.example", kit_now());
    many(&hpki.crl(kit::Ca::Sign, kit::CrlSpec::at(kit_now())))
}

fn many(one: &[u8]) -> Vec<u8> {
    let count = (SIZE / one.len()).min(10_000);
    let mut all = one.repeat(count);
    for (number, copy) in all.chunks_mut(one.len()).enumerate() {
        let number = u32::try_from(number).unwrap().to_be_bytes();
        let end = copy.len() - 4;
        copy[end..].copy_from_slice(&number);
    }
    all
}

/// A DICOM file with these elements after its meta information.
fn dicom(elements: &[u8]) -> Vec<u8> {
    let image = kit::dicom(1, 1, 1);
    let body = image
        .windows(8)
        .position(|bytes| bytes == b"\x08\0\x05\0CS\x0a\0")
        .unwrap();
    [&image[..body], elements].concat()
}

/// Deflated: sixteen mebibytes of header out of few bytes, thousands of them in a row.
fn deflated_image() -> Vec<u8> {
    let image = kit::dicom(1, 1, 1);
    let syntax = image
        .windows(20)
        .position(|bytes| bytes == b"1.2.840.10008.1.2.1\0")
        .unwrap();
    let body = image
        .windows(8)
        .position(|bytes| bytes == b"\x08\0\x05\0CS\x0a\0")
        .unwrap();
    let elements = [8, 0, 0x40, 0x11, b'O', b'B', 0, 0, 0, 0, 0x10, 0].to_vec();
    let mut data = elements;
    data.resize(100 << 20, 0);
    let deflated = super::containers::deflate(&data);
    let mut meta = image[..syntax - 2].to_vec();
    meta.extend(22_u16.to_le_bytes());
    meta.extend(b"1.2.840.10008.1.2.1.99");
    meta.extend(&image[syntax + 20..body]);
    [meta, deflated].concat()
}
