//! The text of a template → its nodes.

use super::functions::Function;
use super::{Chain, Command, DEPTH_MAX, Node, Operand, Value};
use crate::fault::Fault;

type Read<T> = Result<T, String>;

/// A piece of a template: what stands between actions, or an action's inside.
enum Piece<'t> {
    Text(&'t str),
    Action(&'t str),
}

pub(super) fn parse(text: &str) -> Read<Vec<Node>> {
    let pieces = pieces(text)?;
    let mut pieces = pieces.into_iter();
    let (nodes, end) = nodes(&mut pieces, 0)?;
    match end {
        Some(keyword) => Err(format!("unexpected {{{{{keyword}}}}}")),
        None => Ok(nodes),
    }
}

fn pieces(text: &str) -> Read<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trims = false;
    while let Some(at) = rest.find("{{") {
        let mut before = &rest[..at];
        let mut action = &rest[at + 2..];
        if trims {
            before = before.trim_start();
        }
        if let Some(after) = action.strip_prefix("- ") {
            before = before.trim_end();
            action = after;
        }
        pieces.push(Piece::Text(before));
        let (inside, length) = inside(action)?;
        rest = &action[length..];
        trims = inside.ends_with(" -");
        let inside = inside.strip_suffix(" -").unwrap_or(inside).trim();
        if !(inside.starts_with("/*") && inside.ends_with("*/")) {
            pieces.push(Piece::Action(inside));
        }
    }
    pieces.push(Piece::Text(if trims { rest.trim_start() } else { rest }));
    Ok(pieces)
}

/// What stands before the `}}` that closes an action, and the length of both.
fn inside(action: &str) -> Read<(&str, usize)> {
    let unclosed = || "unclosed action".to_owned();
    if action.trim_start().starts_with("/*") {
        let end = action.find("*/").ok_or_else(unclosed)? + 2;
        let close = action[end..].find("}}").ok_or_else(unclosed)?;
        return Ok((&action[..end + close], end + close + 2));
    }
    let bytes = action.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Ok((&action[..at], at + 2)),
            (None, b'"' | b'`') => quote = Some(bytes[at]),
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    Err(unclosed())
}

/// Nodes up to the end, or up to an `else`, `else if …` or `end`, which is handed back.
fn nodes<'t>(
    pieces: &mut impl Iterator<Item = Piece<'t>>,
    depth: usize,
) -> Read<(Vec<Node>, Option<&'t str>)> {
    if depth > DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX}"));
    }
    let mut found = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text("") => continue,
            Piece::Text(text) => {
                found.push(Node::Text(text.to_owned()));
                continue;
            }
            Piece::Action(action) => action,
        };
        match keyword(action) {
            ("else" | "end", _) => return Ok((found, Some(action))),
            ("if", condition) => found.push(branches(pieces, condition, depth)?),
            (
                keyword @ ("range" | "with" | "define" | "template" | "block" | "break"
                | "continue"),
                _,
            ) => {
                return Err(format!("{{{{{keyword}}}}} is not supported, use {{{{if}}}}"));
            }
            _ => found.push(Node::Print(chain(action)?)),
        }
    }
    Ok((found, None))
}

fn branches<'t>(
    pieces: &mut impl Iterator<Item = Piece<'t>>,
    condition: &str,
    depth: usize,
) -> Read<Node> {
    let mut all = Vec::new();
    let mut condition = Some(chain(condition)?);
    loop {
        let last = condition.is_none();
        let (inner, end) = nodes(pieces, depth + 1)?;
        all.push((condition, inner));
        let end = end.ok_or("{{if}} without {{end}}")?;
        condition = match keyword(end) {
            ("end", "") => return Ok(Node::If(all)),
            ("else", _) if last => return Err("unexpected {{else}}".to_owned()),
            ("else", "") => None,
            ("else", rest) => match keyword(rest) {
                ("if", condition) => Some(chain(condition)?),
                _ => return Err(format!("unexpected {{{{{end}}}}}")),
            },
            _ => return Err(format!("unexpected {{{{{end}}}}}")),
        };
    }
}

