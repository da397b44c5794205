//! Templates of `line_format` and `label_format`: the part of Go's that log queries use.
//!
//! ```text
//! {{.label}}  {{__line__}}  {{__timestamp__}}  {{ .a | lower | trunc 5 }}  {{ printf "%s:%d" .a 5 }}  {{- … -}}
//! {{if contains "x" .a}} … {{else if .b}} … {{else}} … {{end}}  {{/* nothing */}}
//! ```
//!
//! A label that is missing is an empty text. What a template makes is bounded, and so is its nesting.

mod functions;
mod parse;
mod print;

use std::sync::Arc;

use functions::Function;
use regex::Regex;

use super::labels::LineLabels;

/// Longest text that a template makes, bytes.
pub const TEMPLATE_OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of conditions and parentheses.
const DEPTH_MAX: usize = 32;

/// A template, ready to be used.
#[derive(Debug)]
pub(super) struct Template(Vec<Node>);

#[derive(Debug)]
enum Node {
    Text(String),
    Print(Chain),
    /// The first branch whose condition holds, or the last, which has none perhaps.
    If(Vec<(Option<Chain>, Vec<Node>)>),
}

/// Commands with `|` between them: each gives its value to the next, as its last argument.
type Chain = Vec<Command>;

#[derive(Debug)]
enum Command {
    Operand(Operand),
    Call(&'static Function, Vec<Operand>),
}

#[derive(Debug)]
enum Operand {
    Label(String),
    Line,
    Timestamp,
    Constant(Value),
    Inner(Chain),
}

/// What a template calculates with.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds since the epoch.
    Time(i64),
    Pattern(Pattern),
}

/// A regular expression that stands in the template, compiled once and not for each line.
#[derive(Clone, Debug)]
struct Pattern(Arc<Regex>);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// How many regular expressions a template compiles at most.
pub(super) fn count_regexes(template: &str) -> usize {
    functions::WITH_PATTERN.iter().map(|name| template.matches(name).count()).sum()
}

/// What a template is about.
pub(super) struct Subject<'l> {
    pub(super) line: &'l str,
    pub(super) timestamp_ns: i64,
    pub(super) labels: &'l LineLabels<'l>,
}

impl Template {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        parse::parse(text).map(Self).map_err(|fault| format!("invalid template: {fault}"))
    }

    /// # Errors
    /// Which function cannot do what it was asked for.
    pub(super) fn render(&self, subject: &Subject<'_>) -> Result<String, String> {
        let mut output = String::new();
        subject.nodes(&self.0, &mut output)?;
        Ok(output)
    }

    /// Tells which labels it looks at, and whether at the line.
    pub(super) fn looks_at(&self, looks: &mut dyn Looks) {
        look_at_nodes(&self.0, looks);
    }
}

/// Is told what a template looks at.
pub(super) trait Looks {
    fn at_label(&mut self, name: &str);
    fn at_line(&mut self);
    fn at_time(&mut self);
}

fn look_at_nodes(nodes: &[Node], looks: &mut dyn Looks) {
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Print(chain) => look_at_chain(chain, looks),
            Node::If(branches) => {
                for (condition, inner) in branches {
                    condition.iter().for_each(|condition| look_at_chain(condition, looks));
                    look_at_nodes(inner, looks);
                }
            }
        }
    }
}

fn look_at_chain(chain: &Chain, looks: &mut dyn Looks) {
    for command in chain {
        let operands = match command {
            Command::Operand(operand) => std::slice::from_ref(operand),
            Command::Call(_, operands) => operands,
        };
        for operand in operands {
            match operand {
                Operand::Label(name) => looks.at_label(name),
                Operand::Line => looks.at_line(),
                Operand::Inner(chain) => look_at_chain(chain, looks),
                Operand::Timestamp => looks.at_time(),
                Operand::Constant(_) => {}
            }
        }
    }
}

impl Subject<'_> {
    fn nodes(&self, nodes: &[Node], output: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => output.push_str(text),
                Node::Print(chain) => output.push_str(&self.chain(chain)?.to_string()),
                Node::If(branches) => {
                    for (condition, inner) in branches {
                        let holds = match condition {
                            Some(condition) => self.chain(condition)?.is_true(),
                            None => true,
                        };
                        if holds {
                            self.nodes(inner, output)?;
                            break;
                        }
                    }
                }
            }
            bounded(output.len())?;
        }
        Ok(())
    }

    fn chain(&self, chain: &Chain) -> Result<Value, String> {
        let mut value = None;
        for command in chain {
            value = Some(match command {
                Command::Operand(operand) => self.operand(operand)?,
                Command::Call(function, operands) => {
                    let mut arguments = operands
                        .iter()
                        .map(|one| self.operand(one))
                        .collect::<Result<Vec<_>, _>>()?;
                    arguments.extend(value);
                    function.call(&arguments)?
                }
            });
        }
        Ok(value.unwrap_or(Value::Text(String::new())))
    }

    fn operand(&self, operand: &Operand) -> Result<Value, String> {
        Ok(match operand {
            Operand::Label(name) => {
                Value::Text(self.labels.get(name).unwrap_or_default().to_owned())
            }
            Operand::Line => Value::Text(self.line.to_owned()),
            Operand::Timestamp => Value::Time(self.timestamp_ns),
            Operand::Constant(value) => value.clone(),
            Operand::Inner(chain) => return self.chain(chain),
        })
    }
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Integer(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Bool(truth) => *truth,
            Self::Time(_) | Self::Pattern(_) => true,
        }
    }
}

