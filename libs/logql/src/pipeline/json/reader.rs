//! Reads JSON value by value, in the text itself: nothing is copied, and nesting is bounded.

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// What a JSON value is, as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum JsonValue<'a> {
    /// Without its quotes, escapes as they are.
    String(&'a str),
    Number(&'a str),
    Bool(&'a str),
    Null,
    Object(&'a str),
    Array(&'a str),
}

impl JsonValue<'_> {
    /// As the value of a label.
    pub(super) fn text(self) -> String {
        match self {
            Self::String(escaped) => unescaped(escaped),
            Self::Null => String::new(),
            Self::Number(text) | Self::Bool(text) | Self::Object(text) | Self::Array(text) => {
                text.to_owned()
            }
        }
    }
}

/// A place in a JSON text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// At the byte `at` of a text.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 0 }
    }

    /// Passes over a byte.
    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    pub(super) fn shallower(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.fault("nested too deep")) } else { Ok(()) }
    }

    pub(super) fn fault(&self, what: &str) -> String {
        format!("{what} at byte {}", self.at)
    }

    /// The key of the next member, the reader at its value; `None` behind the closing brace.
    pub(super) fn key(&mut self, first: bool) -> Result<Option<&'a str>, String> {
        self.skip_blanks();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.fault("expected a comma or a closing brace")),
        }
        self.skip_blanks();
        let key = self.string()?;
        self.skip_blanks();
        if self.next() != Some(b':') {
            return Err(self.fault("expected a colon"));
        }
        self.skip_blanks();
        Ok(Some(key))
    }

    /// Whether there is one more element; `false` behind the closing bracket.
    pub(super) fn element(&mut self, first: bool) -> Result<bool, String> {
        self.skip_blanks();
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(self.fault("expected a comma or a closing bracket")),
        }
    }

    pub(super) fn value(&mut self) -> Result<JsonValue<'a>, String> {
        self.skip_blanks();
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(JsonValue::String),
            Some(b'{') => {
                self.at += 1;
                self.deeper()?;
                let mut first = true;
                while self.key(first)?.is_some() {
                    first = false;
                    self.value()?;
                }
                self.depth -= 1;
                Ok(JsonValue::Object(&self.text[start..self.at]))
            }
            Some(b'[') => {
                self.at += 1;
                self.deeper()?;
                let mut first = true;
                while self.element(first)? {
                    first = false;
                    self.value()?;
                }
                self.depth -= 1;
                Ok(JsonValue::Array(&self.text[start..self.at]))
            }
            _ => self.bare(),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn bare(&mut self) -> Result<JsonValue<'a>, String> {
        let rest = &self.text[self.at..];
        let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        let text = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let value = match text {
            "true" | "false" => JsonValue::Bool(text),
            "null" => JsonValue::Null,
            _ if text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                && text.parse::<f64>().is_ok() =>
            {
                JsonValue::Number(text)
            }
            _ => return Err(self.fault("unexpected value")),
        };
        self.at += text.len();
        Ok(value)
    }

    /// What is between two quotes.
    fn string(&mut self) -> Result<&'a str, String> {
        if self.next() != Some(b'"') {
            return Err(self.fault("expected a string"));
        }
        let start = self.at;
        loop {
            match self.next() {
                Some(b'"') => return Ok(&self.text[start..self.at - 1]),
                Some(b'\\') => self.at += usize::from(self.peek().is_some()),
                Some(_) => {}
                None => return Err(self.fault("unclosed string")),
            }
        }
    }
}

/// A text without its escapes; one that is wrong stays as it is, half of a surrogate pair becomes U+FFFD.
pub(super) fn unescaped(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        unescaped.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.chars().next() else { break };
        rest = &rest[letter.len_utf8()..];
        match letter {
            'n' => unescaped.push('\n'),
            't' => unescaped.push('\t'),
            'r' => unescaped.push('\r'),
            'b' => unescaped.push('\u{8}'),
            'f' => unescaped.push('\u{c}'),
            'u' => match code_unit(rest) {
                Some(unit) => {
                    rest = &rest[4..];
                    let low = rest.strip_prefix("\\u").and_then(code_unit);
                    let pair = low.and_then(|low| char::decode_utf16([unit, low]).next()?.ok());
                    let pair = pair.filter(|character| u32::from(*character) > 0xffff);
                    if pair.is_some() {
                        rest = &rest[6..];
                    }
                    let alone = char::from_u32(unit.into()).unwrap_or('\u{fffd}');
                    unescaped.push(pair.unwrap_or(alone));
                }
                None => unescaped.push_str("\\u"),
            },
            other => unescaped.push(other),
        }
    }
    unescaped.push_str(rest);
    unescaped
}

fn code_unit(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}
