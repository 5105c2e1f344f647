//! Time stamps over HTTP: RFC 3161 §3.4. The token is bound to the signature here, and judged by the validation later.
