//! Feeds mutated inputs to a parser in a test, and holds it to what any parser owes: no panic, no hang, bounded memory.
//!
//! Our own, because it has to run with the stable toolchain and without instrumentation in every `cargo test`:
//! cargo-fuzz and honggfuzz need sanitizers of a nightly compiler, and without coverage to guide them `bolero` and
//! `arbitrary` are random bytes. What finds faults without guidance are good seeds and mutations that know lengths,
//! numbers, tokens and nesting: that is [`Mutator`], and little code.
//!
//! * `LOGQ_MUTATIONS` is how many inputs each parser gets, 10,000 if it is not set.
//! * `LOGQ_MUTATION_SEED` makes a run again. Each input depends on the seed and its number alone.
//! * A panic is shrunk and told with seed, number and bytes. A hang is told the same way and ends the process. A stack
//!   that overflows takes the process with it: the seed was told before, and fewer inputs find the one.
//!
//! Imports nothing of ours; only tests depend on it.

mod framed;
mod mutator;

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub use mutator::{INPUT_BYTES_MAX, Mutator};

/// Inputs of a parser where `LOGQ_MUTATIONS` says nothing: seconds in a debug build.
const INPUTS: u64 = 10_000;
/// Longest time for one input of at most [`INPUT_BYTES_MAX`], in a debug build as well.
const INPUT_TIME_MAX: Duration = Duration::from_secs(1);
/// Others may hold the machine up: a slow input is slow only if it is so in each of these tries, of which the later ones
/// count the time of the processor.
const SLOW_TRIES: usize = 3;
/// An input that takes this long is a hang.
const HANG: Duration = Duration::from_secs(60);
/// How much the process may grow beyond its largest size before: all tests of one binary together.
const GROWTH_BYTES_MAX: u64 = 256 << 20;
/// Inputs tried at most to make a failing one smaller; each says its panic.
const SHRINK_TRIES: usize = 100;

/// Gives `check` the seeds as they are and then mutations of them. It answers whether the parser took the input, and
/// panics if something is wrong with what it took. `dictionary` has the tokens of the language.
///
/// # Panics
/// When `check` panics, takes longer than a second, or the process grows by more than 256 MiB; also when all inputs or
/// none of them were taken, for then nothing was tested.
pub fn run(
    name: &str,
    seeds: &[Vec<u8>],
    dictionary: &[&[u8]],
    check: impl Fn(&[u8]) -> bool + Sync,
) {
    run_with(name, &Mutator::new(seed(), seeds, dictionary), check);
}

/// As [`run`], for a parser of protobuf.
///
/// # Panics
/// As [`run`].
pub fn run_framed(
    name: &str,
    seeds: &[Vec<u8>],
    dictionary: &[&[u8]],
    check: impl Fn(&[u8]) -> bool + Sync,
) {
    run_with(name, &Mutator::new(seed(), seeds, dictionary).framed(), check);
}

fn run_with(name: &str, mutator: &Mutator<'_>, check: impl Fn(&[u8]) -> bool + Sync) {
    let (seed, inputs) = (mutator.seed(), setting("LOGQ_MUTATIONS").unwrap_or(INPUTS));
    let run = Run { name, mutator, check: &check, number: AtomicU64::new(0) };
    // Of a stack that overflows nothing else remains.
    let _ = writeln!(std::io::stderr(), "{name}: {inputs} inputs of LOGQ_MUTATION_SEED={seed}");
    let (before, began) = (peak_bytes(), Instant::now());
    let (ended, watched) = channel::<()>();
    let seen = std::thread::scope(|scope| {
        let run = &run;
        scope.spawn(move || run.watch(&watched));
        // The watch ends when this is dropped, after a panic too.
        let _ended = ended;
        run.all(inputs)
    });
    let peak = peak_bytes();
    // The system counts pages on each processor and adds them up now and then, so that a peak can seem to sink a little.
    let new = peak.saturating_sub(before);
    eprintln!(
        "{name}: {inputs} inputs in {:.1?}, {} taken, slowest {:.1?} (number {}), peak {} MiB of which {} new, LOGQ_MUTATION_SEED={seed}",
        began.elapsed(),
        seen.taken,
        seen.slowest.0,
        seen.slowest.1,
        peak >> 20,
        new >> 20,
    );
    assert!(
        new <= GROWTH_BYTES_MAX,
        "{name}: the process grew from {before} to {peak} bytes, LOGQ_MUTATION_SEED={seed}"
    );
    assert!(
        inputs < 1_000 || (1..inputs).contains(&seen.taken),
        "{name}: {} of {inputs} were taken, which tests nothing",
        seen.taken
    );
}

