//! What every process needs.
