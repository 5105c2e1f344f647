//! What the operator sees from outside: logs as JSON lines, and figures for Prometheus by name.
//!
//! | figure | kind | meaning |
//! |---|---|---|
//! | `hikyaku_connections` | gauge | open connections |
//! | `hikyaku_connections_refused_total` | counter | connections closed at once because no seat was free |
//! | `hikyaku_tls_handshakes_failed_total` | counter | handshakes that failed or took too long |
//! | `hikyaku_requests_total{method,status}` | counter | answered requests |
//! | `hikyaku_request_seconds` | histogram | seconds from a request's headers to the answer's |
//! | `hikyaku_upload_bytes_total` | counter | bytes of uploads written |
//! | `hikyaku_uploads_open` | gauge | uploads not finished |
//! | `hikyaku_submissions_total{outcome}` | counter | accepted, pending, refused |
//! | `hikyaku_pending_evidence` | gauge | submissions that wait for evidence |
//! | `hikyaku_pending_evidence_oldest_seconds` | gauge | how long the oldest of them has waited |
//! | `hikyaku_pending_evidence_for{host}` | gauge | submissions that wait for one host, or for the time stamp authorities |
//! | `hikyaku_evidence_fetches_total{outcome}` | counter | fetches of CRLs, OCSP responses, certificates: fetched, failed, forbidden |
//! | `hikyaku_evidence_host_good{host}` | gauge | 1 if the host answered when it was last asked, else 0 |
//! | `hikyaku_timestamps_total{outcome}` | counter | granted, failed |
//! | `hikyaku_timestamp_authority_good{authority}` | gauge | 1 if its last token verified, 0 if it gave none |
//! | `hikyaku_timestamp_drift_seconds{authority}` | gauge | genTime of its last token less the clock here |
//! | `hikyaku_archives_due` | gauge | submissions without archive, or whose archive ends within the margin |
//! | `hikyaku_archives_total{outcome}` | counter | tries: made, no_stamp, no_gain, failed |
//! | `hikyaku_verdicts_revised_total` | counter | accepted submissions stopped by evidence that came later |
//! | `hikyaku_submissions_unconfirmed` | gauge | held submissions for whose signer no CRL or OCSP response issued since the signature has come yet |
//! | `hikyaku_revalidations_due` | gauge | submissions that a late CRL lists and that are still to be validated again |
//! | `hikyaku_expiry_seconds{purpose,name}` | gauge | seconds until a certificate or CRL ends; negative once it has |
//! | `hikyaku_syslog_lag_records` | gauge | records of the trail not yet fed to the log server |
//! | `hikyaku_syslog_sent_total` | counter | records fed to the log server |
//! | `hikyaku_syslog_failed_total` | counter | batches the log server did not take |
//! | `hikyaku_checkpoint_stamps_total{outcome}` | counter | time stamps of the log's checkpoint: stamped, failed |
//! | `hikyaku_checkpoint_stamped_time` | gauge | genTime of the newest stamp over the log's checkpoint, seconds since 1970 |
//! | `hikyaku_witnessed_size` | gauge | records of the newest checkpoint that a witness has cosigned |
//! | `hikyaku_witness_good{witness}` | gauge | 1 if the witness cosigned when it was last asked, else 0 |
//! | `hikyaku_delivered_bytes_total` | counter | bytes of containers and files sent out |

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub(crate) const CONNECTIONS: &str = "hikyaku_connections";
pub(crate) const CONNECTIONS_REFUSED: &str = "hikyaku_connections_refused_total";
pub(crate) const HANDSHAKES_FAILED: &str = "hikyaku_tls_handshakes_failed_total";
pub(crate) const REQUESTS: &str = "hikyaku_requests_total";
pub(crate) const REQUEST_SECONDS: &str = "hikyaku_request_seconds";
pub(crate) const UPLOAD_BYTES: &str = "hikyaku_upload_bytes_total";
pub(crate) const UPLOADS_OPEN: &str = "hikyaku_uploads_open";
pub(crate) const SUBMISSIONS: &str = "hikyaku_submissions_total";
pub(crate) const PENDING: &str = "hikyaku_pending_evidence";
pub(crate) const PENDING_OLDEST: &str = "hikyaku_pending_evidence_oldest_seconds";
pub(crate) const PENDING_FOR: &str = "hikyaku_pending_evidence_for";
pub(crate) const HOST_GOOD: &str = "hikyaku_evidence_host_good";
pub(crate) const FETCHES: &str = "hikyaku_evidence_fetches_total";
pub(crate) const TIMESTAMPS: &str = "hikyaku_timestamps_total";
pub(crate) const TSA_GOOD: &str = "hikyaku_timestamp_authority_good";
pub(crate) const TSA_DRIFT: &str = "hikyaku_timestamp_drift_seconds";
pub(crate) const ARCHIVES_DUE: &str = "hikyaku_archives_due";
pub(crate) const ARCHIVES: &str = "hikyaku_archives_total";
pub(crate) const REVISED: &str = "hikyaku_verdicts_revised_total";
pub(crate) const UNCONFIRMED: &str = "hikyaku_submissions_unconfirmed";
pub(crate) const REVISIONS_DUE: &str = "hikyaku_revalidations_due";
pub(crate) const EXPIRY: &str = "hikyaku_expiry_seconds";
pub(crate) const CHECKPOINT_STAMPS: &str = "hikyaku_checkpoint_stamps_total";
pub(crate) const CHECKPOINT_STAMPED: &str = "hikyaku_checkpoint_stamped_time";
pub(crate) const WITNESSED_SIZE: &str = "hikyaku_witnessed_size";
pub(crate) const WITNESS_GOOD: &str = "hikyaku_witness_good";
pub(crate) const DELIVERED_BYTES: &str = "hikyaku_delivered_bytes_total";

pub(crate) const SYSLOG_LAG: &str = "hikyaku_syslog_lag_records";
pub(crate) const SYSLOG_SENT: &str = "hikyaku_syslog_sent_total";
pub(crate) const SYSLOG_FAILED: &str = "hikyaku_syslog_failed_total";

const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// The figures of this program: one set, also when several relays run in it, as tests do.
static FIGURES: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts counting, once per program.
pub(crate) fn count() {
    FIGURES.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(SECONDS).ok()?;
        builder.install_recorder().ok()
    });
}

/// The figures in Prometheus' text format.
pub(crate) fn figures() -> String {
    FIGURES
        .get()
        .and_then(Option::as_ref)
        .map_or_else(String::new, |handle| {
            handle.run_upkeep();
            handle.render()
        })
}

/// Logs as JSON lines on standard error, filtered by `HIKYAKU_LOG` (default `info`). Does nothing if logs go somewhere already.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HIKYAKU_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
