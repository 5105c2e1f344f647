//! Enrolment: one-time codes become device certificates; renewal; the relay's CA for devices.
