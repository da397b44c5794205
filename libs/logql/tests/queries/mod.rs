//! What Grafana, Logs Drilldown and logcli send, for the tests of parsers here and of dashboards.

/// A query, and the heading under which it stands.
#[derive(Debug)]
pub(crate) struct Query {
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) heading: &'static str,
    pub(crate) text: String,
}

/// The queries of `grafana.txt`: those below its first heading, a line each; one that begins with a blank goes on with
/// the one before.
pub(crate) fn of_grafana() -> Vec<Query> {
    let mut heading = None;
    let mut queries: Vec<Query> = Vec::new();
    for line in include_str!("grafana.txt").lines() {
        if let Some(next) = line.strip_prefix("--- ") {
            heading = Some(next);
            continue;
        }
        let Some(heading) = heading else { continue };
        match queries.last_mut().filter(|_| line.starts_with(' ')) {
            Some(begun) => begun.text += &format!("\n{line}"),
            None => queries.push(Query { heading, text: line.to_owned() }),
        }
    }
    assert!(queries.len() > 50, "{queries:?}");
    queries
}
