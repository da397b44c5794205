//! One kept-alive connection to the query API, timed from sending to the last byte.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A query and where it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) query: String,
    /// RFC 3339.
    pub(crate) since: String,
    pub(crate) until: String,
    /// Most records in the answer; the server's default where `None`.
    pub(crate) limit: Option<u32>,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Records or rows, in the order in which they came.
    pub(crate) rows: Vec<Value>,
    pub(crate) elapsed: Duration,
}

/// Asks one server.
#[derive(Debug)]
pub(crate) struct QueryClient {
    client: reqwest::Client,
    url: String,
}

impl QueryClient {
    /// `query` is `http://host:port`.
    ///
    /// # Errors
    /// When no client can be made.
    pub(crate) fn new(query: &str) -> anyhow::Result<Self> {
        let client =
            crate::http::builder().timeout(REQUEST_TIMEOUT).pool_max_idle_per_host(1).build()?;
        Ok(Self { client, url: format!("{query}/api/v1/query") })
    }

    /// Asks.
    ///
    /// # Errors
    /// When there is no answer, an error, or one that does not say that it is complete.
    pub(crate) async fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        let limit = request.limit.map(|limit| limit.to_string());
        let mut parameters = vec![
            ("query", request.query.as_str()),
            ("since", &request.since),
            ("until", &request.until),
        ];
        if let Some(limit) = &limit {
            parameters.push(("limit", limit));
        }
        let url = reqwest::Url::parse_with_params(&self.url, parameters)
            .context("the query address is no URL")?;
        let begun = Instant::now();
        let response = self.client.get(url).send().await.context("cannot reach the query API")?;
        let status = response.status();
        let body = response.bytes().await.context("the answer broke off")?;
        let elapsed = begun.elapsed();
        if !status.is_success() {
            bail!(
                "`{}` was answered with {status}: {}",
                request.query,
                String::from_utf8_lossy(&body)
            );
        }
        let rows = complete_rows(&body)
            .with_context(|| format!("the answer to `{}` is not whole", request.query))?;
        Ok(Answer { rows, elapsed })
    }
}

/// The rows of an answer whose last line says that it is complete.
fn complete_rows(body: &[u8]) -> anyhow::Result<Vec<Value>> {
    let mut rows = serde_json::Deserializer::from_slice(body)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>()
        .context("it is no NDJSON")?;
    let last = rows.pop().context("it is empty")?;
    let summary = last.get("summary").context("it has no summary line")?;
    if summary.get("complete") != Some(&Value::Bool(true)) {
        bail!("its summary says so: {summary}");
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_answer_counts() {
        let rows =
            complete_rows(b"{\"n\":1}\n{\"summary\":{\"complete\":true,\"rows\":1}}\n").unwrap();
        assert_eq!(rows, [serde_json::json!({"n": 1})]);
        assert!(complete_rows(b"{\"n\":1}\n{\"summary\":{\"complete\":false}}\n").is_err());
        assert!(complete_rows(b"{\"n\":1}\n").is_err());
        assert!(complete_rows(b"").is_err());
    }
}
