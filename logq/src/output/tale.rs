//! A story as text: how it ended first, then who took part, what is missing, and everything in causal order.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::row::{cell_text, printable};
use super::style::{BOLD, DIM, Style, id_colour, level_colour};
use super::waterfall::{ERROR, clocks, milliseconds};
use super::width::fitted;

/// Attributes that say most; the others are in the JSON.
const TOLD: [&str; 9] = [
    "error.type",
    "error.message",
    "attempt",
    "saga.step.name",
    "messaging.destination.name",
    "messaging.message.id",
    "db.collection.name",
    "http.response.status_code",
    "duration_ms",
];
const SERVICE_WIDTH_MAX: usize = 16;
/// Holes and messages that are told one by one.
const LISTED_MAX: usize = 20;

/// The whole text.
pub(crate) fn tale(story: &Value, style: Style) -> String {
    let mut out = String::new();
    head(story, style, &mut out);
    out.push('\n');
    let rows = list(&story["rows"]);
    let service = rows.iter().map(|row| row["service"].as_str().unwrap_or_default().width());
    let service = service.max().unwrap_or(0).min(SERVICE_WIDTH_MAX);
    let whole = story["duration_ms"].as_f64().unwrap_or_default();
    for row in rows {
        tell(row, service, whole, style, &mut out);
    }
    out
}

