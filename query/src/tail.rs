//! `GET|POST /api/v1/tail`: records that match, as they come in, as lines of JSON without end.
//!
//! ```text
//! {"timestamp":…}                           records, those that came within a moment in the order of their times
//! {"tail":{"after":4711,"skipped":0}}       behind each block, and now and then when nothing comes
//! ```
//!
//! What has a larger record_seq than the last that was looked at is new. A client that lost its connection says `after`
//! and gets what came meanwhile; `limit` ends it after so many records. Of more than [`BLOCK_RECORDS_MAX`] new records at
//! once the newest are given, and `skipped` tells of the others; a client that reads too slowly gets fewer looks, and so
//! larger blocks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use service::principal::Principal;
use store::{Allowance, Columns, Held, Source, View};

use crate::batch::Batch;
use crate::error::QueryError;
use crate::http::{QueryApi, ndjson, refused};
use crate::json;
use crate::parameters;
use crate::places::{self, Place};
use crate::plan::Plan;
use crate::queries::{Queries, Request};

/// Clients that follow at the same time.
pub(crate) const FOLLOWERS_MAX: usize = 256;
/// Most records of one block.
const BLOCK_RECORDS_MAX: usize = 10_000;
/// Between two looks; records that come in between are put in order.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Silence after which the position is told, so that a dead connection is noticed.
const SILENCE_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn follow(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    match begin(&api, &principal.tenant, request).await {
        Ok(response) => response,
        Err(error) => refused(error),
    }
}

async fn begin(
    api: &Arc<QueryApi>,
    tenant: &str,
    request: HttpRequest,
) -> Result<Response, QueryError> {
    let request = parameters::read(request, tenant).await?;
    let place = Arc::clone(&api.followers).try_acquire_owned().map_err(|_| QueryError::Busy)?;
    let follower = Follower::new(&api.queries, &request)?;
    let stream = futures_util::stream::unfold((follower, place, true), |state| async move {
        let (mut follower, place, first) = state;
        let (lines, follower) = if !first && follower.left == 0 {
            return None;
        } else if first {
            let line = follower.position_line(0);
            (line, follower)
        } else {
            let mut silent = Instant::now();
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let looked = tokio::task::spawn_blocking(move || {
                    let lines = follower.look_for_lines();
                    (lines, follower)
                });
                let (lines, back) = looked.await.ok()?;
                follower = back;
                match lines {
                    Ok(lines) if !lines.is_empty() => break (lines, follower),
                    Ok(_) if silent.elapsed() < SILENCE_MAX => {}
                    Ok(_) => break (follower.position_line(0), follower),
                    Err(error) => {
                        tracing::warn!(%error, "a look of a follower failed");
                        silent = Instant::now();
                    }
                }
            }
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(lines)), (follower, place, false)))
    });
    Ok(ndjson(Body::from_stream(stream)).into_response())
}

/// One client that follows.
pub(crate) struct Follower {
    queries: Queries,
    plan: Plan,
    tenant: String,
    /// The largest record_seq that was looked at.
    after: u64,
    /// Records that are still wanted.
    left: usize,
    seen: Arc<View>,
}

impl Follower {
    fn new(queries: &Queries, request: &Request) -> Result<Self, QueryError> {
        let plan = Plan::new(&request.query)?;
        if plan.around.is_some() || !plan.stages.iter().all(|stage| stage.per_record()) {
            let detail = "only stages that see one record at a time can follow: where, eval, rename, extract, parse";
            return Err(QueryError::Parameter { name: "query", detail: detail.to_owned() });
        }
        let mut follower = Self::of_plan(queries, plan, &request.tenant);
        if let Some(after) = request.after {
            // What is there already is looked at once.
            (follower.after, follower.seen) = (after, Arc::default());
        }
        follower.left = request.limit.unwrap_or(usize::MAX);
        Ok(follower)
    }

    /// One that follows from now on a plan of stages that see one record at a time.
    pub(crate) fn of_plan(queries: &Queries, mut plan: Plan, tenant: &str) -> Self {
        let seen = queries.store.view();
        let (sources, _) = seen.sources(tenant, plan.signal.name(), i64::MIN..i64::MAX);
        let after = sources.iter().map(|source| source.seq_range().1).max().unwrap_or(0);
        let ever = i64::MIN..i64::MAX;
        plan.stages.iter_mut().for_each(|stage| stage.begin(&ever, &ever));
        let (queries, tenant) = (queries.clone(), tenant.to_owned());
        Self { queries, plan, tenant, after, left: usize::MAX, seen }
    }

