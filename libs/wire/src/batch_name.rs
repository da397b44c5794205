//! The name of a batch: which agent, which epoch of it, which place in its sequence.
//!
//! It travels in HTTP headers beside a plain OTLP body, so that any other OTLP receiver can ignore it.
//! A request carries all of agent, epoch and sequence, or none of the four headers.

use crate::DecodeError;

/// The names of the headers.
pub mod header {
    /// The agent's id.
    pub const AGENT: &str = "logq-agent";
    /// The id of the agent's spool.
    pub const EPOCH: &str = "logq-epoch";
    /// The batch's number in the epoch, decimal.
    pub const SEQUENCE: &str = "logq-sequence";
    /// The lowest number of the epoch that the agent still holds, decimal.
    pub const FIRST_UNACKNOWLEDGED: &str = "logq-first-unacknowledged";
}

/// The name of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchName {
    /// The agent's id: 1 to 128 letters, digits and `._:@-`.
    pub agent: String,
    /// The epoch: 1 to 64 characters of the same kind, usually hex.
    pub epoch: String,
    /// The batch's number in the epoch.
    pub sequence: u64,
    /// The lowest number that the agent still holds; everything below it is acknowledged or lost.
    pub first_unacknowledged: Option<u64>,
}

impl BatchName {
    /// Longest agent id in bytes.
    pub const AGENT_BYTES_MAX: usize = 128;
    /// Longest epoch in bytes.
    pub const EPOCH_BYTES_MAX: usize = 64;

    /// Reads the name from a request's headers; `Ok(None)` if it has none of them.
    ///
    /// # Errors
    /// [`DecodeError::BatchName`] if a header is missing beside others, empty, too long, has other
    /// characters, is no number, or if `first_unacknowledged` is above the sequence.
    pub fn from_headers<'h>(
        get: impl Fn(&str) -> Option<&'h str>,
    ) -> Result<Option<Self>, DecodeError> {
        let agent = get(header::AGENT);
        let epoch = get(header::EPOCH);
        let sequence = get(header::SEQUENCE);
        let first = get(header::FIRST_UNACKNOWLEDGED);
        if agent.is_none() && epoch.is_none() && sequence.is_none() && first.is_none() {
            return Ok(None);
        }
        let sequence =
            number(header::SEQUENCE, sequence.ok_or_else(|| missing(header::SEQUENCE))?)?;
        let first_unacknowledged =
            first.map(|text| number(header::FIRST_UNACKNOWLEDGED, text)).transpose()?;
        if first_unacknowledged.is_some_and(|first| first > sequence) {
            return Err(DecodeError::BatchName {
                header: header::FIRST_UNACKNOWLEDGED,
                detail: "is above the sequence of its own batch",
            });
        }
        Ok(Some(Self {
            agent: word(header::AGENT, agent, Self::AGENT_BYTES_MAX)?,
            epoch: word(header::EPOCH, epoch, Self::EPOCH_BYTES_MAX)?,
            sequence,
            first_unacknowledged,
        }))
    }

    /// The headers to send.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let first = self.first_unacknowledged;
        [
            Some((header::AGENT, self.agent.clone())),
            Some((header::EPOCH, self.epoch.clone())),
            Some((header::SEQUENCE, self.sequence.to_string())),
            first.map(|first| (header::FIRST_UNACKNOWLEDGED, first.to_string())),
        ]
        .into_iter()
        .flatten()
    }
}

fn missing(header: &'static str) -> DecodeError {
    DecodeError::BatchName {
        header,
        detail: "is missing beside other logq headers; send agent, epoch and sequence, or none",
    }
}

fn word(header: &'static str, text: Option<&str>, bytes_max: usize) -> Result<String, DecodeError> {
    let text = text.ok_or_else(|| missing(header))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
    if text.is_empty() || text.len() > bytes_max {
        return Err(DecodeError::BatchName { header, detail: "is empty or too long" });
    }
    if !text.bytes().all(allowed) {
        let detail = "has other characters than letters, digits and ._:@-";
        return Err(DecodeError::BatchName { header, detail });
    }
    Ok(text.to_owned())
}

fn number(header: &'static str, text: &str) -> Result<u64, DecodeError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or(DecodeError::BatchName { header, detail: "is not a decimal number of 64 bits" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[(&str, &str)]) -> Result<Option<BatchName>, DecodeError> {
        BatchName::from_headers(|name| {
            headers.iter().find(|(header, _)| *header == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn a_name_is_read_back_from_its_headers() {
        for first_unacknowledged in [None, Some(0), Some(u64::MAX)] {
            let name = BatchName {
                agent: "node-1.example:7".into(),
                epoch: "00ff".into(),
                sequence: u64::MAX,
                first_unacknowledged,
            };
            let headers: Vec<_> = name.headers().collect();
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(parse(&headers).unwrap(), Some(name));
        }
        assert_eq!(parse(&[]).unwrap(), None);
    }

    #[test]
    fn incomplete_and_ill_formed_names_say_which_header() {
        let long = "a".repeat(129);
        let long_epoch = "a".repeat(65);
        let (agent, epoch, sequence) = (header::AGENT, header::EPOCH, header::SEQUENCE);
        let first = header::FIRST_UNACKNOWLEDGED;
        for (headers, wrong) in [
            (vec![(agent, "a")], sequence),
            (vec![(first, "1")], sequence),
            (vec![(agent, "a"), (sequence, "1")], epoch),
            (vec![(epoch, "a"), (sequence, "1")], agent),
            (vec![(agent, ""), (epoch, "e"), (sequence, "1")], agent),
            (vec![(agent, &long), (epoch, "e"), (sequence, "1")], agent),
            (vec![(agent, "a b"), (epoch, "e"), (sequence, "1")], agent),
            (vec![(agent, "a"), (epoch, &long_epoch), (sequence, "1")], epoch),
            (vec![(agent, "a"), (epoch, "e"), (sequence, "+1")], sequence),
            (vec![(agent, "a"), (epoch, "e"), (sequence, "")], sequence),
            (vec![(agent, "a"), (epoch, "e"), (sequence, "18446744073709551616")], sequence),
            (vec![(agent, "a"), (epoch, "e"), (sequence, "1"), (first, "2")], first),
        ] {
            match parse(&headers) {
                Err(DecodeError::BatchName { header, .. }) => {
                    assert_eq!(header, wrong, "{headers:?}")
                }
                other => panic!("{headers:?}: {other:?}"),
            }
        }
    }
}
