//! An export read in blocks of whole lines: several threads parse and hash them, one follows in their order. Memory is bounded by
//! the blocks under way.

use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use formats::trail::{EXPORT_LINE, ExportHead, ExportLine, Finding, Verification, WitnessKey};
use formats::wire::FacilityCode;

/// Bytes of a block; more only where one line has more.
const BLOCK: usize = 512 << 10;
/// Blocks that wait for one thread, and verdicts of it that wait to be followed.
const WAITING: usize = 2;

/// Why an export was not read to its end.
#[derive(Debug)]
pub enum Stopped {
    /// It is not what was signed.
    Found(Finding),
    /// This line (from 1) is none of an export.
    Malformed(u64),
    /// What the disk says.
    Io(io::Error),
}

impl From<Finding> for Stopped {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The first line, and what follows it.
pub(super) fn head<R: Read>(source: R) -> Result<(ExportHead, BufReader<R>), Stopped> {
    let mut source = BufReader::with_capacity(BLOCK, source);
    let mut line = Vec::new();
    source.by_ref().take(EXPORT_LINE as u64).read_until(b'\n', &mut line)?;
    match ExportLine::read(&line, None) {
        Ok(ExportLine::Head(head)) => Ok((*head, source)),
        _ => Err(Stopped::Malformed(1)),
    }
}

/// What a block came to: its lines, and whether the one after them is none.
struct Parsed {
    lines: Vec<ExportLine>,
    broken: bool,
}

/// Hands every line to `verification`.
pub(super) fn each(
    source: impl Read + Send,
    facility: Option<&FacilityCode>,
    verification: &mut Verification,
    keys: (&str, &[WitnessKey]),
) -> Result<(), Stopped> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 16);
    std::thread::scope(|scope| {
        let (mut blocks, mut verdicts) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (to, from) = sync_channel::<Vec<u8>>(WAITING);
            let (tell, told) = sync_channel(WAITING);
            scope.spawn(move || parse(&from, &tell, facility));
            blocks.push(to);
            verdicts.push(told);
        }
        let reader = scope.spawn(move || read(source, &blocks));
        // Blocks went round the threads in turn, and so do their verdicts: in the order of the file.
        let followed = follow(&verdicts, verification, keys);
        drop(verdicts);
        let read = reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reading thread stopped")));
        followed.and(read.map_err(Stopped::Io))
    })
}

fn follow(
    verdicts: &[Receiver<Parsed>],
    verification: &mut Verification,
    (log_key, witnesses): (&str, &[WitnessKey]),
) -> Result<(), Stopped> {
    let mut line = 1;
    for told in verdicts.iter().cycle() {
        // The thread whose turn it is has ended: there are no more blocks.
        let Ok(parsed) = told.recv() else { return Ok(()) };
        for parsed in &parsed.lines {
            line += 1;
            match parsed {
                ExportLine::Entry(entry) => verification.entry(entry)?,
                ExportLine::Skipped(skipped) => verification.skipped(skipped)?,
                ExportLine::Head(head) => verification.again(head, log_key, witnesses)?,
            }
        }
        if parsed.broken {
            return Err(Stopped::Malformed(line + 1));
        }
    }
    Ok(())
}

