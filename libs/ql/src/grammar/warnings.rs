//! Warnings of the grammar: what is in order, and probably means something else.

use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::grammar::{Grammar, clip};
use crate::lexer;
use crate::span::Span;

impl Grammar<'_> {
    pub(super) fn warn_of_name(&mut self, name: &str, span: Span) {
        if self
            .rest()
            .strip_prefix("//")
            .is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
        {
            let warning = Diagnostic::warning(
                "looks_like_url",
                span,
                format!("this looks for an attribute called `{}`", clip(name)),
            );
            self.report(warning.with_help("quote a URL to search it in the message"));
        } else if let Field::Attribute(_) = Field::resolve(name) {
            if let Some(taken) = Field::taken_by(name) {
                let message = format!(
                    "`{name}` is kept as `{}` where that had no better source",
                    taken.name()
                );
                self.report(Diagnostic::warning("key_of_fixed_field", span, message).with_help(
                    format!(
                        "search `{}`; write `\"{name}\":…` to search the attribute all the same",
                        taken.name()
                    ),
                ));
            } else if let Some(nearly) = Field::nearly(name) {
                let message = format!("this looks for an attribute called `{name}`");
                self.report(
                    Diagnostic::warning("nearly_known_field", span, message)
                        .did_you_mean(Some(nearly)),
                );
            }
        }
    }

    pub(super) fn warn_of_operator(&mut self) {
        if let Ok((_, (name, operator))) = lexer::misplaced_operator(self.rest()) {
            let colon =
                if operator.starts_with('=') { ":".to_owned() } else { format!(":{operator}") };
            let start = self.at + name.len();
            let span = Span::new(start, start + operator.len());
            let value = self.text[span.end..].split(lexer::ends_bare).next().unwrap_or_default();
            let meant = format!("{}{colon}{}", clip(name), clip(value));
            let message =
                format!("`{operator}` does not compare here, the words are searched as they stand");
            self.report(
                Diagnostic::warning("missing_colon", span, message).did_you_mean(Some(&meant)),
            );
        }
    }

    pub(super) fn warn_of_lower_case_operator(&mut self, start: usize, first: bool) {
        let word = &self.text[start..self.at.max(start)];
        if !first && (word == "or" || word == "and") && !self.rest().trim_start().is_empty() {
            let upper = word.to_uppercase();
            self.report(
                Diagnostic::warning(
                    "lower_case_operator",
                    self.since(start),
                    format!("`{word}` is searched as a word"),
                )
                .with_help(format!("write `{upper}` for the operator")),
            );
        }
    }
}
