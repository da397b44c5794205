//! From a seed to the records, in the order in which a shipper would see them.
//!
//! Interactions begin along a day's curve (quiet at night, busy at noon and in the evening). Each walks through some
//! services and writes its records within seconds, at most a minute. Records come out by their time plus a jitter of
//! at most 5 ms, so that neighbours are now and then out of order, as on a real wire.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::LogNormal;

use super::CorpusOptions;
use super::entry::{Entry, Http, Level};
use super::messages::{Context, Messages};
use super::shop::{REGIONS, Service, services};

/// Where the corpus begins, inclusive.
pub(crate) const DAY_START: &str = "2026-01-01T00:00:00Z";
/// Where it ends, exclusive.
pub(crate) const DAY_END: &str = "2026-01-02T00:00:00Z";
/// `DAY_START` in microseconds since 1970.
pub(crate) const DAY_START_US: i64 = 1_767_225_600_000_000;
/// Records for one correlation id.
pub(crate) const CORRELATION_RECORDS_MEAN: f64 = 12.5;

const DAY_US: i64 = 86_400_000_000;
/// The longest interaction; none begins later than this before midnight.
const INTERACTION_US_MAX: i64 = 60_000_000;
const JITTER_US_MAX: i64 = 5_000;
/// Records of an interaction are between this and 25 less it; pairs add up to 25.
const INTERACTION_RECORDS_MIN: u64 = 4;
const INTERACTION_RECORDS_PAIR: u64 = 25;

/// How busy each hour is.
const HOUR_WEIGHTS: [f64; 24] = [
    2.0, 1.4, 1.0, 0.9, 0.9, 1.2, 2.0, 3.2, 4.2, 4.8, 5.2, 5.6, 6.0, 5.6, 5.2, 5.0, 5.2, 5.6, 6.2,
    6.8, 7.0, 6.2, 4.6, 3.0,
];
/// In the order of `Level::ALL`.
const LEVEL_WEIGHTS_PERCENT: [u32; 4] = [8, 85, 5, 2];
/// Share of records with the rare word.
const RARE_SHARE: f64 = 0.000_15;
/// Share of records that belong to an HTTP call.
const HTTP_SHARE: f64 = 0.85;
/// Share of interactions that are about an order.
const ORDER_SHARE: f64 = 0.6;
/// How likely the next record is of the same service as the last.
const STAY_SHARE: f64 = 0.5;
/// How likely a change of service begins a new trace, as behind a queue.
const NEW_TRACE_SHARE: f64 = 0.05;
const USERS: f64 = 10_000.0;

/// The records of a corpus, one after the other.
#[derive(Debug)]
pub(crate) struct Generator {
    random: ChaCha8Rng,
    services: Vec<Service>,
    service_weights: WeightedIndex<u32>,
    level_weights: WeightedIndex<u32>,
    messages: Messages,
    duration_spread: LogNormal<f64>,
    interaction_ms: LogNormal<f64>,
    /// Records not yet given to an interaction.
    left: u64,
    interactions_total: u64,
    interaction: u64,
    /// The second of a pair of interactions has what the first left of 25.
    pair_rest: Option<u64>,
    next_start_us: i64,
    waiting: BinaryHeap<Reverse<Waiting>>,
}

/// What the records of one interaction share.
#[derive(Debug)]
struct Interaction {
    number: u64,
    correlation_id: Arc<str>,
    /// Changes on the way.
    trace_id: u128,
    user_id: Arc<str>,
    order_id: Arc<str>,
    about_order: bool,
    region: &'static str,
}

#[derive(Debug)]
struct Waiting {
    emitted_us: i64,
    number: u64,
    entry: Entry,
}

impl Generator {
    pub(crate) fn new(options: &CorpusOptions) -> Self {
        let services = services();
        let service_weights =
            WeightedIndex::new(services.iter().map(|service| service.share_percent))
                .expect("the services have positive shares");
        let mut generator = Self {
            random: ChaCha8Rng::seed_from_u64(options.seed),
            services,
            service_weights,
            level_weights: WeightedIndex::new(LEVEL_WEIGHTS_PERCENT)
                .expect("the levels have positive shares"),
            messages: Messages::new(),
            duration_spread: LogNormal::new(0.0, 0.9).expect("the spread is finite"),
            interaction_ms: LogNormal::new(700_f64.ln(), 1.1).expect("the spread is finite"),
            left: options.records,
            interactions_total: ((options.records as f64 / CORRELATION_RECORDS_MEAN).round()
                as u64)
                .max(1),
            interaction: 0,
            pair_rest: None,
            next_start_us: 0,
            waiting: BinaryHeap::new(),
        };
        generator.next_start_us = generator.start_us(0);
        generator
    }

    /// When an interaction begins: its place in the day's curve, with chance inside its own slot.
    fn start_us(&mut self, interaction: u64) -> i64 {
        let share =
            (interaction as f64 + self.random.random::<f64>()) / self.interactions_total as f64;
        let mut wanted = share * HOUR_WEIGHTS.iter().sum::<f64>();
        let mut hours = 0.0;
        for weight in HOUR_WEIGHTS {
            if wanted < weight {
                hours += wanted / weight;
                break;
            }
            wanted -= weight;
            hours += 1.0;
        }
        let room_us = DAY_US - INTERACTION_US_MAX - 1;
        DAY_START_US + ((hours / 24.0 * room_us as f64) as i64).min(room_us)
    }

