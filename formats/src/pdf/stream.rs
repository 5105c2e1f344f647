//! Decoded bytes of a stream: FlateDecode with PNG predictors or nothing, never more than the caller has room for.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::PdfError;
use super::object::{Dictionary, Object};

/// Widest row of a predictor; cross-reference streams need a few bytes.
const MAX_COLUMNS: i64 = 65_536;

/// Decodes `raw` as its dictionary says; at most `room` bytes.
pub(super) fn decode(dictionary: &Dictionary, raw: &[u8], room: usize) -> Result<Vec<u8>, PdfError> {
    const TOO_MUCH: PdfError = PdfError::TooMuch("its streams inflate to more than is read");
    let filter = only(dictionary.get("Filter"))?;
    let parameters = only(dictionary.get("DecodeParms"))?.and_then(Object::dictionary);
    match filter.map(|filter| filter.name().unwrap_or_default()) {
        None if raw.len() <= room => Ok(raw.to_vec()),
        None => Err(TOO_MUCH),
        Some(b"FlateDecode") => {
            let mut decoded = Vec::new();
            let limit = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
            ZlibDecoder::new(raw)
                .take(limit)
                .read_to_end(&mut decoded)
                .map_err(|_| PdfError::Malformed("a stream does not inflate"))?;
            if decoded.len() > room {
                return Err(TOO_MUCH);
            }
            match parameters {
                Some(parameters) => unpredict(decoded, parameters),
                None => Ok(decoded),
            }
        }
        Some(_) => Err(PdfError::Malformed("a stream uses a filter that is not read here")),
    }
}

/// A value, or the one of an array of one.
fn only(object: Option<&Object>) -> Result<Option<&Object>, PdfError> {
    match object {
        Some(Object::Array(items)) => match items.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(PdfError::Malformed("a stream uses several filters")),
        },
        other => Ok(other),
    }
}

/// PNG prediction, RFC 2083 §6, one byte per pixel.
fn unpredict(encoded: Vec<u8>, parameters: &Dictionary) -> Result<Vec<u8>, PdfError> {
    const WRONG: PdfError = PdfError::Malformed("a stream's predictor is not read here");
    let predictor = parameters.integer("Predictor").unwrap_or(1);
    if predictor == 1 {
        return Ok(encoded);
    }
    let plain = |key, usual| parameters.integer(key).unwrap_or(usual) == usual;
    if !(10..=15).contains(&predictor) || !plain("Colors", 1) || !plain("BitsPerComponent", 8) {
        return Err(WRONG);
    }
    let columns = parameters.integer("Columns").unwrap_or(1);
    let columns = usize::try_from(columns)
        .ok()
        .filter(|_| (1..=MAX_COLUMNS).contains(&columns))
        .ok_or(WRONG)?;
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut above = vec![0_u8; columns];
    for row in encoded.chunks(columns + 1) {
        let Some((kind, row)) = row.split_first() else { break };
        if row.len() != columns {
            return Err(PdfError::Malformed("a predicted stream ends in the middle of a row"));
        }
        let (mut left, mut corner) = (0_u8, 0_u8);
        for (byte, up) in row.iter().zip(above.iter_mut()) {
            let guess = match kind {
                0 => 0,
                1 => left,
                2 => *up,
                3 => left.midpoint(*up),
                4 => paeth(left, *up, corner),
                _ => return Err(WRONG),
            };
            corner = *up;
            left = byte.wrapping_add(guess);
            *up = left;
        }
        decoded.extend_from_slice(&above);
    }
    Ok(decoded)
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let estimate = i16::from(left) + i16::from(up) - i16::from(corner);
    let distance = |byte: u8| (estimate - i16::from(byte)).abs();
    if distance(left) <= distance(up) && distance(left) <= distance(corner) {
        left
    } else if distance(up) <= distance(corner) {
        up
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdf::object::Parser;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write as _;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn dictionary(text: &str) -> Dictionary {
        Parser::at(text.as_bytes(), 0)
            .value()
            .unwrap()
            .dictionary()
            .unwrap()
            .clone()
    }

    #[test]
    fn every_png_predictor_is_undone() {
        let flate = dictionary("<</Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 3>>>>");
        let rows = [0, 1, 2, 3, 1, 1, 1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 4, 1, 1, 1];
        let decoded = decode(&flate, &deflate(&rows), 100).unwrap();
        assert_eq!(decoded, [1, 2, 3, 1, 2, 3, 2, 3, 4, 2, 3, 4, 3, 4, 5]);
        assert!(decode(&flate, &deflate(&rows[..18]), 100).is_err());
    }

    #[test]
    fn a_bomb_ends_at_the_room_there_is() {
        let flate = dictionary("<</Filter[/FlateDecode]>>");
        let bomb = deflate(&vec![0; 10_000_000]);
        assert!(matches!(decode(&flate, &bomb, 1_000_000), Err(PdfError::TooMuch(_))));
        assert!(matches!(decode(&flate, b"rubbish", 100), Err(PdfError::Malformed(_))));
        assert!(decode(&dictionary("<</Filter/LZWDecode>>"), b"", 100).is_err());
    }
}
