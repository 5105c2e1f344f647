//! Both listeners over real TLS: enrolment, identity, uploads cut off and taken up, revocation, readiness.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use bytes::Bytes;
use der::{Decode, Encode, EncodePem};
use formats::trail::{Actor, Event};
use formats::wire::{EnrolmentAnswer, FacilityCode};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use super::*;
use crate::ca::{NewKey, RelayCa, certificate_pem};
use crate::clock;
use crate::config::Config;
use crate::store::{Batch, MemoryStore, Store};

const FACILITY: &str = "1310000001";
const CODE: &str = "one-time-code";

/// A relay in memory, and what is needed to speak to it.
struct House {
    relay: Running,
    store: Arc<dyn Store>,
    ca: String,
    _folder: tempfile::TempDir,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = keys(folder.path());
        let config: crate::config::File = toml::from_str(
            r#"
            name = "Test relay"
            data = "data"
            api = { listen = "127.0.0.1:0", url = "https://localhost:0" }
            portal = { listen = "127.0.0.1:0", url = "https://localhost:0" }
            tls = { certificate = "tls.pem", key = "tls.key" }
            ca = { certificate = "ca.pem", key = "ca.key" }
            log = { name = "relay.example/trail", key = "log.key" }
            keys = { identities = ["identity.txt"], recipients = "recipients.txt" }
            trust = { directory = "trust" }
            limits = { max_container = "1MiB" }
            "#,
        )
        .unwrap();
        let config = Config::from_file(config, folder.path()).unwrap();
        let key = formats::trail::LogKey::parse(std::fs::read_to_string(&config.log.key).unwrap().trim()).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(key).unwrap());
        let house = Self {
            relay: Relay::start_on(config, Arc::clone(&store)).await.unwrap(),
            store,
            ca,
            _folder: folder,
        };
        let expires = clock::rfc3339(clock::now() + time::Duration::hours(1));
        let (code_sha256, name) = (
            hex::encode(formats::digest::sha256(CODE.as_bytes())),
            "TEST Clinic".to_owned(),
        );
        house
            .happens(Event::FacilityAdded {
                facility: facility(),
                name,
            })
            .await;
        house
            .happens(Event::CodeIssued {
                facility: facility(),
                code_sha256,
                expires,
            })
            .await;
        house
    }

    async fn happens(&self, event: Event) {
        let batch = Batch {
            actor: Actor::default(),
            time: clock::now(),
            events: vec![event],
            conditions: Vec::new(),
        };
        self.store.commit(batch).committed().await.unwrap();
    }

    /// A connection; with a device's certificate and key where given.
    async fn connect(
        &self,
        address: SocketAddr,
        device: Option<(&EnrolmentAnswer, &NewKey)>,
    ) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let stream = self.stream(address, device).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn stream(
        &self,
        address: SocketAddr,
        device: Option<(&EnrolmentAnswer, &NewKey)>,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match device {
            None => builder.with_no_client_auth(),
            Some((answer, key)) => {
                let chain = CertificateDer::pem_slice_iter(answer.certificate_chain.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(key.pem.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                    .unwrap()
            }
        };
        let stream = tokio::net::TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn enrol(&self, code: &str, key: &NewKey) -> (StatusCode, Vec<u8>) {
        let mut portal = self.connect(self.relay.portal, None).await.unwrap();
        let body = serde_json::json!({ "code": code, "device": "reception", "csr": csr(key) });
        let (parts, body) = ask(&mut portal, Method::POST, "/v1/enrolment", &[], body.to_string()).await;
        (parts.status, body)
    }

    async fn device(&self) -> (SendRequest<Full<Bytes>>, EnrolmentAnswer, NewKey) {
        let key = NewKey::generate().unwrap();
        let (status, body) = self.enrol(CODE, &key).await;
        assert_eq!(status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&body));
        let answer: EnrolmentAnswer = serde_json::from_slice(&body).unwrap();
        let api = self.connect(self.relay.api, Some((&answer, &key))).await.unwrap();
        (api, answer, key)
    }
}

fn facility() -> FacilityCode {
    FACILITY.parse().unwrap()
}

/// Keys and certificates of a relay; returns the CA's certificate.
fn keys(folder: &Path) -> String {
    let write = |name: &str, text: &str| crate::folder::replace(&folder.join(name), text.as_bytes()).unwrap();
    let (from, to) = (
        clock::now() - time::Duration::hours(1),
        clock::now() + time::Duration::days(30),
    );
    let (ca_key, tls_key) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
    let ca = RelayCa::create("Test relay CA", &ca_key, from, to).unwrap();
    let tls = ca
        .issue_server(&tls_key.spki, &["localhost".to_owned()], from, to)
        .unwrap();
    write("ca.pem", &ca.certificate_pem().unwrap());
    write("ca.key", &ca_key.pem);
    write("tls.pem", &certificate_pem(&tls).unwrap());
    write("tls.key", &tls_key.pem);
    let identity = crate::keys::NewIdentity::generate();
    write("identity.txt", &identity.file);
    write("recipients.txt", &identity.recipient);
    write(
        "log.key",
        &formats::trail::LogKey::from_seed("relay.example/trail", &[7; 32])
            .unwrap()
            .1,
    );
    ca.certificate_pem().unwrap()
}

/// A PKCS #10 request, signed with its key.
fn csr(key: &NewKey) -> String {
    let info = x509_cert::request::CertReqInfo {
        version: x509_cert::request::Version::V1,
        subject: x509_cert::name::Name::default(),
        public_key: spki::SubjectPublicKeyInfoOwned::from_der(&key.spki).unwrap(),
        attributes: Default::default(),
    };
    let (_, pkcs8) = der::Document::from_pem(&key.pem).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_bytes()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), &info.to_der().unwrap()).unwrap();
    let request = x509_cert::request::CertReq {
        info,
        algorithm: spki::AlgorithmIdentifierOwned {
            oid: const_oid::db::rfc5912::ECDSA_WITH_SHA_256,
            parameters: None,
        },
        signature: der::asn1::BitString::from_bytes(signature.as_ref()).unwrap(),
    };
    request.to_pem(der::pem::LineEnding::LF).unwrap()
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (http::response::Parts, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response: Response<hyper::body::Incoming> = sender
        .send_request(request.body(Full::new(body.into())).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    (parts, body.collect().await.unwrap().to_bytes().to_vec())
}

fn code_of(body: &[u8]) -> String {
    serde_json::from_slice::<formats::wire::Problem>(body).unwrap().code
}

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const OCTETS: (&str, &str) = ("content-type", "application/offset+octet-stream");

#[tokio::test]
async fn a_code_makes_one_device_once() {
    let house = House::open().await;
    let key = NewKey::generate().unwrap();
    let (status, body) = house.enrol("wrong", &key).await;
    assert_eq!(
        (status, code_of(&body).as_str()),
        (StatusCode::FORBIDDEN, "code_invalid")
    );
    let (mut api, answer, _) = house.device().await;
    assert_eq!(answer.api, format!("https://localhost:{}", house.relay.api.port()));
    let (status, body) = house.enrol(CODE, &key).await;
    assert_eq!(
        (status, code_of(&body).as_str()),
        (StatusCode::FORBIDDEN, "code_invalid")
    );
    let (parts, body) = ask(&mut api, Method::GET, "/v1/inbox", &[], "").await;
    assert_eq!(
        (parts.status, body.as_slice()),
        (StatusCode::OK, &br#"{"items":[],"next":null}"#[..])
    );
    let renewal = serde_json::json!({ "csr": csr(&key) }).to_string();
    let (parts, body) = ask(&mut api, Method::POST, "/v1/devices/renewal", &[], renewal).await;
    assert_eq!(parts.status, StatusCode::CREATED);
    let renewed: EnrolmentAnswer = serde_json::from_slice(&body).unwrap();
    let mut again = house.connect(house.relay.api, Some((&renewed, &key))).await.unwrap();
    let (parts, _) = ask(&mut again, Method::GET, "/v1/policy", &[], "").await;
    assert_eq!(parts.status, StatusCode::OK);
    house.relay.stop().await;
}

#[tokio::test]
async fn without_a_device_certificate_the_api_is_silent() {
    let house = House::open().await;
    // TLS 1.3 tells the client of a missing certificate only after its own handshake is done.
    let refused = match house.connect(house.relay.api, None).await {
        Err(_) => true,
        Ok(mut sender) => {
            let request = Request::get("/healthz")
                .header("host", "localhost")
                .body(Full::default())
                .unwrap();
            sender.send_request(request).await.is_err()
        }
    };
    assert!(refused);
    let mut portal = house.connect(house.relay.portal, None).await.unwrap();
    let (parts, body) = ask(&mut portal, Method::GET, "/v1/inbox", &[("accept-language", "en")], "").await;
    assert_eq!(
        (parts.status, code_of(&body).as_str()),
        (StatusCode::NOT_FOUND, "not_found")
    );
    let (parts, body) = ask(&mut portal, Method::GET, "/readyz", &[], "").await;
    assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        String::from_utf8_lossy(&body).contains("trust/hpki"),
        "no anchors, and it says so"
    );
    let (parts, body) = ask(&mut portal, Method::GET, "/metrics", &[], "").await;
    assert_eq!(parts.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&body).contains(crate::observe::CONNECTIONS));
}

