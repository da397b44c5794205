//! Puts the questions of all dashboards to what answers them, until each has an answer with data in it.
//!
//! Data is a number, or a line, or a value of a label; NaN is none, for Grafana shows nothing for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::dashboards::{Asked, Dashboard, Meaning, Question, Source};

/// How long there may be no answer with data.
const WITHIN: Duration = Duration::from_secs(60);
/// Between two tries; what is scraped is a second old.
const PAUSE: Duration = Duration::from_secs(1);
/// How far back ranges go, and their steps, in seconds. Before Prometheus began, much was absent.
const RANGE_PROMETHEUS: (u64, &str) = (5, "5");
const RANGE_LOKI: (u64, &str) = (60, "15");

/// Gives `data` of a source's answer to a path with parameters.
pub(crate) type AskAny<'a> = dyn Fn(Source, &str, &[(&str, &str)]) -> Result<Value, String> + 'a;

/// All dashboards of a folder, by the names of their files.
pub(crate) fn dashboards(folder: &Path) -> Vec<Dashboard> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let json = std::fs::read(path).unwrap();
        let json =
            serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Dashboard::read(&path.file_name().unwrap().to_string_lossy(), &json)
    };
    files.iter().map(read).collect()
}

/// Asks everything that dashboards ask of one source; variables may ask another one. `meanwhile` keeps the demo busy between
/// two tries.
///
/// Panics with all questions that were not answered with data in time.
pub(crate) fn expect_data(
    dashboards: &[Dashboard],
    of: Source,
    ask: &AskAny<'_>,
    meanwhile: &dyn Fn(),
) {
    let questions = dashboards.iter().flat_map(|dashboard| {
        let own = dashboard.questions.iter().filter(|question| question.source == of);
        own.map(move |question| (dashboard, question))
    });
    let mut left: Vec<_> =
        questions.map(|(dashboard, question)| (dashboard, question, String::new())).collect();
    assert!(!left.is_empty(), "no dashboard asks {of:?}");
    let started = Instant::now();
    loop {
        meanwhile();
        left.retain_mut(|(dashboard, question, why)| {
            let asked = filled_in(&question.asked, &dashboard.variables, ask);
            let found = asked.and_then(|asked| {
                answer(&asked, of, ask).map_err(|error| format!("{asked:?}: {error}"))
            });
            match found {
                Ok(_) => false,
                Err(error) => {
                    *why = error;
                    true
                }
            }
        });
        if left.is_empty() {
            return;
        }
        if started.elapsed() > WITHIN {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let left: Vec<String> =
        left.iter().map(|(_, question, why)| format!("{}\n  {why}", question.place)).collect();
    panic!("{} questions have no data after {WITHIN:?}:\n{}", left.len(), left.join("\n"));
}

/// A question with what the variables in it stand for, which may have to be asked for themselves. Variables may use those
/// before them.
fn filled_in(
    asked: &Asked,
    variables: &[(String, Meaning)],
    ask: &AskAny<'_>,
) -> Result<Asked, String> {
    let mut values = BTreeMap::new();
    for (index, (name, meaning)) in variables.iter().enumerate() {
        if !asked.uses(name) {
            continue;
        }
        let value = match meaning {
            Meaning::Text(text) => text.clone(),
            Meaning::FirstOf(Question { place, source, asked }) => {
                let asked = filled_in(asked, &variables[..index], ask)?;
                answer(&asked, *source, ask).map_err(|error| format!("{place}: {error}"))?
            }
        };
        values.insert(name.clone(), value);
    }
    Ok(asked.with(&values))
}

/// The first thing of an answer that is data.
fn answer(asked: &Asked, source: Source, ask: &AskAny<'_>) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (prefix, (range, step)) = match source {
        Source::Prometheus => ("/api/v1", RANGE_PROMETHEUS),
        Source::Loki => ("/loki/api/v1", RANGE_LOKI),
    };
    let (from, now) = ((now - range).to_string(), now.to_string());
    let range = [("start", from.as_str()), ("end", now.as_str())];
    let data = match asked {
        Asked::LabelValues { label, of } => {
            let of = of.as_ref().map(|of| match source {
                Source::Prometheus => ("match[]", of.as_str()),
                Source::Loki => ("query", of.as_str()),
            });
            let parameters: Vec<_> = range.into_iter().chain(of).collect();
            ask(source, &format!("{prefix}/label/{label}/values"), &parameters)?
        }
        Asked::Expression { text, instant: true } => {
            ask(source, &format!("{prefix}/query"), &[("query", text), ("time", &now)])?
        }
        Asked::Expression { text, instant: false } => {
            let parameters: Vec<_> =
                [("query", text.as_str()), ("step", step)].into_iter().chain(range).collect();
            ask(source, &format!("{prefix}/query_range"), &parameters)?
        }
    };
    first_of(&data).ok_or_else(|| "no data".to_owned())
}

/// The first value of a label, number or line in `data`.
fn first_of(data: &Value) -> Option<String> {
    if let Some(labels) = data.as_array() {
        return labels.first()?.as_str().map(str::to_owned);
    }
    let is_stream = data["resultType"] == "streams";
    let sample = |pair: &Value| {
        let value = pair[1].as_str()?;
        (is_stream || value != "NaN").then(|| value.to_owned())
    };
    let result = data["result"].as_array()?;
    if data["resultType"] == "scalar" {
        return sample(&data["result"]);
    }
    result.iter().find_map(|series| match series["values"].as_array() {
        Some(values) => values.iter().find_map(sample),
        None => sample(&series["value"]),
    })
}

#[test]
fn data_is_a_number_a_line_or_a_label_and_not_nan() {
    let first = |json: &str| first_of(&serde_json::from_str(json).unwrap());
    for (json, expected) in [
        (r#"["a","b"]"#, Some("a")),
        ("[]", None),
        (
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]},{"metric":{},"value":[1,"0"]}]}"#,
            Some("0"),
        ),
        (
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"NaN"],[2,"3"]]}]}"#,
            Some("3"),
        ),
        (r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"NaN"]]}]}"#, None),
        (r#"{"resultType":"scalar","result":[1,"2"]}"#, Some("2")),
        (
            r#"{"resultType":"streams","result":[{"stream":{},"values":[["1","a line"]]}]}"#,
            Some("a line"),
        ),
        (r#"{"resultType":"streams","result":[]}"#, None),
    ] {
        assert_eq!(first(json).as_deref(), expected, "{json}");
    }
}
