//! The engine: judges each rule at its moments, remembers, and sees to it that people are told.
//!
//! ```text
//! schedule ─▶ find at a moment ─▶ Judge ─▶ state ─▶ grouping ─▶ notifications ─▶ receivers
//! ```
//!
//! Moments are whole intervals since 1970. A moment is judged when the watermark has passed it, or `max_delay` after it, and
//! groups come a little apart. What was missed while the process did not run is judged when it runs again, moment after
//! moment, up to an hour back: records are stored, so a kill changes nothing of what fires. A clock that is set back begins
//! anew at its time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use record::Timestamp;
use reqwest::Client;
use reqwest::redirect::Policy;
use service::credentials::Credentials;
use service::health::{Check, Health};
use service::metrics::{CounterVec, Gauge, Histogram, Metrics, SECONDS_BUCKETS};
use tokio::sync::Notify;
use tokio::task::JoinHandle as Task;

use crate::find::{filter_of, find, nanos};
use crate::incident::{Incident, fingerprint};
use crate::judge::{Alert, State};
use crate::mute::Inhibition;
use crate::notify::{Delivery, tell_news};
use crate::options::{AlertingOptions, ReceiverKind};
use crate::rules::{Rule, Rules};
use crate::runner::QueryRunner;
use crate::silence::{Compiled, Conditions, Silence};
use crate::state::{Book, Notification, RuleState, StateError};

/// Rules that are judged at the same time.
const WORKERS: usize = 2;
/// How far back missed moments are judged, ns.
const CATCH_UP: i64 = 3_600 * crate::SECOND;
/// How often is looked for moments and for groups that are due.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often what is over for long is taken away.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How long a silence is shown after its end, ns.
const SHOW_EXPIRED: i64 = 5 * 86_400 * crate::SECOND;
/// Groups of rules come apart by up to this part of their interval, a second at most.
const JITTER_PART: i64 = 10;
/// Records that an alert carries.
const RECORDS: usize = 5;
/// Seconds; whole intervals are long, and the watermark is up to ten seconds behind.
const LAG_BUCKETS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 11.0, 12.5, 15.0, 30.0, 60.0,
    300.0,
];
/// The health check that tells of it.
const CHECK: &str = "alerting";

/// Says until when records are complete, at a time; ns.
pub type Watermark = Box<dyn Fn(i64) -> i64 + Send + Sync>;

/// Reads the rules that there are now.
pub type ReadRules = Box<dyn Fn() -> Result<Rules, String> + Send + Sync>;

/// What the engine is given.
pub struct Parts {
    /// Runs queries for the tenant.
    pub runner: Box<dyn QueryRunner + Send + Sync>,
    /// Until when records are complete.
    pub watermark: Watermark,
    /// Reads the rules; also when told to reload.
    pub read_rules: ReadRules,
    /// Where people reach the query port.
    pub link: String,
}

/// A running engine.
pub struct Engine {
    pub(crate) options: AlertingOptions,
    book: Arc<Book>,
    parts: Parts,
    inhibitions: Vec<Inhibition>,
    schedule: Mutex<Schedule>,
    /// A moment may be due.
    wake: Condvar,
    /// There is something to tell.
    news: Condvar,
    stop: AtomicBool,
    health: Health,
    figures: Figures,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Schedule {
    /// Grows with each reload.
    generation: u64,
    entries: Vec<Entry>,
    /// When something was told to look at.
    has_news: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    group: String,
    rule: Arc<Rule>,
    interval: i64,
    jitter: i64,
    /// The next moment.
    next: i64,
    busy: bool,
    state: RuleState,
    last: Option<Judged>,
}

/// The last time that a rule was judged.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) at: i64,
    pub(crate) took: Duration,
    pub(crate) error: Option<String>,
}

/// A rule as it stands.
#[derive(Clone, Debug)]
pub(crate) struct RuleView {
    pub(crate) group: String,
    pub(crate) interval: i64,
    pub(crate) rule: Arc<Rule>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) last: Option<Judged>,
}

#[derive(Debug)]
struct Figures {
    evaluations: CounterVec,
    seconds: Histogram,
    lag: Histogram,
    firing: Gauge,
    rules: Gauge,
    waiting: Gauge,
    sent: CounterVec,
}

