//! What of a log query the store can do: a filter of ours that lets through all lines that the query keeps, and which
//! stages it does wholly.
//!
//! Filters are taken as long as nothing before them has changed what they look at. A text that lines have to contain also
//! says of whole words within it that the index has to know them.

use logql::ast::{LabelFilter, LineFilter, LineOperator, LogQuery, MatchOperator, Matcher, Stage};
use logql::pipeline::{
    ERROR_DETAILS_LABEL, ERROR_LABEL, TextTest, anywhere_in_rust, whole_in_rust,
};
use ql::{Field, Filter, Literal, Pattern, Phrase, Piece, SeverityRange, Test, Wildcard};
use record::{Level, SpanId, TraceId, tokenizer};

use super::record::{Attributes, DETECTED_LEVEL, HOST, LEVEL, SERVICE_NAME, UNKNOWN_LEVEL};
use crate::UNKNOWN_SERVICE;

/// Shortest and longest beginning of a word that the index is asked for.
const PREFIX_BYTES: std::ops::RangeInclusive<usize> = 3..=200;

/// What the store does of a query.
#[derive(Debug)]
pub(super) struct PushedDown {
    /// It lets through all lines that the query keeps.
    pub(super) filter: Filter,
    /// For each stage, whether the filter does all that it does.
    pub(super) applied: Vec<bool>,
}

/// What stages before have left as it is stored.
#[derive(Debug)]
struct AsStored {
    line: bool,
    labels: bool,
    /// Whether no line has an error: one that has passes every comparison of quantities.
    without_errors: bool,
}

/// Splits a query.
pub(super) fn push_down(query: &LogQuery, attributes: &Attributes) -> PushedDown {
    let mut filters: Vec<Filter> =
        query.matchers.iter().map(|matcher| of_stream(&matcher.node)).collect();
    let mut stored = AsStored { line: true, labels: true, without_errors: true };
    let mut applied = Vec::with_capacity(query.stages.len());
    for stage in &query.stages {
        let (filter, whole) = match &stage.node {
            Stage::Line(filter) if stored.line => of_line(filter),
            Stage::Filter(filter) if stored.labels => of_labels(filter, attributes, &mut stored),
            _ => (None, false),
        };
        filters.extend(filter);
        applied.push(whole);
        stored.pass(&stage.node);
    }
    PushedDown { filter: Filter::and(filters), applied }
}

/// What is known of lines that a query keeps without knowing which attributes there are.
pub(super) fn without_attributes(query: &LogQuery) -> Filter {
    let of_lines = query.stages.iter().map_while(|stage| match &stage.node {
        Stage::Line(filter) => Some(of_line(filter).0),
        _ => None,
    });
    let of_stream = query.matchers.iter().map(|matcher| of_stream(&matcher.node));
    Filter::and(of_stream.chain(of_lines.flatten()).collect())
}

impl AsStored {
    /// What a stage changes.
    fn pass(&mut self, stage: &Stage) {
        match stage {
            Stage::Line(_) | Stage::Filter(_) => {}
            Stage::Decolorize => self.line = false,
            Stage::LineFormat(_) => (self.line, self.without_errors) = (false, false),
            Stage::Unpack => (self.line, self.labels) = (false, false),
            Stage::Drop(choices) => {
                let of_errors = |name: &str| name == ERROR_LABEL || name == ERROR_DETAILS_LABEL;
                self.labels &= choices.iter().all(|choice| of_errors(choice.name()));
            }
            Stage::Json(_)
            | Stage::Logfmt(_)
            | Stage::Pattern(_)
            | Stage::Regexp(_)
            | Stage::LabelFormat(_)
            | Stage::Keep(_)
            | Stage::Unwrap(_) => self.labels = false,
        }
    }
}

