//! The query service: from the text of a query to lines of JSON.
//!
//! ```text
//! text ─▶ ql: filter + stage calls ─▶ plan ─▶ execute over one view ─▶ stages ─▶ JSON lines
//! ```
//!
//! What must not be known here: how records come in, how the store keeps its files (it is asked for rows
//! that match and for columns of rows), how an answer is shown to a person.

mod batch;
mod cell;
mod context;
mod error;
mod execute;
mod functions;
mod http;
mod jaeger;
mod json;
mod limits;
mod loki;
mod looking;
mod memory;
mod metrics;
mod ordered;
mod output;
mod parameters;
mod places;
mod plan;
mod queries;
mod queue;
mod sorting;
mod stages;
mod stories;
mod tail;
mod value;

pub use batch::{Batch, Records, Rows};
pub use cell::Cell;
pub use error::QueryError;
pub use http::QueryApi;
pub use json::write_lines;
pub use limits::{QueryLimits, Summary};
pub use ordered::Cursor;
pub use plan::Plan;
pub use queries::{LIMIT_DEFAULT, Prepared, Queries, Request, SINCE_DEFAULT};
pub use queue::QueueLimits;
pub use record::time_parameter;
pub use stages::{Flow, STAGES, StageHelp};

/// How other systems' APIs call the service of what names none; as in OpenTelemetry.
const UNKNOWN_SERVICE: &str = "unknown_service";
