//! The file source on real files: every kind of rotation, restarts at any moment, and a model that does it all
//! in any order.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its files should stop")]

mod files;
mod harness;
mod model;
mod restart;
mod rotation;
