//! Uploads: tus 1.0, each byte judged while it passes.