impl Figures {
    fn new(metrics: &Metrics) -> Self {
        Self {
            evaluations: metrics.counter_vec(
                "rule_evaluations_total",
                "Moments at which a rule was judged, by how that ended: ok or failed.",
                &["outcome"],
            ),
            seconds: metrics.histogram(
                "rule_evaluation_duration_seconds",
                "How long judging a rule at a moment took.",
                SECONDS_BUCKETS,
            ),
            lag: metrics.histogram(
                "rule_evaluation_lag_seconds",
                "How long after its moment a rule was judged; waiting for records to be complete is part of it.",
                LAG_BUCKETS,
            ),
            firing: metrics.gauge("alerts_firing", "Alerts that fire."),
            rules: metrics.gauge("rules", "Rules that are judged."),
            waiting: metrics.gauge("notifications_waiting", "Notifications that wait to be delivered."),
            sent: metrics.counter_vec(
                "notifications_total",
                "Tries to deliver a notification, by receiver and by how they ended: delivered, failed (and tried again) or refused.",
                &["receiver", "outcome"],
            ),
        }
    }
}

/// The threads and tasks of an engine.
#[derive(Debug)]
pub struct Running {
    engine: Arc<Engine>,
    threads: Vec<JoinHandle<()>>,
    tasks: Vec<Task<()>>,
}

