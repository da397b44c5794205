//! Completion in real shells, and contexts: what stands in for flags that are not given.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::path::Path;
use std::process::Command;

use server::{Home, LOGQ, Server, run, skipped, without_settings};

/// Runs a shell with a script; `None`, told loudly, where it is not installed. In CI that is a failure.
fn shell(name: &str, arguments: &[&str], server: &Server) -> Option<String> {
    if Command::new(name).arg("--version").output().is_err() {
        skipped(&format!("{name} is not installed"));
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is missing in CI");
        return None;
    }
    let folder = Path::new(LOGQ).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    without_settings(&mut command).args(arguments).env("PATH", path);
    command.env("LOGQ_ADDR", &server.query).env("HOME", std::env::temp_dir());
    Some(run(&mut command, b"").stdout)
}

fn with_records() -> Server {
    let server = Home::new().start();
    let lines = [
        r#"{"service":"orders","level":"error","message":"late"}"#,
        r#"{"service":"order-mail","message":"sent"}"#,
        r#"{"service":"payments","message":"paid"}"#,
    ];
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
    server
}

#[test]
fn bash_completes_commands_fields_and_values_in_and_out_of_quotes() {
    let server = with_records();
    let script = r#"
        source <(logq completions bash)
        try() { # line, words of bash…
            COMP_LINE=$1; COMP_POINT=${#1}; shift
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _logq logq "${CURRENT-${@: -1}}" ""
            echo "$COMP_LINE => ${COMPREPLY[*]}"
        }
        try 'logq serv' logq serv
        try 'logq service:or' logq service : or
        CURRENT="service:pay" try "logq 'service:pay" logq "'service:pay"
        try 'logq tail x --out' logq tail x --out
        try 'logq x -o c' logq x -o c
    "#;
    let Some(said) = shell("bash", &["-c", script], &server) else { return };
    assert_eq!(
        said,
        "logq serv => services service:order-mail service:orders service:payments\n\
         logq service:or => order-mail orders\n\
         logq 'service:pay => service:payments\n\
         logq tail x --out => --output\n\
         logq x -o c => csv\n"
    );
}

#[test]
fn fish_completes_commands_fields_and_values() {
    let server = with_records();
    let script = "logq completions fish | source; complete -C 'logq service:or'; \
                  complete -C \"logq 'service:orders l\"; complete -C 'logq comple'";
    let Some(said) = shell("fish", &["--no-config", "-c", script], &server) else { return };
    let words: Vec<&str> =
        said.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
    assert!(words[..2].contains(&"service:orders") && words[..2].contains(&"service:order-mail"));
    assert!(words.contains(&"service:orders level:error"), "{said}");
    assert_eq!(words.last(), Some(&"completions"));
}

#[test]
fn zsh_completes_in_its_own_line_editor() {
    let server = with_records();
    // A terminal of its own: types, and looks at what the line editor made of it.
    let script = r#"
        zmodload zsh/zpty
        zpty inner zsh -f
        zpty -w inner 'PS1="> "; autoload -U compinit; compinit -D; source <(logq completions zsh); echo ready$((1+1))'
        zpty -r inner seen '*ready2*'
        zpty -n -w inner $'logq tail service:pay\t'
        # Between what was typed and what was put in may be codes that move the cursor.
        zpty -r inner seen '*service:pay*ments*' && echo completed
    "#;
    let Some(said) = shell("zsh", &["-f", "-c", script], &server) else { return };
    assert_eq!(said, "completed\n");
}

#[test]
fn a_context_gives_defaults_that_variables_and_flags_win_over() {
    let server = with_records();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let text = format!(
        "# ours\n[contexts.here]\naddr = \"{}\"\ningest_addr = \"{}\"\n\n[contexts.nowhere]\naddr = \"http://127.0.0.1:1\"\n",
        server.query, server.ingest
    );
    std::fs::write(&file, &text).unwrap();
    let logq = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(LOGQ);
        without_settings(&mut command).args(arguments).env("LOGQ_CONTEXTS", &file);
        let output = run(command.envs(variables.iter().copied()), b"");
        (output.code, output.stdout, output.stderr)
    };
    let count = ["service:orders | stats count()", "-o", "csv"];
    assert_eq!(logq(&["context", "here"], &[]).0, 0);
    assert_eq!(logq(&count, &[]), (0, "count\r\n1\r\n".to_owned(), String::new()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("current = \"here\"\n{text}"));
    let listed = logq(&["context"], &[]).1;
    assert!(listed.starts_with(&format!("* here     {}\n", server.query)), "{listed}");
    // Another one for once, by flag in any place and by variable; a flag wins over both.
    assert_eq!(logq(&["--context", "nowhere", count[0]], &[]).0, 3);
    assert_eq!(logq(&[count[0], "--context=nowhere"], &[]).0, 3);
    assert_eq!(logq(&count, &[("LOGQ_CONTEXT", "nowhere")]).0, 3);
    assert_eq!(logq(&count, &[("LOGQ_ADDR", "http://127.0.0.1:1")]).0, 3);
    let addr = &server.query;
    let flag = [count[0], "--addr", addr];
    assert_eq!(logq(&flag, &[("LOGQ_CONTEXT", "nowhere")]).0, 0);
    // What is wrong is said, with the way out.
    let (code, _, said) = logq(&count, &[("LOGQ_CONTEXT", "heer")]);
    assert_eq!(code, 2);
    assert!(
        said.contains("there is no context \"heer\"") && said.contains("here, nowhere"),
        "{said}"
    );
    let (code, _, said) = logq(&["context", "heer"], &[]);
    assert!(code == 2 && said.contains("did you mean \"here\"?"), "{said}");
    std::fs::write(&file, "[contexts.here]\nadress = \"x\"\n").unwrap();
    let (code, _, said) = logq(&count, &[]);
    assert!(code == 2 && said.contains("config.toml") && said.contains("adress"), "{said}");
}
