//! Whom the operator trusts, for which purpose: signers and time-stamp authorities never share anchors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::Certificate;

/// A trusted certificate (信頼点), RFC 5914 in spirit.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustAnchor {
    /// DER as supplied.
    pub der: Vec<u8>,
    /// Parsed.
    pub certificate: Certificate,
}

/// Anchors for one purpose.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnchorSet(pub Vec<TrustAnchor>);

/// The trust directory's certificates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Anchors {
    /// `hpki/`: for signers.
    pub hpki: AnchorSet,
    /// `accredited/`: for signers by that route, where the policy opens it.
    pub accredited: AnchorSet,
    /// `jpki/`: likewise.
    pub jpki: AnchorSet,
    /// `tsa/`: for time stamps.
    pub tsa: AnchorSet,
    /// `intermediates/`: serve path building, trusted for nothing.
    pub intermediates: Vec<Vec<u8>>,
}

/// Why bytes are not certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// PEM armour without end or with contents that are not base64.
    #[error("PEM that does not decode")]
    Pem,
    /// No certificate inside.
    #[error("no certificate inside")]
    Empty,
    /// Bytes that are not a certificate.
    #[error("certificate {number}: {reason}")]
    Certificate {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
}

impl TrustAnchor {
    /// Reads a file of one certificate in DER, or of one or several in PEM.
    ///
    /// # Errors
    /// [`AnchorError`] if any of it is not a certificate: an anchor that does not parse must not go unnoticed.
    pub fn parse(bytes: &[u8]) -> Result<Vec<Self>, AnchorError> {
        let certificates = pem_or_der(bytes, "CERTIFICATE")?;
        if certificates.is_empty() {
            return Err(AnchorError::Empty);
        }
        let parsed = certificates.into_iter().enumerate().map(|(index, der)| {
            Certificate::parse(&der)
                .map(|certificate| Self { der, certificate })
                .map_err(|malformed| AnchorError::Certificate {
                    number: index + 1,
                    reason: malformed.to_string(),
                })
        });
        parsed.collect()
    }
}

impl Anchors {
    /// The sets by their folders' names.
    #[must_use]
    pub fn sets(&self) -> [(&'static str, &AnchorSet); 4] {
        // Every field by name: a set that is new does not compile until it is named.
        let Self {
            hpki,
            accredited,
            jpki,
            tsa,
            intermediates: _,
        } = self;
        [("hpki", hpki), ("accredited", accredited), ("jpki", jpki), ("tsa", tsa)]
    }
}

impl AnchorSet {
    /// The certificate of `der`, if it is an anchor itself.
    #[must_use]
    pub fn find(&self, certificate: &Certificate) -> Option<&TrustAnchor> {
        self.0.iter().find(|anchor| anchor.certificate == *certificate)
    }
}

/// The DER objects in `bytes`: itself, or what PEM blocks labelled `label` hold (other blocks are passed over).
///
/// # Errors
/// [`AnchorError::Pem`] for broken armour.
pub fn pem_or_der(bytes: &[u8], label: &str) -> Result<Vec<Vec<u8>>, AnchorError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.to_vec()]);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| AnchorError::Empty)?;
    let mut objects = Vec::new();
    let mut block: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim) {
        let begun = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"));
        let ended = line
            .strip_prefix("-----END ")
            .and_then(|rest| rest.strip_suffix("-----"));
        match (&mut block, begun, ended) {
            (None, Some(label), _) => block = Some((label, String::new())),
            (Some((begun, body)), None, Some(ended)) if *begun == ended => {
                if *begun == label {
                    objects.push(STANDARD.decode(body.as_bytes()).map_err(|_| AnchorError::Pem)?);
                }
                block = None;
            }
            (Some((_, body)), None, None) => body.push_str(line),
            (None, None, None) => {}
            _ => return Err(AnchorError::Pem),
        }
    }
    if block.is_some() {
        Err(AnchorError::Pem)
    } else {
        Ok(objects)
    }
}
