//! Names for people: RFC 4514 strings from distinguished names.
