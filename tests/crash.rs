//! The relay killed in the middle of its work, again and again, and a disk that fails: what was acknowledged stays.
//!
//! `HIKYAKU_CRASH_ROUNDS` (default 10) and `HIKYAKU_CRASH_SEED` steer the rounds of kill -9, `HIKYAKU_CRASH_ROUNDS_SLED` (default 3)
//! those with the index in sled, `HIKYAKU_POWER_CUTS` (default 3) the power cuts; `HIKYAKU_EVERY_CALL=1` lets every system call of a
//! submission fail in turn, not a sample.

mod crash {
    pub(crate) mod audit;
    mod calls;
    mod clock;
    mod erasure;
    mod full;
    mod image;
    pub(crate) mod letters;
    mod power;
    mod sync;
    pub(crate) mod tally;
    mod twice;
    mod views;
}
