//! Answers that may be given again: reads of public things, for a few seconds. The key has whoever asks in it, so that
//! nobody is ever given another's answer, whatever a service says about its answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use service::metrics::{CounterVec, Metrics};

use super::doors::Asking;
use super::forward;
use super::settings::Settings;
use crate::kit::client::Answer;
use crate::kit::web::is_known;

/// Whether an answer was kept: `hit` or `miss`.
pub(super) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// What of a request an answer depends on, for whoever else keeps it.
const VARY: HeaderValue = HeaderValue::from_static("authorization, accept");
/// Answers to longer questions are not kept.
const KEY_BYTES_MAX: usize = 1 << 10;

/// Which answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    asking: Asking,
    accept: Option<HeaderValue>,
    /// With the query.
    path: String,
}

#[derive(Debug)]
struct Kept {
    headers: HeaderMap,
    body: Bytes,
    at: Instant,
    good_for: Duration,
}

#[derive(Debug, Default)]
struct Answers {
    kept: HashMap<Key, Arc<Kept>>,
    /// In the order that they came in; the oldest makes room.
    order: VecDeque<(Key, Instant)>,
}

pub(super) struct Cache {
    answers: Mutex<Answers>,
    answers_max: usize,
    answer_bytes_max: usize,
    age_max: Duration,
    asked: CounterVec,
}

impl Key {
    /// None for what is too long to be kept.
    pub(super) fn of(asking: &Asking, path: &str, headers: &HeaderMap) -> Option<Self> {
        let mut accepts = headers.get_all(header::ACCEPT).iter();
        let accept = accepts.next().cloned();
        let length = path.len() + accept.as_ref().map_or(0, HeaderValue::len);
        // A second one would not be in the key.
        (length <= KEY_BYTES_MAX && accepts.next().is_none()).then(|| Self {
            asking: asking.clone(),
            accept,
            path: path.to_owned(),
        })
    }
}

impl Cache {
    pub(super) fn new(metrics: &Metrics, settings: &Settings) -> Self {
        let help = "Reads that could have been answered from the cache, and whether they were.";
        let asked = metrics.counter_vec("shop_gateway_cache_total", help, &["result"]);
        // There from the beginning, so that the first one is an increase.
        for result in ["hit", "miss"] {
            asked.with_label_values(&[result]);
        }
        Self {
            answers: Mutex::default(),
            answers_max: settings.answers_max,
            answer_bytes_max: settings.answer_bytes_max,
            age_max: settings.answer_age_max,
            asked,
        }
    }

    /// An answer that is good still.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Response> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |kept: &&Arc<Kept>| now.duration_since(kept.at) < kept.good_for;
        let kept = answers.kept.get(key).filter(is_good).cloned();
        drop(answers);
        let result = if kept.is_some() { "hit" } else { "miss" };
        self.asked.with_label_values(&[result]).inc();
        let kept = kept?;
        let mut response =
            (StatusCode::OK, kept.headers.clone(), kept.body.clone()).into_response();
        let headers = response.headers_mut();
        headers.insert(X_CACHE, HeaderValue::from_static("hit"));
        headers.insert(header::VARY, VARY);
        headers.insert(header::AGE, HeaderValue::from(now.duration_since(kept.at).as_secs()));
        Some(response)
    }

    /// Keeps an answer if its service says that everybody may: `cache-control: public, max-age=N`.
    pub(super) fn keep(&self, key: Key, answer: &Answer, now: Instant) {
        let Some(good_for) = good_for(&answer.headers) else { return };
        if answer.status != StatusCode::OK || answer.body.len() > self.answer_bytes_max {
            return;
        }
        let (headers, body) = (forward::headers_out(answer), answer.body.clone());
        let good_for = good_for.min(self.age_max);
        let kept = Arc::new(Kept { headers, body, at: now, good_for });
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.kept.insert(key.clone(), kept);
        answers.order.push_back((key, now));
        while answers.order.len() > self.answers_max {
            let Some((key, at)) = answers.order.pop_front() else { return };
            // It may have been kept anew since.
            if answers.kept.get(&key).is_some_and(|kept| kept.at == at) {
                answers.kept.remove(&key);
            }
        }
    }
}

/// Marks an answer that could have been kept and was not.
pub(super) fn missed(mut response: Response) -> Response {
    response.headers_mut().insert(X_CACHE, HeaderValue::from_static("miss"));
    response.headers_mut().insert(header::VARY, VARY);
    response
}

/// The answer without its body, if whoever asks has it already.
pub(super) fn unless_known(mut response: Response, asked: &HeaderMap) -> Response {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let has_it = tag.is_some_and(|tag| is_known(asked, tag));
    if response.status() == StatusCode::OK && has_it {
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = axum::body::Body::empty();
    }
    response
}

