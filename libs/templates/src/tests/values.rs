//! What is a value by its looks.

use super::{NAMES, check, templates};

/// The message has this template although there is no other.
#[track_caller]
fn alone(message: &str, template: &str) {
    assert_eq!(templates([message]), [template]);
}

#[test]
fn numbers_are_values() {
    alone("took 12 of -3.5 or 1,234 and 0x7ffe", "took <*> of -<*> or <*> and <*>");
    alone("12% of $3 in #5", "<*> of $<*> in #<*>");
    alone("2 done.", "<*> done.");
}

#[test]
fn ids_are_values() {
    alone("id 550e8400-e29b-41d4-a716-446655440000 done", "id <*> done");
    alone("commit deadbeef of 9f4ef63", "commit deadbeef of <*>");
    alone("request 01HV6Z8K3M: ok", "request <*>: ok");
    check(["commit deadbeef", "commit 0a1b2c3d"], &["commit <*>"]);
}

#[test]
fn addresses_are_values() {
    alone("from 10.0.0.7:5432 to fe80::1ff:fe23:4567:890a", "from <*> to <*>");
    alone("at 00:1b:44:11:3a:b7, web-3:8080", "at <*>");
    check(["mail to ann@example.com sent", "mail to bob@example.org sent"], &["mail to <*> sent"]);
}

#[test]
fn paths_and_urls_are_values() {
    check(
        ["read /etc/hosts", "read /etc/passwd", r"read C:\temp\a.txt"],
        &["read /etc/<*>", r"read C:\temp\a.txt"],
    );
    check(
        ["GET https://a.example/x?y=1&z=2 done", "GET http://b.example/ done"],
        &["GET <*> done"],
    );
}

#[test]
fn times_and_dates_are_values() {
    alone("at 2024-05-01T10:00:00.123Z", "at <*>");
    alone("at Fri Jun 17 07:07:00 2005, on 1 May 2024", "at <*>, on <*>");
    alone("it may be Sunday in May", "it may be Sunday in May");
}

#[test]
fn units_are_shown_unless_they_vary() {
    check(["took 5 ms", "took 7 ms"], &["took <*> ms"]);
    check(["sent 5 KB, free 2.1 GB", "sent 7 MB, free 3 GB"], &["sent <*>, free <*> GB"]);
    check(["took 5ms", "took 1.2s"], &["took <*>"]);
}

#[test]
fn names_with_numbers_are_shown_unless_they_vary() {
    check(["port 1 on ssh2", "port 2 on ssh2"], &["port <*> on ssh2"]);
    check(["port 1 on eth0", "port 2 on eth1"], &["port <*> on eth<*>"]);
    check(["HTTP/1.1 v1.2.3 sent", "HTTP/1.1 v1.2.4 sent"], &["HTTP/1.1 v<*> sent"]);
}

#[test]
fn what_values_begin_with_is_shown() {
    check(["got blk_17283812", "got blk_99281833"], &["got blk_<*>"]);
    check(["got blk_17283812", "got blk-99281833"], &["got <*>"]);
}

#[test]
fn lists_of_any_length_are_one_value() {
    check(["sizes 1", "sizes 1, 2", "sizes 3 4 5", "sizes 3,4,5"], &["sizes <*>"]);
    check(["[1, 2, 3]", "[4]"], &["[<*>]"]);
    check(
        ["nodes node-1 left", "nodes node-2, node-3 left", "nodes node-7, node-8, node-9 left"],
        &["nodes node-<*> left"],
    );
    let names = |from: usize, count: usize| NAMES.repeat(2)[from..from + count].join(", ");
    check(
        (0..12)
            .map(|it| format!("roles of {} are now {} until 5", NAMES[it], names(it, 1 + it % 3))),
        &["roles of <*> are now <*> until <*>"],
    );
}

#[test]
fn nothing_where_others_have_a_value_is_a_value() {
    check(
        ["connection from 10.0.0.1 () at 5", "connection from 10.0.0.2 (a-1.example.net) at 6"],
        &["connection from <*> (<*>) at <*>"],
    );
    check(
        ["failed for user= host=h1 of the realm", "failed for user=7 host=h2 of the realm"],
        &["failed for user=<*> host=h<*> of the realm"],
    );
    alone("foo() [] done", "foo() [] done");
}

/// A lone mark before a wide space was taken for a path, whose beginning then had that space in it.
#[test]
fn a_mark_alone_is_no_path() {
    alone("\\\u{3000}~/x", "\\ ~/x");
    alone("/ /\u{a0}/y \\ \u{3000}7", "/ / /y \\ <*>");
}
