//! Who is told what, and when: incidents to groups, groups to notifications, notifications to receivers.

mod alertmanager;
mod command;
mod deliver;
mod grouping;
mod slack;
mod tries;
mod webhook;

pub(crate) use self::deliver::{Delivery, secret};
pub(crate) use self::grouping::tell_news;
pub(crate) use self::tries::Tries;