    fn interaction_records(&mut self) -> u64 {
        if self.interaction + 1 == self.interactions_total {
            return self.left;
        }
        let records = self.pair_rest.take().unwrap_or_else(|| {
            let longest = INTERACTION_RECORDS_PAIR - INTERACTION_RECORDS_MIN;
            let first = self.random.random_range(INTERACTION_RECORDS_MIN..=longest);
            self.pair_rest = Some(INTERACTION_RECORDS_PAIR - first);
            first
        });
        records.min(self.left)
    }

    /// Makes all records of the next interaction and lets them wait for their time.
    fn begin_interaction(&mut self) {
        let records = self.interaction_records();
        let start_us = self.next_start_us;
        let mut interaction = self.draw_interaction();
        let length_us = (self.interaction_ms.sample(&mut self.random) * 1_000.0) as i64;
        let length_us = length_us.clamp(1_000, INTERACTION_US_MAX - JITTER_US_MAX);
        let mut offsets_us: Vec<i64> =
            (0..records).map(|_| self.random.random_range(0..length_us)).collect();
        offsets_us.sort_unstable();

        let mut service = 0;
        for (place, offset_us) in offsets_us.into_iter().enumerate() {
            if place > 0 && !self.random.random_bool(STAY_SHARE) {
                service = self.service_weights.sample(&mut self.random);
                if self.random.random_bool(NEW_TRACE_SHARE) {
                    interaction.trace_id = self.random.random();
                }
            }
            let entry = self.draw_entry(&interaction, service, start_us + offset_us);
            let emitted_us = entry.timestamp_us + self.random.random_range(0..=JITTER_US_MAX);
            self.waiting.push(Reverse(Waiting { emitted_us, number: self.left, entry }));
            self.left -= 1;
        }
        self.interaction += 1;
        if self.left > 0 {
            self.next_start_us = self.start_us(self.interaction);
        }
    }

    fn draw_interaction(&mut self) -> Interaction {
        let number = self.interaction;
        let random = &mut self.random;
        let user_share: f64 = random.random();
        let region_share: f64 = random.random();
        Interaction {
            number,
            correlation_id: draw_uuid(random).into(),
            trace_id: random.random(),
            user_id: format!("u-{:05}", (user_share * user_share * USERS) as u32).into(),
            order_id: format!("ord-{:08}", random.random_range(0..100_000_000_u32)).into(),
            about_order: random.random_bool(ORDER_SHARE),
            region: REGIONS[(region_share * region_share * REGIONS.len() as f64) as usize],
        }
    }

    fn draw_entry(
        &mut self,
        interaction: &Interaction,
        service: usize,
        timestamp_us: i64,
    ) -> Entry {
        let random = &mut self.random;
        let is_rare = random.random_bool(RARE_SHARE);
        let level =
            if is_rare { Level::Error } else { Level::ALL[self.level_weights.sample(random)] };
        let other_service = self.services[self.service_weights.sample(random)].name;
        let service = &self.services[service];
        let path_share: f64 = random.random();
        let path = &service.paths[(path_share * path_share * service.paths.len() as f64) as usize];
        let status = draw_status(level, random);
        let context = Context {
            user: &interaction.user_id,
            order: &interaction.order_id,
            path,
            status,
            other_service,
        };
        let message = if is_rare {
            self.messages.rare(&context, random)
        } else {
            self.messages.draw(level, &context, random)
        };
        let duration_ms = service.duration_median_ms * self.duration_spread.sample(random);
        Entry {
            correlation: interaction.number,
            timestamp_us,
            level,
            service: service.name,
            host: Arc::clone(&service.hosts[random.random_range(0..service.hosts.len())]),
            correlation_id: Arc::clone(&interaction.correlation_id),
            trace_id: interaction.trace_id,
            span_id: random.random(),
            message,
            http: random.random_bool(HTTP_SHARE).then(|| Http { status, path: Arc::clone(path) }),
            duration_us: (duration_ms * 1_000.0) as u64,
            user_id: Arc::clone(&interaction.user_id),
            region: interaction.region,
            order_id: (interaction.about_order && service.has_orders)
                .then(|| Arc::clone(&interaction.order_id)),
        }
    }
}

impl Iterator for Generator {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        // What waits may go as soon as no later interaction can begin before it.
        while self.left > 0
            && self
                .waiting
                .peek()
                .is_none_or(|Reverse(first)| self.next_start_us <= first.emitted_us)
        {
            self.begin_interaction();
        }
        self.waiting.pop().map(|Reverse(waiting)| waiting.entry)
    }
}

