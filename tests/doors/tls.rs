//! TLS on both ports, with tokens: every command, the agent, and who is not let in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::Doors;
use crate::agent::Agent;
use crate::certificates::{Authority, Files};
use crate::server::{DEADLINE, LOGQ, Output, Server, eventually, run, without_settings};

/// A command with what it is to show and to trust.
fn logq(
    server: &Server,
    arguments: &[&str],
    token: &str,
    ca: &Path,
    client: Option<&Files>,
) -> Output {
    let mut command = Command::new(LOGQ);
    without_settings(&mut command)
        .args(arguments)
        .env("LOGQ_ADDR", &server.query)
        .env("LOGQ_INGEST_ADDR", &server.ingest)
        .env("LOGQ_TOKEN", token)
        .env("LOGQ_CA", ca);
    if let Some(client) = client {
        command.env("LOGQ_CERT", &client.cert).env("LOGQ_KEY", &client.key);
    }
    run(&mut command, b"")
}

#[test]
fn commands_and_agent_ship_and_search_over_tls_with_tokens_and_client_certificates() {
    let doors = Doors::new("");
    let authority = Authority::new(&doors.home, "ca");
    let clients = Authority::new(&doors.home, "client-ca");
    let (ca, served) = (authority.ca(), authority.issue("server"));
    let client = clients.issue("client");
    let config = format!(
        "[doors]\ntokens = {:?}\ntls = {{ cert = {:?}, key = {:?}, client_ca = {:?} }}\n",
        doors.file,
        served.cert,
        served.key,
        clients.ca()
    );
    doors.home.write("logq.toml", config);
    let (ingest, query) = (doors.create("shop", "ingest"), doors.create("shop", "query"));
    let operator = doors.create("*", "query,admin");
    let server = doors.home.start();
    assert!(server.ingest.starts_with("https://") && server.query.starts_with("https://"));

    let log = doors.home.write("shop.log", "{\"message\":\"shipped\"}\n");
    let ship = ["ship", log.to_str().unwrap()];
    let shipped = logq(&server, &ship, &ingest, &ca, Some(&client));
    assert_eq!(shipped.code, 0, "{shipped:?}");

    let found = doors.home.write("found.log", "{\"message\":\"followed\"}\n");
    let token = doors.home.write("token", format!("{ingest}\n"));
    let text = format!(
        "[agent]\nstate = {:?}\ncollector = \"{}\"\nhttp = \"127.0.0.1:0\"\nbatch_age = \"20ms\"\n\
         heartbeat_interval = \"1s\"\ntoken_file = {token:?}\nca = {ca:?}\ncert = {:?}\nkey = {:?}\n\
         [[agent.sources]]\nkind = \"file\"\ninclude = [{found:?}]\nstart_at = \"beginning\"\n",
        doors.home.data().join("agent"),
        server.ingest,
        client.cert,
        client.key
    );
    let _agent = Agent::start(&doors.home.write("agent.toml", text));
    let search = ["* | stats count() by message", "--since", "100y", "-o", "json"];
    eventually("the agent's line is found", || {
        let found = logq(&server, &search, &query, &ca, Some(&client));
        assert_eq!(found.code, 0, "{found:?}");
        (found.stdout.contains("followed") && found.stdout.contains("shipped")).then_some(())
    });
    eventually("the agent is heard of, as its token's tenant", || {
        let audit = logq(&server, &["audit", "-o", "json"], &operator, &ca, Some(&client));
        assert_eq!(audit.code, 0, "{audit:?}");
        audit.stdout.contains("\"tenant\":\"shop\"").then_some(())
    });

    let others = Authority::new(&doors.home, "other-ca");
    for (who, ca, client) in [
        ("a client that trusts another CA", &others.ca(), Some(&client)),
        ("a client without a certificate", &ca, None),
        ("a client of another CA", &ca, Some(&others.issue("other"))),
    ] {
        let refused = logq(&server, &search, &query, ca, client);
        assert_eq!((refused.code, refused.stdout.as_str()), (3, ""), "{who}: {refused:?}");
        let mut ship = ship.to_vec();
        ship.extend(["--give-up-after", "1"]);
        assert_eq!(logq(&server, &ship, &ingest, ca, client).code, 3, "{who}");
    }
    let forbidden = logq(&server, &search, &ingest, &ca, Some(&client));
    assert_eq!(forbidden.code, 2, "{forbidden:?}");
    assert!(forbidden.stderr.contains("which needs query; "), "{forbidden:?}");
    let forbidden = logq(&server, &["audit"], &query, &ca, Some(&client));
    assert_eq!(forbidden.code, 2, "{forbidden:?}");
    assert!(forbidden.stderr.contains("admin of all tenants"), "{forbidden:?}");
    let refused = logq(&server, &ship, &query, &ca, Some(&client));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("403") && refused.stderr.contains("needs ingest"),
        "{refused:?}"
    );
    let missing = logq(&server, &search, &query, Path::new("/nowhere.pem"), None);
    assert!(missing.code != 0 && missing.stderr.contains("/nowhere.pem"), "{missing:?}");
    server.stop();
}

#[test]
fn plain_http_on_a_port_of_tls_is_told_so_and_silence_does_not_keep_it_up() {
    let doors = Doors::new("");
    let authority = Authority::new(&doors.home, "ca");
    let (ca, served) = (authority.ca(), authority.issue("server"));
    let tls = format!("[doors]\ntls = {{ cert = {:?}, key = {:?} }}\n", served.cert, served.key);
    doors.home.write("logq.toml", tls);
    let server = doors.home.start();
    let address = server.query.trim_start_matches("https://");
    let mut plain = TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(DEADLINE)).unwrap();
    plain.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("the end is clean");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    for garbage in [&b"\x16\x03\x01\xff\xff garbage"[..], b"\x00", b"\xff\xff\xff"] {
        TcpStream::connect(address).unwrap().write_all(garbage).unwrap();
    }
    let _silent = TcpStream::connect(address).unwrap();
    let found = logq(&server, &["*"], "", &ca, None);
    assert_eq!(found.code, 2, "an empty token is no token: {found:?}");
    let live = |ca: &Path| {
        let mut command = Command::new(LOGQ);
        let search = ["*", "--addr", &server.query, "--ca", ca.to_str().unwrap()];
        run(without_settings(&mut command).args(search), b"").code
    };
    assert_eq!(live(&ca), 1, "nothing found");

    // A new certificate of another CA counts without a restart.
    let next = Authority::new(&doors.home, "next-ca");
    let _ = next.issue("server");
    eventually("the new certificate is shown", || (live(&next.ca()) == 1).then_some(()));
    assert_eq!(live(&ca), 3);
    server.stop();
}

#[test]
fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let doors = Doors::new("");
    let authority = Authority::new(&doors.home, "ca");
    let (good, other) = (authority.issue("server"), authority.issue("other"));
    let empty = doors.home.write("empty.pem", "nothing here");
    let start = |cert: &Path, key: &Path| {
        doors
            .home
            .write("logq.toml", format!("[doors]\ntls = {{ cert = {cert:?}, key = {key:?} }}"));
        run(&mut doors.home.up(), b"")
    };
    for (cert, key, says) in [
        (Path::new("/nowhere.pem"), &*good.key, "/nowhere.pem"),
        (&*empty, &*good.key, "empty.pem"),
        (&*good.cert, &*empty, "empty.pem"),
        (&*good.cert, &*other.key, "other-key.pem"),
    ] {
        let output = start(cert, key);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(says), "{says}: {output:?}");
    }
}
