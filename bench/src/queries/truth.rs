//! What the answers must be, counted from the generated records themselves: no parser, no index, no query language.

use std::collections::{BTreeMap, HashMap};

use crate::corpus::{
    COMMON_WORD, CORRELATION_RECORDS_MEAN, CorpusOptions, Entry, Level, PHRASE, RARE_WORD,
};

/// Records that "newest" asks for.
pub(crate) const NEWEST: usize = 100;
/// Microseconds of a bin of the histogram.
pub(crate) const BIN_US: i64 = 300_000_000;

/// Counts of a corpus.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) records: u64,
    pub(crate) with_common_word: u64,
    pub(crate) with_phrase: u64,
    pub(crate) with_rare_word: u64,
    pub(crate) errors_by_service: BTreeMap<&'static str, u64>,
    /// By level and the beginning of the bin, in microseconds since 1970.
    pub(crate) by_level_and_bin: BTreeMap<(Level, i64), u64>,
    pub(crate) newest: Newest,
    pub(crate) newest_with_rare_word: Newest,
    /// All records of the sampled correlations, in the order of the sample.
    pub(crate) correlations: Vec<Vec<Entry>>,
    durations_by_service: BTreeMap<&'static str, Vec<u64>>,
    /// From an interaction's number to its place in `correlations`.
    sampled: HashMap<u64, usize>,
}

impl Truth {
    /// Nothing seen yet; `correlations` of the corpus' interactions, spread over the day, are kept whole.
    pub(crate) fn new(corpus: &CorpusOptions, correlations: usize) -> Self {
        let interactions = (corpus.records as f64 / CORRELATION_RECORDS_MEAN) as u64;
        let step = interactions as f64 / correlations as f64;
        let sampled =
            (0..correlations).map(|place| (((place as f64 + 0.5) * step) as u64, place)).collect();
        Self {
            records: 0,
            with_common_word: 0,
            with_phrase: 0,
            with_rare_word: 0,
            errors_by_service: BTreeMap::new(),
            by_level_and_bin: BTreeMap::new(),
            newest: Newest::default(),
            newest_with_rare_word: Newest::default(),
            correlations: vec![Vec::new(); correlations],
            durations_by_service: BTreeMap::new(),
            sampled,
        }
    }

    /// Counts one record.
    pub(crate) fn observe(&mut self, entry: &Entry) {
        self.records += 1;
        let words = words(&entry.message);
        self.with_common_word += u64::from(words.contains(&COMMON_WORD));
        self.with_phrase += u64::from(words.windows(PHRASE.len()).any(|pair| pair == PHRASE));
        if words.contains(&RARE_WORD) {
            self.with_rare_word += 1;
            self.newest_with_rare_word.observe(entry);
        }
        if entry.level == Level::Error {
            *self.errors_by_service.entry(entry.service).or_default() += 1;
        }
        let bin = entry.timestamp_us - entry.timestamp_us.rem_euclid(BIN_US);
        *self.by_level_and_bin.entry((entry.level, bin)).or_default() += 1;
        self.durations_by_service.entry(entry.service).or_default().push(entry.duration_us);
        self.newest.observe(entry);
        if let Some(place) = self.sampled.get(&entry.correlation) {
            self.correlations[*place].push(entry.clone());
        }
    }

    /// By service the two durations, in milliseconds, between which every usual definition of the quantile lies:
    /// the neighbours of its rank.
    pub(crate) fn duration_quantile_by_service(
        &self,
        share: f64,
    ) -> BTreeMap<&'static str, (f64, f64)> {
        let bounds = |durations: &Vec<u64>| {
            let mut sorted = durations.clone();
            sorted.sort_unstable();
            let last = sorted.len() - 1;
            let low = (share * last as f64).floor() as usize;
            let high = ((share * sorted.len() as f64).ceil() as usize).min(last);
            (sorted[low] as f64 / 1_000.0, sorted[high] as f64 / 1_000.0)
        };
        self.durations_by_service
            .iter()
            .map(|(service, durations)| (*service, bounds(durations)))
            .collect()
    }
}

/// The newest records, and all that share the oldest one's time, since these are equally right.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    by_time: BTreeMap<i64, Vec<Entry>>,
    records: usize,
}

impl Newest {
    fn observe(&mut self, entry: &Entry) {
        let oldest = self.by_time.first_key_value().map(|(time, entries)| (*time, entries.len()));
        if let Some((time, _)) = oldest
            && self.records >= NEWEST
            && entry.timestamp_us < time
        {
            return;
        }
        self.by_time.entry(entry.timestamp_us).or_default().push(entry.clone());
        self.records += 1;
        let (_, oldest) = self.by_time.first_key_value().expect("one was just added");
        if self.records - oldest.len() >= NEWEST {
            self.records -= oldest.len();
            self.by_time.pop_first();
        }
    }

    /// The times of the newest, newest first, in microseconds; fewer where there are fewer.
    pub(crate) fn times_us(&self) -> Vec<i64> {
        let all = self.by_time.iter().rev();
        all.flat_map(|(time, entries)| entries.iter().map(|_| *time)).take(NEWEST).collect()
    }

    /// The record of a span, if it may be among the newest.
    pub(crate) fn of_span(&self, span_id: u64) -> Option<&Entry> {
        self.by_time.values().flatten().find(|entry| entry.span_id == span_id)
    }
}

/// Runs of letters and digits. The corpus' messages are ASCII, and the words that are looked for lower case.
fn words(message: &str) -> Vec<&str> {
    message
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Generator;

    const CORPUS: CorpusOptions = CorpusOptions { records: 50_000, seed: 9 };

    fn truth() -> Truth {
        let mut truth = Truth::new(&CORPUS, 5);
        Generator::new(&CORPUS).for_each(|entry| truth.observe(&entry));
        truth
    }

    #[test]
    fn the_newest_are_those_of_a_full_sort() {
        let mut all: Vec<Entry> = Generator::new(&CORPUS).collect();
        all.sort_by_key(|entry| std::cmp::Reverse(entry.timestamp_us));
        let truth = truth();
        let expected: Vec<i64> = all.iter().take(NEWEST).map(|entry| entry.timestamp_us).collect();
        assert_eq!(truth.newest.times_us(), expected);
        assert_eq!(truth.newest.of_span(all[99].span_id), Some(&all[99]));
        assert_eq!(truth.newest.of_span(all[5_000].span_id), None);
    }

    #[test]
    fn counts_add_up_and_samples_are_whole() {
        let truth = truth();
        assert_eq!(truth.by_level_and_bin.values().sum::<u64>(), CORPUS.records);
        assert!(truth.correlations.iter().all(|entries| entries.len() > 1));
        let one = &truth.correlations[2];
        let same = Generator::new(&CORPUS)
            .filter(|entry| entry.correlation_id == one[0].correlation_id)
            .count();
        assert_eq!(one.len(), same);
        assert!(
            truth
                .duration_quantile_by_service(0.95)
                .values()
                .all(|(low, high)| low <= high && *low > 0.0)
        );
    }
}