impl Waiting {
    fn key(&self) -> (i64, Reverse<u64>) {
        (self.emitted_us, Reverse(self.number))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// A UUID of version 4.
fn draw_uuid(random: &mut impl Rng) -> String {
    let bits: u128 = random.random();
    let (a, b, c) = ((bits >> 96) as u32, (bits >> 80) as u16, (bits >> 68) as u16 & 0xfff);
    let (d, e) = ((bits >> 52) as u16 & 0x3fff | 0x8000, bits as u64 & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
}

fn draw_status(level: Level, random: &mut impl Rng) -> u16 {
    let of_level: &[u16] = match level {
        Level::Debug | Level::Info => &[200, 200, 200, 200, 200, 200, 201, 201, 202, 204, 304, 302],
        Level::Warn => &[400, 404, 404, 409, 429],
        Level::Error => &[500, 500, 502, 503, 504],
    };
    of_level[random.random_range(0..of_level.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::corpus::{COMMON_WORD, PHRASE, RARE_WORD};

    const RECORDS: u64 = 200_000;

    fn lines(options: &CorpusOptions) -> Vec<u8> {
        let mut out = Vec::new();
        Generator::new(options).for_each(|entry| entry.write_line(&mut out));
        out
    }

    fn check_share(name: &str, hits: usize, low: f64, high: f64) {
        let share = hits as f64 / RECORDS as f64;
        assert!((low..=high).contains(&share), "{name}: {share} is not in {low}..={high}");
    }

    #[test]
    fn the_corpus_has_the_shape_that_it_promises() {
        let all: Vec<Entry> =
            Generator::new(&CorpusOptions { records: RECORDS, seed: 42 }).collect();
        assert_eq!(all.len() as u64, RECORDS);

        let mut bytes = Vec::new();
        all.iter().for_each(|entry| entry.write_line(&mut bytes));
        let mean = bytes.len() as f64 / RECORDS as f64;
        assert!((mean / 413.0 - 1.0).abs() < 0.03, "{mean} bytes a record");

        let with = |text: &str| all.iter().filter(|entry| entry.message.contains(text)).count();
        check_share("common word", with(COMMON_WORD), 0.33, 0.37);
        check_share("phrase", with(&PHRASE.join(" ")), 0.008, 0.012);
        check_share("first word of the phrase", with(PHRASE[0]), 0.02, 0.05);
        check_share("rare word", with(RARE_WORD), 0.000_08, 0.000_25);
        for (level, percent) in Level::ALL.into_iter().zip(LEVEL_WEIGHTS_PERCENT) {
            let share = f64::from(percent) / 100.0;
            let hits = all.iter().filter(|entry| entry.level == level).count();
            check_share(level.word(), hits, share * 0.95, share * 1.05);
        }
        check_share(
            "order ids",
            all.iter().filter(|entry| entry.order_id.is_some()).count(),
            0.2,
            0.4,
        );

        let distinct =
            |name: fn(&Entry) -> &str| all.iter().map(name).collect::<HashSet<_>>().len();
        assert_eq!(distinct(|entry| &entry.correlation_id), 16_000);
        assert_eq!(distinct(|entry| entry.service), 10);
        assert!(distinct(|entry| &entry.user_id) > 5_000);
        let spans: HashSet<u64> = all.iter().map(|entry| entry.span_id).collect();
        assert_eq!(spans.len(), all.len());
    }

    #[test]
    fn records_lie_in_the_day_and_nearly_in_order() {
        let mut latest = DAY_START_US;
        let mut ends: HashMap<u64, (i64, i64, HashSet<&str>)> = HashMap::new();
        for entry in Generator::new(&CorpusOptions { records: RECORDS, seed: 7 }) {
            let time = entry.timestamp_us;
            assert!((DAY_START_US..DAY_START_US + DAY_US).contains(&time));
            assert!(time >= latest - JITTER_US_MAX);
            latest = latest.max(time);
            let of_interaction =
                ends.entry(entry.correlation).or_insert_with(|| (time, time, HashSet::new()));
            of_interaction.0 = of_interaction.0.min(time);
            of_interaction.1 = of_interaction.1.max(time);
            of_interaction.2.insert(entry.service);
        }
        assert!(ends.values().all(|(first, last, _)| last - first < INTERACTION_US_MAX));
        let wide = ends.values().filter(|(_, _, services)| services.len() > 2).count();
        assert!(wide * 2 > ends.len(), "most interactions span several services");
        assert!(latest > DAY_START_US + DAY_US - 3_600_000_000, "the last hour has records");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let options = CorpusOptions { records: 1_001, seed: 1 };
        assert_eq!(lines(&options), lines(&options));
        assert_ne!(lines(&options), lines(&CorpusOptions { seed: 2, ..options }));
        assert_eq!(Generator::new(&options).count(), 1_001);
        assert_eq!(Generator::new(&CorpusOptions { records: 1, seed: 1 }).count(), 1);
    }

    #[test]
    fn the_corpus_of_today_is_that_of_earlier_results() {
        let mut digest = flate2::Crc::new();
        digest.update(&lines(&CorpusOptions { records: 1_000, seed: 42 }));
        // Whoever changes the corpus measures anew: figures before and after cannot be compared.
        assert_eq!((digest.amount(), digest.sum()), (412_047, 652_327_425));
    }
}
