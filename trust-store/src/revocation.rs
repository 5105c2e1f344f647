//! Revocation status (失効状態) at a time, from supplied CRLs.
