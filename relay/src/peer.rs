//! Who is calling: TLS, the device certificate, the device table, the named person.
