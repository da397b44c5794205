//! What the sampler promises: whole correlations, exactly once, through any crash and any clock.

use proptest::prelude::*;
use record::{Record, Severity, TraceId};

use super::*;

const SECOND: i64 = record::NANOS_PER_SECOND;

fn sampler(keep_ratio: f64, held_bytes_max: usize) -> Sampler {
    Sampler::new(settings(keep_ratio, held_bytes_max)).unwrap()
}

fn settings(keep_ratio: f64, held_bytes_max: usize) -> SampleSettings {
    SampleSettings { keep_ratio, window: Duration::from_secs(10), held_bytes_max }
}

fn record(correlation: &str, message: impl ToString, error: bool) -> Record {
    Record {
        correlation_id: (!correlation.is_empty()).then(|| correlation.to_owned()),
        severity: Severity::from_number(if error { 17 } else { 9 }).unwrap(),
        message: message.to_string(),
        ..Record::default()
    }
}

/// Pushes at a second of the clock; gives what came of it, and the messages that came out.
fn push(
    sampler: &mut Sampler,
    second: i64,
    correlation: &str,
    message: &str,
    error: bool,
) -> (Sampled, Vec<String>) {
    let mut out = Vec::new();
    let sampled = record(correlation, message, error).with_ref(|record| {
        sampler.push(record, Timestamp(second * SECOND), |record| {
            out.push(record.message.to_owned());
        })
    });
    (sampled, out)
}

#[test]
fn the_share_of_an_id_is_the_same_for_ever() {
    // Computed apart, in Python, from the description at `share_of`.
    for (id, share) in [
        ("", 0.93676944839044),
        ("a", 0.5102945176565711),
        ("abc-123", 0.7857589243825003),
        ("4bf92f3577b34da6a3ce929d0e0e4736", 0.9000390389919163),
        ("заказ-7", 0.7896602386877654),
    ] {
        assert_eq!(share_of(id), share, "{id}");
    }
}

#[test]
fn as_many_correlations_are_kept_as_were_asked_for() {
    let kept = (0..20_000).filter(|id| share_of(&format!("order-{id}")) < 0.1).count();
    assert!((1_800..2_200).contains(&kept), "{kept}");
    for (ratio, kept) in [(1.0, true), (0.0, false)] {
        let (sampled, _) = push(&mut sampler(ratio, 1 << 20), 0, "a", "x", false);
        assert_eq!(sampled == Sampled::Kept, kept);
    }
}

#[test]
fn an_error_releases_what_is_held_of_its_correlation_in_order() {
    let mut sampler = sampler(0.0, 1 << 20);
    assert_eq!(push(&mut sampler, 0, "a", "1", false).0, Sampled::Held(HeldId(0)));
    assert_eq!(push(&mut sampler, 1, "b", "2", false).0, Sampled::Held(HeldId(1)));
    assert_eq!(push(&mut sampler, 2, "a", "3", false).0, Sampled::Held(HeldId(2)));
    let (sampled, out) = push(&mut sampler, 3, "a", "4", true);
    assert_eq!((sampled, out), (Sampled::Kept, vec!["1".into(), "3".into(), "4".into()]));
    // The id stays kept for a window after its last error.
    assert_eq!(push(&mut sampler, 12, "a", "5", false).1, ["5"]);
    assert_eq!(push(&mut sampler, 13, "a", "6", false).0, Sampled::Held(HeldId(3)));
    let wanted = SampleCounts { kept: 2, released: 2, window_passed: 1, ..Default::default() };
    assert_eq!(sampler.counts(), wanted);
}

#[test]
fn a_released_record_is_the_one_that_was_held() {
    let mut sampler = sampler(0.0, 1 << 20);
    let held = Record {
        timestamp: Timestamp(-5),
        observed_timestamp: Timestamp(7),
        service: Some("orders".into()),
        host: Some("node".into()),
        trace_id: TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736"),
        attributes: [("n".to_owned(), record::Value::I64(5))].into(),
        source: record::Source {
            agent: Some("a".into()),
            path: Some("/x".into()),
            offset: Some(u64::MAX),
        },
        ..record("", "text", false)
    };
    let mut out = Vec::new();
    held.with_ref(|record| sampler.push(record, Timestamp(0), |_| unreachable!()));
    let error = Record { severity: Severity::from_number(21).unwrap(), ..held.clone() };
    error.with_ref(|record| {
        sampler.push(record, Timestamp(1), |record| out.push(record.to_record()));
    });
    assert_eq!(out, [held, error]);
}

#[test]
fn records_without_any_id_are_kept() {
    assert_eq!(push(&mut sampler(0.0, 0), 0, "", "x", false).0, Sampled::Kept);
}

