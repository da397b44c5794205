//! What the agent says of itself must not keep it busy with itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::time::{Duration, Instant};

use agent::daemon::{self, AgentOptions};
use server::{Action, Server, decoded};
use service::shutdown::Shutdown;
use tokio::sync::oneshot;

const DEADLINE: Duration = Duration::from_secs(60);
/// How the report of a refused batch begins.
const REPORT: &[u8] = b"the collector refused a batch";

fn reports(server: &Server) -> usize {
    let is_report = |body: &Vec<u8>| body.windows(REPORT.len()).any(|window| window == REPORT);
    server.requests().iter().map(|request| decoded(&request.body)).filter(is_report).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_everything_is_told_of_once() {
    // Each batch is refused, and the empty one that takes its name is not.
    let server = Server::start([Action::Refuse(400), Action::Accept].repeat(100)).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.log"), "a line\n").unwrap();
    let text = format!(
        "[agent]\nstate = {:?}\ncollector = [{:?}]\nhttp = \"127.0.0.1:0\"\nbatch_age = \"10ms\"\n\
         [[agent.sources]]\nkind = \"file\"\ninclude = [{:?}]\nstart_at = \"beginning\"\n",
        folder.path().join("state"),
        server.addr,
        folder.path().join("app.log"),
    );
    let options = AgentOptions::load(Some(("agent.toml", &text)), []).unwrap();
    let (stop, shutdown) = Shutdown::new();
    let (started, _) = oneshot::channel();
    let agent = tokio::spawn(daemon::run(options, None, shutdown, started));
    let begun = Instant::now();
    let settled = || reports(&server) > 0 && server.requests().len().is_multiple_of(2);
    while !settled() {
        assert!(begun.elapsed() < DEADLINE, "{:?}", server.requests());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What is left to say is said before the end.
    stop.set_off();
    agent.await.unwrap().unwrap();
    assert_eq!(reports(&server), 1, "a report of a report");
}
