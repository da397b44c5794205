//! What `logq up` prints when it is ready: addresses, and commands that work as they stand when they are pasted.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use crate::demo::{Demo, LOGS, Story};

/// Where this process keeps and takes things.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) data: PathBuf,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) ingest: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) query: SocketAddr,
    pub(crate) alerting: SocketAddr,
}

impl Ready {
    /// The block of one without the demo.
    pub(crate) fn block(&self) -> String {
        self.with_lines("")
    }

    /// The block of one with the demo. It ends with the line to paste, or with why there is none.
    pub(crate) fn demo_block(&self, demo: &Demo, story: &Result<Story>) -> String {
        let lines = format!(
            "  agent    http://{}/status\n  shop     http://{}/checkout, logs in {}\n  break it logq-demo break slow-shipping{}\n",
            demo.agent_http,
            demo.gateway,
            self.data.join(LOGS).display(),
            demo.registry_argument(),
        );
        let end = match story {
            Ok(Story { correlation_id, title }) => format!(
                "{title}, as its services tell it; as a story, and line by line:\n\n  {} story {correlation_id}{}\n  {} 'correlation:{correlation_id} | sort timestamp'",
                program(),
                self.addr(),
                self.search()
            ),
            Err(error) => format!("there is no interaction to look at yet: {error:#}"),
        };
        format!("{}\n\n{end}\n", self.with_lines(&lines))
    }

    fn with_lines(&self, lines: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let Self { data, scheme, ingest, grpc, query, alerting } = self;
        let mut ship = format!("{} ship", program());
        if (*scheme, ingest.to_string().as_str()) != ("http", "127.0.0.1:4318") {
            ship.push_str(&format!(" --addr {scheme}://{ingest}"));
        }
        let search = self.search();
        format!(
            "logq {version} is ready\n  data     {}\n  ingest   {scheme}://{ingest}\n  grpc     {scheme}://{grpc}\n  query    {scheme}://{query}\n  alerts   {scheme}://{alerting}\n{lines}\n  \
             send a file   {ship} --service NAME FILE\n  search        {search} 'level:>=warn'\n  stop          Ctrl-C",
            data.display()
        )
    }

    /// `logq`, and where to ask if that is not the usual place.
    fn search(&self) -> String {
        format!("{}{}", program(), self.addr())
    }

    /// Where to ask, if that is not the usual place.
    fn addr(&self) -> String {
        match (self.scheme, self.query.to_string().as_str()) {
            ("http", "127.0.0.1:3100") => String::new(),
            (scheme, query) => format!(" --addr {scheme}://{query}"),
        }
    }
}

/// This program, as it was called: by a name that the shell finds, or by a path.
fn program() -> String {
    let called = std::env::args().next().filter(|called| called.contains('/'));
    called.map_or_else(|| "logq".to_owned(), |path| quoted(&path).into_owned())
}

/// As one word of a shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match word.chars().all(plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', r"'\''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for word in ["target/release/logq", "/opt/a b/logq", "/it's/$HOME/logq", "/ü/logq"] {
            let script = format!("printf %s {}", quoted(word));
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
        assert_eq!(quoted("target/release/logq"), "target/release/logq");
    }
}