#[tokio::test]
async fn an_upload_goes_on_where_it_stopped_and_ends_in_a_verdict_on_its_form() {
    let house = House::open().await;
    let (mut api, ..) = house.device().await;
    let (parts, body) = ask(
        &mut api,
        Method::POST,
        "/v1/uploads",
        &[TUS, ("upload-length", "2000000")],
        "",
    )
    .await;
    assert_eq!(
        (parts.status, code_of(&body).as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
    );
    let (parts, _) = ask(
        &mut api,
        Method::POST,
        "/v1/uploads",
        &[TUS, ("upload-length", "10")],
        "",
    )
    .await;
    assert_eq!(parts.status, StatusCode::CREATED);
    let place = parts.headers["location"].to_str().unwrap().to_owned();
    let at = |offset: &'static str| [TUS, OCTETS, ("upload-offset", offset)];

    let (parts, _) = ask(&mut api, Method::PATCH, &place, &at("0"), "PK\x03\x04\n").await;
    assert_eq!(
        (parts.status, &parts.headers["upload-offset"]),
        (StatusCode::NO_CONTENT, &"5".parse().unwrap())
    );
    let (parts, body) = ask(&mut api, Method::PATCH, &place, &at("3"), "34").await;
    assert_eq!(
        (parts.status, code_of(&body).as_str()),
        (StatusCode::CONFLICT, "offset_mismatch")
    );
    let mut wrong = at("5").to_vec();
    wrong.push(("upload-checksum", "sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    let (parts, body) = ask(&mut api, Method::PATCH, &place, &wrong, "56").await;
    assert_eq!(
        (parts.status.as_u16(), code_of(&body).as_str()),
        (460, "checksum_mismatch")
    );
    let (parts, _) = ask(&mut api, Method::HEAD, &place, &[TUS], "").await;
    assert_eq!(
        parts.headers["upload-offset"], "5",
        "what had the wrong hash was not kept"
    );
    let submission = serde_json::json!({ "upload": place }).to_string();
    let (parts, body) = ask(&mut api, Method::POST, "/v1/submissions", &[], submission).await;
    assert_eq!(
        (parts.status, code_of(&body).as_str()),
        (StatusCode::CONFLICT, "upload_incomplete")
    );

    let size = house.store.size().await.unwrap();
    let (parts, body) = ask(&mut api, Method::PATCH, &place, &at("5"), "56789").await;
    assert_eq!(
        (parts.status.as_u16(), code_of(&body).as_str()),
        (422, "container_profile")
    );
    assert_eq!(house.store.size().await.unwrap(), size + 1, "a refusal is a record");
    let (parts, _) = ask(&mut api, Method::DELETE, &place, &[TUS], "").await;
    assert_eq!(parts.status, StatusCode::NO_CONTENT);
    let (parts, _) = ask(&mut api, Method::HEAD, &place, &[TUS], "").await;
    assert_eq!(parts.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn revocation_ends_a_device_at_once() {
    let house = House::open().await;
    let (open, answer, key) = house.device().await;
    let device = answer.device.clone();
    house
        .happens(Event::DeviceRevoked {
            facility: facility(),
            device,
        })
        .await;
    let mut anew = house.connect(house.relay.api, Some((&answer, &key))).await.unwrap();
    let (parts, body) = ask(&mut anew, Method::GET, "/v1/inbox", &[], "").await;
    assert_eq!(
        (parts.status, code_of(&body).as_str()),
        (StatusCode::FORBIDDEN, "device_revoked")
    );
    let closed = async {
        while !open.is_closed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed)
        .await
        .expect("the open connection is closed");
}

#[test]
fn seats_are_bounded_per_address_and_given_back() {
    let seats = Seats::new(3, 2);
    let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let first = seats.take(a).unwrap();
    let _second = seats.take(a).unwrap();
    assert!(seats.take(a).is_none(), "two of one address");
    let _third = seats.take(b).unwrap();
    assert!(seats.take(b).is_none(), "three in all");
    drop(first);
    assert!(seats.take(b).is_some());
    let of = |text: &str| neighbourhood(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:3"), "one subscriber's network");
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:192.0.2.1"), a);
}

#[tokio::test]
async fn uploads_are_bounded_and_one_that_goes_gives_its_room_back() {
    let house = House::open().await;
    let (mut api, ..) = house.device().await;
    let create = [TUS, ("upload-length", "1048576")];
    let mut place = String::new();
    for _ in 0..4 {
        let (parts, _) = ask(&mut api, Method::POST, "/v1/uploads", &create, "").await;
        assert_eq!(parts.status, StatusCode::CREATED);
        place = parts.headers["location"].to_str().unwrap().to_owned();
        assert!(parts.headers.contains_key("upload-expires"));
    }
    let one = [TUS, ("upload-length", "1")];
    let (parts, body) = ask(&mut api, Method::POST, "/v1/uploads", &one, "").await;
    assert_eq!(
        (parts.status, code_of(&body).as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "quota")
    );
    let (parts, _) = ask(&mut api, Method::DELETE, &place, &[TUS], "").await;
    assert_eq!(parts.status, StatusCode::NO_CONTENT);
    let (parts, _) = ask(&mut api, Method::POST, "/v1/uploads", &one, "").await;
    assert_eq!(parts.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_newer_patch_takes_over_from_one_that_hangs() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let house = House::open().await;
    let (mut api, answer, key) = house.device().await;
    let create = [TUS, ("upload-length", "10")];
    let (parts, _) = ask(&mut api, Method::POST, "/v1/uploads", &create, "").await;
    let place = parts.headers["location"].to_str().unwrap().to_owned();
    let mut hanging = house.stream(house.relay.api, Some((&answer, &key))).await.unwrap();
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: 5\r\n\r\nPK"
    );
    hanging.write_all(head.as_bytes()).await.unwrap();
    // Whatever of it was taken before HEAD or PATCH ended it, HEAD says so, and the rest goes on from there.
    for attempt in 0.. {
        let (parts, _) = ask(&mut api, Method::HEAD, &place, &[TUS], "").await;
        let offset = parts.headers["upload-offset"].to_str().unwrap().to_owned();
        let rest = b"PK\x03\x04\n".get(offset.parse().unwrap()..).unwrap();
        let at = [TUS, OCTETS, ("upload-offset", offset.as_str())];
        let (parts, _) = ask(&mut api, Method::PATCH, &place, &at, rest).await;
        if parts.status == StatusCode::NO_CONTENT {
            assert_eq!(parts.headers["upload-offset"], "5");
            break;
        }
        assert!(attempt < 2, "{}", parts.status);
    }
    let mut told = vec![0; 12];
    hanging.read_exact(&mut told).await.unwrap();
    assert_eq!(told, b"HTTP/1.1 409");
}

#[tokio::test]
async fn a_device_of_a_name_that_is_there_and_a_bad_stamp_request_are_told_by_code() {
    let house = House::open().await;
    let (mut api, ..) = house.device().await;
    let (parts, body) = ask(&mut api, Method::POST, "/v1/timestamps", &[], "no request").await;
    assert_eq!(
        (parts.status.as_u16(), code_of(&body).as_str()),
        (422, "timestamp_rejected")
    );
    house
        .happens(Event::CodeIssued {
            facility: facility(),
            code_sha256: hex::encode(formats::digest::sha256(b"another")),
            expires: clock::rfc3339(clock::now() + time::Duration::hours(1)),
        })
        .await;
    let key = NewKey::generate().unwrap();
    let (status, body) = house.enrol("another", &key).await;
    assert_eq!(
        (status, code_of(&body).as_str()),
        (StatusCode::CONFLICT, "device_exists")
    );
    for _ in 0..10 {
        assert_eq!(house.enrol("wrong", &key).await.0, StatusCode::FORBIDDEN);
    }
    let (status, body) = house.enrol("wrong", &key).await;
    assert_eq!(
        (status, code_of(&body).as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
    );
}
