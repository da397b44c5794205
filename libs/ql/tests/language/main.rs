//! The language as a whole: golden diagnostics, filters against records, stages, and properties.

mod diagnostics;
mod properties;
mod records;
mod stages;
