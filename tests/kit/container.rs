//! Whole submissions: envelope, files, signature and stamp, made with the house's own writer.

use std::collections::HashMap;

use formats::asice::{FilePlan, SignedManifest, manifest_for, write};
use formats::cades::{Profile, SignatureScheme, SignedData, SigningIdentity, prepare, with_timestamp};
use formats::digest::DigestAlgorithm;
use formats::envelope::{Category, Document, DocumentKind, Envelope, Party, Patient, Sex};
use time::OffsetDateTime;

use crate::card::Card;
use crate::dicom::dicom;
use crate::hpki::TestHpki;
use crate::letter::letter_pdf;
use crate::tsa::TokenSpec;

/// How a container is signed and stamped.
#[derive(Debug, Clone)]
pub struct ContainerOptions {
    /// The stamp; `None`: level B-B.
    pub stamp: Option<TokenSpec>,
    /// signing-time attribute.
    pub signing_time: Option<OffsetDateTime>,
}

impl ContainerOptions {
    /// Stamped at `gen_time`, without signing-time.
    #[must_use]
    pub fn at(gen_time: OffsetDateTime) -> Self {
        Self {
            stamp: Some(TokenSpec::at(gen_time)),
            signing_time: None,
        }
    }
}

impl TestHpki {
    /// A container in the writing profile: `envelope` as `submission.json`, then `files` (path, bytes), signed by `card`.
    ///
    /// # Panics
    /// If the envelope or a path is outside the profile.
    #[must_use]
    pub fn container(
        &self,
        card: &Card,
        envelope: &Envelope,
        files: &[(String, Vec<u8>)],
        options: ContainerOptions,
    ) -> Vec<u8> {
        let mut all = vec![(
            "submission.json".to_owned(),
            envelope.to_json().expect("a well-formed envelope"),
        )];
        all.extend_from_slice(files);
        let plans: Vec<FilePlan> = all
            .iter()
            .map(|(path, bytes)| FilePlan::measure(path, &mut bytes.as_slice()).expect("reading memory"))
            .collect();
        let manifest = manifest_for(&plans);
        let signature = self.signature(card, &manifest, options);
        let contents: HashMap<&str, &[u8]> = all
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
            .collect();
        let mut container = Vec::new();
        let signed = SignedManifest {
            manifest: &manifest,
            signature: &signature,
        };
        write(&mut container, &[signed], &plans, |path| {
            let bytes = contents.get(path).copied();
            bytes.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
        })
        .expect("a container of the profile");
        container
    }

    /// A detached CAdES signature over `content`, stamped as `options` say.
    ///
    /// # Panics
    /// Never with cards of the kit.
    #[must_use]
    pub fn signature(&self, card: &Card, content: &[u8], options: ContainerOptions) -> Vec<u8> {
        let digest = card.natural_digest();
        let identity = SigningIdentity {
            certificate: card.certificate.clone(),
            chain: card.chain.clone(),
            scheme: card.scheme(),
        };
        let prepared =
            prepare(&identity, digest, &digest.digest(content), options.signing_time).expect("a card's certificate");
        let value = card.sign(prepared.to_be_signed(), digest);
        let signature = prepared.finish(&value).expect("a signature of the kit");
        let Some(spec) = options.stamp else { return signature };
        let parsed = SignedData::parse(&signature, Profile::Document).expect("own signatures parse");
        let imprint = DigestAlgorithm::Sha256.digest(&parsed.signer.signature);
        let token = self.tsa_token(DigestAlgorithm::Sha256, &imprint, spec);
        with_timestamp(&signature, &token).expect("own tokens parse")
    }
}

impl Card {
    /// How its key signs.
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        let rsa = self.key.public().algorithm.oid == const_oid::db::rfc5912::RSA_ENCRYPTION;
        if rsa {
            SignatureScheme::RsaPkcs1
        } else {
            SignatureScheme::Ecdsa
        }
    }
}

/// An envelope from one fictitious clinic to one fictitious hospital, with a fresh id.
///
/// # Panics
/// Never: the texts are fixed.
#[must_use]
pub fn envelope(documents: Vec<Document>) -> Envelope {
    let party = |facility: &str, name: &str, department: &str| Party {
        facility: facility.parse().expect("a facility code"),
        name: name.to_owned(),
        department: Some(department.to_owned()),
        person: None,
    };
    Envelope {
        version: 1,
        id: uuid::Uuid::now_v7().to_string().parse().expect("a UUIDv7"),
        created: "2026-11-24T12:00:00+09:00".to_owned(),
        sender: party("1310000001", "テスト飛脚診療所", "内科"),
        recipients: vec![party("1320000002", "テスト飛脚病院", "循環器内科")],
        patient: Patient {
            id: "12345".to_owned(),
            name: "山田　太郎".to_owned(),
            kana: Some("ヤマダ　タロウ".to_owned()),
            birth_date: "1970-01-01".to_owned(),
            sex: Sex::M,
        },
        documents,
        in_reply_to: None,
    }
}

/// A referral: a PDF letter and a CT of two images. Envelope and files.
#[must_use]
pub fn referral() -> (Envelope, Vec<(String, Vec<u8>)>) {
    let document = |path: &str, kind, category, media_type: &str, title: &str| Document {
        path: path.to_owned(),
        kind,
        category,
        media_type: media_type.to_owned(),
        title: title.to_owned(),
    };
    let documents = vec![
        document(
            "letter/letter.pdf",
            DocumentKind::Referral,
            Category::Letter,
            "application/pdf",
            "診療情報提供書",
        ),
        document(
            "images/",
            DocumentKind::ImageStudy,
            Category::Image,
            "application/dicom",
            "胸部CT",
        ),
    ];
    let files = vec![
        ("letter/letter.pdf".to_owned(), letter_pdf()),
        ("images/IM0001".to_owned(), dicom(1, 1, 1)),
        ("images/IM0002".to_owned(), dicom(1, 1, 2)),
    ];
    (envelope(documents), files)
}
