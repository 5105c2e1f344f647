//! The only way out: one plain HTTP exchange with a checked address. No redirects, no proxy, no second resolution.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a fetch brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The relay's own rules forbid it.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The other side could not be reached, was too slow, or answered otherwise than with 200.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// More bytes than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// What came is not what was asked for.
    #[error("{0}")]
    NotThat(String),
    /// It answers, but not with this.
    #[error("not to be had: {0}")]
    Refused(String),
    /// It failed lately and is not asked for a while.
    #[error("{reason}; asked again in {seconds} s")]
    Resting {
        /// How it failed.
        reason: String,
        /// What is left of its rest.
        seconds: u64,
    },
}

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
}

/// One request to `uri` — GET, or POST of `sent`: body and media type — at the first resolved address that `permits` allows and that answers.
///
/// # Errors
/// [`FetchError`]; redirects are not followed.
pub(crate) async fn exchange(
    uri: &Uri,
    sent: Option<(Bytes, &'static str)>,
    bounds: Bounds,
    permits: impl Fn(&str, IpAddr) -> bool,
) -> Result<Bytes, FetchError> {
    let host = uri.host().unwrap_or_default();
    let (status, bytes) = in_time(bounds, within(uri, sent, bounds.bytes, permits)).await?;
    if status == StatusCode::OK {
        return Ok(bytes);
    }
    let said = format!("{host} answered {status}");
    let overloaded = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Err(if overloaded {
        FetchError::Unreachable(said)
    } else {
        FetchError::Refused(said)
    })
}

/// One POST of `sent`, whatever the answer's status; as [`exchange`] otherwise.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn post(
    uri: &Uri,
    sent: (Bytes, &'static str),
    bounds: Bounds,
    permits: impl Fn(&str, IpAddr) -> bool,
) -> Result<(StatusCode, Bytes), FetchError> {
    in_time(bounds, within(uri, Some(sent), bounds.bytes, permits)).await
}

async fn in_time<T>(bounds: Bounds, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
    match tokio::time::timeout(bounds.time, work).await {
        Ok(done) => done,
        Err(_) => Err(FetchError::Unreachable(format!(
            "no answer within {} s",
            bounds.time.as_secs_f64()
        ))),
    }
}

async fn within(
    uri: &Uri,
    sent: Option<(Bytes, &'static str)>,
    most: usize,
    permits: impl Fn(&str, IpAddr) -> bool,
) -> Result<(StatusCode, Bytes), FetchError> {
    let plain = uri.scheme_str() == Some("http");
    let authority = uri
        .authority()
        .filter(|authority| plain && !authority.as_str().contains('@'));
    let authority = authority.ok_or_else(|| FetchError::Forbidden("only http:// addresses are fetched".into()))?;
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| FetchError::Unreachable(format!("{host}: {error}")))?
        .collect();
    // The checked address itself is dialled: a second answer of the name server has no effect.
    let allowed: Vec<_> = resolved
        .into_iter()
        .filter(|address| permits(host, address.ip()))
        .take(4)
        .collect();
    if allowed.is_empty() {
        // The operator lists the host; where its name leads at the moment is the name server's word, and may be put right.
        return Err(FetchError::Unreachable(format!(
            "{host} has no public address (one that is meant is listed in trust.fetch_private)"
        )));
    }
    let stream = dial(host, &allowed).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(host, &error))?;
    // Ends with the sender, which this function drops on every way out.
    let driver = tokio::spawn(connection);
    let answer = async {
        let response = sender
            .send_request(request(uri, authority.as_str(), sent)?)
            .await
            .map_err(|error| unreachable(host, &error))?;
        let status = response.status();
        let stated = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if stated.is_some_and(|stated| stated > most as u64) {
            return Err(FetchError::TooLarge(most));
        }
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(host, &error))?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > most {
                    return Err(FetchError::TooLarge(most));
                }
                bytes.extend_from_slice(data);
            }
        }
        Ok((status, Bytes::from(bytes)))
    }
    .await;
    driver.abort();
    answer
}

async fn dial(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    let mut last = None;
    for address in addresses {
        match tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error.to_string()),
            Err(_) => last = Some("connecting took too long".into()),
        }
    }
    Err(FetchError::Unreachable(format!("{host}: {}", last.unwrap_or_default())))
}

fn request(
    uri: &Uri,
    authority: &str,
    sent: Option<(Bytes, &'static str)>,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut builder = Request::builder()
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, HeaderValue::from_static("hikyaku-relay"));
    let body = match sent {
        None => Bytes::new(),
        Some((body, media_type)) => {
            builder = builder.method(Method::POST).header(CONTENT_TYPE, media_type);
            body
        }
    };
    builder
        .body(Full::new(body))
        .map_err(|_| FetchError::Forbidden("the address cannot be asked".into()))
}

fn unreachable(host: &str, error: &dyn std::fmt::Display) -> FetchError {
    FetchError::Unreachable(format!("{host}: {error}"))
}

/// Whether an address is one of the public Internet (IANA special-purpose registries, RFC 6890).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99);
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = (a & 0xe000) == 0x2000;
    // 2001::/23 (Teredo, ORCHID, …), 2001:db8::/32, 2002::/16 (6to4) and 3fff::/20 carry other addresses or none.
    let special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in ["1.1.1.1", "202.232.2.180", "2400:4040::1", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }
}
