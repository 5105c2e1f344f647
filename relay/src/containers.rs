//! Stored containers, evidence and reports, through the `object_store` joint.
