//! An endless stream of shop records, cheap to make: a stretch of the corpus in memory, stamped anew for each round.
//!
//! The corpus spreads its interactions over a day; here their beginnings are drawn together to the stretch's own time at
//! the wanted rate, their lengths stay. So the records of one interaction lie in many batches, on all lanes, as they do
//! in a real stream. A tail that goes beyond the stretch is put at its front: an interaction is always wholly in one round.
//!
//! A round overwrites the times with those of now, and turns every hexadecimal digit of the correlation, trace and span
//! ids by a mask of the round (not the two digits that make an id a UUID of version 4). Different rounds have different
//! masks, so ids stay distinct. The place of everything in the lines never changes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::corpus::{CorpusOptions, Entry, Generator};

/// Agents; each sends every second batch.
pub(crate) const LANES: usize = 2;
/// Batches of a round, a multiple of the lanes.
const ROUND_BATCHES: usize = 64;
/// About a megabyte.
const BATCH_RECORDS: usize = 2_422;
/// What a line of the corpus takes, for the time that a round takes.
const LINE_BYTES_MEAN: f64 = 413.0;

const TIME_OFFSET: usize = br#"{"timestamp":""#.len();
const TIME_LENGTH: usize = "2026-01-01T00:00:00.000000Z".len();
const CORRELATION_KEY: &[u8] = br#""correlation_id":""#;
const CORRELATION_LENGTH: usize = 36;
const TRACE_LENGTH: usize = 32;
const SPAN_LENGTH: usize = 16;
/// From the correlation id to the trace id, and from there to the span id.
const TO_TRACE: usize = CORRELATION_LENGTH + br#"","trace_id":""#.len();
const TO_SPAN: usize = TRACE_LENGTH + br#"","span_id":""#.len();
/// Digits of a UUID that say what it is.
const FIXED_DIGITS: [usize; 2] = [14, 19];
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Digits from 0 to 15, one for each place of the longest id.
type Mask = [u8; CORRELATION_LENGTH];

/// One stretch, and what is known of it.
#[derive(Debug)]
pub(crate) struct Stream {
    seed: u64,
    batches: Vec<Batch>,
    interactions: Vec<Interaction>,
    round_bytes: u64,
    bytes_per_second: f64,
}

#[derive(Debug)]
struct Batch {
    lines: Vec<u8>,
    records: Vec<Places>,
    /// Bytes of the round before this batch.
    bytes_before: u64,
}

/// Where a record has what is overwritten.
#[derive(Clone, Copy, Debug)]
struct Places {
    line: usize,
    correlation: usize,
}

/// What is known of an interaction of every round.
#[derive(Clone, Copy, Debug)]
struct Interaction {
    id: [u8; CORRELATION_LENGTH],
    records: usize,
    /// How many batches of the round each lane must have delivered.
    batches_needed: [u64; LANES],
}

/// An interaction that is wholly acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Complete {
    interaction: usize,
    round: u64,
}

impl Stream {
    /// Makes the stretch in memory, about 64 MB.
    ///
    /// # Errors
    /// When a line of the corpus does not have the form that is overwritten.
    pub(crate) fn generate(seed: u64, bytes_per_second: f64) -> anyhow::Result<Self> {
        Self::of_batches(BATCH_RECORDS, seed, bytes_per_second)
    }

    fn of_batches(batch_records: usize, seed: u64, bytes_per_second: f64) -> anyhow::Result<Self> {
        let records = (ROUND_BATCHES * batch_records) as u64;
        let entries = in_order(&CorpusOptions { records, seed }, bytes_per_second);
        let mut stream = Self {
            seed,
            batches: Vec::with_capacity(ROUND_BATCHES),
            interactions: Vec::new(),
            round_bytes: 0,
            bytes_per_second,
        };
        let mut numbers = HashMap::new();
        for (index, entries) in entries.chunks(batch_records).enumerate() {
            let mut batch =
                Batch { lines: Vec::new(), records: Vec::new(), bytes_before: stream.round_bytes };
            for entry in entries {
                batch.add(entry)?;
                let number = *numbers.entry(entry.correlation).or_insert(stream.interactions.len());
                if number == stream.interactions.len() {
                    stream.interactions.push(Interaction::new(entry)?);
                }
                let interaction = &mut stream.interactions[number];
                interaction.records += 1;
                interaction.batches_needed[index % LANES] = (index / LANES + 1) as u64;
            }
            stream.round_bytes += batch.lines.len() as u64;
            stream.batches.push(batch);
        }
        Ok(stream)
    }