impl Engine {
    /// Starts it within a tokio runtime; its state is in the file `state`.
    ///
    /// # Errors
    /// The rules cannot be read, or the state not be used.
    pub fn start(
        options: AlertingOptions,
        state: &Path,
        parts: Parts,
        metrics: &Metrics,
        health: &Health,
    ) -> Result<Running, String> {
        let rules = (parts.read_rules)()?;
        let book = Arc::new(Book::open(state).map_err(|error| error.to_string())?);
        let names: Vec<&str> = options.receivers.iter().map(|it| it.name.as_str()).collect();
        book.know_receivers(&names, Timestamp::now().0).map_err(|error| error.to_string())?;
        let inhibitions = options.inhibit.iter().map(|inhibit| {
            let (source, target) =
                (Conditions::new(&inhibit.source)?, Conditions::new(&inhibit.target)?);
            Ok::<_, String>(Inhibition { source, target, equal: inhibit.equal.clone() })
        });
        let engine = Arc::new(Self {
            inhibitions: inhibitions.collect::<Result<_, _>>()?,
            book,
            parts,
            schedule: Mutex::default(),
            wake: Condvar::new(),
            news: Condvar::new(),
            stop: AtomicBool::new(false),
            health: health.clone(),
            figures: Figures::new(metrics),
            options,
        });
        engine.take_over(&rules).map_err(|error| error.to_string())?;
        let (mut tasks, mut deliveries) = (Vec::new(), Vec::new());
        for receiver in &engine.options.receivers {
            let client = Client::builder()
                .redirect(Policy::none())
                .tls_backend_preconfigured(Credentials::default().tls_for(&receiver.url)?)
                .build()
                .map_err(|error| error.to_string())?;
            let made = Arc::new(Notify::new());
            deliveries.push(Arc::clone(&made));
            let delivery = Delivery {
                book: Arc::clone(&engine.book),
                receiver: receiver.clone(),
                client,
                made,
                sent: engine.figures.sent.clone(),
            };
            tasks.push(match receiver.kind {
                ReceiverKind::Alertmanager => {
                    tokio::spawn(delivery.run_alertmanager(engine.parts.link.clone()))
                }
                _ => tokio::spawn(delivery.run()),
            });
        }
        let mut threads = Vec::new();
        let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map(|thread| threads.push(thread)).map_err(|error| error.to_string())
        };
        for _ in 0..WORKERS {
            let engine = Arc::clone(&engine);
            spawn("alerting-rules", Box::new(move || engine.judge_until_stopped()))?;
        }
        let teller = Arc::clone(&engine);
        spawn("alerting-tell", Box::new(move || teller.tell_until_stopped(&deliveries)))?;
        Ok(Running { engine, threads, tasks })
    }

    /// Reads the rules anew; the ones before stay if anything is wrong.
    ///
    /// # Errors
    /// All that is wrong.
    pub(crate) fn reload(&self) -> Result<usize, String> {
        let rules = (self.parts.read_rules)()?;
        self.take_over(&rules).map_err(|error| error.to_string())
    }

    /// Rules go on where they were left; those that are gone are over.
    fn take_over(&self, rules: &Rules) -> Result<usize, StateError> {
        let now = Timestamp::now().0;
        let mut entries: Vec<Entry> = Vec::new();
        for group in &rules.groups {
            let interval = nanos(group.interval).max(1);
            let jitter = jitter(&group.name, interval);
            for rule in &group.rules {
                let alike = entries
                    .iter()
                    .filter(|it| it.group == group.name && it.rule.alert == rule.alert)
                    .count();
                let key = format!("{}/{}/{alike}", group.name, rule.alert);
                entries.push(Entry {
                    key,
                    group: group.name.clone(),
                    rule: Arc::new(rule.clone()),
                    interval,
                    jitter,
                    next: after(now, interval),
                    busy: false,
                    state: RuleState::default(),
                    last: None,
                });
            }
        }
        let mut schedule = self.schedule();
        let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        self.book.keep_rules(&keys, now)?;
        for entry in &mut entries {
            match self.book.rule(&entry.key)? {
                Some((at, state)) => {
                    entry.next = next_after(at, entry.interval, now);
                    entry.state = state;
                }
                // From here on no moment is left out, also if the process ends before the first one is judged.
                None => {
                    let before = entry.next.saturating_sub(entry.interval);
                    self.book.judged(&entry.key, before, &entry.state, &[], &[])?;
                }
            }
            let before = schedule.entries.iter().find(|before| before.key == entry.key);
            entry.last = before.and_then(|before| before.last.clone());
        }
        let count = entries.len();
        schedule.generation += 1;
        schedule.entries = entries;
        schedule.has_news = true;
        self.figures.rules.set(count as i64);
        self.wake.notify_all();
        self.news.notify_all();
        Ok(count)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All rules as they stand.
    pub(crate) fn rules(&self) -> Vec<RuleView> {
        let view = |entry: &Entry| RuleView {
            group: entry.group.clone(),
            interval: entry.interval,
            rule: Arc::clone(&entry.rule),
            alerts: entry.state.judge.alerts().cloned().collect(),
            last: entry.last.clone(),
        };
        self.schedule().entries.iter().map(view).collect()
    }

    /// Incidents, the newest first.
    pub(crate) fn incidents(&self, limit: usize) -> Result<Vec<Incident>, StateError> {
        self.book.incidents(limit)
    }

    /// Silences an alert, or changes a silence; gives its id.
    pub(crate) fn silence(&self, silence: &Compiled) -> Result<String, StateError> {
        let id = self.book.keep_silence(silence.silence.clone(), silence.ends_at)?;
        self.look_again();
        Ok(id)
    }

    /// Ends a silence; whether there was one.
    pub(crate) fn end_silence(&self, id: &str) -> Result<bool, StateError> {
        let now = Timestamp::now().0;
        let found = self.book.silences(now)?.into_iter().find(|silence| silence.id == id);
        let Some(silence) = found.and_then(|found| Compiled::new(found, now).ok()) else {
            return Ok(false);
        };
        self.book.keep_silence(silence.ended(now), now)?;
        self.look_again();
        Ok(true)
    }

    /// Silences that have not ended for longer than five days.
    pub(crate) fn silences(&self) -> Result<Vec<Silence>, StateError> {
        self.book.silences(Timestamp::now().0.saturating_sub(SHOW_EXPIRED))
    }

    fn look_again(&self) {
        self.schedule().has_news = true;
        self.news.notify_all();
    }

    /// Notifications, the newest first.
    pub(crate) fn notifications(&self, limit: usize) -> Result<Vec<Notification>, StateError> {
        self.book.newest_notifications(limit)
    }

    fn judge_until_stopped(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some((generation, index, entry)) = self.take_due() else { continue };
            let began = Instant::now();
            let judged = self.judge(&entry);
            self.figures.seconds.observe(began.elapsed().as_secs_f64());
            let outcome = if judged.is_ok() { "ok" } else { "failed" };
            self.figures.evaluations.with_label_values(&[outcome]).inc();
            self.put_back(generation, index, &entry, judged, began.elapsed());
        }
    }

    /// The rule whose moment is the oldest of those that may be judged now; waits for one.
    fn take_due(&self) -> Option<(u64, usize, Entry)> {
        let now = Timestamp::now().0;
        let complete = (self.parts.watermark)(now);
        let mut schedule = self.schedule();
        let max_delay = nanos(self.options.max_delay);
        for entry in schedule.entries.iter_mut().filter(|entry| !entry.busy) {
            // The clock was set back.
            if entry.next > now.saturating_add(entry.interval.saturating_mul(2)) {
                entry.next = after(now, entry.interval);
            }
        }
        let due = |entry: &Entry| {
            let moment = entry.next;
            !entry.busy
                && now >= moment.saturating_add(entry.jitter)
                && (complete >= moment || now >= moment.saturating_add(max_delay))
        };
        let found = schedule
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| due(entry))
            .min_by_key(|(_, entry)| entry.next)
            .map(|(index, _)| index);
        let Some(index) = found else {
            let waited = self.wake.wait_timeout(schedule, LOOK_EVERY);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            return None;
        };
        let generation = schedule.generation;
        let entry = &mut schedule.entries[index];
        entry.busy = true;
        self.figures.lag.observe((now.saturating_sub(entry.next)) as f64 / 1e9);
        Some((generation, index, entry.clone()))
    }

    /// Judges a rule at its moment, on what it remembers; nothing is changed yet.
    fn judge(&self, entry: &Entry) -> Result<(RuleState, Changes), String> {
        let (rule, at) = (&entry.rule, entry.next);
        let mut state = entry.state.clone();
        let runner = &*self.parts.runner;
        let found = find(rule, at, &mut state.memory, runner).map_err(|error| error.to_string())?;
        let mut changes = Changes::default();
        for transition in state.judge.step(rule, at, found) {
            let alert = &transition.alert;
            match alert.state {
                State::Resolved => changes.ended.push((fingerprint(&alert.labels), at)),
                _ => {
                    let from = at.saturating_sub(nanos(rule.window));
                    let query =
                        format!("{} | sort timestamp | head {RECORDS}", filter_of(&alert.filter));
                    // Without them it is told nevertheless.
                    let records = runner.run(&query, from, at, RECORDS);
                    let records = records.map(|answer| answer.rows).unwrap_or_default();
                    let link = &self.parts.link;
                    changes.begun.push(Incident::begun(&entry.key, rule, alert, records, link));
                }
            }
        }
        Ok((state, changes))
    }

    /// Stores what was judged, if the rules are still the same, and goes on to the next moment.
    fn put_back(
        &self,
        generation: u64,
        index: usize,
        of: &Entry,
        judged: Result<(RuleState, Changes), String>,
        took: Duration,
    ) {
        let mut schedule = self.schedule();
        if schedule.generation != generation {
            return;
        }
        let mut error = None;
        let mut is_stored = true;
        let mut state = None;
        match judged {
            Ok((new, Changes { begun, ended })) => {
                match self.book.judged(&of.key, of.next, &new, &begun, &ended) {
                    Ok(()) => {
                        schedule.has_news |= !begun.is_empty() || !ended.is_empty();
                        state = Some(new);
                    }
                    Err(failed) => (error, is_stored) = (Some(failed.to_string()), false),
                }
                self.show(error.as_ref());
            }
            Err(failed) => {
                tracing::warn!(rule = of.key, error = failed, "a rule could not be judged");
                error = Some(failed);
            }
        }
        let entry = &mut schedule.entries[index];
        entry.busy = false;
        entry.last = Some(Judged { at: of.next, took, error });
        if let Some(state) = state {
            entry.state = state;
        }
        // What could not be stored is judged again; where a query failed, the moment says nothing.
        if is_stored {
            entry.next = next_after(of.next, entry.interval, Timestamp::now().0);
        }
        let has_news = schedule.has_news;
        drop(schedule);
        if has_news {
            self.news.notify_all();
        }
        if !is_stored {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// On the health page: whether the state can be kept.
    fn show(&self, error: Option<&String>) {
        self.health.set(
            CHECK,
            error.map_or(Check::Ok, |error| Check::Degraded(format!("alerts: {error}"))),
        );
    }

    fn tell_until_stopped(&self, deliveries: &[Arc<Notify>]) {
        let receivers: Vec<&str> =
            self.options.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        let mut tidied: Option<Instant> = None;
        let mut look_at = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let mut schedule = self.schedule();
            let now = Timestamp::now().0;
            if !schedule.has_news && now < look_at {
                let waited = self.news.wait_timeout(schedule, LOOK_EVERY);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            let has_news = std::mem::take(&mut schedule.has_news);
            drop(schedule);
            let began = Instant::now();
            let told = self.tell(&receivers, now, &mut tidied);
            // Also without anything to do: silences end, a clock may be set back. At most a twentieth of the time.
            look_at = now.saturating_add(nanos(began.elapsed() * 20).max(crate::SECOND));
            match told {
                Ok((count, again)) => {
                    look_at = look_at.min(again);
                    if count > 0 || has_news {
                        deliveries.iter().for_each(|made| made.notify_one());
                    }
                }
                Err(error) => self.show(Some(&error.to_string())),
            }
        }
    }

    fn tell(
        &self,
        receivers: &[&str],
        now: i64,
        tidied: &mut Option<Instant>,
    ) -> Result<(usize, i64), StateError> {
        if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
            self.book.tidy(receivers, now)?;
            *tidied = Some(Instant::now());
        }
        let (mut count, mut look_at) = (0, i64::MAX);
        for receiver in &self.options.receivers {
            // An Alertmanager groups by itself.
            if receiver.kind == ReceiverKind::Alertmanager {
                continue;
            }
            let (grouping, link) = (&self.options.grouping, &self.parts.link);
            let (made, again) =
                tell_news(&self.book, receiver, grouping, &self.inhibitions, link, now)?;
            count += made;
            look_at = look_at.min(again);
        }
        self.figures.waiting.set(self.book.waiting_count()?);
        let schedule = self.schedule();
        let alerts = schedule.entries.iter().flat_map(|entry| entry.state.judge.alerts());
        self.figures.firing.set(alerts.filter(|alert| alert.state == State::Firing).count() as i64);
        Ok((count, look_at))
    }
}

