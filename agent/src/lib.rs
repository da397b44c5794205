//! The agent: from the lines of a source to batches that the collector has acknowledged.
//!
//! [`lines`] cuts bytes into lines, [`assemble`] joins those of one record, [`format`] reads what a line says,
//! [`interpret`] makes the record of it, [`process`] filters, redacts and limits records. [`ship()`] sends whole files
//! once, as named batches; [`daemon`] follows what goes on growing, over [`source`]s and a spool. The agent knows the
//! wire, never the store.

pub mod access;
pub mod assemble;
pub mod command;
pub mod daemon;
mod delivery;
mod draft;
pub mod format;
pub mod interpret;
pub mod lines;
pub mod process;
mod reading;
mod roles;
mod ship;
pub mod source;
pub mod time_format;

pub use delivery::StoreIdentity;
pub use draft::{Draft, When};
pub use ship::{
    BatchLimits, FileReport, Progress, ReportTotal, ShipError, ShipOptions, ShipReport, ship,
};
