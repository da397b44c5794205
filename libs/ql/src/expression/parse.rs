//! Reads expressions by precedence climbing, and checks types where they are known.

use record::{Level, Severity, Timestamp};

use super::{Arithmetic, Comparison, Constant, Expression, FUNCTIONS, Function, Type};
use crate::arguments::{Arguments, LIST_MAX, Read, Token, float, unknown_function};
use crate::cidr::Network;
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::grammar::{DEPTH_MAX, clip};
use crate::moment::{self, TimeRange};
use crate::nearest::nearest;
use crate::number::Number;
use crate::pattern::Pattern;
use crate::quantity;
use crate::severity_range::SeverityRange;
use crate::span::{Span, Spanned};

/// Most constants, fields, operators and calls of one expression.
pub const EXPRESSION_NODES_MAX: usize = 1_024;

const OPERATORS: &str =
    "an operator: `==`, `!=`, `<`, `>=`, `=~`, `in`, `+`, `-`, `*`, `/`, `%`, `and`, `or`";
const OPERAND: &str = "a field, a number, a text in quotes, a function like `lower(FIELD)`, or `(`";

impl Arguments<'_> {
    /// An expression, up to what cannot belong to it.
    ///
    /// # Errors
    /// When something else stands here, types do not fit, or a bound is exceeded.
    pub fn expression(&mut self) -> Read<Spanned<Expression>> {
        let mut parser = Parser { arguments: self.clone(), depth: 0, nodes: 0 };
        let whole = parser.or()?;
        *self = parser.arguments;
        Ok(Spanned::new(whole.node, whole.span))
    }

    /// An expression that is true or false, and nothing behind it.
    ///
    /// # Errors
    /// As [`Arguments::expression`]; also when it is known to be something else than a condition.
    pub fn condition(&mut self) -> Read<Expression> {
        let whole = self.expression()?;
        self.expression_ends()?;
        condition(&whole.node, whole.span)?;
        Ok(whole.node)
    }

    /// # Errors
    /// When something stands here that is no operator.
    pub fn expression_ends(&self) -> Read<()> {
        match self.peek_token()? {
            None => Ok(()),
            Some(Spanned { node: Token::Sign("="), span }) => Err(single_equals(span)),
            Some(_) => Err(self.unexpected(OPERATORS)),
        }
    }
}

/// An expression with its place; a duration is not yet in a unit.
struct Operand {
    node: Expression,
    span: Span,
    nanos: Option<i128>,
}