    /// The batch of this number over all lanes: its lines as of `until_us` (microseconds since 1970), its records.
    pub(crate) fn batch(&self, number: u64, until_us: i64) -> (Bytes, u64) {
        let (round, batch) = self.place(number);
        let mask = self.mask(round);
        let mut lines = batch.lines.clone();
        let span_us = lines.len() as f64 / self.bytes_per_second * 1e6;
        let mut clock = Clock::default();
        for (index, places) in batch.records.iter().enumerate() {
            let left = (batch.records.len() - index) as f64 / batch.records.len() as f64;
            let time = places.line + TIME_OFFSET;
            clock.write(until_us - (span_us * left) as i64, &mut lines[time..time + TIME_LENGTH]);
            turn_id(&mut lines[places.correlation..][..CORRELATION_LENGTH], &mask);
            let trace = places.correlation + TO_TRACE;
            turn(&mut lines[trace..trace + TRACE_LENGTH], &mask);
            let span = trace + TO_SPAN;
            turn(&mut lines[span..span + SPAN_LENGTH], &mask);
        }
        (lines.into(), batch.records.len() as u64)
    }

    /// When a batch is due after the beginning.
    pub(crate) fn due(&self, number: u64) -> Duration {
        let (round, batch) = self.place(number);
        let bytes = round * self.round_bytes + batch.bytes_before;
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second)
    }

    /// A random interaction in its newest round of which everything is acknowledged; `acknowledged` are the batches of
    /// each lane.
    pub(crate) fn any_newest(
        &self,
        acknowledged: &[u64; LANES],
        random: &mut impl Rng,
    ) -> Option<Complete> {
        let interaction = random.random_range(0..self.interactions.len());
        let needed = self.interactions[interaction].batches_needed;
        let mut round = u64::MAX;
        for (needed, acknowledged) in needed.iter().zip(acknowledged) {
            if *needed > 0 {
                round = round.min(acknowledged.checked_sub(*needed)? / lane_batches());
            }
        }
        Some(Complete { interaction, round })
    }

    /// The same interaction in a random round up to that one.
    pub(crate) fn any_round(&self, newest: Complete, random: &mut impl Rng) -> Complete {
        Complete { round: random.random_range(0..=newest.round), ..newest }
    }

    /// How late in the stream an interaction ended, to be compared.
    pub(crate) fn ended(&self, complete: Complete) -> u64 {
        let needed = self.interactions[complete.interaction].batches_needed;
        complete.round * lane_batches() + needed.into_iter().max().unwrap_or(0)
    }

    /// Its correlation id and how many records it has.
    pub(crate) fn truth(&self, complete: Complete) -> (String, usize) {
        let interaction = &self.interactions[complete.interaction];
        let mut id = interaction.id;
        turn_id(&mut id, &self.mask(complete.round));
        (id.iter().copied().map(char::from).collect(), interaction.records)
    }

    fn place(&self, number: u64) -> (u64, &Batch) {
        let batches = ROUND_BATCHES as u64;
        (number / batches, &self.batches[(number % batches) as usize])
    }

    fn mask(&self, round: u64) -> Mask {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(round);
        std::array::from_fn(|_| random.random_range(0..16))
    }
}

impl Batch {
    fn add(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let line = self.lines.len();
        entry.write_line(&mut self.lines);
        let key = self.lines[line..]
            .windows(CORRELATION_KEY.len())
            .position(|window| window == CORRELATION_KEY)
            .context("a line of the corpus has no correlation id")?;
        let correlation = line + key + CORRELATION_KEY.len();
        self.records.push(Places { line, correlation });
        Ok(())
    }
}

impl Interaction {
    fn new(entry: &Entry) -> anyhow::Result<Self> {
        let id = entry.correlation_id.as_bytes().try_into();
        let id = id.context("a correlation id of the corpus is no UUID")?;
        Ok(Self { id, records: 0, batches_needed: [0; LANES] })
    }
}

/// The records by their time in the stretch.
fn in_order(corpus: &CorpusOptions, bytes_per_second: f64) -> Vec<Entry> {
    let round_us = corpus.records as f64 * LINE_BYTES_MEAN / bytes_per_second * 1e6;
    let mut begins: HashMap<u64, i64> = HashMap::new();
    let entries: Vec<Entry> = Generator::new(corpus).collect();
    for entry in &entries {
        let begin = begins.entry(entry.correlation).or_insert(entry.timestamp_us);
        *begin = (*begin).min(entry.timestamp_us);
    }
    let interactions = begins.len() as f64;
    let mut timed: Vec<(i64, Entry)> = entries
        .into_iter()
        .map(|entry| {
            let begin = entry.correlation as f64 / interactions * round_us;
            let after = (entry.timestamp_us - begins[&entry.correlation]) as f64;
            (((begin + after) % round_us) as i64, entry)
        })
        .collect();
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, entry)| entry).collect()
}

fn lane_batches() -> u64 {
    (ROUND_BATCHES / LANES) as u64
}

