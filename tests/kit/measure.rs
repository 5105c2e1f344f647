//! Programs as the kernel sees them: what they said, the most memory they had resident, how long they were on a processor.

use std::fs;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A program that has ended.
#[derive(Debug)]
pub struct Measured {
    /// What it said, and how it ended.
    pub output: Output,
    /// The most memory it had resident, bytes, as seen by looking often; 0 where nobody tells (not Linux).
    pub peak: u64,
    /// How long it was on processors, to a hundredth of a second; zero where nobody tells.
    pub running: Duration,
}

/// Runs a program to its end.
///
/// # Panics
/// If there is no such program.
#[must_use]
pub fn measured(command: &mut Command) -> Measured {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let drain = |mut stream: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could be read before the stream broke is what the program said.
            let _ = stream.read_to_end(&mut bytes);
            bytes
        })
    };
    let stdout = drain(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = drain(Box::new(child.stderr.take().expect("a pipe")));
    let (mut peak, mut ticks) = (0, 0);
    let status = loop {
        // Both marks only rise: the last ones seen are the highest, but for what is taken in the last moment.
        peak = peak_memory(child.id()).unwrap_or(peak);
        ticks = processor_ticks(child.id()).unwrap_or(ticks);
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Measured {
        output: Output {
            status,
            stdout: stdout.join().expect("reading does not fail"),
            stderr: stderr.join().expect("reading does not fail"),
        },
        peak,
        running: Duration::from_millis(ticks * 10),
    }
}

/// The most memory a process has had resident so far, bytes (Linux).
#[must_use]
pub fn peak_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

/// Forgets the most memory a process has had resident: what follows is measured by itself. proc_pid_clear_refs(5), value 5.
pub fn forget_peak(pid: u32) {
    // Where there is no such file, nobody tells the peak either.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// The memory a process has resident now, bytes (Linux).
#[must_use]
pub fn resident_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, what: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mark = status.lines().find_map(|line| line.strip_prefix(what))?;
    let kib: u64 = mark.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// proc_pid_stat(5): utime and stime, in hundredths of a second as on every Linux there is.
fn processor_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have spaces and brackets of its own.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(ticks(11)? + ticks(12)?)
}
