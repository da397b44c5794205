//! What the answer to a batch says beside its body, whatever its format: which store has it, and what became of it.

use axum::http::HeaderMap;
use store::Appended;

use crate::Collector;

/// The id made with the data folder.
const STORE_ID: &str = "logq-store-id";
/// Higher after each restore from a backup.
const GENERATION: &str = "logq-generation";
/// The batch had been accepted before.
const DUPLICATE: &str = "logq-duplicate";
/// How many batches below the agent's first unacknowledged one were never seen here. Left out if there are none.
const LOST_BATCHES: &str = "logq-lost-batches";

impl Collector {
    pub(crate) fn tell(&self, appended: &Appended, answers: &mut HeaderMap) {
        let (store_id, generation) = self.store.identity();
        if let Ok(store_id) = store_id.parse() {
            answers.insert(STORE_ID, store_id);
        }
        answers.insert(GENERATION, generation.into());
        if appended.duplicate {
            answers.insert(DUPLICATE, 1.into());
        }
        if appended.lost_batches > 0 {
            answers.insert(LOST_BATCHES, appended.lost_batches.into());
        }
    }
}
