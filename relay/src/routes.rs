//! The HTTP routes of `/v1`.
