//! What tests of services stand on: a service on trial ([`trial`]), and what its consumers rely on ([`contract`]).

pub(crate) mod contract;
pub(crate) mod trial;
