//! RFC 3161: token, TSTInfo, request and response; what is read can be written and read again.

use formats::timestamp::{Request, Response, Token, TstInfo};

pub(crate) fn run(input: &[u8]) {
    if let Ok(token) = Token::parse(input) {
        let granted = Response::Granted(input.to_vec()).encode();
        assert_eq!(
            Response::parse(&granted).as_deref(),
            Ok(input),
            "a token is handed on as it is"
        );
        info(&token.info);
    }
    if let Ok(read) = TstInfo::parse(input) {
        info(&read);
    }
    if let Ok(token) = Response::parse(input) {
        assert!(token.len() <= input.len());
        let _ = Token::parse(&token);
    }
    if let Ok(request) = Request::parse(input) {
        let second = Request::parse(&request.encode()).expect("what is written can be read");
        assert_eq!(second, request);
        assert_eq!(second.encode(), request.encode());
    }
}

fn info(read: &TstInfo) {
    let Ok(written) = read.encode() else { return };
    let second = TstInfo::parse(&written).expect("what is written can be read");
    // Numbers are written in the shortest form, however long they came.
    let number = |octets: &[u8]| {
        octets
            .iter()
            .skip_while(|octet| **octet == 0)
            .copied()
            .collect::<Vec<u8>>()
    };
    let negative = |octets: &[u8]| octets.first().is_some_and(|first| *first >= 0x80);
    if !negative(&read.serial) {
        assert_eq!(number(&second.serial), number(&read.serial));
    }
    assert_eq!(
        (second.gen_time, &second.imprint, second.policy),
        (read.gen_time, &read.imprint, read.policy)
    );
    assert_eq!(second.imprint_algorithm, read.imprint_algorithm);
    assert_eq!(second.nonce.is_some(), read.nonce.is_some());
    assert_eq!(second.encode().as_ref(), Ok(&written));
}
