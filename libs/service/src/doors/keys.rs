//! The `[doors]` table of the configuration, which every process with a listener reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::tenants::{ByTenant, TenantLimits};
use super::{Doors, Entrance};
use crate::config::{ByteSize, Config, Fallback, Fault, Faults, Key, Kind, Table};
use crate::principal::check_tenant;
use crate::tls::{ServerTls, TlsFiles};

/// A tenant's name, as a key of a configuration.
pub const TENANT: Kind = Kind::Notation {
    what: "a tenant's name, letters, digits and !-_.*'(), 150 at most",
    example: "team-a",
    check: |text| check_tenant(text).map_err(str::to_owned),
};

/// The table.
pub const TABLE: Table = Table {
    name: "doors",
    doc: "Who may come in, by every listener of the process.",
    keys: &[
        Key::new(
            "tokens",
            Kind::Path,
            Fallback::Absent,
            "The file of tokens that `logq token` writes; with it every caller needs one. It is read again when it changes.",
        ),
        Key::new(
            "tls.cert",
            Kind::Path,
            Fallback::Absent,
            "The certificate of the listeners with those that lead to its CA, PEM; with it they speak TLS. Read again when it changes.",
        ),
        Key::new("tls.key", Kind::Path, Fallback::Absent, "Its key, PEM."),
        Key::new(
            "tls.client_ca",
            Kind::Path,
            Fallback::Absent,
            "CAs of clients, PEM; with it every client needs a certificate of one of them.",
        ),
        Key::new(
            "tenants",
            Kind::Tables(TENANTS),
            Fallback::Absent,
            "What single tenants may take; what is not said is as for all.",
        ),
    ],
};

const TENANTS: &[Key] = &[
    Key::new("name", TENANT, Fallback::Required, "The tenant."),
    Key::new(
        "retention_age",
        Kind::Duration {
            min: Duration::from_secs(60),
            max: Duration::from_secs(100 * 365 * 86_400),
        },
        Fallback::Absent,
        "Its segments go when their newest record is older; instead of `collector.retention_age`.",
    ),
    Key::new(
        "retention_size",
        Kind::ByteSize { min: ByteSize(1 << 20), max: ByteSize(1 << 50) },
        Fallback::Absent,
        "Its oldest segments go while its own together are larger; beside `collector.retention_size`.",
    ),
    Key::new(
        "ingest_bytes_per_second",
        Kind::ByteSize { min: ByteSize(1 << 10), max: ByteSize(1 << 40) },
        Fallback::Absent,
        "Bytes of its bodies as they are sent, a second; beyond it they are answered with 429.",
    ),
    Key::new(
        "queries",
        Kind::Integer { min: 1, max: 1024 },
        Fallback::Absent,
        "Its queries that run or wait at the same time; further ones are answered with 429.",
    ),
];

/// The table as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DoorOptions {
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// The files of TLS.
    pub tls: Option<TlsFiles>,
    /// What single tenants may take.
    pub tenants: ByTenant,
}

impl DoorOptions {
    /// From a configuration that declares [`TABLE`].
    ///
    /// # Errors
    /// Keys that do not go together.
    pub fn from_config(config: &Config) -> Result<Self, Faults> {
        let doors = config.table(TABLE.name);
        let mut faults: Vec<Fault> = Vec::new();
        let file = |key: &str| doors.get::<Option<PathBuf>>(key);
        let client_ca = file("tls.client_ca");
        let tls = match (file("tls.cert"), file("tls.key")) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key, client_ca }),
            (None, None) if client_ca.is_none() => None,
            (cert, _) => {
                let missing = if cert.is_none() { "tls.cert" } else { "tls.key" };
                let message = "is missing; TLS needs both `tls.cert` and `tls.key`";
                faults.push(doors.fault(missing, message, None));
                None
            }
        };
        let mut tenants = ByTenant::new();
        for values in doors.tables("tenants") {
            let name: String = values.get("name");
            if tenants.insert(name.clone(), TenantLimits::from_values(values)).is_some() {
                let message = format!("there is another table for the tenant {name:?}");
                faults.push(values.fault("name", message, Some("make one of them".to_owned())));
            }
        }
        match Faults::found(faults) {
            Some(faults) => Err(faults),
            None => Ok(Self { tokens: file("tokens"), tls, tenants }),
        }
    }

    /// One bound of all tenants that have it.
    pub fn by_tenant<T>(&self, bound: impl Fn(&TenantLimits) -> Option<T>) -> BTreeMap<String, T> {
        let bounds = self.tenants.iter();
        bounds.filter_map(|(tenant, limits)| Some((tenant.clone(), bound(limits)?))).collect()
    }

    /// Reads the tokens and the certificates.
    ///
    /// # Errors
    /// Which file cannot be used, and what to do.
    pub fn open(&self) -> Result<Entrance, String> {
        let doors = match &self.tokens {
            Some(file) => Doors::with_tokens(file.clone()).map_err(|error| error.to_string())?,
            None => Doors::open(),
        };
        let tls = self.tls.clone().map(ServerTls::load).transpose();
        Ok(Entrance { doors, tls: tls.map_err(|error| error.to_string())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn read(text: &str) -> Result<DoorOptions, Faults> {
        const TABLES: &[Table] = &[TABLE];
        DoorOptions::from_config(&config::load(Some(("t", text)), [], TABLES, &[])?)
    }

    #[test]
    fn nothing_said_is_no_tokens_no_tls_and_no_bounds_of_a_tenant() {
        assert_eq!(read("").unwrap(), DoorOptions::default());
        let said = "[doors]\ntokens = \"t\"\ntls = { cert = \"c\", key = \"k\", client_ca = \"a\" }\n\
                    [[doors.tenants]]\nname = \"a\"\nretention_age = \"7d\"\nqueries = 2\n";
        let read = read(said).unwrap();
        assert_eq!(read.tokens, Some("t".into()));
        assert_eq!(read.tls.unwrap().client_ca, Some("a".into()));
        let limits = &read.tenants["a"];
        assert_eq!((limits.queries, limits.ingest_bytes_per_second), (Some(2), None));
    }

    #[test]
    fn keys_that_do_not_go_together_are_told() {
        for (text, says) in [
            ("[doors]\ntls.cert = \"c\"\n", "tls.key"),
            ("[doors]\ntls.key = \"k\"\n", "tls.cert"),
            ("[doors]\ntls.client_ca = \"a\"\n", "tls.cert"),
            ("[[doors.tenants]]\nname = \"a\"\n[[doors.tenants]]\nname = \"a\"\n", "another"),
            ("[[doors.tenants]]\nqueries = 1\n", "name"),
            ("[[doors.tenants]]\nname = \"a/b\"\n", "characters"),
        ] {
            let faults = read(text).unwrap_err().to_string();
            assert!(faults.contains(says), "{faults}");
        }
    }
}
