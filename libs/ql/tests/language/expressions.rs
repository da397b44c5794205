//! Faults of expressions, as they are shown.

use ql::{Arguments, Expression};

fn condition(text: &str) -> Result<Expression, String> {
    let whole = format!("* | where {text}");
    let query = ql::parse(&whole).map_err(|faults| faults.render(&whole))?;
    let mut arguments = Arguments::new(&query.stages[0]);
    arguments.condition().map_err(|fault| fault.render(&whole))
}

#[test]
fn faults_of_expressions_show_the_place_and_the_way_out() {
    let mut text = String::new();
    for one in [
        "",
        "n = 5",
        "n ==",
        "n == 5 6",
        "n === 5",
        "service",
        "n + 1",
        "lower(msg)",
        "msg + \"x\" == \"y\"",
        "msg > 5",
        "time > 5",
        "time > \"yesterday\"",
        "time + time > \"2026\"",
        "level > \"eror\"",
        "lenght(msg) > 5",
        "length() > 5",
        "length(n, 2) > 5",
        "length(time) > 5",
        "1 < n < 5",
        "n in (1, m)",
        "n in 1",
        "n =~ 5",
        "n =~ /(/",
        "n =~ \"(x\"",
        "in_network(a, \"10.0.0.0\")",
        "in_network(a, b)",
        "(n > 5",
        "n > 5)",
        "n > 5 and",
        "not",
        "n > 12abc",
        "if(n, 1) == 2",
        "n > \"x",
    ] {
        let fault = condition(one).unwrap_err();
        text += &format!("{fault}\n\n");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn depth_and_length_are_bounded() {
    for (long, code) in [
        (format!("{}1{} == 1", "(".repeat(500), ")".repeat(500)), "too_deep"),
        (format!("{}n", "not ".repeat(500)), "too_deep"),
        (format!("{}1 == 1", "-".repeat(500)), "too_deep"),
        (format!("1{} == 1", " + 1".repeat(500)), "too_deep"),
        (format!("n == 1{}", " or n == 1".repeat(2_000)), "too_long"),
        (format!("n in (1{})", ", 1".repeat(2_000)), "list_too_long"),
    ] {
        let fault = condition(&long).unwrap_err();
        assert!(fault.contains(code), "{fault}");
    }
}
