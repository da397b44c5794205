//! Spaces a query well: one blank between words, a stage a line. What the writer chose stays as it is.

use crate::grammar::Grammar;
use crate::lexer;

/// The same query, well spaced; a text that does not parse comes back as it is.
///
/// It parses to what the text parses to, and is formatted already: formatting it again changes nothing.
pub fn format(text: &str) -> String {
    let Ok(query) = crate::parse(text) else { return text.to_owned() };
    let filter_end = query.stages.first().map_or(text.len(), |stage| stage.name.span.start);
    let filter = match query.stages.is_empty() {
        true => text,
        false => {
            let filter = text[..filter_end].trim_end();
            filter.strip_suffix('|').unwrap_or(filter)
        }
    };
    // A blank at the end may be an escaped one.
    let filter = spaced(filter.trim_start(), false);
    let mut lines = vec![if filter.is_empty() { "*".to_owned() } else { filter }];
    for stage in &query.stages {
        let arguments = spaced(&stage.args.node, true);
        let name = &stage.name.node;
        lines.push(match arguments.is_empty() {
            true => format!("| {name}"),
            false => format!("| {name} {arguments}"),
        });
    }
    lines.join("\n")
}

/// One blank where there are some, outside of quotes, regular expressions and backticks; in arguments of stages also one
/// behind a comma and none before it.
fn spaced(text: &str, arguments: bool) -> String {
    let mut grammar = Grammar::new(text);
    let mut out = String::new();
    // What is in quotes or escaped ends here; a blank of it is no blank between words.
    let mut kept = 0;
    while let Some(character) = grammar.peek() {
        let start = grammar.at;
        let fresh =
            text[..start].ends_with(|before: char| !lexer::is_name_character(before)) || start == 0;
        let whole = match character {
            '"' => grammar.take(lexer::quoted).is_some(),
            '/' if fresh => grammar.take(lexer::regex).is_some(),
            '`' => match text[start + 1..].find('`') {
                Some(length) => {
                    grammar.advance(length + 2);
                    true
                }
                None => false,
            },
            '\\' => {
                grammar.advance(1);
                grammar.advance(grammar.peek().map_or(0, char::len_utf8));
                true
            }
            _ => false,
        };
        if whole {
            out.push_str(&text[start..grammar.at]);
            kept = out.len();
            continue;
        }
        grammar.advance(character.len_utf8());
        match character {
            blank if blank.is_whitespace() => {
                if out.len() == kept || !out.ends_with([' ', '(']) {
                    out.push(' ');
                }
            }
            ',' if arguments => {
                out.truncate(out.trim_end().len().max(kept));
                out.push_str(", ");
            }
            other => out.push(other),
        }
    }
    out.truncate(out.trim_end().len().max(kept));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gets_a_stage_a_line_and_keeps_what_stands_in_quotes() {
        for (text, formatted) in [
            (
                "level:error|stats count()by service|sort -count",
                "level:error\n| stats count()by service\n| sort -count",
            ),
            ("  a    b  ", "a b"),
            ("\"two   words\"   msg:/a   b/ |  head   5 ", "\"two   words\" msg:/a   b/\n| head 5"),
            ("| head", "*\n| head"),
            ("", "*"),
            ("* | stats count() ,avg(n)   as m by  a,b", "*\n| stats count(), avg(n) as m by a, b"),
            (
                "* | eval x = concat(\"a  ,b\" ,`odd  name`)",
                "*\n| eval x = concat(\"a  ,b\", `odd  name`)",
            ),
            ("a\\ \\ b   c", "a\\ \\ b c"),
            ("a\\   b", "a\\  b"),
            ("a\\  |  head", "a\\ \n| head"),
            ("a\\ ", "a\\ "),
            ("broken (", "broken ("),
        ] {
            assert_eq!(format(text), formatted, "{text}");
        }
    }
}
