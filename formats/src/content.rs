//! What a file really is: executables, scripts and macros found by content, not by name.
