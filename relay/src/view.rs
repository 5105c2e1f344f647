//! View: a named person looks at single files.
