//! Log lines of a service: one JSON object for each `tracing` event, with the ids of what is being done.
//!
//! ```text
//! {"timestamp":"2026-11-28T09:12:04.118402917Z","level":"info","service":"orders","message":"stock reserved",
//!  "correlation_id":"ord-1","trace_id":"0af7…","span_id":"b7ad…","event_name":"saga.step.completed", …fields…}
//! ```
//!
//! * Fields are flat and keep their types; what JSON has no number for is text. A field that is named like one of the
//!   first seven keys is written as `attribute.NAME`, except an event's own `correlation_id`, which wins.
//! * A line is written with one write before the event returns, so that nothing is left to be flushed. The order of the
//!   lines is the order of their times.
//! * A line that cannot be written is counted and gone: a full disk costs lines and nothing else. The first is told on
//!   standard error.

mod file;

use std::borrow::Cow;
use std::fmt::{Debug, Write as _};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Number, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer};

use self::file::RotatingFile;
use super::origin::correlation_of;
use crate::metrics::Counter;
use crate::semantics::record;

const FIXED: [&str; 6] =
    ["timestamp", "level", "service", "message", record::TRACE_ID, record::SPAN_ID];

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lines {
    /// To standard output, for whoever collects that.
    Stdout,
    /// To a file, which is renamed to `NAME.1` before a line would take it over `bytes_max`. That one is replaced the next
    /// time, so there are never more than twice so many bytes.
    File {
        /// Made if absent; its folder is there.
        path: PathBuf,
        /// Of the file.
        bytes_max: u64,
    },
}

impl Lines {
    /// A file of at most 8 MiB, and the one before it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into(), bytes_max: 8 << 20 }
    }
}

/// Writes the lines.
#[derive(Debug)]
pub(super) struct LinesLayer {
    service: String,
    lost: Counter,
    output: Mutex<Output>,
}

#[derive(Debug)]
struct Output {
    target: Target,
    told: bool,
}

#[derive(Debug)]
enum Target {
    Stdout,
    File(RotatingFile),
}

impl LinesLayer {
    /// # Errors
    /// If the file cannot be opened now; later on it is tried again for each line.
    pub(super) fn open(lines: &Lines, service: String, lost: Counter) -> io::Result<Self> {
        let target = match lines {
            Lines::Stdout => Target::Stdout,
            Lines::File { path, bytes_max } => Target::File(RotatingFile::open(path, *bytes_max)?),
        };
        Ok(Self { service, lost, output: Mutex::new(Output { target, told: false }) })
    }

    fn append(&self, level: Level, fields: Fields) {
        // Everything after the time.
        let mut rest = String::new();
        push(&mut rest, "level", level.as_str().to_ascii_lowercase());
        push(&mut rest, "service", self.service.as_str());
        push(&mut rest, "message", fields.message);
        let has_correlation = fields.others.iter().any(|(name, _)| name == record::CORRELATION_ID);
        Context::map_current(|context| {
            if let Some(id) = correlation_of(context).filter(|_| !has_correlation) {
                push(&mut rest, record::CORRELATION_ID, id);
            }
            let span = context.span();
            let ids = span.span_context();
            if ids.is_valid() {
                push(&mut rest, record::TRACE_ID, ids.trace_id().to_string());
                push(&mut rest, record::SPAN_ID, ids.span_id().to_string());
            }
        });
        fields.others.into_iter().for_each(|(name, value)| push(&mut rest, &name, value));
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // The time only now, so that no line with an earlier one comes after it.
        let line = format!("{{\"timestamp\":\"{:.9}\"{rest}}}", Timestamp::now());
        if let Err(error) = output.write(line) {
            self.lost.inc();
            if !std::mem::replace(&mut output.told, true) {
                let service = &self.service;
                // Not an event: that would come back here.
                let _ = writeln!(
                    io::stderr(),
                    "{service}: cannot write a line, counting lost ones: {error}"
                );
            }
        }
    }
}

/// Adds `,"name":value`.
fn push(line: &mut String, name: &str, value: impl Into<Value>) {
    let _ = write!(line, ",{}:{}", Value::from(name), value.into());
}

impl Output {
    fn write(&mut self, mut line: String) -> io::Result<()> {
        match &mut self.target {
            Target::Stdout => {
                line.push('\n');
                io::stdout().lock().write_all(line.as_bytes())
            }
            Target::File(file) => file.write(&line),
        }
    }
}

impl<S: Subscriber> Layer<S> for LinesLayer {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.append(*event.metadata().level(), fields);
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            // The macro's own; whoever gives it as a field means the same.
            "message" => {
                self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            }
            fixed if FIXED.contains(&fixed) => {
                self.others.push((format!("attribute.{fixed}").into(), value));
            }
            name => self.others.push((name.into(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = Number::from_f64(value).map(Value::Number);
        self.put(field, number.unwrap_or_else(|| value.to_string().into()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.put(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
