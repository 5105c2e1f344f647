//! Audit records, checkpoints and receipts: canonical when written, and never good unless the log signed them.

use formats::trail::{
    Checkpoint, ExportLine, InclusionProof, LogKey, Record, Tile, WitnessKey, cosignatures, with_cosignatures,
};
use formats::wire::Receipt;

/// The key of the fuzzed log; nobody else's.
const SEED: [u8; 32] = [7; 32];

/// A witness with the public key of RFC 8032 §7.1, test 1, which never signed a checkpoint.
const WITNESS: &str = "witness.example/w1+eb762cc2+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(record) = Record::parse(text) {
        let _ = (
            record.event.kind(),
            record.event.facilities(),
            record.event.submission(),
        );
        if let Ok(written) = record.encode() {
            let second = Record::parse(&written).expect("what is written can be read");
            assert!(second == record);
            assert_eq!(second.encode().as_ref(), Ok(&written), "the canonical form is not one");
        }
    }
    let (key, _) = LogKey::from_seed("relay.example/fuzz", &SEED).expect("the name fits a note");
    // The tree of one entry, signed: everything else that verifies would be a forgery.
    if let Ok(checkpoint) = Checkpoint::verify(text, key.vkey()) {
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), (key.name(), 1));
        assert_eq!(checkpoint.root, [9; 32]);
    }
    let _ = LogKey::parse(text);
    if let Ok(proof) = InclusionProof::parse(text) {
        let written = proof.encode();
        assert!(
            InclusionProof::parse(&written).as_ref() == Ok(&proof),
            "what is written can be read"
        );
        assert!(
            proof.verify_record(key.vkey()).is_err(),
            "a proof the log never gave is good"
        );
    }
    if let Ok(tile) = Tile::parse(text) {
        assert_eq!(tile.path(), text, "a tile has one name");
        let positions = tile.positions();
        assert!(positions.start < positions.end && tile.within(positions.end) && !tile.within(positions.end - 1));
        assert!(tile.nodes().len() <= 256);
    }
    let facility = "1310000001".parse().ok();
    let _ = ExportLine::read(input, facility.as_ref());
    let _ = (WitnessKey::parse(text), cosignatures(text, &[]));
    let note = key.sign(1, &[9; 32]).expect("the name fits a note");
    if let Ok(witness) = WitnessKey::parse(WITNESS) {
        assert!(
            with_cosignatures(&note, text, &witness).is_err(),
            "a cosignature nobody gave is good"
        );
        let _ = cosignatures(text, &[witness]);
    }
    if let Ok(receipt) = serde_json::from_str::<Receipt>(text) {
        assert!(
            receipt.verify(key.vkey()).is_err(),
            "a receipt the log never gave is good"
        );
        let again = serde_json::to_string(&receipt).expect("it can be written");
        assert!(serde_json::from_str::<Receipt>(&again).is_ok_and(|again| again == receipt));
    }
}
