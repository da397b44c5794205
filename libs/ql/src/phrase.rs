//! Words and phrases of the message, tokenized as the index does it.

use record::{TraceId, tokenizer};

/// Most tokens in one phrase.
pub const PHRASE_TOKENS_MAX: usize = 256;

/// One token, or several that must stand next to each other in the message; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    text: String,
    tokens: Vec<String>,
}

impl Phrase {
    /// `None` if there is no letter and no digit in `text`.
    pub fn new(text: &str) -> Option<Self> {
        let tokens = tokenizer::tokens(text);
        (!tokens.is_empty()).then(|| Self { text: text.to_owned(), tokens })
    }

    /// As it was written. Not to be tokenized again from [`Phrase::tokens`]: folding can make characters that split.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folded tokens, at least one.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Whether the tokens stand next to each other in `message`.
    pub fn matches(&self, message: &str) -> bool {
        tokenizer::has_phrase(message, &self.tokens)
    }
}

/// A bare word: a phrase of the message, or the whole of a correlation id or a trace id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    phrase: Phrase,
    trace_id: Option<TraceId>,
}

impl Word {
    pub(crate) fn new(phrase: Phrase) -> Self {
        Self { trace_id: TraceId::from_hex(phrase.text()), phrase }
    }

    /// What to look for in the message.
    pub fn phrase(&self) -> &Phrase {
        &self.phrase
    }

    /// The folded tokens, at least one.
    pub fn tokens(&self) -> &[String] {
        self.phrase.tokens()
    }

    /// What to look for as a whole correlation id; exact to the case.
    pub fn id(&self) -> &str {
        self.phrase.text()
    }

    /// The trace id that the word may be.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace_id
    }

    /// Whether a record of these fields has the word.
    pub fn matches(
        &self,
        message: &str,
        correlation_id: Option<&str>,
        trace_id: Option<TraceId>,
    ) -> bool {
        correlation_id == Some(self.id())
            || (trace_id.is_some() && trace_id == self.trace_id)
            || self.phrase.matches(message)
    }
}
