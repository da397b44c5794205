//! Functions over ranges: `rate({app="a"} | json [5m] offset 1h)`, and whether the function fits what it is of.

use super::{Parser, Read};
use crate::ast::{LogQuery, LogRange, RangeAggregation, RangeFunction};
use crate::fault::Fault;
use crate::lexer::Token;

impl Parser<'_> {
    pub(super) fn range_aggregation(&mut self, function: RangeFunction) -> Read<RangeAggregation> {
        self.expect("(")?;
        let parameter = match self.peek() {
            Token::Number(_) | Token::Sign("+" | "-") => {
                let number = self.number()?;
                self.expect(",")?;
                Some(number)
            }
            _ => None,
        };
        let range = self.log_range()?;
        self.expect(")")?;
        let grouping = self.grouping()?;
        let aggregation = RangeAggregation { function, parameter, range, grouping };
        check_range(&aggregation)?;
        Ok(aggregation)
    }

    /// A log query with its range: behind the selector, behind the stages, or behind parentheses around both.
    fn log_range(&mut self) -> Read<LogRange> {
        let start = self.span();
        let mut range = None;
        let query = self.ranged(&mut range)?;
        let Some((range_ns, offset_ns)) = range else { return Err(self.unexpected(&[])) };
        Ok(LogRange { query: self.checked(query, start)?, range_ns, offset_ns })
    }

    fn ranged(&mut self, range: &mut Option<(i64, i64)>) -> Read<LogQuery> {
        if !self.sign("(") {
            let mut query = LogQuery { matchers: self.selector()?, stages: Vec::new() };
            self.range(range)?;
            self.stages(&mut query, true)?;
            self.range(range)?;
            return Ok(query);
        }
        let mut query = self.nested(|parser| parser.ranged(range))?;
        self.expect(")")?;
        self.range(range)?;
        if range.is_some() {
            self.stages(&mut query, true)?;
        }
        Ok(query)
    }

    fn range(&mut self, range: &mut Option<(i64, i64)>) -> Read<()> {
        let Token::Range(range_ns) = *self.peek() else { return Ok(()) };
        if range.is_some() {
            return Err(self.unexpected(&[]));
        }
        self.advance();
        let mut offset_ns = 0;
        if self.keyword("offset") {
            let negative = self.sign("-");
            let Token::Duration(duration_ns) = *self.peek() else {
                return Err(self.unexpected(&["DURATION"]));
            };
            self.advance();
            offset_ns = if negative { -duration_ns } else { duration_ns };
        }
        *range = Some((range_ns, offset_ns));
        Ok(())
    }
}

/// Whether the function fits the range, its parameter and its grouping.
fn check_range(aggregation: &RangeAggregation) -> Read<()> {
    use RangeFunction::{
        Avg, Bytes, BytesRate, Count, First, Last, Max, Min, Quantile, RateCounter, Stddev, Stdvar,
        Sum,
    };
    let function = aggregation.function;
    match aggregation.parameter {
        None if function == Quantile => {
            return Err(Fault::whole(format!("parameter required for operation {function}")));
        }
        Some(number) if function != Quantile => {
            return Err(Fault::whole(format!(
                "parameter {number} not supported for operation {function}"
            )));
        }
        _ => {}
    }
    let groups = matches!(function, Avg | Stddev | Stdvar | Quantile | Max | Min | First | Last);
    if aggregation.grouping.is_some() && !groups {
        return Err(Fault::whole(format!("grouping not allowed for {function} aggregation")));
    }
    let unwraps = aggregation.range.query.node.unwrapped().is_some();
    match function {
        Count | BytesRate | Bytes if unwraps => {
            Err(Fault::whole(format!("invalid aggregation {function} with unwrap")))
        }
        Sum | Avg | Min | Max | Stddev | Stdvar | First | Last | Quantile | RateCounter
            if !unwraps =>
        {
            Err(Fault::whole(format!("invalid aggregation {function} without unwrap")))
        }
        _ => Ok(()),
    }
}