struct Parser<'a> {
    arguments: Arguments<'a>,
    depth: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Read<Operand> {
        self.joined("or", "||", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Read<Operand> {
        self.joined("and", "&&", Self::not, Expression::And)
    }

    fn joined(
        &mut self,
        word: &'static str,
        sign: &'static str,
        member: fn(&mut Self) -> Read<Operand>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Read<Operand> {
        let first = member(self)?;
        let mut span = first.span;
        let mut members = Vec::new();
        let mut last = first;
        while self.takes_word_or_sign(word, sign)? {
            condition(&last.node, last.span)?;
            members.push(last.node);
            last = member(self)?;
            span = span.to(last.span);
        }
        if members.is_empty() {
            return Ok(last);
        }
        condition(&last.node, last.span)?;
        members.push(last.node);
        Ok(Operand { node: join(members), span, nanos: None })
    }

    fn not(&mut self) -> Read<Operand> {
        let Some(token) = self.arguments.peek_token()? else { return self.comparison() };
        let negates = match &token.node {
            Token::Name(name) => name.eq_ignore_ascii_case("not"),
            Token::Sign(sign) => *sign == "!",
            _ => false,
        };
        if !negates {
            return self.comparison();
        }
        self.arguments.token()?;
        self.deeper(|this| {
            let inner = this.not()?;
            condition(&inner.node, inner.span)?;
            let span = token.span.to(inner.span);
            Ok(Operand { node: Expression::Not(Box::new(inner.node)), span, nanos: None })
        })
    }

    fn comparison(&mut self) -> Read<Operand> {
        let left = self.sum()?;
        let Some(token) = self.arguments.peek_token()? else { return Ok(left) };
        let compared = match &token.node {
            Token::Sign(sign @ ("=~" | "!~")) => {
                self.arguments.token()?;
                self.matches(left, *sign == "!~")?
            }
            Token::Sign("=") => return Err(single_equals(token.span)),
            Token::Sign(sign) => match comparison_of(sign) {
                Some(comparison) => {
                    self.arguments.token()?;
                    let right = self.sum()?;
                    compare(comparison, left, right)?
                }
                None => return Ok(left),
            },
            Token::Name(name) if name.eq_ignore_ascii_case("in") => {
                self.arguments.token()?;
                self.one_of(left)?
            }
            _ => return Ok(left),
        };
        self.count(token.span)?;
        if let Some(next) = self.arguments.peek_token()?
            && let Token::Sign(sign) = next.node
            && comparison_of(sign).is_some()
        {
            let message = "comparisons cannot be chained";
            let wrong = Diagnostic::error("chained_comparison", next.span, message);
            return Err(wrong.with_help("join two of them with `and`").into());
        }
        Ok(compared)
    }

    fn matches(&mut self, left: Operand, negated: bool) -> Read<Operand> {
        expect(Type::Text, &left)?;
        let (compiled, end) = match self.arguments.regex()? {
            Some(pattern) => (pattern.node, pattern.span),
            None => {
                let text = self.arguments.text().map_err(|_| {
                    self.arguments.unexpected("a regular expression: `/x/` or `\"x\"`")
                })?;
                let compiled = Pattern::new(&text.node).map_err(|reason| {
                    let message = format!("this regular expression is wrong: {reason}");
                    Box::new(Diagnostic::error("bad_regex", text.span, message))
                })?;
                (compiled, text.span)
            }
        };
        let node = Expression::Matches(Box::new(left.node), compiled);
        let node = if negated { Expression::Not(Box::new(node)) } else { node };
        Ok(Operand { node, span: left.span.to(end), nanos: None })
    }

    /// `in (1, 2, "x")`, behind the `in`.
    fn one_of(&mut self, left: Operand) -> Read<Operand> {
        self.arguments.expect_sign('(')?;
        let mut constants = Vec::new();
        let close = loop {
            let one = self.sign()?;
            let one = in_unit_beside(one, &left.node);
            let Expression::Constant(mut constant) = one.node else {
                let message = "only constants can stand in this list";
                return Err(Diagnostic::error("no_constant", one.span, message)
                    .with_help("join comparisons with `or`")
                    .into());
            };
            if left.node == Expression::Field(Field::Severity)
                && let Constant::Text(text) = &constant
            {
                constant = Constant::Text(level(text, one.span)?.name().to_owned());
            }
            constants.push(constant);
            if constants.len() > LIST_MAX {
                let message = format!("a list has at most {LIST_MAX} members");
                return Err(Diagnostic::error("list_too_long", one.span, message).into());
            }
            if let Some(close) = self.arguments.sign(')') {
                break close;
            }
            if self.arguments.sign(',').is_none() {
                return Err(self.arguments.unexpected("`,` or `)`"));
            }
        };
        let span = left.span.to(close);
        Ok(Operand { node: Expression::OneOf(Box::new(left.node), constants), span, nanos: None })
    }

    fn sum(&mut self) -> Read<Operand> {
        let operators = [("+", Arithmetic::Add), ("-", Arithmetic::Subtract)];
        self.arithmetic(&operators, Self::product)
    }

    fn product(&mut self) -> Read<Operand> {
        let operators =
            [("*", Arithmetic::Multiply), ("/", Arithmetic::Divide), ("%", Arithmetic::Remainder)];
        self.arithmetic(&operators, Self::sign)
    }

    fn arithmetic(
        &mut self,
        operators: &[(&str, Arithmetic)],
        side: fn(&mut Self) -> Read<Operand>,
    ) -> Read<Operand> {
        let mut left = side(self)?;
        // Each operator nests what stands before it one deeper.
        let depth = self.depth;
        while let Some(token) = self.arguments.peek_token()? {
            let Token::Sign(sign) = token.node else { break };
            let Some((_, operator)) = operators.iter().find(|(name, _)| *name == sign) else {
                break;
            };
            self.arguments.token()?;
            self.count(token.span)?;
            self.depth += 1;
            self.check_depth(token.span)?;
            let right = side(self)?;
            left = calculate(*operator, sign, left, right)?;
        }
        self.depth = depth;
        Ok(left)
    }

    fn sign(&mut self) -> Read<Operand> {
        let Some(Spanned { node: Token::Sign("-"), span }) = self.arguments.peek_token()? else {
            return self.operand();
        };
        self.arguments.token()?;
        self.deeper(|this| {
            let inner = this.sign()?;
            expect(Type::Number, &inner)?;
            let span = span.to(inner.span);
            let node = match inner.node {
                Expression::Constant(Constant::Integer(number)) => {
                    Expression::Constant(Constant::Integer(-number))
                }
                Expression::Constant(Constant::Float(number)) => {
                    Expression::Constant(Constant::Float(-number))
                }
                other => Expression::Negate(Box::new(other)),
            };
            Ok(Operand { node, span, nanos: inner.nanos.map(|nanos| -nanos) })
        })
    }

    fn operand(&mut self) -> Read<Operand> {
        let before = self.arguments.clone();
        let Some(token) = self.arguments.token()? else { return Err(before.unexpected(OPERAND)) };
        self.count(token.span)?;
        let span = token.span;
        let constant =
            |constant| Ok(Operand { node: Expression::Constant(constant), span, nanos: None });
        match token.node {
            Token::Integer(number) => constant(Constant::Integer(number)),
            Token::Number(number) => constant(Constant::Float(number)),
            Token::Text(text) => constant(Constant::Text(text)),
            Token::Duration(duration) => {
                let seconds = Constant::Float(duration.as_secs_f64());
                let nanos = i128::try_from(duration.as_nanos()).ok();
                Ok(Operand { node: Expression::Constant(seconds), span, nanos })
            }
            Token::Field(field) => {
                Ok(Operand { node: Expression::Field(field), span, nanos: None })
            }
            Token::Sign("(") => {
                let inner = self.deeper(Self::or)?;
                let close = self.arguments.expect_sign(')')?;
                Ok(Operand { span: span.to(close), ..inner })
            }
            Token::Sign(_) => Err(before.unexpected(OPERAND)),
            Token::Name(name) => match name.as_str() {
                "true" => constant(Constant::Bool(true)),
                "false" => constant(Constant::Bool(false)),
                "null" => constant(Constant::Null),
                _ => match self.arguments.sign('(') {
                    Some(_) => self.deeper(|this| this.call(&Spanned::new(name, span))),
                    None if ["and", "or", "in"].contains(&name.to_lowercase().as_str()) => {
                        Err(before.unexpected(OPERAND))
                    }
                    None => {
                        let node = Expression::Field(Field::resolve(&name));
                        Ok(Operand { node, span, nanos: None })
                    }
                },
            },
        }
    }

    /// A call, behind its opening parenthesis.
    fn call(&mut self, name: &Spanned<String>) -> Read<Operand> {
        let Some(help) = FUNCTIONS.iter().find(|help| help.name == name.node) else {
            return Err(unknown_function(name, FUNCTIONS.iter().map(|help| help.name)).into());
        };
        let mut operands = Vec::new();
        let close = match self.arguments.sign(')') {
            Some(close) => close,
            None => loop {
                operands.push(self.or()?);
                if let Some(close) = self.arguments.sign(')') {
                    break close;
                }
                if self.arguments.sign(',').is_none() {
                    return Err(self.arguments.unexpected("`,` or `)`"));
                }
            },
        };
        let span = name.span.to(close);
        if !(help.count.0..=help.count.1).contains(&operands.len()) {
            let message = format!("`{}` does not have these arguments", help.name);
            let wrong = Diagnostic::error("bad_arguments", span, message);
            return Err(wrong.expecting(format!("`{}`", help.usage)).into());
        }
        if let (Function::Bin, [value, _]) = (help.function, &operands[..]) {
            let value = value.node.clone();
            operands = operands.into_iter().map(|one| in_unit_beside(one, &value)).collect();
        }
        let (places, nodes): (Vec<Span>, Vec<Expression>) =
            operands.into_iter().map(|one| (one.span, one.node)).unzip();
        for (number, (node, place)) in nodes.iter().zip(&places).enumerate() {
            let wanted = help.argument(number, &nodes);
            if wanted == Type::Bool {
                condition(node, *place)?;
            } else {
                expect_type(wanted, node.value_type(), *place)?;
            }
        }
        let node = special(help.function, nodes, &places)?;
        Ok(Operand { node, span, nanos: None })
    }

    fn takes_word_or_sign(&mut self, word: &str, sign: &str) -> Read<bool> {
        let Some(token) = self.arguments.peek_token()? else { return Ok(false) };
        let is_it = match &token.node {
            Token::Name(name) => name.eq_ignore_ascii_case(word),
            Token::Sign(other) => *other == sign,
            _ => false,
        };
        if is_it {
            self.arguments.token()?;
            self.count(token.span)?;
        }
        Ok(is_it)
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Read<Operand>) -> Read<Operand> {
        self.depth += 1;
        self.check_depth(self.arguments.rest_span())?;
        let inner = read(self);
        self.depth -= 1;
        inner
    }

    fn check_depth(&self, span: Span) -> Read<()> {
        if self.depth <= DEPTH_MAX {
            return Ok(());
        }
        let message = format!("an expression is nested more than {DEPTH_MAX} deep");
        Err(Diagnostic::error("too_deep", span, message).into())
    }

    fn count(&mut self, span: Span) -> Read<()> {
        self.nodes += 1;
        if self.nodes <= EXPRESSION_NODES_MAX {
            return Ok(());
        }
        let message = format!("an expression has at most {EXPRESSION_NODES_MAX} parts");
        Err(Diagnostic::error("too_long", span, message).into())
    }
}

fn comparison_of(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

impl Comparison {
    /// With the sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// Functions whose constant arguments are read here.
fn special(function: Function, mut nodes: Vec<Expression>, places: &[Span]) -> Read<Expression> {
    match function {
        Function::InNetwork => {
            let Some(Expression::Constant(Constant::Text(text))) = nodes.pop() else {
                let message = "the network is no text in quotes";
                return Err(Diagnostic::error("bad_network", places[1], message)
                    .expecting("a network like `\"10.0.0.0/8\"`")
                    .into());
            };
            match (Network::parse(&text), nodes.pop()) {
                (Some(Ok(network)), Some(address)) => {
                    Ok(Expression::Within(Box::new(address), network))
                }
                _ => {
                    let message = format!("`{}` is no network", clip(&text));
                    Err(Diagnostic::error("bad_network", places[1], message)
                        .expecting("a network like `\"10.0.0.0/8\"`")
                        .into())
                }
            }
        }
        Function::ToTime => match &nodes[..] {
            [Expression::Constant(Constant::Text(text))] => {
                Ok(Expression::Constant(Constant::Time(time(text, places[0])?.first)))
            }
            _ => Ok(Expression::Call(function, nodes)),
        },
        _ => Ok(Expression::Call(function, nodes)),
    }
}

/// A duration in the unit of the field beside it, whole if it is; anything else as it is.
fn in_unit_beside(operand: Operand, beside: &Expression) -> Operand {
    let (Some(nanos), Expression::Field(field @ Field::Attribute(_))) = (operand.nanos, beside)
    else {
        return operand;
    };
    let constant = match Number::ratio(nanos, quantity::unit_nanos_of(field.name())) {
        Number::Integer(number) => {
            i64::try_from(number).map_or(Constant::Float(number as f64), Constant::Integer)
        }
        fraction @ Number::Float(_) => Constant::Float(float(fraction)),
    };
    Operand { node: Expression::Constant(constant), ..operand }
}

fn compare(comparison: Comparison, left: Operand, right: Operand) -> Read<Operand> {
    let span = left.span.to(right.span);
    let (left, right) = (in_unit_beside(left, &right.node), right);
    let right = in_unit_beside(right, &left.node);
    let done = |node| Ok(Operand { node, span, nanos: None });
    let severity = Expression::Field(Field::Severity);
    match (&left.node, &right.node) {
        (field, Expression::Constant(Constant::Text(text))) if *field == severity => {
            return done(severity_compare(comparison, level(text, right.span)?));
        }
        (Expression::Constant(Constant::Text(text)), field) if *field == severity => {
            return done(severity_compare(comparison.mirrored(), level(text, left.span)?));
        }
        (_, Expression::Constant(Constant::Text(text))) if left.node.value_type() == Type::Time => {
            let period = time(text, right.span)?;
            return done(time_compare(comparison, left.node, period));
        }
        (Expression::Constant(Constant::Text(text)), _)
            if right.node.value_type() == Type::Time =>
        {
            let period = time(text, left.span)?;
            return done(time_compare(comparison.mirrored(), right.node, period));
        }
        _ => {}
    }
    let (one, other) = (left.node.value_type(), right.node.value_type());
    let texts_and_numbers = |one, other| (one, other) == (Type::Text, Type::Number);
    let fits = one == other
        || one == Type::Any
        || other == Type::Any
        || (comparison.is_equality()
            && (texts_and_numbers(one, other) || texts_and_numbers(other, one)));
    if !fits {
        let message = format!("{one} is compared with {other}");
        let wrong = Diagnostic::error("type_mismatch", span, message);
        let help = "`number(…)` reads a text as a number, `time(…)` as a time, `text(…)` prints";
        return Err(wrong.with_help(help).into());
    }
    done(Expression::Compare(comparison, Box::new([left.node, right.node])))
}

/// Levels by their numbers, whole levels on both sides.
fn severity_compare(comparison: Comparison, level: Level) -> Expression {
    let (first, last) = (*level.numbers().start(), *level.numbers().end());
    let range = match comparison {
        Comparison::Equal | Comparison::NotEqual => SeverityRange::new(first, last),
        Comparison::Less => SeverityRange::new(1, first - 1),
        Comparison::LessOrEqual => SeverityRange::new(1, last),
        Comparison::Greater => SeverityRange::new(last + 1, SeverityRange::MAX),
        Comparison::GreaterOrEqual => SeverityRange::new(first, SeverityRange::MAX),
    };
    let within = Expression::Severity(range);
    match comparison {
        Comparison::NotEqual => Expression::Not(Box::new(within)),
        _ => within,
    }
}

/// A period is compared as a whole, as in the filter.
fn time_compare(comparison: Comparison, value: Expression, period: TimeRange) -> Expression {
    let side = |comparison, value: Expression, time: Timestamp| {
        let constant = Expression::Constant(Constant::Time(time));
        Expression::Compare(comparison, Box::new([value, constant]))
    };
    match comparison {
        Comparison::Equal if period.first == period.last => {
            side(Comparison::Equal, value, period.first)
        }
        Comparison::Equal => Expression::And(vec![
            side(Comparison::GreaterOrEqual, value.clone(), period.first),
            side(Comparison::LessOrEqual, value, period.last),
        ]),
        Comparison::NotEqual => {
            Expression::Not(Box::new(time_compare(Comparison::Equal, value, period)))
        }
        Comparison::Less | Comparison::GreaterOrEqual => side(comparison, value, period.first),
        Comparison::Greater | Comparison::LessOrEqual => side(comparison, value, period.last),
    }
}

fn calculate(operator: Arithmetic, sign: &str, left: Operand, right: Operand) -> Read<Operand> {
    let span = left.span.to(right.span);
    let additive = matches!(operator, Arithmetic::Add | Arithmetic::Subtract);
    let nanos = match (left.nanos, right.nanos) {
        (Some(one), Some(other)) if additive => {
            Some(if operator == Arithmetic::Add { one + other } else { one - other })
        }
        _ => None,
    };
    let (left, right) = match additive {
        true => {
            let left = in_unit_beside(left, &right.node);
            let right = in_unit_beside(right, &left.node);
            (left, right)
        }
        false => (left, right),
    };
    let (one, other) = (left.node.value_type(), right.node.value_type());
    let wrong = |side: &Operand, found: Type| {
        let message = format!("`{sign}` wants numbers, and this is {found}");
        let wrong = Diagnostic::error("type_mismatch", side.span, message);
        Err(match (sign, found) {
            ("+", Type::Text) => wrong.with_help("`concat(A, B)` joins texts"),
            (_, Type::Text) => wrong.with_help("`number(…)` reads a text as a number"),
            _ => wrong,
        }
        .into())
    };
    let number_or_time = |found: Type| {
        matches!(found, Type::Any | Type::Number) || (additive && found == Type::Time)
    };
    if !number_or_time(one) {
        return wrong(&left, one);
    }
    if !number_or_time(other) || (one == Type::Number && other == Type::Time && sign == "-") {
        return wrong(&right, other);
    }
    if operator == Arithmetic::Add && one == Type::Time && other == Type::Time {
        return wrong(&right, other);
    }
    let sides = Box::new([left.node, right.node]);
    Ok(Operand { node: Expression::Arithmetic(operator, sides), span, nanos })
}

fn condition(node: &Expression, span: Span) -> Read<()> {
    let found = match (node, node.value_type()) {
        // A number or a time: no boolean in any case.
        (Expression::Arithmetic(..), Type::Any) => Type::Number,
        (_, found) => found,
    };
    match found {
        Type::Bool | Type::Any => Ok(()),
        found => {
            let message = format!("a condition is wanted here, and this is {found}");
            let wrong = Diagnostic::error("type_mismatch", span, message);
            Err(wrong.expecting("a comparison such as `duration_ms > 100`").into())
        }
    }
}

fn expect(wanted: Type, operand: &Operand) -> Read<()> {
    expect_type(wanted, operand.node.value_type(), operand.span)
}

fn expect_type(wanted: Type, found: Type, span: Span) -> Read<()> {
    if wanted == Type::Any || found == Type::Any || wanted == found {
        return Ok(());
    }
    let message = format!("{wanted} is wanted here, and this is {found}");
    Err(Diagnostic::error("type_mismatch", span, message).into())
}

fn level(text: &str, span: Span) -> Read<Level> {
    let names = Level::ALL.map(Level::name);
    let level = Severity::from_text(text).and_then(Severity::level);
    level.ok_or_else(|| {
        Diagnostic::error("unknown_level", span, format!("`{}` is no level", clip(text)))
            .expecting(names.join(", "))
            .did_you_mean(nearest(&text.to_lowercase(), names))
            .into()
    })
}

fn time(text: &str, span: Span) -> Read<TimeRange> {
    moment::parse(text).ok_or_else(|| {
        let message = format!("`{}` is no time", clip(text));
        let expected = "a time like `2026-01-01T10:00:00Z` or its beginning like `2026-01-01`";
        Diagnostic::error("bad_time", span, message).expecting(expected).into()
    })
}

fn single_equals(span: Span) -> Box<Diagnostic> {
    Diagnostic::error("single_equals", span, "`=` compares nothing").expecting("`==`").into()
}