fn turn_id(id: &mut [u8], mask: &Mask) {
    let fixed = FIXED_DIGITS.map(|place| id[place]);
    turn(id, mask);
    for (place, digit) in FIXED_DIGITS.into_iter().zip(fixed) {
        id[place] = digit;
    }
}

/// Turns lowercase hexadecimal digits, and leaves dashes.
fn turn(digits: &mut [u8], mask: &Mask) {
    for (digit, mask) in digits.iter_mut().zip(mask) {
        if *digit != b'-' {
            let value = (*digit & 0xf) + 9 * (*digit >> 6);
            *digit = HEX[usize::from((value ^ mask) & 0xf)];
        }
    }
}

/// Writes times; those of the same second share their beginning.
#[derive(Debug, Default)]
struct Clock {
    second: i64,
    prefix: String,
}

impl Clock {
    fn write(&mut self, time_us: i64, out: &mut [u8]) {
        let second = time_us.div_euclid(1_000_000);
        if self.prefix.is_empty() || second != self.second {
            self.second = second;
            let time = jiff::Timestamp::from_second(second).unwrap_or_default();
            self.prefix = time.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
        }
        out[..self.prefix.len()].copy_from_slice(self.prefix.as_bytes());
        let mut micros = time_us.rem_euclid(1_000_000);
        for digit in out[self.prefix.len()..TIME_LENGTH - 1].iter_mut().rev() {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use serde_json::Value;

    use super::*;

    const UNTIL_US: i64 = 1_767_225_600_500_000;
    /// A small stretch: what holds does not depend on its size.
    const RECORDS: usize = 150;
    /// A round takes 40 s, most interactions a small part of it.
    const RATE: f64 = 100e3;

    fn records(stream: &Stream, number: u64) -> Vec<Value> {
        let (lines, records) = stream.batch(number, UNTIL_US);
        let values: Vec<Value> = serde_json::Deserializer::from_slice(&lines)
            .into_iter()
            .collect::<Result<_, _>>()
            .expect("the lines stay JSON");
        assert_eq!(values.len() as u64, records);
        values
    }

    #[test]
    fn rounds_say_the_same_under_other_ids_and_the_stream_knows_each_of_them() {
        let stream = Stream::of_batches(RECORDS, 1, RATE).unwrap();
        let mut spans = HashSet::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for number in 0..2 * ROUND_BATCHES as u64 {
            for record in records(&stream, number) {
                assert!(spans.insert(record["span_id"].as_str().unwrap().to_owned()));
                *counts
                    .entry(record["correlation_id"].as_str().unwrap().to_owned())
                    .or_default() += 1;
                let time: jiff::Timestamp = record["timestamp"].as_str().unwrap().parse().unwrap();
                assert!((UNTIL_US - 1_000_000..UNTIL_US).contains(&time.as_microsecond()));
            }
        }
        assert_eq!(counts.len(), 2 * stream.interactions.len());
        let known: BTreeMap<String, usize> = (0..stream.interactions.len())
            .flat_map(|interaction| [0, 1].map(|round| Complete { interaction, round }))
            .map(|complete| stream.truth(complete))
            .collect();
        assert!(known == counts, "the stream is wrong about an interaction");
    }

    #[test]
    fn an_interaction_counts_as_acknowledged_with_its_last_batch_and_not_before() {
        let stream = Stream::of_batches(RECORDS, 2, RATE).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(stream.any_newest(&[0, 0], &mut random), None);
        let acknowledged = [lane_batches() + 7, lane_batches() + 5];
        let mut seen: HashMap<String, usize> = HashMap::new();
        for number in 0..acknowledged[0] * 2 {
            let lane = (number % 2) as usize;
            if number / 2 < acknowledged[lane] {
                for record in records(&stream, number) {
                    *seen
                        .entry(record["correlation_id"].as_str().unwrap().to_owned())
                        .or_default() += 1;
                }
            }
        }
        let mut rounds = HashSet::new();
        for _ in 0..2_000 {
            let complete = stream.any_newest(&acknowledged, &mut random).unwrap();
            let (id, records) = stream.truth(complete);
            assert_eq!(seen[&id], records);
            let next = stream.truth(Complete { round: complete.round + 1, ..complete });
            assert!(seen.get(&next.0).is_none_or(|seen| *seen < next.1));
            rounds.insert(complete.round);
        }
        assert_eq!(rounds, HashSet::from([0, 1]));
    }

    #[test]
    fn batches_are_due_at_the_wanted_rate() {
        let stream = Stream::of_batches(RECORDS, 3, RATE).unwrap();
        let number = 10 * ROUND_BATCHES as u64;
        let seconds = 10.0 * stream.round_bytes as f64 / RATE;
        assert!((stream.due(number).as_secs_f64() - seconds).abs() < 1e-6);
        assert_eq!(stream.due(0), Duration::ZERO);
    }
}
