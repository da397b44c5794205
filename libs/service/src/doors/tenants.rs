//! What one tenant may take, where that differs from what holds for all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Values;

/// Bounds of one tenant. What is absent is as for every tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Segments whose newest record is older go.
    pub retention_age: Option<Duration>,
    /// Its oldest segments go while all of its own together are larger.
    pub retention_bytes: Option<u64>,
    /// Bytes of bodies as they are sent, a second.
    pub ingest_bytes_per_second: Option<u64>,
    /// Queries at the same time.
    pub queries: Option<usize>,
}

impl TenantLimits {
    pub(super) fn from_values(values: &Values) -> Self {
        Self {
            retention_age: values.get("retention_age"),
            retention_bytes: values.get("retention_size"),
            ingest_bytes_per_second: values.get("ingest_bytes_per_second"),
            queries: values.get("queries"),
        }
    }
}

/// Of all tenants that have any, by name.
pub(super) type ByTenant = BTreeMap<String, TenantLimits>;
