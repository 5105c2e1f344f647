//! Values read, and values that are not.

use super::*;

fn parse(text: &str) -> Result<Object, PdfError> {
    Parser::at(text.as_bytes(), 0).value()
}

#[test]
fn values_of_every_kind_are_read() {
    let text = b"<</A[1 -2 3.5 true null(x\\)\\050(y)\\\nz)<4 1 4>]/B 12 0 R/C#20D/E /F<</G[5 0 R 7]>>>> rest";
    let mut parser = Parser::at(text, 0);
    let value = parser.value().unwrap();
    assert_eq!(parser.rest(), b" rest");
    let dictionary = value.dictionary().unwrap();
    let items = dictionary.get("A").unwrap().array().unwrap();
    assert_eq!(items[5].string(), Some(&b"x)((y)z"[..]));
    assert_eq!(items[6].string(), Some(&b"A@"[..]));
    assert_eq!(dictionary.name("C D"), Some(&b"E"[..]));
    let span = dictionary.span("B").unwrap();
    assert_eq!(&text[span], b"12 0 R");
    let numbers: Vec<u32> = value.references().iter().map(|one| one.number).collect();
    assert_eq!(numbers.len(), 2);
    assert!(parse("<</A 1/B null>>").unwrap() == parse("<< /A 1 >>").unwrap());
    assert!(parse("3 0 R").unwrap().reference().is_some() && parse("3 0").unwrap() == Object::Integer(3));
}

#[test]
fn what_is_malformed_or_too_much_is_an_error() {
    for text in [
        "",
        "<<",
        "<</A 1/A 2>>",
        "<</A>>",
        "<<1 2>>",
        "[>>",
        "(",
        "<4",
        "<4x>",
        "R",
        "[1 R]",
        "obj",
        "1x",
        "/a#4",
    ] {
        assert!(matches!(parse(text), Err(PdfError::Malformed(_))), "{text}");
    }
    assert!(matches!(parse(&"[".repeat(100)), Err(PdfError::TooMuch(_))));
    assert!(matches!(parse(&"<</A".repeat(1_000_000)), Err(PdfError::TooMuch(_))));
    assert!(matches!(
        parse(&format!("[{}]", "1 ".repeat(300_000))),
        Err(PdfError::TooMuch(_))
    ));
}