    /// The largest record_seq that was looked at.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }

    fn position_line(&self, skipped: usize) -> Vec<u8> {
        let position = serde_json::json!({ "after": self.after, "skipped": skipped });
        format!("{}\n", serde_json::json!({ "tail": position })).into_bytes()
    }

    /// The lines of what is new, and the position behind them; nothing if nothing is new.
    fn look_for_lines(&mut self) -> Result<Vec<u8>, QueryError> {
        let mut lines = Vec::new();
        let skipped = self.look(&mut |batch| json::write_lines(&batch, &mut lines))?;
        if !lines.is_empty() || skipped > 0 {
            lines.append(&mut self.position_line(skipped));
        }
        Ok(lines)
    }

    /// Gives what is new to `give`, in the order of its times; answers how much more there was.
    pub(crate) fn look(&mut self, give: &mut dyn FnMut(Batch)) -> Result<usize, QueryError> {
        let view = self.queries.store.view();
        if Arc::ptr_eq(&view, &self.seen) {
            return Ok(0);
        }
        let signal = self.plan.signal.name();
        let (mut sources, _) = view.sources(&self.tenant, signal, i64::MIN..i64::MAX);
        sources.retain(|source| source.seq_range().1 > self.after);
        let mut skipped = 0;
        if let Some(latest) = sources.iter().map(|source| source.seq_range().1).max() {
            let account = self.queries.account(&Arc::new(AtomicBool::new(false)));
            let allowance = account as Arc<dyn Allowance>;
            let (places, too_many) = self.places(&sources, &allowance)?;
            let left = self.left;
            self.read(&sources, &places, &allowance, give).inspect_err(|_| self.left = left)?;
            (self.after, skipped) = (latest, too_many);
        }
        self.seen = view;
        Ok(skipped)
    }

    /// Where the new records lie, in the order of their times, and how many more there are.
    fn places(
        &self,
        sources: &[Source],
        allowance: &Arc<dyn Allowance>,
    ) -> Result<(Vec<Place>, usize), QueryError> {
        let mut places: Vec<Place> = Vec::new();
        let mut held = Held::nothing(allowance);
        for (number, source) in sources.iter().enumerate() {
            let rows = source.select(&self.plan.filter, i64::MIN..i64::MAX, None, allowance)?;
            let mut index = 0;
            for batch in source.batches(&rows, &Source::key_columns(), allowance)? {
                for (time, seq) in Source::keys_of(&batch?) {
                    let row = rows.row(index);
                    index += 1;
                    if seq > self.after {
                        places.push(Place { time, seq, source: number as u32, row });
                    }
                }
                held.set(places.capacity() * size_of::<Place>())?;
            }
        }
        let skipped = places.len().saturating_sub(BLOCK_RECORDS_MAX);
        if skipped > 0 {
            places.sort_unstable_by_key(|place| place.seq);
            places.drain(..skipped);
        }
        places.sort_unstable();
        Ok((places, skipped))
    }

    fn read(
        &mut self,
        sources: &[Source],
        places: &[Place],
        allowance: &Arc<dyn Allowance>,
        give: &mut dyn FnMut(Batch),
    ) -> Result<(), QueryError> {
        let columns = Columns::All;
        let mut rest = places;
        while !rest.is_empty() {
            let rows = places::block(sources, rest, rest.len(), &columns, &**allowance)?;
            let (now, later) = rest.split_at(rows);
            rest = later;
            let mut batch = Batch::Records(places::fetch(sources, now, &columns, allowance)?);
            for stage in &self.plan.stages {
                let mut out = Vec::new();
                let Some(mut stage) = stage.fork() else { continue };
                stage.push(batch, &mut out)?;
                batch = out.pop().unwrap_or(Batch::Records(crate::batch::Records::default()));
            }
            batch.truncate(self.left);
            self.left -= batch.len();
            give(batch);
        }
        Ok(())
    }
}
