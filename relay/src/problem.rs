//! The one place where errors become RFC 9457 problems, in Japanese and English.
