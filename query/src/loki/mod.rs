//! Loki's read API, as far as Grafana's Loki data source, Logs Drilldown and logcli ask it, over the table of logs.
//!
//! ```text
//! GET|POST /loki/api/v1/query, query_range    parameters ─▶ log query    ─▶ push_down ─▶ lines   ─▶ answers
//!                                                        └▶ metric query ─▶ push_down ─▶ samples ─▶ answers
//! GET      …/labels, label/NAME/values, series, index/stats, index/volume, detected_labels   streams
//! GET      …/detected_fields, detected_field/NAME/values                                     detected
//! GET      …/patterns                                                                        patterns
//! GET      …/tail                                                                            tail (a websocket)
//! ```
//!
//! A line is a record's message. The labels of its stream are `service_name`, `level` and `host`; everything else that a
//! record has comes with the line, as structured metadata, under names that are valid labels (see `record.rs`). Queries
//! are parsed and evaluated by the crate `logql`; what of them the store can do is pushed down to it.
//!
//! Shapes, words of errors and the reading of parameters are Loki's, because its clients read them strictly.

mod answers;
mod detected;
mod lines;
mod parameters;
mod patterns;
mod push_down;
mod record;
mod routes;
mod samples;
mod streams;
mod tail;

pub(crate) use routes::routes;

/// Lines of an answer where nothing else is asked for.
const LINES_DEFAULT: usize = 100;
/// The most lines of an answer; more are refused.
const LINES_MAX: usize = 5_000;
/// The most series of an answer, and of each part of a query.
const SERIES_MAX: usize = 1_000;
const PARTS_MAX: usize = 50_000;
/// The most names or streams of one answer, those with the most lines.
const NAMES_MAX: usize = 10_000;
