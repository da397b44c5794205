//! Debian's Alertmanager, run for a test.

use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use super::server::{Server, eventually, skipped};

/// Debian's, on a port of its own, which is gone with it.
pub(crate) struct Alertmanager {
    child: std::process::Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// `None`, loudly, where it is not installed.
    pub(crate) fn start(hook: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "route: {{receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s}}\nreceivers: [{{name: hook, webhook_configs: [{{url: '{hook}'}}]}}]\n"
        );
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, config).unwrap();
        let child = std::process::Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        let Ok(child) = child else {
            skipped("prometheus-alertmanager is not installed");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI may skip nothing");
            return None;
        };
        let started = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        eventually("Alertmanager", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(started)
    }

    /// Services whose alerts it has, with their states.
    pub(crate) fn alerts(&self, server: &Server) -> Vec<(String, String)> {
        let answer = server.http.get(&format!("{}/api/v2/alerts", self.url)).json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = answer.as_array().unwrap().iter();
        alerts.map(|it| (text(&it["labels"]["service"]), text(&it["status"]["state"]))).collect()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
