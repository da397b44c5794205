//! What every service of the shop stands on: its port, log, health and metrics ([`site`]), its ids ([`ids`]), a database
//! of its own ([`database`]), who else there is ([`directory`]), and what it is given when it starts ([`context`]).
//! Further what comes in with a request ([`request`]), who asks ([`identity`]), and what a service says of its interface
//! ([`openapi`]).
//!
//! A service is an axum router and some work beside it. It knows no other service's types, files or addresses: whom it
//! calls it finds by name.

pub(crate) mod abort;
pub(crate) mod backoff;
pub(crate) mod card;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod database;
pub(crate) mod directory;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod ids;
pub(crate) mod openapi;
pub(crate) mod registration;
pub(crate) mod request;
pub(crate) mod rows;
pub(crate) mod site;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod web;
