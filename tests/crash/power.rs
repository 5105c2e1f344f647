//! kill -9 in the middle of two hundred sends, restart, again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::relay_api::ApiError;
use formats::wire::Receipt;
use kit::stage::{Pair, Stage};
use kit::{CardSpec, RelayOptions};

use super::audit::audit;
use super::letters::{Letter, api, are_there, can_be_sent_again, prepare, send};
use super::tally::{Ledger, judge};

/// Letters under way when the relay is killed.
const SENDS: usize = 200;
/// Clinics that send them: a facility may have 64 uploads open at once, and those a kill has left without a
/// sender, or beside a letter that was accepted already, stay open until they expire.
const PAIRS: usize = 8;
/// Rounds on one relay, so that such uploads do not use up a quota.
const ROUNDS_ON_ONE: usize = 10;
/// The files are audited after every so many rounds, and after the last: the trail only grows and an index that is wrong
/// stays so, so that an audit finds what any round before it broke.
const AUDITED: u32 = 5;
/// Letters of each clinic that are sent again right after a restart.
const AT_ONCE: usize = 3;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds: u32 = std::env::var("HIKYAKU_CRASH_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let seed = std::env::var("HIKYAKU_CRASH_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    println!("HIKYAKU_CRASH_SEED={seed} HIKYAKU_CRASH_ROUNDS={rounds}");
    let mut random = Random(seed);
    let (mut total, mut without_answer) = (0, 0);
    for first in (1..=rounds).step_by(ROUNDS_ON_ONE) {
        let here = rounds.min(first + ROUNDS_ON_ONE as u32 - 1);
        let (before, after) = endure(&stage(), first..=here, &mut random);
        (total, without_answer) = (total + before, without_answer + after);
    }
    println!(
        "{rounds} rounds: {total} acknowledged before a kill, {without_answer} without answer, none lost, none twice"
    );
    assert!(
        total > 0 && without_answer > 0,
        "no kill fell between the first answer and the last"
    );
}

/// The same with the index in sled, on a relay that had it in redb before.
#[test]
fn what_was_acknowledged_survives_kill_9_with_the_index_in_sled() {
    let rounds: u32 = std::env::var("HIKYAKU_CRASH_ROUNDS_SLED").map_or(3, |rounds| rounds.parse().unwrap());
    let seed = std::env::var("HIKYAKU_CRASH_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    println!("HIKYAKU_CRASH_SEED={seed} HIKYAKU_CRASH_ROUNDS_SLED={rounds}");
    let (stage, mut random) = (stage(), Random(seed));
    endure(&stage, 1..=1, &mut random);
    stage.relay.stop();
    let file = stage.relay.config();
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{config}\n[store]\nindex = \"sled\"\n")).unwrap();
    stage.relay.restart();
    let log = stage.relay.log();
    assert!(log.contains("the index is of another kind; it is made anew"), "{log}");
    assert!(stage.relay.data().join("index/db").exists() && !stage.relay.data().join("index/index.redb").exists());
    for first in (2..=rounds + 1).step_by(ROUNDS_ON_ONE) {
        endure(
            &stage,
            first..=(rounds + 1).min(first + ROUNDS_ON_ONE as u32 - 1),
            &mut random,
        );
    }
}

fn stage() -> Stage {
    Stage::new(&RelayOptions {
        limits: vec![("connections_per_address", 1000.into())],
        ..RelayOptions::default()
    })
}

/// Rounds on one relay. How many letters were acknowledged before a kill, and how many were not.
fn endure(stage: &Stage, rounds: RangeInclusive<u32>, random: &mut Random) -> (usize, usize) {
    let pairs: Vec<Pair> = (0..PAIRS).map(|_| stage.pair()).collect();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let apis = || {
        pairs
            .iter()
            .map(|pair| (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay)))
    };
    let mut waiting: Vec<Vec<Letter>> = vec![Vec::new(); PAIRS];
    let mut kept: Vec<Vec<(Letter, Receipt)>> = vec![Vec::new(); PAIRS];
    let (mut total, mut without_answer) = (0, 0);
    let last = *rounds.end();
    for round in rounds {
        for (pair, letters) in pairs.iter().zip(&mut waiting) {
            letters.extend(prepare(stage, pair, &card, SENDS / PAIRS - letters.len()));
        }
        let answers = Arc::new(AtomicUsize::new(0));
        let enough = usize::try_from(random.below(SENDS as u64 * 3 / 4)).unwrap();
        let pause = Duration::from_millis(random.below(60));
        let started: Vec<Vec<_>> = apis()
            .zip(&mut waiting)
            .map(|((clinic, _), letters)| {
                let start = |letter: Letter| {
                    let (answers, sending) = (Arc::clone(&answers), send(clinic.clone(), letter.clone()));
                    let sending = async move {
                        let answer = sending.await;
                        answers.fetch_add(1, Ordering::Relaxed);
                        answer
                    };
                    (letter, runtime.spawn(sending))
                };
                letters.drain(..).map(start).collect()
            })
            .collect();
        // At a moment that differs from round to round, with work at every stage under way.
        while answers.load(Ordering::Relaxed) < enough {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(pause);
        stage.relay.kill9();
        let mut ended = Vec::new();
        for sends in started {
            let (mut acknowledged, mut open) = (Vec::new(), Vec::new());
            for (letter, task) in sends {
                match runtime.block_on(task).unwrap() {
                    Ok(receipt) => acknowledged.push((letter, receipt)),
                    Err(ApiError::Problem(problem)) => panic!("round {round}: {problem:?}"),
                    Err(_) => open.push(letter),
                }
            }
            ended.push((acknowledged, open));
        }
        stage.relay.restart();
        let (mut before, mut after) = (0, 0);
        for (at, ((clinic, hospital), (acknowledged, mut open))) in apis().zip(ended).enumerate() {
            runtime.block_on(are_there(&clinic, &hospital, &acknowledged));
            before += acknowledged.len();
            after += open.len();
            // Some are sent again at once; the others are among the letters of the next round.
            waiting[at] = open.split_off(open.len().min(AT_ONCE));
            kept[at].extend(acknowledged);
            kept[at].extend(runtime.block_on(can_be_sent_again(&clinic, open)));
        }
        println!(
            "round {round}: killed {pause:?} after answer {enough}; {before} acknowledged, {after} without answer"
        );
        (total, without_answer) = (total + before, without_answer + after);
        if round % AUDITED != 0 && round != last {
            continue;
        }
        stage.relay.stop();
        let audited = audit(&stage.relay, std::iter::empty());
        assert_eq!(audited.twice, [], "round {round}");
        for (letter, receipt) in kept.iter().flatten() {
            assert_eq!(
                audited.accepted.get(&letter.id),
                Some(&receipt.position),
                "round {round}"
            );
        }
        stage.relay.restart();
    }
    for (((clinic, hospital), letters), kept) in apis().zip(waiting).zip(&mut kept) {
        kept.extend(runtime.block_on(can_be_sent_again(&clinic, letters)));
        runtime.block_on(are_there(
            &clinic,
            &hospital,
            &kept[kept.len().saturating_sub(SENDS / PAIRS)..],
        ));
    }
    let ledgers = pairs.iter().zip(kept).map(|(pair, kept)| Ledger {
        acknowledged: kept,
        ..Ledger::new(pair)
    });
    judge("kill -9 among sends", stage, &runtime, &ledgers.collect::<Vec<_>>());
    (total, without_answer)
}

fn now() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
