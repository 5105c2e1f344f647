//! The relay killed in the middle of its work, again and again, and a disk that fails: what was acknowledged stays.
//!
//! `HIKYAKU_CRASH_ROUNDS` (default 10) and `HIKYAKU_CRASH_SEED` steer the rounds of kill -9.

mod crash {
    pub(crate) mod audit;
    mod full;
    pub(crate) mod letters;
    mod power;
    mod sync;
}