fn bounded(length: usize) -> Result<(), String> {
    match length {
        ..=TEMPLATE_OUTPUT_BYTES_MAX => Ok(()),
        _ => Err(format!("a template makes more than {TEMPLATE_OUTPUT_BYTES_MAX} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    fn render(template: &str) -> Result<String, String> {
        let pairs = [
            ("app", "Shop"),
            ("msg", "  hello world "),
            ("n", "12"),
            ("path", "/a/b"),
            ("empty", ""),
        ];
        let (stream, metadata) = (pairs.into_iter().collect(), Labels::new());
        let labels = LineLabels::new(&stream, &metadata);
        let subject = Subject {
            line: "the line ID=7",
            timestamp_ns: 1_700_000_000_500_000_000,
            labels: &labels,
        };
        Template::compile(template)?.render(&subject)
    }

    #[test]
    fn templates_make_texts_of_labels_and_lines() {
        for (template, expected) in [
            ("plain", "plain"),
            ("{{.app}}-{{ .missing }}-", "Shop--"),
            ("{{__line__}}|{{ __timestamp__ | unixEpoch }}", "the line ID=7|1700000000"),
            ("{{ __timestamp__ }}", "2023-11-14 22:13:20.5 +0000 UTC"),
            ("{{ __timestamp__ | unixEpochMillis }}", "1700000000500"),
            (r#"{{ contains "ID=7" __line__ }}"#, "true"),
            (r#"{{ hasPrefix "Sh" .app }}{{ hasSuffix "x" .app }}"#, "truefalse"),
            ("[{{ trim .msg }}]", "[hello world]"),
            (
                r#"{{ trimAll "/" .path }} {{ trimPrefix "/a" .path }} {{ trimSuffix "/b" .path }}"#,
                "a/b /b /a",
            ),
            (r#"{{ .path | replace "/" "." }} {{ Replace .path "/" "." 1 }}"#, ".a.b .a/b"),
            (
                "{{ .app | upper }}{{ ToLower .app }}{{ ToUpper .app }}{{ lower .app }}",
                "SHOPshopSHOPshop",
            ),
            (r#"{{ default "d" .empty }}{{ .app | default "d" }}"#, "dShop"),
            (
                r#"{{ printf "%s=%d %v%% %5s|%-5s|%05d" .app 5 true "a" "b" 42 }}"#,
                "Shop=5 true%     a|b    |00042",
            ),
            (r#"{{ .app | printf "%q %.2f" "x" }}"#, "\"x\" %!f(string=Shop)"),
            ("{{ .n | int | add 3 }} {{ div 7 2 }} {{ mulf 1.5 2 }} {{ mod 7 4 }}", "15 3 3 3"),
            ("{{ trunc 2 .app }}{{ substr 1 3 .app }}", "Shho"),
            (r#"{{ regexReplaceAll "(\\w)/" .path "${1}_" }}"#, "/a_b"),
            (r"{{ `raw \d` }}", r"raw \d"),
            ("a {{- .app -}} b", "aShopb"),
            ("a{{/* {{ nothing */}}b", "ab"),
            ("{{ (trim .msg) | len }}", "11"),
            ("{{if .empty}}a{{else if eq .n \"12\"}}b{{else}}c{{end}}", "b"),
            ("{{if and .app (not .empty)}}yes{{end}}{{if or .empty .missing}}no{{end}}", "yes"),
            ("{{ if gt (int .n) 5 }}large{{ end }}", "large"),
            (r#"{{ count "/" .path }}{{ count .empty .app }}"#, "25"),
            ("{{ title \"two words\" }}", "Two Words"),
        ] {
            assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn a_template_that_is_wrong_is_refused() {
        for template in [
            "{{.a",
            "{{if .a}}",
            "{{end}}",
            "{{else}}",
            "{{ }}",
            "{{ unknown .a }}",
            "{{ .a .b }}",
            "{{ lower }}",
            "{{ lower .a .b }}",
            "{{ .a | 5 }}",
            "{{ \"open }}",
            "{{ (.a }}",
            "{{ .a | }}",
            "{{range .a}}{{end}}",
            "{{if .a}}{{else}}{{else}}{{end}}",
            "{{/* open",
            "{{ . }}",
            r#"{{ regexReplaceAll "(" .a "x" }}"#,
        ] {
            assert!(Template::compile(template).is_err(), "{template}");
        }
        let deep = format!("{{{{ {}.a{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Template::compile(&deep).is_err());
        assert!(Template::compile(&"{{if .a}}".repeat(10_000)).is_err());
    }

    #[test]
    fn what_a_function_cannot_do_is_an_error_of_the_line() {
        for template in [
            r"{{ div 1 0 }}",
            r#"{{ unixEpoch "x" }}"#,
            r#"{{ regexReplaceAll (default "(" .missing) .app "x" }}"#,
            r#"{{ gt .app 5 }}"#,
        ] {
            assert!(render(template).is_err(), "{template}");
        }
        let grows = format!(r#"{{{{ .app{} }}}}"#, r#" | replace "" "0123456789""#.repeat(12));
        assert!(render(&grows).unwrap_err().contains("more than"));
    }
}
