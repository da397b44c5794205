//! What stands behind a selector: line filters and stages.

use super::{Parser, Read};
use crate::ast::{
    Extraction, LabelChoice, LabelFormat, LabelSource, LineFilter, LineOperator, LogQuery, Logfmt,
    Stage, Unwrap,
};
use crate::fault::Fault;
use crate::lexer::Token;
use crate::names::Named;
use crate::pipeline::{Pipeline, check_matchers};
use crate::span::{Span, Spanned};

/// A stage that has a name of its own, and how the rest of it is read.
type Keyword = (&'static str, fn(&mut Parser<'_>) -> Read<Stage>);

const KEYWORDS: [Keyword; 11] = [
    ("json", |parser| Ok(Stage::Json(parser.extractions()?))),
    ("logfmt", |parser| parser.logfmt()),
    ("pattern", |parser| Ok(Stage::Pattern(parser.string()?))),
    ("regexp", |parser| Ok(Stage::Regexp(parser.string()?))),
    ("unpack", |_| Ok(Stage::Unpack)),
    ("line_format", |parser| Ok(Stage::LineFormat(parser.string()?))),
    ("label_format", |parser| parser.label_format()),
    ("drop", |parser| Ok(Stage::Drop(parser.list(|parser| parser.label_choice())?))),
    ("keep", |parser| Ok(Stage::Keep(parser.list(|parser| parser.label_choice())?))),
    ("decolorize", |_| Ok(Stage::Decolorize)),
    ("unwrap", |parser| parser.unwrap()),
];

impl Parser<'_> {
    /// A selector and its stages, in a query for lines.
    pub(super) fn log_query(&mut self) -> Read<Spanned<LogQuery>> {
        let start = self.span();
        let matchers = self.selector()?;
        let mut query = LogQuery { matchers, stages: Vec::new() };
        self.stages(&mut query, false)?;
        self.checked(query, start)
    }

    /// Finds what is wrong with the regular expressions, templates and patterns of a query.
    pub(super) fn checked(&self, query: LogQuery, start: Span) -> Read<Spanned<LogQuery>> {
        check_matchers(&query).map_err(|(message, span)| match span {
            Some(span) => Fault::at(self.text, span, message),
            None => Fault::whole(message),
        })?;
        Pipeline::compile_stages(&query)
            .map_err(|(message, span)| Fault::at(self.text, span, message))?;
        Ok(Spanned::new(query, self.span_from(start)))
    }

    /// Whatever stages follow.
    pub(super) fn stages(&mut self, query: &mut LogQuery, may_unwrap: bool) -> Read<()> {
        loop {
            let start = self.span();
            let stage = match *self.peek() {
                Token::Sign("|") => {
                    self.advance();
                    let unwraps = self.is_keyword("unwrap") && !self.is_filter();
                    if unwraps && (!may_unwrap || query.unwrapped().is_some()) {
                        return Err(self.unexpected(&[]));
                    }
                    self.stage()?
                }
                Token::Sign(sign) => match LineOperator::named(sign) {
                    Some(operator) => {
                        self.advance();
                        self.line_filter(operator)?
                    }
                    None => return Ok(()),
                },
                _ => return Ok(()),
            };
            self.count_node()?;
            if query.unwrapped().is_some() && !matches!(stage, Stage::Filter(_)) {
                let message = "syntax error: only label filters may follow unwrap";
                return Err(Fault::at(self.text, self.span_from(start), message));
            }
            query.stages.push(Spanned::new(stage, self.span_from(start)));
        }
    }

    fn stage(&mut self) -> Read<Stage> {
        if !self.is_filter() {
            for (keyword, rest) in KEYWORDS {
                if self.keyword(keyword) {
                    return rest(self);
                }
            }
        }
        match self.peek() {
            Token::Name(_) | Token::Sign("(") => Ok(Stage::Filter(self.label_filter()?)),
            _ => Err(self.unexpected(&[])),
        }
    }

    /// Whether a name and a comparison follow: then the name is a label, keyword or not.
    fn is_filter(&self) -> bool {
        let comparison = matches!(
            self.peek_behind(1),
            Token::Sign("=" | "==" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=")
        );
        // Behind a keyword, `!=` begins a line filter: `| json != "x"`.
        let line_filter = matches!(self.peek_behind(1), Token::Sign("!=" | "!~"))
            && ["json", "logfmt", "unpack", "decolorize"]
                .iter()
                .any(|keyword| self.is_keyword(keyword));
        comparison && !line_filter
    }

    fn line_filter(&mut self, operator: LineOperator) -> Read<Stage> {
        let mut texts = vec![self.string()?];
        while self.keyword("or") {
            self.count_node()?;
            texts.push(self.string()?);
        }
        Ok(Stage::Line(LineFilter { operator, texts }))
    }

    fn logfmt(&mut self) -> Read<Stage> {
        let mut logfmt = Logfmt::default();
        while let Token::Flag(flag) = self.peek() {
            match flag.to_ascii_lowercase().as_str() {
                "strict" => logfmt.strict = true,
                "keep-empty" => logfmt.keep_empty = true,
                _ => return Err(self.unexpected(&["--strict", "--keep-empty"])),
            }
            self.advance();
        }
        logfmt.extractions = self.extractions()?;
        Ok(Stage::Logfmt(logfmt))
    }

    /// `a="b.c", d`, or nothing.
    fn extractions(&mut self) -> Read<Vec<Extraction>> {
        match self.peek() {
            Token::Name(_) => self.list(|parser| {
                let label = parser.name()?;
                let source = if parser.sign("=") { parser.string()? } else { label.clone() };
                Ok(Extraction { label, source })
            }),
            _ => Ok(Vec::new()),
        }
    }

    fn label_format(&mut self) -> Read<Stage> {
        let formats = self.list(|parser| {
            let label = parser.name()?;
            parser.expect("=")?;
            let to = match parser.peek() {
                Token::Text(_) => LabelSource::Template(parser.string()?),
                Token::Name(_) => LabelSource::Label(parser.name()?),
                _ => return Err(parser.unexpected(&["STRING", "IDENTIFIER"])),
            };
            Ok(LabelFormat { label, to })
        })?;
        Ok(Stage::LabelFormat(formats))
    }

    fn label_choice(&mut self) -> Read<LabelChoice> {
        let name = self.name()?;
        match self.peek() {
            Token::Sign("=" | "!=" | "=~" | "!~")
                if matches!(self.peek_behind(1), Token::Text(_)) =>
            {
                Ok(LabelChoice::Matching(self.matcher(name)?))
            }
            _ => Ok(LabelChoice::Name(name)),
        }
    }

    fn unwrap(&mut self) -> Read<Stage> {
        let name = self.name()?;
        if !self.sign("(") {
            return Ok(Stage::Unwrap(Unwrap { label: name, conversion: None }));
        }
        let Some(conversion) = Named::named(&name) else {
            let message =
                format!("unknown conversion {name}, expecting duration, duration_seconds or bytes");
            return Err(Fault::at(self.text, self.lexemes[self.at - 2].span, message));
        };
        let label = self.name()?;
        self.expect(")")?;
        Ok(Stage::Unwrap(Unwrap { label, conversion: Some(conversion) }))
    }

    /// One or more, with commas between them.
    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.sign(",") {
            self.count_node()?;
            all.push(one(self)?);
        }
        Ok(all)
    }
}
