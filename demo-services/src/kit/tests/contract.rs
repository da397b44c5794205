//! Consumer contracts: what a consumer relies on, kept by it in a file, and replayed on the provider that answers it.
//!
//! `contracts/CONSUMER-PROVIDER.json` has interactions, in order. Each is a request, and of its answer the status and
//! the fields that the consumer reads with their types. What it does not read is not in it, so that the provider is free
//! to add, and to change everything else.
//!
//! ```text
//! { "consumer": "gateway", "provider": "users", "interactions": [ {
//!     "says": "somebody logs in",
//!     "request":  { "method": "POST", "path": "/api/v1/sessions", "headers": {}, "body": { … } },
//!     "response": { "status": 201, "headers": ["etag"], "fields": { "token": "text", "items[].sku": "text" },
//!                   "keep": { "user": "user_id" } } } ] }
//! ```
//!
//! * `items[].sku` is that field of each item, of which there has to be one at least; `[].sku` if the answer is a list.
//!   Types are `text`, `int`, `number`, `bool`, `list` and `object`; a `?` behind one says that it may be null or absent.
//! * `keep` gives fields names; `{user}` in a later path or header is what was kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use axum::http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::trial::Trial;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contract {
    pub(crate) consumer: String,
    pub(crate) provider: String,
    interactions: Vec<Interaction>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interaction {
    says: String,
    request: Request,
    response: Response,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    status: u16,
    /// Names of headers that are read.
    #[serde(default)]
    headers: Vec<String>,
    fields: BTreeMap<String, String>,
    #[serde(default)]
    keep: BTreeMap<String, String>,
}

impl Contract {
    /// Whether a POST of this path is in it, with these members in its body.
    pub(crate) fn has(&self, path: &str, body: &Value) -> bool {
        let members = |body: &Value| -> Option<Vec<String>> {
            Some(body.as_object()?.keys().cloned().collect())
        };
        self.interactions.iter().any(|Interaction { request, .. }| {
            let is_same = (request.method.as_str(), request.path.as_str()) == ("POST", path);
            is_same && members(&request.body) == members(body)
        })
    }
}

/// The contracts that a service has to keep.
pub(crate) fn with_provider(provider: &str) -> Vec<Contract> {
    let mut contracts = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let contract = parse(&fs::read_to_string(&path).unwrap());
        let name = format!("{}-{}", contract.consumer, contract.provider);
        assert_eq!(path.file_stem(), Path::new(&name).file_name(), "{}", path.display());
        contracts.extend(Some(contract).filter(|contract| contract.provider == provider));
    }
    assert!(!contracts.is_empty(), "nobody has a contract with {provider}");
    contracts
}

fn parse(text: &str) -> Contract {
    serde_json::from_str(text).unwrap()
}

/// Replays the interactions, and says in which ways the provider does not keep to them.
pub(crate) async fn faults(contract: &Contract, provider: &Trial) -> Vec<String> {
    let mut faults = Vec::new();
    let mut kept = BTreeMap::new();
    for Interaction { says, request, response } in &contract.interactions {
        let mut fault = |what| {
            faults.push(format!(
                "{} relies on {}: {says}: {what}",
                contract.consumer, contract.provider
            ));
        };
        let headers: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), filled(value, &kept)))
            .collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let method: Method = request.method.parse().unwrap();
        let body = if request.body.is_null() { String::new() } else { request.body.to_string() };
        let answer = provider.send(method, &filled(&request.path, &kept), &headers, body).await;
        if answer.status.as_u16() != response.status {
            fault(format!("answers {}, not {}: {}", answer.status, response.status, answer.body));
        }
        for name in response.headers.iter().filter(|name| !answer.headers.contains_key(*name)) {
            fault(format!("there is no header {name}"));
        }
        for (path, kind) in &response.fields {
            if let Err(what) = check(&answer.body, path, kind) {
                fault(format!("the field {path} {what}"));
            }
        }
        for (name, field) in &response.keep {
            match answer.body[field].as_str() {
                Some(text) => drop(kept.insert(name.clone(), text.to_owned())),
                None => fault(format!("there is no text {field} to be kept")),
            }
        }
    }
    faults
}