/// What records are of the streams that match.
pub(super) fn of_stream(matcher: &Matcher) -> Filter {
    match matcher.name.as_str() {
        SERVICE_NAME => of_text(&Field::Service, UNKNOWN_SERVICE, matcher),
        HOST => of_text(&Field::Host, "", matcher),
        LEVEL => of_level(matcher, ""),
        // No stream has another label.
        _ => match TextTest::compile(matcher) {
            Ok(test) if test.matches("") => Filter::All,
            _ => Filter::nothing(),
        },
    }
}

fn of_text(field: &Field, missing: &str, matcher: &Matcher) -> Filter {
    let Ok(test) = TextTest::compile(matcher) else { return Filter::nothing() };
    let negated = matches!(matcher.operator, MatchOperator::NotEqual | MatchOperator::MatchesNot);
    let is_text = match matcher.operator {
        MatchOperator::Equal | MatchOperator::NotEqual if matcher.value.is_empty() => {
            Filter::nothing()
        }
        MatchOperator::Equal | MatchOperator::NotEqual => Filter::equals(field, &matcher.value),
        MatchOperator::Matches | MatchOperator::MatchesNot => {
            match Pattern::new(&whole_in_rust(&matcher.value)) {
                Ok(pattern) => Filter::field(field.clone(), Test::Regex(pattern)),
                // It was compiled before, with more room.
                Err(_) => return Filter::nothing(),
            }
        }
    };
    let is_missing = match test.matches(missing) != negated {
        true => Filter::negated(Filter::field(field.clone(), Test::Exists)),
        false => Filter::nothing(),
    };
    let matching = Filter::or(vec![is_text, is_missing]);
    if negated { Filter::negated(matching) } else { matching }
}

fn of_level(matcher: &Matcher, missing: &str) -> Filter {
    let Ok(test) = TextTest::compile(matcher) else { return Filter::nothing() };
    let of_level = |level: Level| {
        let (first, last) = level.numbers().into_inner();
        Filter::field(Field::Severity, Test::Severity(SeverityRange::new(first, last)))
    };
    let levels = Level::ALL.into_iter().filter(|level| test.matches(level.name()));
    let mut matching: Vec<Filter> = levels.map(of_level).collect();
    if test.matches(missing) {
        matching.push(Filter::negated(Filter::field(Field::Severity, Test::Exists)));
    }
    match matching.len() > Level::ALL.len() {
        true => Filter::All,
        false => Filter::or(matching),
    }
}

/// A filter that lines pass which the stage keeps, and whether no others do.
fn of_labels(
    filter: &LabelFilter,
    attributes: &Attributes,
    stored: &mut AsStored,
) -> (Option<Filter>, bool) {
    match filter {
        LabelFilter::Text(matcher) => of_label(matcher, attributes),
        LabelFilter::Quantity(quantity) => {
            let known = stored.without_errors;
            // What is there and is no quantity is kept as well, as an error.
            stored.without_errors = false;
            (known.then(|| exists(&quantity.name, attributes)).flatten(), false)
        }
        LabelFilter::All(all) => {
            let each: Vec<_> = all.iter().map(|one| of_labels(one, attributes, stored)).collect();
            let whole = each.iter().all(|(_, whole)| *whole);
            (Some(Filter::and(each.into_iter().filter_map(|(filter, _)| filter).collect())), whole)
        }
        LabelFilter::Any(all) => {
            let each: Vec<_> = all.iter().map(|one| of_labels(one, attributes, stored)).collect();
            let whole = each.iter().all(|(_, whole)| *whole);
            let filters: Option<Vec<Filter>> = each.into_iter().map(|(filter, _)| filter).collect();
            (filters.map(Filter::or), whole)
        }
    }
}