fn parse(blocks: &Receiver<Vec<u8>>, tell: &SyncSender<Parsed>, facility: Option<&FacilityCode>) {
    let mut room = Vec::new();
    while let Ok(block) = blocks.recv() {
        let (mut rest, mut lines, mut broken) = (block.as_slice(), Vec::new(), false);
        while !rest.is_empty() {
            let before = rest;
            let length = rest.skip_until(b'\n').unwrap_or(rest.len());
            match ExportLine::read_in(before.get(..length).unwrap_or_default(), facility, &mut room) {
                Ok(line) => lines.push(line),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        if tell.send(Parsed { lines, broken }).is_err() {
            return;
        }
    }
}

/// Cuts the source into blocks that end with a line. A last line without its end is a line; what is in it shows whether it is whole.
fn read(mut source: impl Read, blocks: &[SyncSender<Vec<u8>>]) -> io::Result<()> {
    let mut left = Vec::new();
    for to in blocks.iter().cycle() {
        let mut block = std::mem::take(&mut left);
        loop {
            let read = source.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            if read == 0 {
                if !block.is_empty() {
                    // Gone only if the other side has stopped.
                    let _gone = to.send(block);
                }
                return Ok(());
            }
            if let Some(end) = block.iter().rposition(|byte| *byte == b'\n') {
                left = block.split_off(end + 1);
                break;
            }
            if block.len() > EXPORT_LINE {
                // Longer than any line: the parser says so.
                break;
            }
        }
        if to.send(block).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use formats::trail::{Actor, Entry, Event, LogKey, Record, commitment, tree};

    use super::*;

    const SIZE: u64 = 20_000;

    /// An export of bodies of many lengths, some longer than a block.
    fn export() -> (Vec<u8>, LogKey) {
        let key = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0;
        let (mut frontier, mut lines) = (formats::trail::Frontier::default(), Vec::new());
        for position in 0..SIZE {
            let length = if position == 7_000 {
                BLOCK * 2
            } else {
                (position % 97) as usize
            };
            let facility: FacilityCode = format!("x-{}", position % 3).parse().unwrap();
            let record = Record {
                v: 1,
                time: "2026-11-22T01:00:00.000Z".into(),
                facility_seq: [(facility.clone(), position / 3 + 1)].into(),
                actor: Actor::default(),
                event: Event::FacilityAdded {
                    facility,
                    name: "\"飛脚\\\n".repeat(length / 8 + 1),
                },
            };
            let (body, salt) = (record.encode().unwrap(), [u8::try_from(position % 256).unwrap(); 32]);
            let entry = commitment(&salt, body.as_bytes());
            frontier.push(&tree::leaf(&entry));
            Entry::push_record(&mut lines, position, &body, &salt, &entry);
        }
        let head = ExportHead {
            facility: None,
            extract: false,
            checkpoint: key.sign(SIZE, &frontier.root()).unwrap(),
            witnessed: Vec::new(),
        };
        let mut whole = Vec::new();
        head.push(&mut whole);
        whole.extend(lines);
        (whole, key)
    }

    fn verify(export: &[u8], key: &LogKey) -> Result<u64, Stopped> {
        let (head, rest) = head(export)?;
        let mut verification = Verification::new(&head, key.vkey(), &[], Vec::new())?;
        each(rest, None, &mut verification, (key.vkey(), &[]))?;
        Ok(verification.finish()?.records)
    }

    #[test]
    fn blocks_keep_their_order_and_lines_their_numbers() {
        let (export, key) = export();
        assert_eq!(verify(&export, &key).unwrap(), SIZE);
        let lines: Vec<&[u8]> = export.split_inclusive(|byte| *byte == b'\n').collect();
        for place in [1, 2, 6_999, 7_001, 15_000, SIZE as usize] {
            let mut broken = lines.clone();
            broken[place] = b"{}\n";
            match verify(&broken.concat(), &key).unwrap_err() {
                Stopped::Malformed(line) => assert_eq!(line, place as u64 + 1),
                other => panic!("{place}: {other:?}"),
            }
            let mut removed = lines.clone();
            removed.remove(place);
            match verify(&removed.concat(), &key).unwrap_err() {
                Stopped::Found(finding) => assert_eq!(finding.position, place as u64 - 1),
                other => panic!("{place}: {other:?}"),
            }
        }
        for cut in [0, 10, export.len() / 2, export.len() - 2] {
            assert!(verify(&export[..cut], &key).is_err(), "{cut}");
        }
        assert_eq!(
            verify(&export[..export.len() - 1], &key).unwrap(),
            SIZE,
            "without its last line's end"
        );
    }
}
