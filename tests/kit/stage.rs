//! A stage for the whole walk: services, a relay, and clinics and hospitals that join it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use formats::envelope::Envelope;
use time::OffsetDateTime;

use crate::card::Card;
use crate::container::{ContainerOptions, referral};
use crate::desk::Desk;
use crate::relay::{RelayOptions, RelayProcess};
use crate::services::Services;

/// Services and a relay that trusts them.
#[derive(Debug)]
pub struct Stage {
    /// CRLs, CA certificates, time stamps, and their faults.
    pub services: Services,
    /// The relay.
    pub relay: RelayProcess,
}

/// A sending and a receiving facility, each with an enrolled desk and one named person.
#[derive(Debug)]
pub struct Pair {
    /// Code of the sender.
    pub from: String,
    /// Code of the recipient.
    pub to: String,
    /// The sender's desk.
    pub clinic: Desk,
    /// The recipient's desk.
    pub hospital: Desk,
}

/// Patient of every submission here: nothing else looks like it, so that a log can be searched for it.
pub const PATIENT_ID: &str = "PT-7741-QX";
/// Their name.
pub const PATIENT_NAME: &str = "試験　患者之助";
/// Both, and what else would betray them: no log may contain any of these.
pub const SECRETS: [&str; 4] = [PATIENT_ID, PATIENT_NAME, "患者之助", "胸部CT"];
/// Who is named at each facility: `staff` of [`Pair`]s.
pub const PERSON: &str = "飛脚　花江";

/// Number of facilities joined so far in this program: no two tests share one.
static JOINED: AtomicU32 = AtomicU32::new(1);

impl Stage {
    /// A stage of one's own, for tests that make something go wrong.
    #[must_use]
    pub fn new(options: &RelayOptions) -> Self {
        let services = Services::start_blocking(0);
        let relay = RelayProcess::start(&services, options);
        Self { services, relay }
    }

    /// The stage that the tests now running share; the last to let go of it ends it. `prepare` is called on a new one.
    pub fn shared(prepare: impl FnOnce(&Self)) -> Arc<Self> {
        static SHARED: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let stage = Arc::new(Self::new(&RelayOptions::default()));
            prepare(&stage);
            *shared = Arc::downgrade(&stage);
            stage
        })
    }

    /// Two facilities nobody else uses.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let (from, to) = (code(), code());
        Pair {
            clinic: self.relay.join(&from, "テスト飛脚診療所", PERSON),
            hospital: self.relay.join(&to, "テスト飛脚病院", PERSON),
            from,
            to,
        }
    }

    /// A referral from `pair`'s clinic to its hospital, signed and stamped now by `card`; `change` has the last word.
    #[must_use]
    pub fn container(
        &self,
        pair: &Pair,
        card: &Card,
        change: impl FnOnce(&mut Envelope, &mut Vec<(String, Vec<u8>)>),
    ) -> Vec<u8> {
        let (envelope, files) = pair.referral(change);
        let options = ContainerOptions::at(OffsetDateTime::now_utc());
        self.services.hpki().container(card, &envelope, &files, options)
    }
}

impl Pair {
    /// Envelope and files of a referral between the two, about the one patient of all tests.
    #[must_use]
    pub fn referral(
        &self,
        change: impl FnOnce(&mut Envelope, &mut Vec<(String, Vec<u8>)>),
    ) -> (Envelope, Vec<(String, Vec<u8>)>) {
        let (mut envelope, mut files) = referral();
        envelope.sender.facility = self.from.parse().expect("a facility code");
        for recipient in &mut envelope.recipients {
            recipient.facility = self.to.parse().expect("a facility code");
        }
        PATIENT_ID.clone_into(&mut envelope.patient.id);
        PATIENT_NAME.clone_into(&mut envelope.patient.name);
        change(&mut envelope, &mut files);
        (envelope, files)
    }
}

/// A facility code nobody else uses.
#[must_use]
pub fn code() -> String {
    format!("13{:08}", JOINED.fetch_add(1, Ordering::Relaxed))
}
