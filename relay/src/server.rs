//! Listeners, TLS, connections, graceful stop.