/// What came of all inputs.
#[derive(Default)]
struct Seen {
    taken: u64,
    /// The longest time, and of which input.
    slowest: (Duration, u64),
}

struct Run<'a, C> {
    name: &'a str,
    mutator: &'a Mutator<'a>,
    check: &'a C,
    /// Of the input that is being read.
    number: AtomicU64,
}

impl<C: Fn(&[u8]) -> bool + Sync> Run<'_, C> {
    fn all(&self, inputs: u64) -> Seen {
        let mut seen = Seen::default();
        for number in 0..inputs {
            self.number.store(number, Ordering::Relaxed);
            let input = self.mutator.input(number);
            let (took, taken) = self.one(number, &input);
            seen.taken += u64::from(taken);
            seen.slowest = seen.slowest.max((took, number));
        }
        seen
    }

    /// Whether the input was taken, and how long that took.
    fn one(&self, number: u64, input: &[u8]) -> (Duration, bool) {
        let mut fastest = Duration::MAX;
        for again in 0..SLOW_TRIES {
            let began = Instant::now();
            let on_processor = if again > 0 { processor_time() } else { None };
            let taken = match self.caught(input) {
                Ok(taken) => taken,
                Err(panic) => {
                    self.tell("panics", number, &self.shrunk(input));
                    std::panic::resume_unwind(panic);
                }
            };
            let took = on_processor
                .and_then(|before| processor_time()?.checked_sub(before))
                .unwrap_or_else(|| began.elapsed());
            fastest = fastest.min(took);
            if fastest <= INPUT_TIME_MAX {
                return (fastest, taken);
            }
        }
        self.tell("is slow", number, input);
        panic!("{}: input {number} took {fastest:?}", self.name);
    }

    fn caught(&self, input: &[u8]) -> Result<bool, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| (self.check)(input)))
    }

    /// A part of the input that panics too: pieces are left out, halves first.
    fn shrunk(&self, input: &[u8]) -> Vec<u8> {
        let mut smallest = input.to_vec();
        let mut tries = 0;
        let mut piece = smallest.len() / 2;
        while piece > 0 {
            let mut at = 0;
            while at < smallest.len() {
                tries += 1;
                if tries > SHRINK_TRIES {
                    return smallest;
                }
                let mut without = smallest.clone();
                without.drain(at..(at + piece).min(smallest.len()));
                match self.caught(&without) {
                    Err(_) => smallest = without,
                    Ok(_) => at += piece,
                }
            }
            piece /= 2;
        }
        smallest
    }

    /// Ends the process when one input takes too long.
    fn watch(&self, ended: &Receiver<()>) {
        let mut last = u64::MAX;
        while ended.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
            let number = self.number.load(Ordering::Relaxed);
            if number == last {
                self.tell("hangs", number, &self.mutator.input(number));
                std::process::exit(101);
            }
            last = number;
        }
    }

    /// Around the test runner, which shows nothing of a process that exits.
    fn tell(&self, what: &str, number: u64, input: &[u8]) {
        let seed = self.mutator.seed();
        let _ = writeln!(
            std::io::stderr(),
            "{}: input {number} of LOGQ_MUTATION_SEED={seed} {what}, {} bytes: b\"{}\"",
            self.name,
            input.len(),
            input.escape_ascii(),
        );
    }
}

fn seed() -> u64 {
    let any = || RandomState::new().hash_one("any seed") % 1_000_000_000;
    setting("LOGQ_MUTATION_SEED").unwrap_or_else(any)
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} takes a number, not `{text}`")))
}

/// How long this thread ran, where the system says so.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The most memory that this process ever had; 0 where the system does not say.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests;