fn of_label(matcher: &Matcher, attributes: &Attributes) -> (Option<Filter>, bool) {
    let name = matcher.name.as_str();
    let of_stream_alone = !attributes.have(name);
    match name {
        SERVICE_NAME | HOST | LEVEL if of_stream_alone => (Some(of_stream(matcher)), true),
        DETECTED_LEVEL if of_stream_alone => (Some(of_level(matcher, UNKNOWN_LEVEL)), true),
        SERVICE_NAME | HOST | LEVEL | DETECTED_LEVEL => (None, false),
        // They come about in the stages.
        ERROR_LABEL | ERROR_DETAILS_LABEL => (None, false),
        _ if matcher.operator == MatchOperator::Equal && !matcher.value.is_empty() => {
            let equal = attributes.fields(name).into_iter().filter_map(|field| {
                let test = match &field {
                    Field::TraceId => Test::TraceId(TraceId::from_hex(&matcher.value)?),
                    Field::SpanId => Test::SpanId(SpanId::from_hex(&matcher.value)?),
                    _ => Test::Equals(Literal::new(&matcher.value, field.name())),
                };
                Some(Filter::field(field, test))
            });
            (Some(Filter::or(equal.collect())), false)
        }
        // `x!=""`: there has to be something.
        _ => match TextTest::compile(matcher) {
            Ok(test) if !test.matches("") => (exists(name, attributes), false),
            _ => (None, false),
        },
    }
}

fn exists(label: &str, attributes: &Attributes) -> Option<Filter> {
    const NOT_ATTRIBUTES: [&str; 6] =
        [SERVICE_NAME, HOST, LEVEL, DETECTED_LEVEL, ERROR_LABEL, ERROR_DETAILS_LABEL];
    if NOT_ATTRIBUTES.contains(&label) {
        return None;
    }
    let fields = attributes.fields(label).into_iter();
    Some(Filter::or(fields.map(|field| Filter::field(field, Test::Exists)).collect()))
}

fn of_line(filter: &LineFilter) -> (Option<Filter>, bool) {
    let negated = matches!(filter.operator, LineOperator::ContainsNot | LineOperator::MatchesNot);
    let message = |pattern: &str| {
        Some(Filter::field(Field::Message, Test::Regex(Pattern::new(pattern).ok()?)))
    };
    let test = |text: &String| match filter.operator {
        LineOperator::Pattern | LineOperator::PatternNot => None,
        // As dashboards ask for nothing in particular.
        LineOperator::Matches | LineOperator::MatchesNot if text == "(?i)" => Some(Filter::All),
        LineOperator::Contains | LineOperator::ContainsNot if text.is_empty() => Some(Filter::All),
        LineOperator::Contains => {
            let mut filters = words_within(text);
            filters.push(message(&regex::escape(text))?);
            Some(Filter::and(filters))
        }
        LineOperator::ContainsNot => message(&regex::escape(text)),
        LineOperator::Matches | LineOperator::MatchesNot => message(&anywhere_in_rust(text)),
    };
    let tests: Option<Vec<Filter>> = filter.texts.iter().map(test).collect();
    match tests.map(Filter::or) {
        Some(found) if negated => (Some(Filter::negated(found)), true),
        Some(found) => (Some(found), true),
        None => (None, false),
    }
}

/// What the words of a message have to be like that contains a text: the first and the last word of the text may be
/// parts of longer ones.
fn words_within(text: &str) -> Vec<Filter> {
    // As the tokenizer splits, but not folded: a folded word may fall apart if it is split again.
    let mut words: Vec<&str> =
        text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_of_word = |sign: Option<char>| sign.is_some_and(char::is_alphanumeric);
    let mut filters = Vec::new();
    if is_of_word(text.chars().next_back())
        && let Some(last) = words.pop()
        // A text of one word may stand in the middle of another.
        && !(words.is_empty() && is_of_word(text.chars().next()))
        && PREFIX_BYTES.contains(&last.len())
    {
        let begins = Wildcard::folded(vec![Piece::Text(tokenizer::fold(last)), Piece::AnyRun]);
        filters.push(Filter::field(Field::Message, Test::Token(begins)));
    }
    let whole = words.iter().skip(usize::from(is_of_word(text.chars().next())));
    let whole = whole.filter_map(|word| Phrase::new(word));
    filters.extend(whole.map(|word| Filter::field(Field::Message, Test::Words(word))));
    filters
}

