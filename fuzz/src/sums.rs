//! ZIP sums put right again: a fuzzer that changes a manifest shall not always end at its CRC.

/// How a container target reads its input: the first byte says whether the sums are put right, and how pieces are cut.
pub(crate) fn prepared(input: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (mode, bytes) = input.split_first()?;
    let mut bytes = bytes.to_vec();
    if mode & 1 == 1 {
        repair(&mut bytes);
    }
    Some((mode >> 1, bytes))
}

/// Writes into each local header, and into the central header at the same place in the order, the CRC of the stored bytes.
fn repair(bytes: &mut [u8]) {
    let mut at = 0;
    let mut sums = Vec::new();
    while let Some(header) = bytes
        .get(at..at + 30)
        .filter(|header| header.starts_with(b"PK\x03\x04"))
    {
        let word = |at: usize| usize::from(header[at]) | usize::from(header[at + 1]) << 8;
        let size = word(18) | word(20) << 16;
        let start = at + 30 + word(26) + word(28);
        let Some(content) = start.checked_add(size).and_then(|end| bytes.get(start..end)) else {
            return;
        };
        let sum = crc32fast::hash(content).to_le_bytes();
        bytes[at + 14..at + 18].copy_from_slice(&sum);
        sums.push(sum);
        at = start + size;
    }
    for sum in sums {
        let Some(header) = bytes
            .get(at..at + 46)
            .filter(|header| header.starts_with(b"PK\x01\x02"))
        else {
            return;
        };
        let word = |at: usize| usize::from(header[at]) | usize::from(header[at + 1]) << 8;
        let next = at + 46 + word(28) + word(30) + word(32);
        bytes[at + 16..at + 20].copy_from_slice(&sum);
        at = next;
    }
}
