//! Which words vary, and which tell statements apart.

use super::{NAMES, check};

#[test]
fn a_word_that_varies_enough_is_a_value() {
    check(NAMES.map(|name| format!("User {name} logged out")), &["User <*> logged out"]);
}

#[test]
fn two_words_that_are_few_are_two_statements() {
    check(
        ["session opened for 7", "session closed for 7"],
        &["session opened for <*>", "session closed for <*>"],
    );
    check(
        ["Worker 1 finished job 2", "Worker 1 finished job 2 with 3 warnings"],
        &["Worker <*> finished job <*>", "Worker <*> finished job <*> with <*> warnings"],
    );
}

#[test]
fn what_follows_one_word_is_of_many_statements() {
    let messages = [
        "Starting scheduler",
        "Starting cache",
        "Starting server",
        "Starting pool",
        "Stopping cache",
    ];
    check(messages, &messages);
}

#[test]
fn methods_and_states_tell_statements_apart() {
    let methods = ["GET", "POST", "DELETE"];
    check(
        methods.map(|it| format!("10.0.0.1 \"{it} /v2/7 HTTP/1.1\" status: 200 len: 5 time: 0.1")),
        &methods
            .map(|it| format!("<*> \"{it} /<*> HTTP/1.1\" status: <*> len: <*> time: <*>"))
            .each_ref()
            .map(|it| &**it),
    );
    check(
        ["state changed from IDLE to BUSY", "state changed from BUSY to DONE"],
        &["state changed from IDLE to BUSY", "state changed from BUSY to DONE"],
    );
}

#[test]
fn several_words_that_vary_are_found_together() {
    let messages = NAMES.iter().enumerate().map(|(index, name)| {
        format!(
            "Message from {name} to {} was put into {}",
            NAMES[(index + 5) % 12],
            NAMES[(index * 7) % 12]
        )
    });
    check(messages, &["Message from <*> to <*> was put into <*>"]);
}

#[test]
fn values_of_several_words_are_one_value() {
    let messages = (0..48).map(|it| {
        let words = [NAMES[it % 12], NAMES[it * 5 % 12], NAMES[it * 7 % 12], NAMES[it * 11 % 12]];
        format!("Playlist \"{}\" of user {it} was made", words[..=it / 12].join(" "))
    });
    check(messages, &["Playlist \"<*>\" of user <*> was made"]);
}

#[test]
fn a_longer_statement_is_not_a_value_of_several_words() {
    let messages = NAMES.iter().flat_map(|name| {
        [
            "Failed password for {} from 10.0.0.1 port 5",
            "Failed password for invalid user {} from 10.0.0.1 port 5",
        ]
        .map(|it| it.replace("{}", name))
    });
    check(
        messages,
        &[
            "Failed password for <*> from <*> port <*>",
            "Failed password for invalid user <*> from <*> port <*>",
        ],
    );
}

#[test]
fn an_optional_part_at_the_end_is_another_statement() {
    let messages = ["Connection from 10.0.0.1 closed", "Connection from 10.0.0.1 closed by peer"];
    check(messages, &["Connection from <*> closed", "Connection from <*> closed by peer"]);
}

#[test]
fn keys_and_values_are_grouped_by_what_is_the_same() {
    let messages = NAMES.iter().enumerate().flat_map(|(index, name)| {
        [
            format!("level=info msg=\"user logged in\" user={name} ip=10.0.0.{index}"),
            format!("level=info msg=\"cache miss\" key={index}a7f3"),
            format!("level=warn msg=\"slow query\" table=orders took={index}ms"),
        ]
    });
    check(
        messages,
        &[
            "level=info msg=\"user logged in\" user=<*> ip=<*>",
            "level=info msg=\"cache miss\" key=<*>",
            "level=warn msg=\"slow query\" table=orders took=<*>",
        ],
    );
}

#[test]
fn json_is_grouped_by_what_is_the_same() {
    let messages = NAMES.iter().enumerate().flat_map(|(index, name)| {
        [
            format!(r#"{{"level":"info","msg":"request done","user":"{name}","ms":{index},"ok":{}}}"#, index % 2 == 0),
            format!(r#"{{"level":"error","msg":"upstream failed","codes":[{index},7],"host":"{name}.example.com"}}"#),
        ]
    });
    check(
        messages,
        &[
            r#"{"level":"info","msg":"request done","user":"<*>","ms":<*>,"ok":<*>}"#,
            r#"{"level":"error","msg":"upstream failed","codes":[<*>],"host":"<*>"}"#,
        ],
    );
}

#[test]
fn first_lines_of_stack_traces_are_grouped() {
    let messages = (1..9).flat_map(|it| {
        [
            format!("java.io.IOException: Connection reset by peer\n\tat a.b(C.java:{it})"),
            format!("Exception in thread \"pool-{it}-thread-{it}\" java.lang.OutOfMemoryError: Java heap space"),
            format!("thread 'main' panicked at src/main.rs:{it}:5: index out of bounds: the len is {it} but the index is 9"),
        ]
    });
    check(
        messages,
        &[
            "java.io.IOException: Connection reset by peer",
            "Exception in thread \"pool-<*>-thread-<*>\" java.lang.OutOfMemoryError: Java heap space",
            "thread 'main' panicked at src/main.rs:<*>: index out of bounds: the len is <*> but the index is <*>",
        ],
    );
}

#[test]
fn truth_values_are_values() {
    check(
        ["is visible on screen of display: true", "is visible on screen of display: false"],
        &["is visible on screen of display: <*>"],
    );
}
