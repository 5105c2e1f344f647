//! Several relays on one database and one bucket: any of them answers any request, and none of them is needed. Skipped by name
//! where PostgreSQL or SeaweedFS is missing.

#[path = "many_machines/bucket.rs"]
mod bucket;
#[path = "many_machines/keeping.rs"]
mod keeping;
#[path = "many_machines/rolling.rs"]
mod rolling;
#[path = "many_machines/rotating.rs"]
mod rotating;

use kit::{Many, skip};
use toml::Value;

/// So many relays, or the test is skipped by its name.
fn many(test: &str, count: usize, endpoint: Option<&str>, limits: &[(&'static str, Value)]) -> Option<Many> {
    let many = Many::start(count, endpoint, limits);
    if many.is_none() {
        skip(test, "PostgreSQL or SeaweedFS is not installed");
    }
    many
}

#[test]
fn three_relays_lose_nothing_when_one_is_killed_in_mid_upload_and_then_the_one_that_writes() {
    let name = "three_relays_lose_nothing_when_one_is_killed_in_mid_upload_and_then_the_one_that_writes";
    let Some(many) = many(name, 3, None, &[]) else { return };
    let tally = kit::many::walk::walk(&many, &|step| println!("{step}"));
    tally.tell("three relays, two of them killed");
}