#[test]
fn beyond_the_bound_the_oldest_correlation_is_dropped_early() {
    let mut sampler = sampler(0.0, 3_000);
    let text = "x".repeat(500);
    for (second, correlation) in ["a", "b", "a", "c"].into_iter().enumerate() {
        push(&mut sampler, second as i64, correlation, &text, false);
    }
    assert!(sampler.held_bytes() <= 3_000);
    push(&mut sampler, 5, "d", &text, false);
    assert_eq!(sampler.counts().held_too_much, 2);
    assert_eq!(push(&mut sampler, 6, "a", "error", true).1, ["error"]);
    assert_eq!(push(&mut sampler, 6, "b", "error", true).1.len(), 2);
    let alone = push(&mut sampler, 6, "e", &"x".repeat(5_000), false);
    assert_eq!(alone, (Sampled::Dropped, vec![]));
}

#[test]
fn what_a_window_passes_is_dropped_also_when_no_record_comes() {
    let mut sampler = sampler(0.0, 1 << 20);
    push(&mut sampler, 0, "a", "1", false);
    push(&mut sampler, 5, "a", "2", false);
    sampler.expire(Timestamp(10 * SECOND));
    assert_eq!((sampler.held(), sampler.counts().window_passed), (1, 1));
    assert_eq!(push(&mut sampler, 14, "a", "3", true).1, ["2", "3"]);
    sampler.expire(Timestamp(100 * SECOND));
    assert_eq!((sampler.held(), sampler.held_bytes()), (0, 0));
}

#[test]
fn a_clock_that_goes_back_holds_nothing_for_ever() {
    let mut sampler = sampler(0.0, 1 << 20);
    push(&mut sampler, 1_000_000, "a", "1", false);
    sampler.expire(Timestamp(i64::MIN));
    sampler.expire(Timestamp(i64::MIN + 9 * SECOND));
    assert_eq!(sampler.held(), 1);
    sampler.expire(Timestamp(i64::MIN + 10 * SECOND));
    assert_eq!(sampler.held(), 0);
    sampler.expire(Timestamp(i64::MAX));
    assert!(matches!(push(&mut sampler, 0, "a", "1", false).0, Sampled::Held(_)));
}

#[test]
fn the_time_of_a_restart_does_not_count() {
    let mut sampler = sampler(0.0, 1 << 20);
    push(&mut sampler, 0, "a", "1", false);
    push(&mut sampler, 1, "b", "error", true);
    let mut again = Sampler::restore(settings(0.0, 1 << 20), &sampler.checkpoint()).unwrap();
    assert_eq!(push(&mut again, 1_000, "b", "2", false).0, Sampled::Kept);
    assert_eq!(push(&mut again, 1_008, "a", "3", true).1, ["1", "3"]);
}

#[test]
fn ids_with_errors_are_remembered_within_a_bound() {
    let mut ids = KeptIds::default();
    for hash in 0..KEPT_IDS_MAX as u64 + 10 {
        ids.keep(hash, 1_000 + hash);
        ids.keep(hash, 2_000 + hash);
    }
    assert_eq!(ids.all().len(), KEPT_IDS_MAX);
    assert!(!ids.contains(9) && ids.contains(10));
    ids.expire(2_010);
    assert!(!ids.contains(10) && ids.contains(11));
}

#[derive(Clone, Debug)]
enum Step {
    Push { correlation: u8, error: bool, size: usize },
    Pass { milliseconds: i64 },
    Commit { checkpoint: bool },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..6, prop::bool::weighted(0.2), 0_usize..300)
            .prop_map(|(correlation, error, size)| Step::Push { correlation, error, size }),
        2 => (-5_000_i64..8_000).prop_map(|milliseconds| Step::Pass { milliseconds }),
        2 => any::<bool>().prop_map(|checkpoint| Step::Commit { checkpoint }),
        1 => Just(Step::Crash),
    ]
}

/// An agent that reads lines, keeps a log, and is killed.
struct Agent {
    settings: SampleSettings,
    sampler: Sampler,
    lines: Vec<Record>,
    /// Lines up to here were pushed; lines up to there before the last commit.
    pushed: usize,
    committed: usize,
    out: Vec<usize>,
    out_committed: usize,
    log: Vec<Vec<u8>>,
    now: i64,
}

impl Agent {
    fn push_rest(&mut self) {
        while let Some(line) = self.lines.get(self.pushed) {
            let out = &mut self.out;
            line.with_ref(|record| {
                self.sampler.push(record, Timestamp(self.now), |record| out.push(number(record)))
            });
            self.pushed += 1;
        }
    }

