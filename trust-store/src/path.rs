//! Certification paths: building and RFC 5280 §6 validation.
