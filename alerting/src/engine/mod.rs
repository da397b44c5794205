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

mod figures;
mod schedule;

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
use service::metrics::Metrics;
use tokio::sync::Notify;
use tokio::task::JoinHandle as Task;

use self::figures::Figures;
pub(crate) use self::schedule::RuleView;
use self::schedule::Schedule;

use crate::find::nanos;
use crate::judge::State;
use crate::mute::Inhibition;
use crate::notify::{Delivery, secret, tell_news};
use crate::options::{AlertingOptions, ReceiverKind};
use crate::rules::Rules;
use crate::runner::QueryRunner;
use crate::silence::{Compiled, Conditions, Silence};
use crate::state::{Book, StateError};

/// Rules that are judged at the same time.
const WORKERS: usize = 2;
/// How often is looked for moments and for groups that are due.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often what is over for long is taken away.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How long a silence is shown after its end, ns.
const SHOW_EXPIRED: i64 = 5 * 86_400 * crate::SECOND;
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
    pub(crate) book: Arc<Book>,
    parts: Parts,
    inhibitions: Vec<Inhibition>,
    /// Held while rules are taken over, or a moment is stored, which belongs to the rules of before or of after. The
    /// schedule is not locked meanwhile: whoever looks at it does not wait for a disk.
    storing: Mutex<()>,
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
        book.know_receivers(&names).map_err(|error| error.to_string())?;
        let inhibitions = options.inhibit.iter().map(|inhibit| {
            let (source, target) =
                (Conditions::new(&inhibit.source)?, Conditions::new(&inhibit.target)?);
            Ok::<_, String>(Inhibition { source, target, equal: inhibit.equal.clone() })
        });
        let engine = Arc::new(Self {
            inhibitions: inhibitions.collect::<Result<_, _>>()?,
            book,
            parts,
            storing: Mutex::default(),
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
            let secret = match &receiver.kind {
                ReceiverKind::Webhook { secret_file: Some(file) } => Some(secret(file)?),
                _ => None,
            };
            let made = Arc::new(Notify::new());
            deliveries.push(Arc::clone(&made));
            let delivery = Delivery {
                book: Arc::clone(&engine.book),
                receiver: receiver.clone(),
                client,
                secret,
                made,
                tries: engine.figures.tries.of(receiver),
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
        let rules = (self.parts.read_rules)();
        let taken = rules.and_then(|rules| self.take_over(&rules).map_err(|it| it.to_string()));
        let outcome = if taken.is_ok() { "ok" } else { "failed" };
        self.figures.reloads.with_label_values(&[outcome]).inc();
        taken
    }

    fn storing(&self) -> MutexGuard<'_, ()> {
        self.storing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
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
        let count_in = |state: State| {
            let alerts = schedule.entries.iter().flat_map(|entry| entry.state.judge.alerts());
            alerts.filter(|alert| alert.state == state).count() as i64
        };
        self.figures.firing.set(count_in(State::Firing));
        self.figures.pending.set(count_in(State::Pending));
        let failing = schedule.entries.iter().filter(|entry| entry.is_failing());
        self.figures.failing.set(failing.count() as i64);
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
