//! Sagas by orchestration: a business transaction over several services, each with a database of its own, as steps that
//! are done one after the other and undone in reverse where one fails.
//!
//! ```text
//! definition    what the steps are                        data
//! instance      where a run stands, what comes next       a value; decides without a clock and without a network
//! store         runs, their history, what people must do  tables of the service that runs the saga
//! coordinator   which runs are driven                     begins new ones, takes up those that a kill left behind
//! drive, ask    one run, step by step                     writes down what it is about to do, asks, writes what came of it
//! tell          events for the log
//! ```
//!
//! A coordinator that is killed goes on where its database says. It may then ask again what was asked already: every
//! request has an idempotency key that is made of the saga and the step, so that nothing happens twice.

mod ask;
pub(crate) mod coordinator;
pub(crate) mod definition;
mod drive;
pub(crate) mod instance;
pub(crate) mod store;
mod tell;