/// The first word of an action, and the rest.
fn keyword(action: &str) -> (&str, &str) {
    let end = action.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(action.len());
    (&action[..end], action[end..].trim())
}

fn chain(text: &str) -> Read<Chain> {
    let mut reader = Reader { rest: text, depth: 0 };
    let chain = reader.chain()?;
    match reader.rest {
        "" => Ok(chain),
        rest => Err(format!("unexpected \"{rest}\" in an action")),
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    fn sign(&mut self, sign: char) -> bool {
        self.rest = self.rest.trim_start();
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn chain(&mut self) -> Read<Chain> {
        let mut chain = vec![self.command(false)?];
        while self.sign('|') {
            chain.push(self.command(true)?);
        }
        Ok(chain)
    }

    fn command(&mut self, is_piped: bool) -> Read<Command> {
        self.rest = self.rest.trim_start();
        let (word, _) = keyword(self.rest);
        let Some(function) = Function::named(word) else {
            let operand = self.operand()?.ok_or("missing value for command")?;
            return match (is_piped, self.operand()?) {
                (false, None) => Ok(Command::Operand(operand)),
                _ => Err("a value takes no arguments, expected a function".to_owned()),
            };
        };
        self.rest = &self.rest[word.len()..];
        let mut operands = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(match operand {
                Operand::Constant(value) => {
                    Operand::Constant(function.prepared(operands.len(), value)?)
                }
                operand => operand,
            });
        }
        let count = operands.len() + usize::from(is_piped);
        if !(function.least..=function.most).contains(&count) {
            return Err(format!("wrong number of args for {word}: got {count}"));
        }
        Ok(Command::Call(function, operands))
    }

    /// The next operand, if one is next.
    fn operand(&mut self) -> Read<Option<Operand>> {
        if self.sign('(') {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(format!("nested deeper than {DEPTH_MAX}"));
            }
            let inner = self.chain()?;
            self.depth -= 1;
            return match self.sign(')') {
                true => Ok(Some(Operand::Inner(inner))),
                false => Err("unclosed left paren".to_owned()),
            };
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            '|' | ')' => Ok(None),
            '.' => self.label().map(Some),
            '"' | '`' => self.text().map(Some),
            '-' | '0'..='9' => self.number().map(Some),
            _ => self.name().map(Some),
        }
    }

    fn label(&mut self) -> Read<Operand> {
        let (name, _) = keyword(&self.rest[1..]);
        if name.is_empty() || self.rest[1 + name.len()..].starts_with('.') {
            return Err(format!("unexpected \"{}\", expected a label such as .name", self.rest));
        }
        self.rest = &self.rest[1 + name.len()..];
        Ok(Operand::Label(name.to_owned()))
    }

    fn text(&mut self) -> Read<Operand> {
        let (text, length) =
            crate::lexer::string_at(self.rest).map_err(|fault: Fault| fault.message)?;
        self.rest = &self.rest[length..];
        Ok(Operand::Constant(Value::Text(text)))
    }

    fn number(&mut self) -> Read<Operand> {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-');
        let text = &self.rest[..self.rest.find(ends).unwrap_or(self.rest.len())];
        let value = match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(integer), _) => Value::Integer(integer),
            (_, Ok(float)) => Value::Float(float),
            _ => return Err(format!("bad number syntax: \"{text}\"")),
        };
        self.rest = &self.rest[text.len()..];
        Ok(Operand::Constant(value))
    }

    fn name(&mut self) -> Read<Operand> {
        let (name, _) = keyword(self.rest);
        let operand = match name {
            "" => return Err(format!("unexpected \"{}\" in an action", self.rest)),
            "__line__" => Operand::Line,
            "__timestamp__" => Operand::Timestamp,
            "true" | "false" => Operand::Constant(Value::Bool(name == "true")),
            name => {
                return Err(format!(
                    "function \"{name}\" not defined, or it stands in no parentheses"
                ));
            }
        };
        self.rest = &self.rest[name.len()..];
        Ok(operand)
    }
}
