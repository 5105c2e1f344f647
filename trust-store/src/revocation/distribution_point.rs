//! Distribution points: where a certificate says its CRL is, and what a CRL says it covers. RFC 5280 §4.2.1.13 and §5.2.5.

use const_oid::db::rfc5280;

use super::ALL_REASONS;
use crate::certificate::Certificate;
use crate::name::DistinguishedName;
use crate::path::general_name::GeneralName;
use crate::tlv::{self, Cursor, Malformed, Tlv};

/// The http(s) URLs where the CRL of `certificate` is published, in its order; empty if none or unreadable.
#[must_use]
pub fn urls(certificate: &Certificate) -> Vec<String> {
    web_addresses(DistributionPoint::all_of(certificate).unwrap_or_default())
}

/// The http(s) URLs of freshestCRL: where the delta on the CRL of `certificate` is published. RFC 5280 §4.2.1.15.
#[must_use]
pub fn delta_urls(certificate: &Certificate) -> Vec<String> {
    let freshest = certificate.extension(&rfc5280::ID_CE_FRESHEST_CRL);
    freshest.map(|freshest| urls_of(&freshest.value)).unwrap_or_default()
}

/// The http(s) URLs in a `CRLDistributionPoints`; none if it is unreadable.
pub(super) fn urls_of(points: &[u8]) -> Vec<String> {
    web_addresses(DistributionPoint::parse_all(points).unwrap_or_default())
}

fn web_addresses(points: Vec<DistributionPoint>) -> Vec<String> {
    let names = points.into_iter().flat_map(|point| match point.name {
        Some(PointName::Full(names)) => names,
        _ => Vec::new(),
    });
    names.filter_map(web_address).collect()
}

/// The name, if it is an http(s) URL.
pub(super) fn web_address(name: GeneralName) -> Option<String> {
    let GeneralName::Uri(url) = name else {
        return None;
    };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https")).then_some(url)
}

/// One of a certificate's.
/// ```text
/// DistributionPoint ::= SEQUENCE { distributionPoint [0] DistributionPointName OPTIONAL, reasons [1] ReasonFlags OPTIONAL,
///                                  cRLIssuer [2] GeneralNames OPTIONAL }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DistributionPoint {
    pub(super) name: Option<PointName>,
    pub(super) reasons: u32,
    pub(super) crl_issuer: Vec<GeneralName>,
}

/// DistributionPointName; the relative form is the content of its RDN.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PointName {
    Full(Vec<GeneralName>),
    Relative(Vec<u8>),
}

impl DistributionPoint {
    pub(super) fn all_of(certificate: &Certificate) -> Result<Vec<Self>, Malformed> {
        let Some(extension) = certificate.extension(&rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS) else {
            return Ok(Vec::new());
        };
        Self::parse_all(&extension.value)
    }

    fn parse_all(points: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut list = Cursor::sequence_of(points)?;
        let mut points = Vec::new();
        while !list.is_empty() {
            if points.len() >= 64 {
                return Err(Malformed("more distribution points than are read"));
            }
            let mut fields = list.expect(tlv::SEQUENCE)?.inside();
            let name = fields.optional(0xa0)?.map(PointName::parse).transpose()?;
            let reasons = fields
                .optional(0x81)?
                .map(|found| tlv::named_bits(found.value))
                .transpose()?;
            let issuer = fields
                .optional(0xa2)?
                .map(|found| GeneralName::parse_all(found.inside()))
                .transpose()?;
            fields.finish()?;
            points.push(Self {
                name,
                reasons: reasons.unwrap_or(ALL_REASONS) & ALL_REASONS,
                crl_issuer: issuer.unwrap_or_default(),
            });
        }
        Ok(points)
    }

    /// A point that says nothing: what a CRL of the certificate's own issuer is measured by where no point fits.
    pub(super) fn unnamed() -> Self {
        Self {
            name: None,
            reasons: ALL_REASONS,
            crl_issuer: Vec::new(),
        }
    }

    /// The directory names of cRLIssuer.
    pub(super) fn crl_issuer_names(&self) -> impl Iterator<Item = &DistinguishedName> {
        self.crl_issuer.iter().filter_map(|name| match name {
            GeneralName::Directory(name) => Some(name),
            _ => None,
        })
    }

    /// Every full name of this point; relative ones are completed with `issuer`.
    pub(super) fn full_names(&self, issuer: &DistinguishedName) -> Vec<GeneralName> {
        match &self.name {
            Some(name) => name.full(issuer),
            None => self.crl_issuer.clone(),
        }
    }
}

impl PointName {
    fn parse(explicit: Tlv<'_>) -> Result<Self, Malformed> {
        let mut inner = explicit.inside();
        let name = inner.next()?;
        inner.finish()?;
        match name.tag {
            0xa0 => Ok(Self::Full(GeneralName::parse_all(name.inside())?)),
            0xa1 => Ok(Self::Relative(name.value.to_vec())),
            _ => Err(Malformed("a distribution point of an unknown form")),
        }
    }

    fn full(&self, issuer: &DistinguishedName) -> Vec<GeneralName> {
        match self {
            Self::Full(names) => names.clone(),
            Self::Relative(relative) => issuer
                .extended(relative)
                .map(GeneralName::Directory)
                .into_iter()
                .collect(),
        }
    }
}

/// What a CRL covers.
/// ```text
/// IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0], onlyContainsUserCerts [1] BOOLEAN, onlyContainsCACerts [2] BOOLEAN,
///     onlySomeReasons [3] ReasonFlags, indirectCRL [4] BOOLEAN, onlyContainsAttributeCerts [5] BOOLEAN }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct IssuingDistributionPoint {
    name: Option<PointName>,
    only_users: bool,
    only_authorities: bool,
    pub(super) only_some_reasons: Option<u32>,
    pub(super) indirect: bool,
    only_attributes: bool,
}

impl IssuingDistributionPoint {
    pub(super) fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Cursor::sequence_of(value)?;
        let name = fields.optional(0xa0)?.map(PointName::parse).transpose()?;
        let flag = |fields: &mut Cursor<'_>, tag| -> Result<bool, Malformed> {
            Ok(fields
                .optional(tag)?
                .map(|found| tlv::boolean(found.value))
                .transpose()?
                .unwrap_or(false))
        };
        let only_users = flag(&mut fields, 0x81)?;
        let only_authorities = flag(&mut fields, 0x82)?;
        let only_some_reasons = fields
            .optional(0x83)?
            .map(|found| tlv::named_bits(found.value))
            .transpose()?;
        let indirect = flag(&mut fields, 0x84)?;
        let only_attributes = flag(&mut fields, 0x85)?;
        fields.finish()?;
        Ok(Self {
            name,
            only_users,
            only_authorities,
            only_some_reasons,
            indirect,
            only_attributes,
        })
    }

    /// RFC 5280 §6.3.3 (b)(2): whether a CRL of `crl_issuer` with this scope speaks of `certificate` by way of `point`.
    pub(super) fn fits(
        &self,
        certificate: &Certificate,
        point: &DistributionPoint,
        crl_issuer: &DistinguishedName,
    ) -> bool {
        if self.only_attributes
            || (self.only_users && certificate.is_ca())
            || (self.only_authorities && !certificate.is_ca())
        {
            return false;
        }
        let Some(name) = &self.name else {
            return true;
        };
        let named_by_issuer = point.crl_issuer_names().next().unwrap_or(&certificate.issuer);
        let wanted = point.full_names(named_by_issuer);
        name.full(crl_issuer).iter().any(|name| wanted.contains(name))
    }
}
