//! `/api/v1/stories`: the interactions of what a query finds, a line each.

use std::sync::Arc;

use serde::Serialize;
use story::{FirstError, Outcome, Story};

use super::Asked;
use crate::error::QueryError;
use crate::memory::Account;
use crate::queries::{Queries, Request};

/// Interactions where nothing else is asked for.
const STORIES_DEFAULT: usize = 20;
/// The most of them.
const STORIES_MAX: usize = 500;

/// One interaction in a line.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    correlation_id: String,
    outcome: Outcome,
    /// RFC 3339.
    started: String,
    duration_ms: f64,
    records: usize,
    spans: usize,
    services: Vec<String>,
    first_error: Option<FirstError>,
    /// How many things are missing.
    holes: usize,
}

/// All of them.
#[derive(Debug, Serialize)]
pub(crate) struct Stories {
    complete: bool,
    /// Why not everything was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether there are more than were asked for.
    more: bool,
    /// The newest first.
    stories: Vec<Line>,
}

impl Queries {
    /// The interactions of what a query finds.
    ///
    /// # Errors
    /// As a query; when it has stages.
    pub(crate) fn stories(
        &self,
        request: &Request,
        account: &Arc<Account>,
    ) -> Result<Stories, QueryError> {
        let most = request.limit.unwrap_or(STORIES_DEFAULT).min(STORIES_MAX);
        let asked = Asked {
            tenant: &request.tenant,
            query: &request.query,
            since: request.since.as_deref(),
            until: request.until.as_deref(),
        };
        let found = self.correlations(&asked, most, account)?;
        let mut reason = found.partial;
        let mut stories = Vec::with_capacity(found.ids.len());
        for id in found.ids {
            let gathered = self.correlation_entries(&request.tenant, &id, account)?;
            let story = Story::of(&id, &gathered.entries, &self.telling(0));
            reason = reason.or(gathered.partial);
            stories.push(Line {
                correlation_id: id,
                started: record::Timestamp(story.started).to_string(),
                duration_ms: story.duration_ms,
                records: story.records,
                spans: story.spans,
                services: story.services.into_iter().map(|service| service.name).collect(),
                first_error: story.first_error,
                holes: story.holes.len(),
                outcome: story.outcome,
            });
        }
        Ok(Stories { complete: reason.is_none(), reason, more: found.more, stories })
    }
}
