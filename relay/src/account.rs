//! Accounts: what the trail says about a facility, as CSV and JSON Lines, from one query.
