//! Aggregations and operators, and which of them fit together.

use super::{Parser, Read};
use crate::ast::{
    Binary, BinaryOperator, Expr, Group, Grouping, LabelReplace, Matching, Metric, RangeFunction,
    Side, VectorAggregation, VectorFunction,
};
use crate::fault::Fault;
use crate::lexer::Token;
use crate::names::Named;
use crate::pipeline::check_replace;
use crate::span::{Span, Spanned};

/// Most operators of a query: they nest to the left, each a level, so that few enough keep the stack small.
const OPERATORS_MAX: usize = 200;

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Read<Expr> {
        self.operations(1)
    }

    fn metric(&mut self) -> Read<Spanned<Metric>> {
        let start = self.at;
        match self.expression()? {
            Expr::Metric(metric) => Ok(metric),
            Expr::Log(_) => {
                self.at = start;
                Err(self.unexpected(&[]))
            }
        }
    }

    /// Operands and operators that bind at least as close as `precedence`.
    fn operations(&mut self, precedence: u8) -> Read<Expr> {
        let mut left = self.operand()?;
        while let Some(operator) = self.operator().filter(|next| next.precedence() >= precedence) {
            let Expr::Metric(first) = left else { return Err(self.unexpected(&[])) };
            self.count_node()?;
            self.operators += 1;
            if self.operators > OPERATORS_MAX {
                let message = format!("query has more than {OPERATORS_MAX} operators");
                return Err(Fault::at(self.text, self.span(), message));
            }
            self.advance();
            let returns_bool = self.modifier_bool(operator)?;
            let matching = self.matching(operator)?;
            let closer = operator.precedence() + u8::from(operator != BinaryOperator::Power);
            let start = self.at;
            let Expr::Metric(second) = self.nested(|parser| parser.operations(closer))? else {
                self.at = start;
                return Err(self.unexpected(&[]));
            };
            let span = first.span.to(second.span);
            let (left_side, right) = (Box::new(first), Box::new(second));
            let binary = Binary { operator, returns_bool, matching, left: left_side, right };
            check_binary(&binary)?;
            left = Expr::Metric(Spanned::new(Metric::Binary(binary), span));
        }
        Ok(left)
    }

    fn operator(&self) -> Option<BinaryOperator> {
        match self.peek() {
            Token::Sign(sign) => BinaryOperator::named(sign),
            Token::Name(name) => BinaryOperator::named(name),
            _ => None,
        }
    }

    fn modifier_bool(&mut self, operator: BinaryOperator) -> Read<bool> {
        match operator {
            BinaryOperator::Compare(_) => Ok(self.keyword("bool")),
            _ if self.is_keyword("bool") => Err(self.unexpected(&[])),
            _ => Ok(false),
        }
    }

    fn matching(&mut self, operator: BinaryOperator) -> Read<Option<Matching>> {
        let on = self.is_keyword("on");
        if !on && !self.is_keyword("ignoring") {
            return Ok(None);
        }
        self.advance();
        let labels = self.names()?;
        let side = match () {
            () if self.is_keyword("group_left") => Some(Side::Left),
            () if self.is_keyword("group_right") => Some(Side::Right),
            () => None,
        };
        if side.is_some() && operator.is_set() {
            return Err(self.unexpected(&[]));
        }
        let mut group = None;
        if let Some(side) = side {
            self.advance();
            // Without labels of its own, the parenthesis begins the operand: `group_left (…)` has names alone in it.
            let include = if self.are_names() { self.names()? } else { Vec::new() };
            group = Some(Group { side, include });
        }
        Ok(Some(Matching { on, labels, group }))
    }

    /// Whether names in parentheses follow.
    fn are_names(&self) -> bool {
        let mut at = 1;
        if !self.is_sign("(") {
            return false;
        }
        loop {
            match (self.peek_behind(at), self.peek_behind(at + 1)) {
                (Token::Sign(")"), _) if at == 1 => return true,
                (Token::Name(_), Token::Sign(")")) => return true,
                (Token::Name(_), Token::Sign(",")) => at += 2,
                _ => return false,
            }
        }
    }

    fn operand(&mut self) -> Read<Expr> {
        let start = self.span();
        let metric = match self.peek() {
            Token::Sign("{") => return self.log_query().map(Expr::Log),
            Token::Sign("(") => {
                self.advance();
                let inner = self.nested(Self::expression)?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Number(_) | Token::Sign("+" | "-") => Metric::Literal(self.number()?),
            Token::Name(name) => {
                let name = name.clone();
                self.call(&name)?
            }
            _ => return Err(self.unexpected(&[])),
        };
        self.count_node()?;
        Ok(Expr::Metric(Spanned::new(metric, self.span_from(start))))
    }

    fn call(&mut self, name: &str) -> Read<Metric> {
        let opens = |parser: &Self| matches!(parser.peek_behind(1), Token::Sign("("));
        if let Some(function) = RangeFunction::named(name).filter(|_| opens(self)) {
            self.advance();
            return self.nested(|parser| parser.range_aggregation(function)).map(Metric::Range);
        }
        if let Some(function) = VectorFunction::named(name) {
            self.advance();
            return self.nested(|parser| parser.aggregation(function)).map(Metric::Aggregate);
        }
        if self.keyword("vector") {
            self.expect("(")?;
            let number = self.number()?;
            self.expect(")")?;
            return Ok(Metric::Vector(number));
        }
        if self.keyword("label_replace") {
            return self.nested(Self::label_replace).map(Metric::LabelReplace);
        }
        Err(self.unexpected(&[]))
    }

    fn label_replace(&mut self) -> Read<LabelReplace> {
        self.expect("(")?;
        let of = Box::new(self.metric()?);
        let mut texts = [const { String::new() }; 4];
        for text in &mut texts {
            self.expect(",")?;
            *text = self.string()?;
        }
        self.expect(")")?;
        let [destination, replacement, source, regex] = texts;
        let replace = LabelReplace { of, destination, replacement, source, regex };
        check_replace(&replace)?;
        Ok(replace)
    }

    fn aggregation(&mut self, function: VectorFunction) -> Read<VectorAggregation> {
        let before = self.grouping()?;
        self.expect("(")?;
        let parameter = match (self.peek(), self.peek_behind(1)) {
            (Token::Number(number), Token::Sign(",")) => {
                let number = *number;
                self.advance();
                self.advance();
                Some(number)
            }
            _ => None,
        };
        let span = self.span();
        let of = Box::new(self.metric()?);
        self.expect(")")?;
        let grouping = match before {
            Some(before) => Some(before),
            None => self.grouping()?,
        };
        self.aggregation_of(function, parameter, of, grouping, span)
    }

    fn aggregation_of(
        &self,
        function: VectorFunction,
        parameter: Option<f64>,
        of: Box<Spanned<Metric>>,
        grouping: Option<Grouping>,
        span: Span,
    ) -> Read<VectorAggregation> {
        let counts = matches!(function, VectorFunction::TopK | VectorFunction::BottomK);
        let sorts = matches!(function, VectorFunction::Sort | VectorFunction::SortDescending);
        let parameter = match parameter {
            None if counts => {
                return Err(Fault::whole(format!("parameter required for operation {function}")));
            }
            Some(number) if !counts => {
                return Err(Fault::whole(format!(
                    "unsupported parameter for operation {function}({number},"
                )));
            }
            Some(number) if number < 1.0 || number.fract() != 0.0 => {
                return Err(Fault::whole(format!(
                    "invalid parameter (must be greater than 0) {function}({number}"
                )));
            }
            parameter => parameter.map(|number| number as u64),
        };
        if sorts && grouping.is_some() {
            return Err(Fault::whole(format!("grouping not allowed for {function} aggregation")));
        }
        if matches!(of.node, Metric::Literal(_)) {
            return Err(Fault::at(self.text, span, "syntax error: unexpected NUMBER"));
        }
        Ok(VectorAggregation { function, parameter, of, grouping })
    }

    pub(super) fn grouping(&mut self) -> Read<Option<Grouping>> {
        let without = self.is_keyword("without");
        if !without && !self.is_keyword("by") {
            return Ok(None);
        }
        self.advance();
        Ok(Some(Grouping { without, labels: self.names()? }))
    }
}

fn check_binary(binary: &Binary) -> Read<()> {
    if !binary.operator.is_set() {
        return Ok(());
    }
    for (side, operand) in [("left", &binary.left), ("right", &binary.right)] {
        if let Metric::Literal(number) = operand.node {
            return Err(Fault::whole(format!(
                "unexpected literal for {side} leg of logical/set binary operation ({}): {number:.6}",
                binary.operator
            )));
        }
    }
    Ok(())
}
