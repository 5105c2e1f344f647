//! Intake: from a finished upload to Accepted, PendingEvidence or Refused.