/// How long a public answer is good, as its service says (RFC 9111, 5.2.2).
fn good_for(headers: &HeaderMap) -> Option<Duration> {
    let mut control = String::new();
    for value in headers.get_all(header::CACHE_CONTROL) {
        control.push_str(&value.to_str().ok()?.to_ascii_lowercase());
        control.push(',');
    }
    // An answer that depends on more than its key has.
    let mut varies = headers.get_all(header::VARY).iter();
    if varies.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"accept")) {
        return None;
    }
    let mut directives = control.split(',').map(str::trim);
    let named = |name: &str| {
        directives.clone().any(|directive| directive.split('=').next().unwrap_or_default() == name)
    };
    let is_not = ["no-store", "no-cache", "private"].into_iter().any(named);
    if !named("public") || is_not {
        return None;
    }
    let age = directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok())?;
    Some(Duration::from_secs(age)).filter(|age| !age.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(HeaderName, &str)], body: &str) -> Answer {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, HeaderValue::from_str(value).unwrap());
        }
        Answer {
            status: StatusCode::OK,
            headers: all,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn only_what_is_public_and_has_an_age_is_kept() {
        for (control, seconds) in [
            (&["public, max-age=5"][..], Some(5)),
            (&["max-age=5,Public"], Some(5)),
            (&["public", "max-age=5"], Some(5)),
            (&["public"], None),
            (&["max-age=5"], None),
            (&["public, max-age=0"], None),
            (&["public, max-age=-5"], None),
            (&["public, max-age=5, no-store"], None),
            (&["public, max-age=5", "No-Store"], None),
            (&["public, max-age=5, private=\"etag\""], None),
            (&["public, max-age=5, no-cache"], None),
            (&["private, max-age=5"], None),
            (&["public, max-age=x"], None),
            (&[], None),
        ] {
            let headers: Vec<_> =
                control.iter().map(|value| (header::CACHE_CONTROL, *value)).collect();
            let found = good_for(&answer(&headers, "").headers);
            assert_eq!(found.map(|age| age.as_secs()), seconds, "{control:?}");
        }
        let public = (header::CACHE_CONTROL, "public, max-age=5");
        for (vary, is_kept) in [("accept", true), ("Accept", true), ("*", false), ("cookie", false)]
        {
            let answer = answer(&[public.clone(), (header::VARY, vary)], "");
            assert_eq!(good_for(&answer.headers).is_some(), is_kept, "{vary}");
        }
    }

    fn key(path: &str) -> Key {
        Key::of(&Asking::default(), path, &HeaderMap::new()).unwrap()
    }

    #[test]
    fn the_oldest_makes_room_and_what_is_long_or_old_is_not_given() {
        let age_max = Duration::from_secs(3);
        let settings = Settings {
            answers_max: 3,
            answer_bytes_max: 10,
            answer_age_max: age_max,
            ..Settings::default()
        };
        let (cache, began) = (Cache::new(&Metrics::new(), &settings), Instant::now());
        // Each a millisecond after the one before, so that they have an order.
        let keep = |number: u64, path: &str, body: &str, seconds: u64| {
            let control = format!("public, max-age={seconds}");
            let answer = answer(&[(header::CACHE_CONTROL, &control)], body);
            cache.keep(key(path), &answer, began + Duration::from_millis(number));
        };
        let found = |paths: &[&str], after: Duration| {
            let is_there = |path: &&str| cache.get(&key(path), began + after).is_some();
            paths.iter().copied().filter(is_there).map(str::to_owned).collect::<Vec<_>>()
        };
        for (number, path) in (0..).zip(["/1", "/2", "/1", "/3"]) {
            keep(number, path, "short", 5);
        }
        keep(4, "/4", "longer than that", 5);
        let now = Duration::from_millis(10);
        assert_eq!(found(&["/1", "/2", "/3", "/4"], now), ["/1", "/2", "/3"]);
        keep(5, "/5", "short", 2);
        assert_eq!(found(&["/1", "/2", "/3", "/5"], now), ["/1", "/3", "/5"]);
        // As old as the service says, and no older than the gateway says.
        let one = Duration::from_millis(1);
        for (path, kept_at, age) in [("/5", 5, Duration::from_secs(2)), ("/3", 3, age_max)] {
            let until = Duration::from_millis(kept_at) + age;
            assert_eq!([until - one, until].map(|at| found(&[path], at).len()), [1, 0], "{path}");
        }
    }

    #[test]
    fn who_asks_and_what_is_accepted_are_in_the_key() {
        let user = |user: &str, role: &str| Asking {
            user: Some(user.to_owned()),
            roles: vec![role.to_owned()],
        };
        let asking = [
            Asking::default(),
            user("u-1", "customer"),
            user("u-1", "operator"),
            user("u-2", "customer"),
        ];
        let mut keys = std::collections::HashSet::new();
        for asking in &asking {
            for accept in ["", "application/json", "text/html"] {
                let mut headers = HeaderMap::new();
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
                keys.insert(Key::of(asking, "/", &headers).unwrap());
            }
        }
        assert_eq!(keys.len(), 12);
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        assert!(Key::of(&Asking::default(), &long, &HeaderMap::new()).is_none());
    }

    #[test]
    fn whoever_has_an_answer_is_not_sent_it_again() {
        for (known, status) in [
            (&["\"a\""][..], 304),
            (&["\"b\", W/\"a\""], 304),
            (&["\"b\"", "\"a\""], 304),
            (&["*"], 304),
            (&["\"b\""], 200),
            (&["W/W/\"a\""], 200),
            (&[""], 200),
            (&[], 200),
        ] {
            let mut asked = HeaderMap::new();
            for value in known {
                asked.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            for tag in ["\"a\"", "W/\"a\""] {
                let response = ([(header::ETAG, tag)], "body").into_response();
                assert_eq!(unless_known(response, &asked).status(), status, "{known:?}");
            }
        }
    }
}