fn filled(text: &str, kept: &BTreeMap<String, String>) -> String {
    kept.iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn check(value: &Value, path: &str, kind: &str) -> Result<(), String> {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let name = step.trim_end_matches("[]");
    let (plain, may_be_absent) = (kind.trim_end_matches('?'), kind.ends_with('?'));
    let found = if name.is_empty() { value } else { &value[name] };
    let of = |value: &Value| match rest {
        "" => is(value, plain, may_be_absent),
        rest => check(value, rest, kind),
    };
    if name == step {
        return of(found);
    }
    match found.as_array().map(Vec::as_slice) {
        None => Err(format!("is in {name}, which is no list")),
        Some([]) => Err(format!("is in {name}, which is empty")),
        Some(items) => items.iter().try_for_each(of),
    }
}

fn is(value: &Value, kind: &str, may_be_absent: bool) -> Result<(), String> {
    let fits = match kind {
        "text" => value.is_string(),
        "int" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        kind => return Err(format!("is of the type {kind:?}, which no contract knows")),
    };
    match fits || (may_be_absent && value.is_null()) {
        true => Ok(()),
        false => Err(format!("should be {kind} and is {value}")),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;
    use crate::kit::context::Service;

    const CONTRACT: &str = r#"{ "consumer": "orders", "provider": "shelf", "interactions": [ {
        "says": "what is there",
        "request": { "method": "GET", "path": "/shelf" },
        "response": { "status": 200, "headers": ["etag"], "fields": {
            "count": "int", "note": "text?", "items[].sku": "text", "place.row": "number" } } } ] }"#;

    #[tokio::test]
    async fn a_provider_is_held_to_status_headers_fields_and_types() {
        let good =
            || json!({"count": 1, "items": [{"sku": "cup", "new": 1}], "place": {"row": 1.5}});
        let change = |pointer: &str, value: Value| {
            let mut answer = good();
            *answer.pointer_mut(pointer).unwrap() = value;
            answer
        };
        for (answer, tag, expected) in [
            (good(), "etag", ""),
            (
                json!({"note": "x", "count": 0, "items": [{"sku": ""}], "place": {"row": 1}}),
                "etag",
                "",
            ),
            (good(), "x-tag", "no header etag"),
            (change("/count", json!(1.5)), "etag", "count should be int and is 1.5"),
            (change("/count", json!("1")), "etag", "count should be int and is \"1\""),
            (change("/count", json!(null)), "etag", "count should be int and is null"),
            (change("/items", json!([])), "etag", "items[].sku is in items, which is empty"),
            (change("/items", json!({})), "etag", "items[].sku is in items, which is no list"),
            (change("/items/0", json!({})), "etag", "items[].sku should be text and is null"),
            (change("/place", json!({})), "etag", "place.row should be number and is null"),
            (
                json!({"count": 1, "note": 1, "items": [{"sku": ""}], "place": {"row": 1}}),
                "etag",
                "note should be text and is 1",
            ),
        ] {
            let shown = answer.to_string();
            let shelf = Trial::open("shelf", "shelf-1", async move |_| {
                let handler = get(async move || ([(tag, "\"1\"")], Json(answer)));
                let router = Router::new().route("/shelf", handler);
                Ok(Service { router, ..Service::default() })
            });
            let faults = faults(&parse(CONTRACT), &shelf.await).await;
            match expected {
                "" => assert_eq!(faults, [""; 0], "{shown}"),
                expected => {
                    assert_eq!(faults.len(), 1, "{shown}: {faults:?}");
                    assert!(faults[0].ends_with(expected), "{shown}: {faults:?}");
                }
            }
        }
    }
}
