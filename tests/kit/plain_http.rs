//! The smallest HTTP/1.1 client: one request, one connection, blocking. For tests that look at what a server really sent.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines as sent, without the status line.
    pub headers: String,
    /// Body.
    pub body: Vec<u8>,
}

/// GET `url` (`http://host:port/path`).
///
/// # Errors
/// When the connection fails or ends before a whole header has come.
pub fn get(url: &str) -> Result<Answer, Error> {
    request("GET", url, &[])
}

/// POST `body` to `url`.
///
/// # Errors
/// When the connection fails or ends before a whole header has come.
pub fn post(url: &str, body: &[u8]) -> Result<Answer, Error> {
    request("POST", url, body)
}

fn request(method: &str, url: &str, body: &[u8]) -> Result<Answer, Error> {
    let odd = || Error::from(ErrorKind::InvalidData);
    let rest = url.strip_prefix("http://").ok_or_else(odd)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(odd)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| odd())?;
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(odd)?;
    Ok(Answer {
        status,
        headers: headers.to_owned(),
        body: bytes[end + 4..].to_vec(),
    })
}