impl Running {
    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ends it; what is being judged is judged to its end, what is being delivered may be delivered once more.
    pub fn stop(self) {
        self.engine.stop.store(true, Ordering::Relaxed);
        self.engine.wake.notify_all();
        self.engine.news.notify_all();
        self.tasks.iter().for_each(Task::abort);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of alerting died");
            }
        }
    }
}

/// Alerts that began to fire or were over at a moment.
#[derive(Debug, Default)]
struct Changes {
    begun: Vec<Incident>,
    /// Fingerprints.
    ended: Vec<(String, i64)>,
}

/// The first moment after a time.
fn after(time: i64, interval: i64) -> i64 {
    time.div_euclid(interval).saturating_add(1).saturating_mul(interval)
}

/// The moment after the one that was judged, an hour back at most.
fn next_after(judged: i64, interval: i64, now: i64) -> i64 {
    after(judged, interval).max(after(now.saturating_sub(CATCH_UP), interval))
}

/// How long a group waits after its moments, the same for ever.
fn jitter(group: &str, interval: i64) -> i64 {
    let most = (interval / JITTER_PART).clamp(1, crate::SECOND);
    let hash = group.bytes().fold(7_i64, |hash, byte| hash.wrapping_mul(31) ^ i64::from(byte));
    hash.rem_euclid(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = crate::SECOND;

    #[test]
    fn moments_are_whole_intervals_and_missed_ones_are_judged_up_to_an_hour_back() {
        assert_eq!(after(0, 15 * S), 15 * S);
        assert_eq!(after(15 * S, 15 * S), 30 * S);
        assert_eq!(after(-1, 15 * S), 0);
        let now = 100_000 * S;
        assert_eq!(next_after(99_990 * S, 15 * S, now), 100_005 * S);
        assert_eq!(next_after(99_000 * S, 15 * S, now), 99_015 * S, "missed");
        assert_eq!(next_after(0, 15 * S, now), after(now - CATCH_UP, 15 * S), "long ago");
    }

    #[test]
    fn groups_come_apart_by_less_than_a_second() {
        for interval in [S, 15 * S, 3_600 * S] {
            let all: Vec<i64> = ["a", "b", "shop"].map(|name| jitter(name, interval)).into();
            assert!(all.iter().all(|it| (0..S.min(interval / 10)).contains(it)), "{all:?}");
            assert_ne!(all[0], all[1]);
        }
    }
}
