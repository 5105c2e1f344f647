//! Who speaks: the device from its TLS certificate, looked up on every request, and the person it names.
//!
//! TLS has shown that the caller holds the key of a certificate issued by the relay's own CA; here that certificate becomes a
//! name, and the name a row of the device table. A certificate alone opens nothing.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use const_oid::db::rfc5280::ID_KP_CLIENT_AUTH;
use der::Decode;
use formats::trail::Actor;
use formats::wire::{Assurance, DeviceId, FacilityCode, MemberId};
use http::HeaderMap;
use http::request::Parts;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use crate::context::Context;
use crate::problem::{Code, Problem};
use crate::store::{Condition, Device, Facility, Member};

/// The header that names the person for whom a device acts: a member id of the device's facility.
pub const PERSON_HEADER: &str = "hikyaku-person";

/// What the listener knows of a connection; every request on it carries this.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The other end.
    pub(crate) address: SocketAddr,
    /// The device named in the client certificate; `None` on the portal.
    pub(crate) device: Option<DeviceName>,
}

/// A device as its certificate names it: the subjectAltName URI `hikyaku:FACILITY:DEVICE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName {
    /// Its facility.
    pub facility: FacilityCode,
    /// Its id.
    pub device: DeviceId,
}

/// Why a certificate names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Extended key usage lacks clientAuth. The TLS library takes certificates without the extension; this relay does not.
    #[error("the certificate is not for TLS clients")]
    NotForClients,
    /// Not exactly one `hikyaku:FACILITY:DEVICE`.
    #[error("the certificate names no device")]
    NoDevice,
}

impl DeviceName {
    /// Reads the name from a certificate (DER) whose issuer and validity TLS has already checked.
    ///
    /// # Errors
    /// [`PeerError`], each of which ends the connection.
    pub fn from_certificate(der: &[u8]) -> Result<Self, PeerError> {
        let certificate = Certificate::from_der(der).map_err(|_| PeerError::Unreadable)?;
        let tbs = certificate.tbs_certificate();
        let usage = tbs
            .get_extension::<ExtendedKeyUsage>()
            .map_err(|_| PeerError::Unreadable)?;
        if !usage.is_some_and(|(_, usage)| usage.0.contains(&ID_KP_CLIENT_AUTH)) {
            return Err(PeerError::NotForClients);
        }
        let names = tbs
            .get_extension::<SubjectAltName>()
            .map_err(|_| PeerError::Unreadable)?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let mut devices = names.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Self::from_uri(uri.as_str()),
            _ => None,
        });
        match (devices.next(), devices.next()) {
            (Some(device), None) => Ok(device),
            _ => Err(PeerError::NoDevice),
        }
    }

    fn from_uri(uri: &str) -> Option<Self> {
        let (facility, device) = uri.strip_prefix("hikyaku:")?.split_once(':')?;
        Some(Self {
            facility: facility.parse().ok()?,
            device: device.parse().ok()?,
        })
    }
}

/// An enrolled device that may act, as found in the device table for this very request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its facility.
    pub facility: Facility,
    /// Its row.
    pub device: Device,
    /// Where it calls from.
    pub address: SocketAddr,
}

impl Peer {
    /// Who did it, for the trail, when no person is named.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            facility: Some(self.facility.code.clone()),
            device: Some(self.device.id.clone()),
            address: Some(self.address.ip().to_canonical().to_string()),
            ..Actor::default()
        }
    }

    /// Who did it, for the trail, on behalf of a person the device names.
    #[must_use]
    pub fn actor_for(&self, person: &Member) -> Actor {
        Actor {
            person_id: Some(person.id.clone()),
            person_name: Some(person.name.clone()),
            assurance: Some(Assurance::AssertedByDevice),
            ..self.actor()
        }
    }

    /// That the device is still good at the moment of commit.
    #[must_use]
    pub fn active(&self) -> Condition {
        Condition::DeviceActive(self.facility.code.clone(), self.device.id.clone())
    }

    /// The person the request names.
    ///
    /// # Errors
    /// `person_required` without the header, `person_unknown` if it names no member of the device's facility.
    pub async fn person(&self, context: &Context, headers: &HeaderMap) -> Result<Member, Problem> {
        let mut values = headers.get_all(PERSON_HEADER).iter();
        let named = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().and_then(|text| text.parse::<MemberId>().ok()),
            (Some(_), Some(_)) => None,
            (None, _) => return Err(Code::PersonRequired.into()),
        };
        let member = named.ok_or(Code::PersonUnknown)?;
        let row = context.store.member(&self.facility.code, &member).await?;
        row.ok_or_else(|| Code::PersonUnknown.into())
    }

    /// The person if the request names one.
    ///
    /// # Errors
    /// `person_unknown` if it names no member of the device's facility.
    pub async fn person_if_named(&self, context: &Context, headers: &HeaderMap) -> Result<Option<Member>, Problem> {
        if headers.contains_key(PERSON_HEADER) {
            self.person(context, headers).await.map(Some)
        } else {
            Ok(None)
        }
    }
}

impl FromRequestParts<Context> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let connection = parts.extensions.get::<Connection>().ok_or(Code::DeviceRevoked)?;
        let name = connection.device.as_ref().ok_or(Code::DeviceRevoked)?;
        let device = context.store.device(&name.facility, &name.device).await?;
        let facility = context.store.facility(&name.facility).await?;
        match (device, facility) {
            (Some(device), Some(facility)) if !device.revoked => Ok(Self {
                facility,
                device,
                address: connection.address,
            }),
            _ => Err(Code::DeviceRevoked.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_uri_has_two_parts_of_the_right_form() {
        let name = DeviceName::from_uri("hikyaku:1310000001:reception-1").unwrap();
        assert_eq!(
            (name.facility.as_str(), name.device.as_str()),
            ("1310000001", "reception-1")
        );
        for bad in [
            "hikyaku:1310000001",
            "hikyaku:131:reception",
            "hikyaku:1310000001:Reception",
            "hikyaku:1310000001:a:b",
            "https://1310000001:reception",
            "hikyaku::",
        ] {
            assert_eq!(DeviceName::from_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn garbage_is_no_certificate() {
        assert_eq!(DeviceName::from_certificate(b"garbage"), Err(PeerError::Unreadable));
    }
}