fn head(story: &Value, style: Style, out: &mut String) {
    let state = text(&story["outcome"], "state");
    let colour = match state {
        "completed" => "\x1b[1;32m",
        "failed" | "stuck" => "\x1b[1;31m",
        "unknown" => BOLD,
        _ => "\x1b[1;33m",
    };
    let id = printable(text(story, "correlation_id")).into_owned();
    let reason = printable(text(&story["outcome"], "reason")).into_owned();
    let (id, state) = (style.paint(&id_colour(&id), &id).into_owned(), style.paint(colour, state));
    let _ = writeln!(out, "{id} {state}: {reason}");
    let mut line = |name: &str, text: &str| {
        let name = format!("{name:<12}");
        let _ = writeln!(out, "{} {}", style.paint(DIM, &name), printable(text));
    };
    line("began", &extent(story));
    let services: Vec<String> = list(&story["services"]).iter().map(service).collect();
    line("services", &services.join(", "));
    let first = &story["first_error"];
    if first.is_object() {
        let at = milliseconds(first["at_ms"].as_f64().unwrap_or_default());
        line(
            "first error",
            &format!("+{at} {}: {}", text(first, "service"), text(first, "message")),
        );
    }
    list(&story["sagas"]).iter().for_each(|one| line("saga", &saga(one)));
    let messages = list(&story["messages"]);
    messages.iter().take(LISTED_MAX).for_each(|one| line("message", &message(one, style)));
    if messages.len() > LISTED_MAX {
        line("", &format!("and {} more messages", messages.len() - LISTED_MAX));
    }
    let missing = missing(list(&story["holes"]));
    missing.iter().take(LISTED_MAX).for_each(|what| line("missing", what));
    if missing.len() > LISTED_MAX {
        line("", &format!("and {} more things are missing", missing.len() - LISTED_MAX));
    }
    clocks(story, 12, style, out);
    if story["complete"] == false {
        let reason = story["reason"].as_str().unwrap_or("no reason was given");
        let _ = writeln!(out, "{}", style.paint(ERROR, &format!("not all of it: {reason}")));
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn tries(count: &Value) -> String {
    match count.as_u64().unwrap_or_default() {
        0 | 1 => String::new(),
        tries => format!(" after {tries} tries"),
    }
}

/// When it began, how long it took, and what was found of it.
fn extent(story: &Value) -> String {
    let traces = match list(&story["traces"]) {
        [] => String::new(),
        [one] => format!(", trace {}", cell_text(one)),
        more => format!(", {} traces", more.len()),
    };
    let started = record::Timestamp(story["started"].as_i64().unwrap_or_default());
    let took = milliseconds(story["duration_ms"].as_f64().unwrap_or_default());
    let plural = |name: &str, one: &str| match story[name].as_u64().unwrap_or_default() {
        1 => format!("1 {one}"),
        more => format!("{more} {name}"),
    };
    let counted = format!("{}, {}", plural("records", "record"), plural("spans", "span"));
    format!("{started}, took {took}; {counted}{traces}")
}

fn service(service: &Value) -> String {
    let errors = match service["errors"].as_u64().unwrap_or_default() {
        0 => String::new(),
        1 => " (1 error)".to_owned(),
        more => format!(" ({more} errors)"),
    };
    format!("{} {}{errors}", text(service, "name"), service["entries"])
}

fn saga(saga: &Value) -> String {
    let step = |step: &Value| {
        let error = step["error"].as_str().map_or_else(String::new, |error| format!(" ({error})"));
        let (name, state) = (text(step, "name"), text(step, "state"));
        format!("{} {name} {state}{}{error}", step["number"], tries(&step["attempts"]))
    };
    let steps: Vec<String> = list(&saga["steps"]).iter().map(step).collect();
    let (name, id, state) = (text(saga, "name"), text(saga, "id"), text(saga, "state"));
    format!("{name} {id} {state}: {}", steps.join(" · "))
}

fn message(message: &Value, style: Style) -> String {
    let delivery = |delivery: &Value| {
        let state = cell_text(&delivery[1]).replace('_', " ");
        format!("{} {state}{}", cell_text(&delivery[0]), tries(&delivery[2]))
    };
    let deliveries: Vec<String> = list(&message["deliveries"]).iter().map(delivery).collect();
    let what = message["what"].as_str().map_or_else(String::new, |what| format!("{what} "));
    let arrow = if style.unicode { "→" } else { "->" };
    let (id, to) = (text(message, "id"), text(message, "destination"));
    format!("{what}{id} to {to} {arrow} {}", deliveries.join(", ")).trim_end().to_owned()
}

/// What is missing; the same thing several times is told once.
fn missing(holes: &[Value]) -> Vec<String> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut told: Vec<(&str, usize)> = Vec::new();
    for hole in holes {
        let what = text(hole, "what");
        let place = *places.entry(what).or_insert_with(|| {
            told.push((what, 0));
            told.len() - 1
        });
        told[place].1 += 1;
    }
    let told = told.into_iter().map(|(what, times)| match times {
        1 => what.to_owned(),
        times => format!("{what}, {times} times"),
    });
    told.collect()
}

fn tell(row: &Value, service_width: usize, whole_ms: f64, style: Style, out: &mut String) {
    let text = |name: &str| text(row, name);
    if let Some(elided) = row["elided"].as_u64().filter(|elided| *elided > 0) {
        let line = format!("{:10} … {elided} more are left out; --rows shows more", "");
        let _ = writeln!(out, "{}", style.paint(DIM, &line));
        return;
    }
    if let Some(gap) = row["gap_ms"].as_f64() {
        let line = format!("{:10} ~ nothing for {}", "", milliseconds(gap));
        let _ = writeln!(out, "{}", style.paint("\x1b[33m", &line));
    }
    let at = row["at_ms"].as_f64().unwrap_or_default();
    let at = match whole_ms {
        short if short < 10_000.0 => format!("+{at:.1} ms"),
        _ => format!("+{:.2} s", at / 1e3),
    };
    let service = fitted(&printable(text("service")), service_width);
    let service = style.paint(&id_colour(text("service")), &service).into_owned();
    let indent = "  ".repeat(row["depth"].as_u64().unwrap_or_default().min(12) as usize);
    let failed = row["error"] == true;
    let message = text("message").lines().next().unwrap_or_default();
    let mut line = format!("{} {service} {indent}", style.paint(DIM, &format!("{at:>10}")));
    if row["signal"] == "span" {
        let mark = if style.unicode { "▸" } else { ">" };
        let name = format!("{mark} {}", printable(message));
        line.push_str(&style.paint(if failed { ERROR } else { "" }, &name));
        let took = row["duration_ms"].as_f64().map_or_else(|| "no end".to_owned(), milliseconds);
        line.push_str(&style.paint(DIM, &format!(" {took}")));
    } else {
        let level = text("level");
        // What is as usual needs no level.
        if !matches!(level, "info" | "") {
            let shown = level.to_uppercase();
            line.push_str(&style.paint(level_colour(level), &shown));
            line.push(' ');
        }
        line.push_str(&printable(message));
    }
    let event = text("event_name");
    let mut more: Vec<String> = Vec::new();
    if !event.is_empty() {
        more.push(event.to_owned());
    }
    more.extend(TOLD.iter().filter_map(|name| {
        let value = row["attributes"].get(*name)?;
        Some(format!("{name}={}", cell_text(value)))
    }));
    if !more.is_empty() {
        line.push_str(&style.paint(DIM, &format!("  {}", printable(&more.join(" ")))));
    }
    if row["first_error"] == true {
        let arrow = if style.unicode { "◀" } else { "<-" };
        line.push_str(&style.paint(ERROR, &format!("  {arrow} first error")));
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_tells_its_end_first_and_then_all_of_it_in_order() {
        let row = |at: f64, service: &str, message: &str, more: Value| {
            let mut row = json!({"at_ms": at, "signal": "log", "depth": 1, "service": service, "level": "info",
                                 "message": message, "error": false, "first_error": false});
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        let story = json!({
            "correlation_id": "ord-1", "complete": false, "reason": "too much",
            "outcome": {"state": "compensated", "reason": "saga place-order o-1 was undone: card_declined"},
            "started": 1_795_856_400_000_000_000_i64, "duration_ms": 2134.0, "records": 4, "spans": 1,
            "traces": ["4bf92f3577b34da6a3ce929d0e0e4736"],
            "services": [{"name": "gateway", "entries": 2, "errors": 0}, {"name": "orders", "entries": 3, "errors": 1}],
            "first_error": {"at_ms": 2105.0, "service": "orders", "message": "payment failed"},
            "sagas": [{"id": "o-1", "name": "place-order", "state": "compensated", "steps": [
                {"number": 1, "name": "reserve-stock", "state": "undone", "attempts": 1},
                {"number": 2, "name": "authorise", "state": "failed", "attempts": 2, "error": "card_declined"}]}],
            "messages": [{"id": "m-1", "what": "Paid", "destination": "payments", "published_at_ms": 1.0,
                          "deliveries": [["mail", "dead_lettered", 3], ["stock", "processed", 1]]}],
            "holes": [{"kind": "message_unconsumed", "what": "Paid m-2 was published to payments and received by nobody"}],
            "clocks": [{"clock": "host-2", "moved_ms": -3000.0}],
            "rows": [
                row(0.0, "gateway", "POST /checkout", json!({"signal": "span", "depth": 0, "duration_ms": 2134.0, "level": ""})),
                row(1.5, "orders", "stock reserved", json!({"event_name": "saga.step.completed", "attributes": {"saga.step.name": "reserve-stock", "x": 1}})),
                {"elided": 70},
                row(2105.0, "orders", "payment failed", json!({"level": "warn", "gap_ms": 2000.0, "first_error": true, "error": true, "attributes": {"error.type": "card_declined", "attempt": 2}})),
            ],
        });
        insta::assert_snapshot!(tale(&story, Style::PLAIN));
    }
}
