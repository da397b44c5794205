//! The language as a whole: golden diagnostics, filters against records, stages, and properties.

mod diagnostics;
mod expressions;
mod properties;
mod records;
mod stages;
