//! What answers look like: golden lines of every form, and that no record breaks a line.

use proptest::prelude::*;

use super::*;

const RECORD: &str = r#"{"timestamp":"2026-01-02T03:04:05.678Z","record_seq":1,"observed_timestamp":"2026-01-02T03:04:05Z","severity":"error","service":"orders","correlation_id":"c-0123456789abcdef","message":"two\nlines \u001b[31m","half":0.5,"attributes":{"n":5,"path":"/a b","wide":"日本"}}"#;
const OTHER: &str = r#"{"timestamp":"2026-01-02T03:04:04Z","record_seq":0,"observed_timestamp":"2026-01-02T03:04:05Z","severity":"info","service":"gw","message":"fine, \"really\""}"#;
const TERMINAL: Style = Style { colours: false, terminal: true, width: Some(80), unicode: true };
const COLOURED: Style = Style { colours: true, ..TERMINAL };

fn printed_to(form: OutputForm, style: Style, query: &str, lines: &[&str]) -> String {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, form, style, query);
    for line in lines {
        printer.line(line.as_bytes()).unwrap();
    }
    printer.finish().unwrap();
    drop(printer);
    String::from_utf8(out).unwrap()
}

fn text(style: Style, query: &str, lines: &[&str]) -> String {
    printed_to(OutputForm::Text, style, query, lines)
}

#[test]
fn a_record_in_a_pipe_is_one_line_with_all_of_its_ids() {
    insta::assert_snapshot!(text(Style::PLAIN, "*", &[RECORD, OTHER]));
}

#[test]
fn a_record_on_a_terminal_keeps_its_lines_and_shortens_ids() {
    insta::assert_snapshot!(text(TERMINAL, "*", &[RECORD, OTHER, RECORD]));
}

#[test]
fn levels_ids_and_attributes_have_their_colours() {
    insta::assert_snapshot!(text(COLOURED, "*", &[RECORD]).replace('\x1b', "␛"));
}

#[test]
fn on_a_narrow_terminal_nothing_is_padded() {
    let narrow = Style { width: Some(20), ..TERMINAL };
    insta::assert_snapshot!(text(narrow, "*", &[RECORD, OTHER]));
}

const ROWS: [&str; 3] = [
    r#"{"service":"a service with a long name","count":5,"p95":1.25,"values":["x","y"]}"#,
    r#"{"service":null,"count":12345,"p95":null,"values":[]}"#,
    r#"{"service":"日本","count":1,"p95":100000.5,"values":["z"]}"#,
];

#[test]
fn rows_are_a_table_with_numbers_to_the_right() {
    insta::assert_snapshot!(text(Style::PLAIN, "* | stats count()", &ROWS));
}

#[test]
fn a_table_that_does_not_fit_shortens_texts_and_no_numbers() {
    let narrow = Style { width: Some(40), ..TERMINAL };
    let wide = text(narrow, "* | stats count()", &ROWS);
    insta::assert_snapshot!(wide);
    insta::assert_snapshot!(text(
        Style { width: Some(20), ..TERMINAL },
        "* | stats count()",
        &ROWS
    ));
}

#[test]
fn a_timechart_of_one_series_is_a_bar_for_each_bin() {
    let rows = [
        r#"{"timestamp":"2026-01-02T03:04:00Z","count":5}"#,
        r#"{"timestamp":"2026-01-02T03:05:00Z","count":0}"#,
        r#"{"timestamp":"2026-01-02T03:06:00Z","count":123}"#,
        r#"{"timestamp":"2026-01-02T03:07:00Z","count":61}"#,
    ];
    insta::assert_snapshot!(text(Style::PLAIN, "* | timechart 1m count()", &rows));
    let ascii = Style { width: Some(40), unicode: false, ..TERMINAL };
    insta::assert_snapshot!(text(ascii, "* | timechart 1m count()", &rows));
}

