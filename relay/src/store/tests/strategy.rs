//! How histories are made by chance; the tests of the store in PostgreSQL make theirs so too.

use proptest::prelude::*;

use super::model::{SUBMISSIONS, Step, Turn};

fn step() -> impl Strategy<Value = Step> {
    let (number, facility, device) = (0..SUBMISSIONS, 0..3usize, 0..2usize);
    prop_oneof![
        1 => facility.clone().prop_map(Step::Join),
        1 => (facility.clone(), device.clone()).prop_map(|(facility, device)| Step::Enrol(facility, device)),
        1 => (facility.clone(), device).prop_map(|(facility, device)| Step::Revoke(facility, device)),
        3 => (number.clone(), any::<bool>()).prop_map(|(number, all)| Step::Accept(number, all)),
        2 => number.clone().prop_map(Step::Wait),
        2 => (number.clone(), any::<bool>()).prop_map(|(number, accept)| Step::Decide(number, accept)),
        4 => (number.clone(), facility.clone(), any::<bool>()).prop_map(|(number, to, view)| Step::Look(number, to, view)),
        2 => (number.clone(), facility).prop_map(|(number, by)| Step::Acknowledge(number, by)),
        1 => number.clone().prop_map(Step::Hold),
        1 => number.prop_map(Step::Lift),
    ]
}

pub(super) fn turn() -> impl Strategy<Value = Turn> {
    // Two steps about one thing in one batch would each be judged by what was before both.
    let about = |step: &Step| match *step {
        Step::Join(facility) => (0, facility as u64, 0),
        Step::Enrol(facility, device) | Step::Revoke(facility, device) => (1, facility as u64, device as u64),
        Step::Accept(number, _)
        | Step::Wait(number)
        | Step::Decide(number, _)
        | Step::Look(number, ..)
        | Step::Acknowledge(number, _)
        | Step::Hold(number)
        | Step::Lift(number) => (2, number, 0),
    };
    let steps = proptest::collection::vec(step(), 1..4).prop_map(move |mut steps| {
        let mut seen = Vec::new();
        steps.retain(|step| {
            let new = !seen.contains(&about(step));
            seen.push(about(step));
            new
        });
        steps
    });
    (steps, proptest::bool::weighted(0.08)).prop_map(|(steps, reopen)| Turn { steps, reopen })
}

/// Histories of up to sixty turns.
pub(super) fn histories() -> impl Strategy<Value = Vec<Turn>> {
    proptest::collection::vec(turn(), 1..60)
}
