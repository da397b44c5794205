//! What the lines of a source look like, one small file for each format.
//!
//! A format reads the header of a line (time, severity, who, which thread) into a [`Draft`]; the message is the
//! text behind it as it stands. Formats know layouts, never the words of one system. A line that does not fit
//! is refused whole: what becomes of it is not the format's business.

mod access;
mod apache_access;
mod apache_error;
mod detect;
mod envoy_access;
mod hdfs;
mod header;
mod json;
mod klog;
mod log4j;
mod logfmt;
mod nginx;
mod openstack;
mod pattern;
mod python;
mod raw;
mod syslog;

use std::fmt;
use std::str::FromStr;

use regex::Regex;
use thiserror::Error;

use crate::draft::Draft;

pub(crate) use syslog::{FACILITIES, SEVERITIES};

pub use detect::{SAMPLE_BYTES_MAX, SAMPLE_LINES_MAX, detect};

/// Reads lines of one layout.
pub trait LineFormat: Send + fmt::Debug {
    /// Reads one line into an empty draft; `false` if the line is not of this format, and then the draft holds
    /// nothing of use.
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool;
}

/// The formats by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Whichever of the others, patterns aside, reads most of the first lines.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// `key=value key="value with spaces"`.
    Logfmt,
    /// A pattern of the user with named groups.
    Regex,
    /// OpenStack's services (oslo.log).
    Openstack,
    /// HDFS's daemons: log4j with the time written compactly and a number before the level.
    Hdfs,
    /// RFC 5424 and RFC 3164, with and without the priority.
    Syslog,
    /// The layouts that log4j, logback and their kin are set to.
    Log4j,
    /// The error log of Apache httpd, 2.2 and 2.4.
    ApacheError,
    /// Access logs in the common and the combined form, with or without a virtual host.
    ApacheAccess,
    /// nginx's access log in the combined form, and its error log.
    Nginx,
    /// Envoy's access log in its default form, and in Istio's.
    EnvoyAccess,
    /// Kubernetes' components.
    Klog,
    /// The layouts that Python's `logging` is set to.
    Python,
    /// The line is the message.
    Raw,
}

/// No format has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown format {0:?}: use auto, json, logfmt, regex, openstack, hdfs, syslog, log4j, apache_error, \
     apache_access, nginx, envoy_access, klog, python or raw"
)]
pub struct UnknownFormat(pub String);

impl Format {
    /// All of them.
    pub const ALL: [Format; 15] = [
        Format::Auto,
        Format::Json,
        Format::Logfmt,
        Format::Regex,
        Format::Openstack,
        Format::Hdfs,
        Format::Syslog,
        Format::Log4j,
        Format::ApacheError,
        Format::ApacheAccess,
        Format::Nginx,
        Format::EnvoyAccess,
        Format::Klog,
        Format::Python,
        Format::Raw,
    ];

    /// The name on the command line and in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Json => "json",
            Format::Logfmt => "logfmt",
            Format::Regex => "regex",
            Format::Openstack => "openstack",
            Format::Hdfs => "hdfs",
            Format::Syslog => "syslog",
            Format::Log4j => "log4j",
            Format::ApacheError => "apache_error",
            Format::ApacheAccess => "apache_access",
            Format::Nginx => "nginx",
            Format::EnvoyAccess => "envoy_access",
            Format::Klog => "klog",
            Format::Python => "python",
            Format::Raw => "raw",
        }
    }

    /// The reader of this format. `pattern` is what [`Format::Regex`] reads by; without one, and for
    /// [`Format::Auto`], which must be decided first (see [`detect`]), lines are taken as they are.
    pub fn reader(self, pattern: Option<&Regex>) -> Box<dyn LineFormat> {
        match (self, pattern) {
            (Format::Json, _) => Box::new(json::Json),
            (Format::Logfmt, _) => Box::new(logfmt::Logfmt),
            (Format::Regex, Some(pattern)) => Box::new(pattern::Pattern::new(pattern.clone())),
            (Format::Openstack, _) => Box::new(openstack::Openstack),
            (Format::Hdfs, _) => Box::new(hdfs::Hdfs),
            (Format::Syslog, _) => Box::new(syslog::Syslog),
            (Format::Log4j, _) => Box::new(log4j::Log4j),
            (Format::ApacheError, _) => Box::new(apache_error::ApacheError),
            (Format::ApacheAccess, _) => Box::new(apache_access::ApacheAccess),
            (Format::Nginx, _) => Box::new(nginx::Nginx),
            (Format::EnvoyAccess, _) => Box::new(envoy_access::EnvoyAccess),
            (Format::Klog, _) => Box::new(klog::Klog),
            (Format::Python, _) => Box::new(python::Python),
            (Format::Regex | Format::Raw | Format::Auto, _) => Box::new(raw::Raw),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let known = Format::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_others_are_refused_with_the_list() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        let error = "JSON".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("JSON"), "{error}");
        for format in Format::ALL {
            assert!(error.contains(format.name()), "{error}");
        }
    }
}