#[test]
fn a_timechart_of_some_series_has_them_beside_each_other() {
    let rows = [
        r#"{"timestamp":"2026-01-02T00:00:00Z","service":"orders","min(n)":5}"#,
        r#"{"timestamp":"2026-01-02T00:00:00Z","service":"a payment service of note","min(n)":50}"#,
        r#"{"timestamp":"2026-01-03T00:00:00Z","service":"orders","min(n)":0}"#,
        r#"{"timestamp":"2026-01-03T00:00:00Z","service":"a payment service of note","min(n)":1200}"#,
        r#"{"timestamp":"2026-01-04T00:00:00Z","service":"orders","min(n)":null}"#,
        r#"{"timestamp":"2026-01-04T00:00:00Z","service":"a payment service of note","min(n)":-3}"#,
    ];
    let query = "* | timechart 1d min(n) by service";
    insta::assert_snapshot!(text(Style::PLAIN, query, &rows));
    // What does not fit beside each other stands below each other.
    for width in [40, 20] {
        insta::assert_snapshot!(text(Style { width: Some(width), ..TERMINAL }, query, &rows));
    }
    insta::assert_snapshot!(text(COLOURED, query, &rows[..2]).replace('\x1b', "␛"));
}

/// A status is a number, and was taken for what was counted.
#[test]
fn series_may_have_numbers_and_nothing_for_names() {
    let rows = [
        r#"{"timestamp":"2026-01-02T00:00:00Z","status":null,"count":1}"#,
        r#"{"timestamp":"2026-01-02T00:00:00Z","status":200,"count":8}"#,
        r#"{"timestamp":"2026-01-02T00:00:00Z","status":504,"count":2}"#,
    ];
    insta::assert_snapshot!(text(
        Style::PLAIN,
        "* | timechart 1d count() as count by status",
        &rows
    ));
}

#[test]
fn a_timechart_of_series_with_some_numbers_shows_all_of_them() {
    let rows = [
        r#"{"timestamp":"2026-01-02T00:00:00Z","service":"orders","count":5,"avg(ms)":2.5}"#,
        r#"{"timestamp":"2026-01-02T00:00:00Z","service":"payments","count":40,"avg(ms)":0.00001}"#,
    ];
    let query = "* | timechart 1d count(), avg(ms) by service";
    insta::assert_snapshot!(text(Style::PLAIN, query, &rows));
}

#[test]
fn two_rows_of_one_bin_are_both_shown() {
    let row = r#"{"timestamp":"2026-01-02T00:00:00Z","count":5}"#;
    let out = text(Style::PLAIN, "* | timechart 1d count()", &[row, row]);
    assert_eq!(out.matches("2026-01-02").count(), 2, "{out}");
}

#[test]
fn bins_stay_in_the_order_in_which_they_came() {
    let rows = [
        r#"{"timestamp":"2026-01-02T00:00:05Z","count":1}"#,
        r#"{"timestamp":"2026-01-02T00:00:05.5Z","count":2}"#,
    ];
    let out = text(Style::PLAIN, "* | timechart 500ms count()", &rows);
    assert!(out.find("05Z") < out.find("05.5Z"), "{out}");
}

#[test]
fn ids_among_the_attributes_are_shortened_on_a_terminal_only() {
    let record = OTHER.replace(
        "\"message\"",
        r#""attributes":{"trace":"4bf92f3577b34da6a3ce929d0e0e4736","count":"1234567890123456789"},"message""#,
    );
    insta::assert_snapshot!(text(COLOURED, "*", &[&record]).replace('\x1b', "␛"));
    let piped = text(Style::PLAIN, "*", &[&record]);
    assert!(piped.contains("trace=4bf92f3577b34da6a3ce929d0e0e4736"), "{piped}");
}

#[test]
fn what_only_later_records_have_is_a_column_too() {
    let late = RECORD.replace("\"half\":0.5", "\"kind\":\"odd\"");
    for form in [OutputForm::Table, OutputForm::Csv] {
        let out = printed_to(form, Style::PLAIN, "*", &[OTHER, &late]);
        assert!(out.lines().next().unwrap().contains("kind"), "{out}");
        // Even if it comes after the columns were laid out.
        let mut lines = vec![OTHER; 1_000];
        lines.push(&late);
        let out = printed_to(form, Style::PLAIN, "*", &lines);
        assert!(out.contains("odd"), "{}", &out[out.len() - 200..]);
    }
}

