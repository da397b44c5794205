//! Files of tokens that cannot be read, and headers that nobody means well.

use serde_json::json;

use crate::server::{Home, eventually, logq, run};
use crate::{Doors, ask};

#[test]
fn a_file_of_tokens_that_cannot_be_used_refuses_the_start_and_is_named() {
    let doors = Doors::new("");
    doors.create("a", "query");
    let good = std::fs::read(&doors.file).unwrap();
    for (what, content) in [
        ("garbage", b"\x00\xff\xfe\x01".to_vec()),
        ("no TOML", b"token".to_vec()),
        ("cut off", good[..good.len() / 2].to_vec()),
    ] {
        std::fs::write(&doors.file, content).unwrap();
        let output = run(&mut doors.home.up(), b"");
        assert_eq!(output.code, 2, "{what}: {output:?}");
        assert!(output.stderr.contains("tokens.toml"), "{what}: {output:?}");
    }
    std::fs::remove_file(&doors.file).unwrap();
    let output = run(&mut doors.home.up(), b"");
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("logq token create"), "{output:?}");
    // A folder cannot be read by anybody, root included.
    std::fs::create_dir(&doors.file).unwrap();
    assert_eq!(run(&mut doors.home.up(), b"").code, 2);
}

#[test]
fn a_file_that_is_spoilt_later_leaves_the_old_tokens_in_force_and_health_says_so() {
    let doors = Doors::new("");
    let (of_a, operator) = (doors.create("a", "query"), doors.create("*", "admin"));
    let good = std::fs::read(&doors.file).unwrap();
    let server = doors.home.start();
    let ready = |token: Option<&str>| {
        let url = format!("{}/health/ready", server.query);
        ask(&server, ("GET", &url), token, None, "").json()
    };
    std::fs::write(&doors.file, "spoilt = \n").unwrap();
    eventually("health is degraded", || (ready(None)["status"] == "degraded").then_some(()));
    let url = format!("{}/api/v1/query", server.query);
    assert_eq!(ask(&server, ("GET", &url), Some(&of_a), None, "").status, 200);
    for token in [None, Some(&*of_a), Some("wrong")] {
        assert_eq!(ready(token)["checks"]["doors"], json!({"status": "degraded"}));
    }
    let reason = ready(Some(&operator))["checks"]["doors"]["reason"].to_string();
    assert!(reason.contains("line 1") && reason.contains("tokens.toml"), "{reason}");
    std::fs::write(&doors.file, good).unwrap();
    eventually("health is good again", || (ready(None)["status"] == "ok").then_some(()));
}

type Headers<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn odd_headers_are_refused_and_nothing_else_happens() {
    let doors = Doors::new("");
    let token = doors.create("a", "query");
    let server = doors.home.start();
    let url = format!("{}/api/v1/query", server.query);
    let bearer = format!("Bearer {token}");
    let small = bearer.replace("Bearer", "bearer");
    let long = format!("Bearer {}", "x".repeat(10 << 10));
    let huge = vec![b'a'; 10 << 10];
    let cases: [(&str, Headers, u16); 9] = [
        ("a token of 10 KB", &[("authorization", long.as_bytes())], 401),
        ("a token that is no text", &[("authorization", b"Bearer \xff\xfe")], 401),
        ("another scheme", &[("authorization", b"Basic YTpi")], 401),
        ("nothing", &[("authorization", b"")], 401),
        (
            "two tokens",
            &[("authorization", bearer.as_bytes()), ("authorization", bearer.as_bytes())],
            401,
        ),
        (
            "a tenant that is no ASCII",
            &[("authorization", bearer.as_bytes()), ("x-scope-orgid", "é".as_bytes())],
            400,
        ),
        (
            "a tenant of 10 KB",
            &[("authorization", bearer.as_bytes()), ("x-scope-orgid", &huge)],
            400,
        ),
        (
            "two tenants",
            &[
                ("authorization", bearer.as_bytes()),
                ("x-scope-orgid", b"a"),
                ("x-scope-orgid", b"b"),
            ],
            400,
        ),
        ("small letters", &[("authorization", small.as_bytes())], 200),
    ];
    for (what, headers, status) in cases {
        let answer = server.http().request("GET", &url, headers, "");
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
}

#[test]
fn the_commands_of_tokens_say_what_is_wrong() {
    let home = Home::new();
    let file = home.write("tokens.toml", "no toml");
    let with = |arguments: &[&str]| {
        logq(&[&["token"], arguments, &["--file", file.to_str().unwrap()]].concat())
    };
    let make = |tenant, rights| with(&["create", "--tenant", tenant, "--rights", rights]);
    let spoilt = make("a", "query");
    assert!(spoilt.code != 0 && spoilt.stdout.is_empty(), "{spoilt:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"no toml", "what cannot be read is not replaced");
    std::fs::remove_file(&file).unwrap();
    for (tenant, rights, says) in [
        ("a/b", "query", "characters"),
        ("a", "root", "ingest, query or admin"),
        ("", "query", "empty"),
    ] {
        let output = make(tenant, rights);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(says), "{output:?}");
    }
    assert!(!file.exists(), "nothing was made");
    assert_eq!(with(&["list"]).code, 2);
    assert_eq!(make("a", "query").code, 0);
    assert_eq!(with(&["revoke", "nobody"]).code, 1);
    let nowhere = logq(&["token", "list"]);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("--file"), "{nowhere:?}");
}
