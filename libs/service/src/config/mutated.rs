//! Mutated configurations: values or faults that a person can read, never a panic or a hang.

use super::tests::TABLES;
use super::*;

const TOKENS: [&[u8]; 40] = [
    b"\n",
    b"=",
    b" = ",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b".",
    b",",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"\"\"\"",
    b"'''",
    b"#",
    b"\\u0000",
    b"\\U0010ffff",
    b"[collector]\n",
    b"[[agent.sources]]\n",
    b"[collector.flush]\n",
    b"http = ",
    b"size = ",
    b"interval = ",
    b"workers = ",
    b"labels = { a = \"b\" }\n",
    b"\"128 MiB\"",
    b"\"18446744073709551615 TiB\"",
    b"\"1h30m\"",
    b"\"99999999999d\"",
    b"1979-05-27T07:32:00Z",
    b"inf",
    b"-nan",
    b"0xffff_ffff",
    b"true",
    b"\0LOGQ__",
    b"__",
    b"\0LOGQ__COLLECTOR__WORKERS=",
    b"\0LOGQ__AGENT__SOURCES=[",
    b"\0LOGQ__COLLECTOR__FLUSH__SIZE=1 MiB",
];
const SEEDS: [&str; 6] = [
    "[collector]\nhttp = \"127.0.0.1:4318\"\ndata = '/var/lib/x'\nworkers = 4\nsync = false\nratio = 0.25\nmode = \"fast\"\n\n[collector.flush]\nsize = \"64 MiB\"\ninterval = \"1m30s\"\n",
    "# a comment\n[agent]\ncollector = [\"http://a:1\", \"http://b:2\"]\n[[agent.sources]]\nkind = \"file\"\ninclude = [\"/var/log/*.log\"]\n[[agent.sources]]\nkind = \"stdin\"\n",
    "collector = { http = \"[::1]:0\", flush.size = 2048, labels = { a = \"b\", \"c d\" = \"e\" } }\n",
    "[collector]\nworkers = 2\n\0LOGQ__COLLECTOR__HTTP=0.0.0.0:1\0LOGQ__COLLECTOR__WORKERS=8\0LOGQ__AGENT__COLLECTOR=[\"http://c:3\"]",
    "[alerting]\nrules = [1, { x = 2 }]\n[collector]\nflush = { interval = \"10ms\" }\nlabels.x = '''\nlong\n'''\n",
    "[colector]\nhttp = 7\n[agent]\nsources = \"none\"\n",
];

/// A file, and behind zero bytes variables of the environment.
fn is_taken(text: &str) -> bool {
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default();
    let variable = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    let environment: Vec<_> = parts.map(variable).collect();
    let read = || load(Some(("logq.toml", file)), environment.clone(), TABLES, &["alerting"]);
    match read() {
        Ok(config) => {
            assert_eq!(read().as_ref(), Ok(&config));
            let collector = config.table("collector");
            assert!((1..=64).contains(&collector.get::<usize>("workers")));
            assert!((0.0..=1.0).contains(&collector.get::<f64>("ratio")));
            true
        }
        Err(faults) => {
            assert!(!faults.all().is_empty());
            assert_eq!(faults.to_string().lines().count(), faults.all().len(), "{faults}");
            false
        }
    }
}

#[test]
fn mutated_configurations_are_taken_or_refused() {
    let seeds: Vec<_> = SEEDS.iter().map(|text| text.as_bytes().to_vec()).collect();
    mutation::run("config", &seeds, &TOKENS, |text| is_taken(&String::from_utf8_lossy(text)));
}