#[test]
fn no_field_can_move_the_cursor() {
    let esc = RECORD
        .replace("\"error\"", r#""\u001b[2J""#)
        .replace("2026-01-02T03:04:05.678Z", r"\u001b[HT");
    let row = r#"{"timestamp":"\u001b[2J","count":1}"#;
    for style in [Style::PLAIN, TERMINAL] {
        let out = text(style, "* | timechart count()", &[&esc, row, "\x1b[2J"]);
        assert!(!out.contains('\x1b'), "{out:?}");
    }
}

#[test]
fn shares_have_bars() {
    let rows = [
        r#"{"service":"orders","count":75,"percent":75.0}"#,
        r#"{"service":"gw","count":25,"percent":25.0}"#,
    ];
    insta::assert_snapshot!(text(Style::PLAIN, "* | top service", &rows));
}

#[test]
fn csv_has_every_field_of_records_and_quotes_what_needs_it() {
    let late = RECORD.replace("\"n\":5", "\"n\":5,\"late\":true");
    let mut lines = vec![RECORD; 1_000];
    lines.push(&late);
    let csv = printed_to(OutputForm::Csv, Style::PLAIN, "*", &lines);
    let mut all = csv.split("\r\n");
    insta::assert_snapshot!(all.next().unwrap());
    assert!(csv.contains(",\"two\nlines \u{1b}[31m\","));
    assert!(csv.ends_with("\"{\"\"late\"\":true}\"\r\n"), "{}", &csv[csv.len() - 200..]);
    insta::assert_snapshot!(printed_to(OutputForm::Csv, Style::PLAIN, "*", &[OTHER]));
    insta::assert_snapshot!(printed_to(OutputForm::Csv, Style::PLAIN, "* | stats count()", &ROWS));
}

#[test]
fn json_is_what_the_server_sent_and_a_table_shows_records_too() {
    let json = printed_to(OutputForm::Json, Style::PLAIN, "*", &[RECORD, "no json"]);
    assert_eq!(json, format!("{RECORD}\nno json\n"));
    insta::assert_snapshot!(printed_to(OutputForm::Table, TERMINAL, "*", &[RECORD, OTHER]));
}

#[test]
fn nothing_is_printed_of_nothing_and_what_is_no_json_is_never_hidden() {
    for form in [OutputForm::Text, OutputForm::Json, OutputForm::Csv, OutputForm::Table] {
        assert_eq!(printed_to(form, Style::PLAIN, "* | timechart count()", &[]), "");
        assert_eq!(printed_to(form, Style::PLAIN, "*", &["oops"]), "oops\n");
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(".{0,4}", inner, 0..4).prop_map(|members| {
                members.into_iter().collect::<serde_json::Map<_, _>>().into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_line_is_printed_without_panic_and_plainly_without_escapes(
        lines in prop::collection::vec(prop::collection::hash_map(
            prop_oneof![
                Just("timestamp".to_owned()), Just("message".to_owned()), Just("severity".to_owned()),
                Just("record_seq".to_owned()), Just("observed_timestamp".to_owned()),
                Just("attributes".to_owned()), Just("count".to_owned()), Just("percent".to_owned()),
                ".{0,6}",
            ], value(), 0..8), 0..6),
        width in prop::option::of(1_usize..120),
        query in prop_oneof![Just("*"), Just("* | timechart count()"), Just("* | timechart count() by a"), Just("* | top a")],
        noise in ".{0,40}",
        form in prop_oneof![Just(OutputForm::Text), Just(OutputForm::Table), Just(OutputForm::Csv)],
    ) {
        let lines: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).chain([noise.as_str()]).collect();
        for terminal in [false, true] {
            let style = Style { colours: false, terminal, width, unicode: true };
            let out = printed_to(form, style, query, &lines);
            prop_assert!(form == OutputForm::Csv || !out.contains('\x1b'), "{out:?}");
        }
    }
}
