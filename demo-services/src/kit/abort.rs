//! Places at which a process of the shop dies on demand, for tests: `LOGQ_DEMO_ABORT_AT=before-call:ship` ends it there
//! as kill -9 would, without a word and without a clean end.

use std::sync::Arc;

/// The variable that names the place.
const VARIABLE: &str = "LOGQ_DEMO_ABORT_AT";

/// Where to die; nowhere, in life.
#[derive(Clone, Debug, Default)]
pub(crate) struct AbortAt(Option<Arc<str>>);

impl AbortAt {
    pub(crate) fn from_env() -> Self {
        Self(std::env::var(VARIABLE).ok().filter(|place| !place.is_empty()).map(Into::into))
    }

    /// Dies if this is the place.
    pub(crate) fn pass(&self, place: &str, what: &str) {
        let wanted = self.0.as_deref().and_then(|wanted| wanted.split_once(':'));
        if wanted == Some((place, what)) {
            std::process::abort();
        }
    }
}
