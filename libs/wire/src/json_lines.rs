//! Not written yet: refuses everything.
use record::{RecordRef, Timestamp};

use crate::{DecodeError, Decoded, Limits};

pub(crate) fn decode(
    _body: &[u8],
    _received_at: Timestamp,
    _limits: &Limits,
    _sink: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Decoded, DecodeError> {
    Err(DecodeError::Malformed { what: "body", detail: "no decoder yet".to_owned() })
}
