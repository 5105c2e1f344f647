//! Configuration: as typed (`File`) and as validated (`Config`). Only `main` reads the file.
