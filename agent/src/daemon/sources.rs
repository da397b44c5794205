//! Starts sources and stops them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::durable::Durable;
use super::files::{Files, Streams};
use super::intake::Intake;
use super::journald::Journal;
use super::options::{SourceKind, SourceOptions};
use super::otlp::{self, Before, Receiver};
use super::pipes::{Pipe, StandardInput};
use super::status::{Overview, SourceView};
use super::stream::{NO_FILE, Pipeline, StopFlag};
use crate::process::Processor;
use crate::source::file::{FileSource, KnownFile, Waker};
use service::shutdown::{Shutdown, Trigger};

/// How often it is looked whether a source has stopped.
const STOP_STEP: Duration = Duration::from_millis(5);

/// The sources that run.
#[derive(Default)]
pub(super) struct Running {
    threads: Vec<JoinHandle<()>>,
    stop: StopFlag,
    wakers: Vec<Waker>,
    triggers: Vec<Trigger>,
    /// Whether all of them end by themselves.
    pub(super) finite: bool,
}

impl Running {
    /// Whether every source has come to its end.
    pub(super) fn is_finished(&self) -> bool {
        self.finite && self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Tells all sources to stop and waits for them. Those that still wait for room when `is_over` says so get
    /// none any more: `refuse` sees to that.
    pub(super) fn stop(self, is_over: impl Fn() -> bool, refuse: impl FnOnce()) {
        self.stop.store(true, Ordering::Relaxed);
        for waker in &self.wakers {
            waker.wake();
        }
        for trigger in &self.triggers {
            trigger.set_off();
        }
        while !self.threads.iter().all(JoinHandle::is_finished) {
            if is_over() {
                refuse();
                break;
            }
            std::thread::sleep(STOP_STEP);
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!(
                    "a source died; what it had read and not handed over is read again"
                );
            }
        }
    }
}

/// What a source is made of, ready to run: nothing of it has begun.
pub(super) struct Prepared {
    options: SourceOptions,
    processor: Processor,
}

/// Builds what can be wrong.
///
/// # Errors
/// Which source cannot be built, and why.
pub(super) fn prepare(sources: &[SourceOptions]) -> Result<Vec<Prepared>, String> {
    let prepare = |options: &SourceOptions| {
        let processor = Processor::new(&options.process)
            .map_err(|error| format!("source {}: {error}", options.name))?;
        Ok(Prepared { options: options.clone(), processor })
    };
    sources.iter().map(prepare).collect()
}

/// Starts all sources where the durable state says that they stand.
///
/// # Errors
/// Which source cannot be started, and why; none runs then.
pub(super) fn start(
    prepared: Vec<Prepared>,
    intake: &Arc<Intake>,
    durable: &Arc<Durable>,
    overview: &Overview,
    stdin: &Arc<StandardInput>,
) -> Result<Running, String> {
    let mut running = Running { finite: !prepared.is_empty(), ..Running::default() };
    match start_all(prepared, intake, durable, overview, stdin, &mut running) {
        Ok(()) => Ok(running),
        Err(error) => {
            running.stop(|| false, || ());
            Err(error)
        }
    }
}

fn start_all(
    prepared: Vec<Prepared>,
    intake: &Arc<Intake>,
    durable: &Arc<Durable>,
    overview: &Overview,
    stdin: &Arc<StandardInput>,
    running: &mut Running,
) -> Result<(), String> {
    let mut views = Vec::new();
    // Of two sources that want the same file the first one has it.
    let mut claimed = BTreeSet::new();
    let last = durable.with_state(|state| state.files.keys().last().copied().unwrap_or(NO_FILE));
    let ids = Arc::new(AtomicU64::new(last + 1));
    for Prepared { options, processor } in prepared {
        let SourceOptions { name, kind, reading, assemble, when_full, .. } = options;
        let view = SourceView::new(&name, kind.name());
        views.push(Arc::clone(&view));
        let stop = Arc::clone(&running.stop);
        let host = Some(overview.host.clone());
        let pipeline = Pipeline::new(Arc::clone(intake), processor, when_full, host, stop);
        let mut reading = reading;
        reading.settings.agent.clone_from(&overview.agent);
        let refuse = |error: String| format!("source {name}: {error}");
        let thread: Box<dyn FnOnce() + Send> = match kind {
            SourceKind::File(settings) => {
                running.finite = false;
                let (known, first) = durable.with_state(|state| {
                    let patterns = settings.check().ok();
                    let mine = |(id, file): (&u64, &KnownFile)| {
                        let matches = patterns.as_ref().is_some_and(|it| it.matches(&file.origin));
                        (matches && !claimed.contains(id)).then(|| (*id, file.clone()))
                    };
                    let known: Vec<_> = state.files.iter().filter_map(mine).collect();
                    (known, !state.started.contains(&name))
                });
                claimed.extend(known.iter().map(|(id, _)| *id));
                let origins =
                    known.iter().map(|(id, file)| (*id, Arc::clone(&file.origin))).collect();
                let mut source = FileSource::new(settings, known, first)
                    .map_err(|error| refuse(error.to_string()))?;
                source.number_from(Arc::clone(&ids));
                running.wakers.push(source.waker());
                intake.source_started(&name);
                let streams = Streams::new(name.clone(), reading, assemble, pipeline, origins);
                let files = Files { source, streams, view };
                Box::new(move || files.run())
            }
            SourceKind::Stdin => {
                let pipe = Pipe { path: "-".to_owned(), reading, assemble, pipeline, view };
                let stdin = Arc::clone(stdin);
                Box::new(move || pipe.run_stdin(&stdin))
            }
            SourceKind::Exec { command, restart_after } => {
                running.finite = false;
                let path = command.join(" ");
                let pipe = Pipe { path, reading, assemble, pipeline, view };
                Box::new(move || pipe.run_command(&command, restart_after))
            }
            SourceKind::Journald(options) => {
                running.finite = false;
                let (known, first) = durable.with_state(|state| {
                    (state.cursors.get(&name).cloned(), !state.started.contains(&name))
                });
                let known = known.as_deref();
                let journal =
                    Journal::new(name.clone(), options, reading, pipeline, view, known, first);
                Box::new(move || journal.run())
            }
            SourceKind::Otlp(options) => {
                running.finite = false;
                let http = otlp::listen("http", &options.http).map_err(refuse)?;
                let grpc = options.grpc.as_deref().map(|grpc| otlp::listen("grpc", grpc));
                let grpc = grpc.transpose().map_err(refuse)?;
                let (trigger, stopping) = Shutdown::new();
                running.triggers.push(trigger);
                let receiver = Receiver::new(&options, reading, pipeline, view);
                let before = Before {
                    entrance: overview.entrance.clone(),
                    durations: overview.request_durations.clone(),
                };
                Box::new(move || receiver.run(http, grpc, &before, stopping))
            }
        };
        let thread = std::thread::Builder::new().name("agent-source".to_owned()).spawn(thread);
        running.threads.push(thread.map_err(|error| refuse(error.to_string()))?);
    }
    *overview.views.lock().unwrap_or_else(PoisonError::into_inner) = views;
    Ok(())
}