    fn commit(&mut self, checkpoint: bool) {
        let changes = self.sampler.take_changes();
        if checkpoint {
            // As a log does that begins a new file just now.
            self.log = vec![self.sampler.checkpoint_before(&changes)];
        }
        self.log.push(changes.encode());
        self.committed = self.pushed;
        self.out_committed = self.out.len();
    }

    fn crash(&mut self) {
        self.sampler = Sampler::new(self.settings).unwrap();
        for saved in &self.log {
            self.sampler.replay(saved).unwrap();
        }
        self.pushed = self.committed;
        self.out.truncate(self.out_committed);
    }
}

fn number(record: &RecordRef<'_>) -> usize {
    record.message.split(' ').next().unwrap().parse().unwrap()
}

proptest! {
    #[test]
    fn every_record_ends_exactly_once_through_any_crash(
        steps in prop::collection::vec(step(), 0..120),
        keep_ratio in prop_oneof![Just(0.0), Just(0.3)],
        held_bytes_max in 300_usize..6_000,
    ) {
        let settings = settings(keep_ratio, held_bytes_max);
        let mut agent = Agent {
            settings, sampler: Sampler::new(settings).unwrap(),
            lines: vec![], pushed: 0, committed: 0,
            out: vec![], out_committed: 0, log: vec![], now: 0,
        };
        for step in steps {
            match step {
                Step::Push { correlation, error, size } => {
                    let id = if correlation == 0 { String::new() } else { format!("id-{correlation}") };
                    let text = format!("{} {}", agent.lines.len(), "x".repeat(size));
                    agent.lines.push(record(&id, text, error));
                    agent.push_rest();
                }
                Step::Pass { milliseconds } => agent.now += milliseconds * 1_000_000,
                Step::Commit { checkpoint } => agent.commit(checkpoint),
                Step::Crash => agent.crash(),
            }
            prop_assert!(agent.sampler.held_bytes() <= held_bytes_max);
        }
        agent.crash();
        agent.push_rest();

        let mut held = Vec::new();
        let mut bytes = 0;
        for waiting in agent.sampler.held.values() {
            bytes += waiting.bytes();
            let limits = Limits::default();
            wire::decode(Format::OtlpProtobuf, &waiting.body, Timestamp(0), &limits, &mut |record| {
                held.push(number(record));
            }).unwrap();
        }
        prop_assert_eq!(bytes, agent.sampler.held_bytes());
        prop_assert_eq!(
            agent.sampler.correlations.values().map(VecDeque::len).sum::<usize>(), held.len());
        let counts = agent.sampler.counts();
        prop_assert_eq!(counts.kept + counts.released, agent.out.len() as u64);
        let dropped = (counts.window_passed + counts.held_too_much) as usize;
        let mut all: Vec<usize> = agent.out.iter().chain(&held).copied().collect();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), agent.out.len() + held.len(), "a record came twice");
        prop_assert_eq!(all.len() + dropped, agent.lines.len());
        prop_assert_eq!(counts.unreadable, 0);

        for id in 1..6 {
            let id = format!("id-{id}");
            let of_id = |line: &&usize| agent.lines[**line].correlation_id.as_deref() == Some(&*id);
            prop_assert!(agent.out.iter().filter(of_id).is_sorted());
        }
    }

    #[test]
    fn no_saved_state_panics_or_holds_for_ever(
        changes in prop::collection::vec((0_usize..600, any::<u8>()), 0..6),
    ) {
        let mut before = sampler(0.0, 1 << 20);
        for (correlation, error) in [("a", false), ("b", false), ("c", true), ("a", false)] {
            push(&mut before, 0, correlation, "text", error);
        }
        let mut saved = before.checkpoint();
        for (at, byte) in changes {
            if let Some(changed) = saved.get_mut(at) {
                *changed = byte;
            }
        }
        if let Ok(mut after) = Sampler::restore(settings(0.0, 1 << 20), &saved) {
            push(&mut after, 20, "a", "error", true);
            after.expire(Timestamp(40 * SECOND));
            prop_assert_eq!((after.held(), after.held_bytes()), (0, 0));
            prop_assert!(after.correlations.is_empty());
        }
    }

    #[test]
    fn a_saved_state_that_is_cut_short_is_refused_or_read(cut in 0_usize..400) {
        let mut sampler = sampler(0.0, 1 << 20);
        for correlation in ["a", "b", "c"] {
            push(&mut sampler, 0, correlation, "text", false);
        }
        let saved = sampler.checkpoint();
        let cut = cut.min(saved.len());
        if let Ok(again) = Sampler::restore(settings(0.0, 1 << 20), &saved[..cut]) {
            prop_assert!(again.held() <= 3);
            prop_assert_eq!(again.held() == 3, cut == saved.len());
        }
    }
}
