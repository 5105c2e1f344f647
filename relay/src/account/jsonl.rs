//! The account as records: one JSON object a line, body and salt as committed.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::store::StoredRecord;

/// Appends the line of a record; of an erased one its commitment.
pub(super) fn push(out: &mut Vec<u8>, stored: &StoredRecord) {
    // Writing to memory does not fail, and a string is always JSON.
    let _ = match &stored.content {
        Some(content) => {
            out.extend_from_slice(b"{\"body\":");
            let _ = serde_json::to_writer(&mut *out, &content.body);
            let salt = STANDARD.encode(content.salt);
            writeln!(out, ",\"position\":{},\"salt\":\"{salt}\"}}", stored.position)
        }
        None => {
            let commitment = STANDARD.encode(stored.commitment);
            let position = stored.position;
            writeln!(
                out,
                "{{\"commitment\":\"{commitment}\",\"erased\":true,\"position\":{position}}}"
            )
        }
    };
}