#[cfg(test)]
mod tests {
    use logql::ast::Expr;

    use super::*;

    fn pushed(query: &str) -> String {
        let Ok(Expr::Log(query)) = logql::parse(query) else { panic!("{query}") };
        let PushedDown { filter, applied } = push_down(&query.node, &Attributes::default());
        let applied: String = applied.iter().map(|one| if *one { '+' } else { '-' }).collect();
        format!("{filter} {applied}").trim_end().to_owned()
    }

    #[test]
    fn selectors_become_filters_of_fields() {
        let filter = |query: &str| {
            let parsed = logql::parse_selector(query).unwrap();
            let filters = parsed.iter().map(|matcher| of_stream(&matcher.node)).collect();
            Filter::and(filters).to_string()
        };
        for (query, expected) in [
            (r#"{service_name="a b"}"#, r#"service:="a b""#),
            (r#"{service_name="unknown_service"}"#, "service:=unknown_service OR -service:*"),
            (r#"{service_name=~"a|b", host!="h"}"#, "service:/^(?s:a|b)$/ -host:=h"),
            (r#"{service_name=~".+", host=""}"#, "(service:/^(?s:.+)$/ OR -service:*) -host:*"),
            (r#"{host!=""}"#, "host:*"),
            (r#"{level="error", service_name!="a"}"#, "severity:error -service:=a"),
            (r#"{level=~"warn|error"}"#, "severity:warn OR severity:error"),
            (r#"{level=~"warn|"}"#, "severity:warn OR -severity:*"),
            (r#"{app="a"}"#, "-*"),
            (r#"{app!="a", level="info"}"#, "severity:info"),
        ] {
            assert_eq!(filter(query), expected, "{query}");
        }
    }

    #[test]
    fn filters_are_pushed_down_while_they_look_at_what_is_stored() {
        let of_info = |stages: &str| pushed(&format!("{{level=\"info\"}} {stages}"));
        for (stages, expected) in [
            (r#"|= "x y""#, "message:/x y/ +"),
            (r#"|= "took y""#, "message:/took y/ +"),
            (r#"|= " took 5""#, r#"message:"took" message:/ took 5/ +"#),
            (r#"|= "card declined""#, "message:declined* message:/card declined/ +"),
            (r#"|= ` took ` != "b""#, r#"message:"took" message:/ took / -message:/b/ ++"#),
            (r#"|= "declined""#, "message:/declined/ +"),
            (r#"|= "a" or ".b.""#, r#"(message:/a/ OR (message:"b" message:/\.b\./)) +"#),
            (r#"|= """#, "+"),
            (r#"|~ "(?i)""#, "+"),
            (r#"|> "a <_>" |~ "(?i)q""#, "message:/(?i)q/ -+"),
            (r#"| json |= "q" | x="1""#, "message:/q/ -+-"),
            (r#"| line_format `z` |= "q""#, "--"),
            (r#"| detected_level="warn""#, "severity:warn +"),
            (r#"| correlation_id="c" | trace_id!="""#, "correlation_id:=c trace_id:* --"),
            (r#"| drop __error__ | host="h""#, "host:=h -+"),
            (r#"| span_id>5 | span_id>6"#, "span_id:* --"),
            (r#"| span_id>5 | __error__="x""#, "span_id:* --"),
            (r#"| line_format `z` | span_id>5"#, "--"),
            (r#"| drop host | host="h""#, "--"),
        ] {
            assert_eq!(of_info(stages), format!("severity:info {expected}"), "{stages}");
        }
        // No record has it.
        assert_eq!(of_info(r#"| nobody="h""#), "-* -");
    }
}
