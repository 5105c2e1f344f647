//! How many stamps a device may have in an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use formats::wire::{DeviceId, FacilityCode};
use http::header::RETRY_AFTER;

use crate::peer::Peer;
use crate::problem::{Code, Problem};

const HOUR: Duration = Duration::from_secs(3600);

/// How many each device has had in this hour.
#[derive(Default)]
pub(super) struct Quota(Mutex<Option<Hour>>);

struct Hour {
    began: Instant,
    given: HashMap<(FacilityCode, DeviceId), u32>,
}

impl Hour {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            given: HashMap::new(),
        }
    }
}

impl Quota {
    pub(super) fn admit(&self, peer: &Peer, most: u32) -> Result<(), Problem> {
        let mut hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = hour.get_or_insert_with(Hour::begin);
        if hour.began.elapsed() > HOUR {
            *hour = Hour::begin();
        }
        let left = HOUR.saturating_sub(hour.began.elapsed()).as_secs().max(1);
        let count = hour
            .given
            .entry((peer.facility.code.clone(), peer.device.id.clone()))
            .or_insert(0);
        if *count >= most {
            return Err(Problem::new(Code::Quota).header(RETRY_AFTER, left.into()));
        }
        *count += 1;
        Ok(())
    }
}
