//! The parameters of a query: in the URL, as a form, or as a JSON object. One that is not known is refused, with the
//! nearest known name, and so is one that is there twice: a slip must not become another question.

use axum::body::to_bytes;
use axum::extract::Request as HttpRequest;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::error::QueryError;
use crate::queries::Request;

/// Longest body of a query.
const BODY_BYTES_MAX: usize = 256 << 10;

const QUERY: &str = "query";
const SINCE: &str = "since";
const UNTIL: &str = "until";
const LIMIT: &str = "limit";
const BELOW: &str = "below";
const PROGRESS: &str = "progress";
const AFTER: &str = "after";
const KNOWN: [&str; 7] = [QUERY, SINCE, UNTIL, LIMIT, BELOW, PROGRESS, AFTER];

/// Reads them all.
pub(crate) async fn read(request: HttpRequest, tenant: &str) -> Result<Request, QueryError> {
    let url = request.uri().query().unwrap_or_default().as_bytes();
    let mut given = form(url, "url")?;
    if request.method() == Method::POST {
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|content_type| content_type.starts_with("application/json"));
        let too_long = |_| malformed("body", format!("is longer than {BODY_BYTES_MAX} bytes"));
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(too_long)?;
        given.extend(if is_json { object(&body)? } else { form(&body, "body")? });
    }
    request_of(given, tenant)
}

fn request_of(given: Vec<(String, Value)>, tenant: &str) -> Result<Request, QueryError> {
    let mut request = Request { tenant: tenant.to_owned(), ..Request::default() };
    let mut seen: Vec<&'static str> = Vec::new();
    for (name, value) in given {
        let Some(known) = KNOWN.into_iter().find(|known| *known == name) else {
            return Err(unknown(&name));
        };
        if seen.contains(&known) {
            return Err(malformed(known, "is there twice; give it once".to_owned()));
        }
        seen.push(known);
        match known {
            QUERY => request.query = text(known, value)?.unwrap_or_default(),
            SINCE => request.since = text(known, value)?,
            UNTIL => request.until = text(known, value)?,
            BELOW => {
                let cursor = text(known, value)?.map(|text| text.parse()).transpose();
                request.below = cursor.map_err(|detail| malformed(BELOW, detail))?;
            }
            PROGRESS => request.progress = flag(value)?,
            AFTER => request.after = number(AFTER, value, "a record_seq")?,
            _ => {
                let limit = number(LIMIT, value, "a number of rows")?;
                request.limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
            }
        }
    }
    Ok(request)
}

fn form(bytes: &[u8], place: &'static str) -> Result<Vec<(String, Value)>, QueryError> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|error| malformed(place, format!("is no form: {error}")))?;
    Ok(pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}

fn object(bytes: &[u8]) -> Result<Vec<(String, Value)>, QueryError> {
    let object: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|error| malformed("body", format!("is no JSON object of parameters: {error}")))?;
    Ok(object.into_iter().collect())
}

fn text(name: &'static str, value: Value) -> Result<Option<String>, QueryError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => Err(malformed(name, format!("is {other}; give a text"))),
    }
}

fn number(name: &'static str, value: Value, wanted: &str) -> Result<Option<u64>, QueryError> {
    let number = match &value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let wrong = || malformed(name, format!("is {value}; give {wanted}"));
    number.map(Some).ok_or_else(wrong)
}

fn flag(value: Value) -> Result<bool, QueryError> {
    match &value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err(malformed(PROGRESS, format!("is {value}; give true or false"))),
    }
}

fn unknown(name: &str) -> QueryError {
    let meant = ql::nearest(name, KNOWN)
        .map_or_else(String::new, |known| format!("did you mean `{known}`? "));
    let known = KNOWN.map(|known| format!("`{known}`")).join(", ");
    // Names come from outside: only as much of one as a person wants to read.
    let name: String = name.chars().take(64).collect();
    malformed("parameter", format!("`{name}` is not known; {meant}there are {known}"))
}

fn malformed(name: &'static str, detail: String) -> QueryError {
    QueryError::Parameter { name, detail }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn read_of(method: Method, uri: &str, json: bool, body: &str) -> Result<Request, String> {
        let content_type =
            if json { "application/json" } else { "application/x-www-form-urlencoded" };
        let request = HttpRequest::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, content_type)
            .body(Body::from(body.to_owned()))
            .unwrap();
        read(request, "t").await.map_err(|error| error.to_string())
    }

    fn request(query: &str, since: Option<&str>, limit: Option<usize>) -> Request {
        let since = since.map(str::to_owned);
        Request { query: query.into(), tenant: "t".into(), since, limit, ..Request::default() }
    }

    #[tokio::test]
    async fn parameters_come_from_the_url_a_form_or_an_object() {
        let expected = Ok(request("level:error a", Some("1h"), Some(5)));
        let uri = "/q?query=level:error+a&since=1h&limit=5";
        assert_eq!(read_of(Method::GET, uri, false, "").await, expected);
        assert_eq!(read_of(Method::POST, uri, false, "").await, expected);
        let form = "query=level%3Aerror%20a&limit=5";
        assert_eq!(read_of(Method::POST, "/q?since=1h", false, form).await, expected);
        for limit in ["5", "\"5\""] {
            let object = format!(
                "{{\"query\":\"level:error a\",\"since\":\"1h\",\"until\":null,\"limit\":{limit}}}"
            );
            assert_eq!(read_of(Method::POST, "/q", true, &object).await, expected);
        }
        assert_eq!(read_of(Method::GET, "/q", false, "").await, Ok(request("", None, None)));
    }

    #[tokio::test]
    async fn a_slip_is_refused_with_what_may_have_been_meant() {
        for (method, uri, json, body, said) in [
            (Method::GET, "/q?qurey=a", false, "", "`qurey` is not known; did you mean `query`?"),
            (Method::POST, "/q", false, "limits=5", "`limits` is not known; did you mean `limit`?"),
            (Method::POST, "/q", true, "{\"from\":1}", "`from` is not known; there are `query`"),
            (Method::GET, "/q?since=1h&since=2h", false, "", "since: is there twice"),
            (Method::POST, "/q?query=a", false, "query=b", "query: is there twice"),
            (Method::GET, "/q?limit=many", false, "", "limit: is \"many\"; give a number"),
            (Method::POST, "/q", true, "{\"limit\":-1}", "limit: is -1; give a number"),
            (Method::POST, "/q", true, "{\"query\":7}", "query: is 7; give a text"),
            (Method::POST, "/q", true, "[]", "body: is no JSON object"),
        ] {
            let error = read_of(method, uri, json, body).await.unwrap_err();
            assert!(error.contains(said), "{uri} {body}: {error}");
        }
    }
}
