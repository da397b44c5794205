//! A command that is told: the body of a webhook on its standard input, its exit code as the answer.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::deliver::Tried;

/// What is kept of what it says on standard error.
const SAID_BYTES_MAX: u64 = 1 << 10;

/// Runs it; 0 is delivered, anything else is tried again. It is killed when its time is over.
pub(super) async fn run(command: &[String], key: &str, body: &[u8], timeout: Duration) -> Tried {
    let Some((program, arguments)) = command.split_first() else {
        return Tried::Refused("there is no command".to_owned());
    };
    let child = Command::new(program)
        .args(arguments)
        .env("LOGQ_IDEMPOTENCY_KEY", key)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Tried::Failed(format!("{program} cannot be run: {error}")),
    };
    let (input, output) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut input) = input {
            // One that does not read it all may know enough.
            let _ = input.write_all(body).await;
        }
    };
    let read = async {
        let mut said = Vec::new();
        if let Some(output) = output {
            let mut output = output.take(SAID_BYTES_MAX);
            let _ = output.read_to_end(&mut said).await;
            // What it says beyond that is thrown away, so that it does not wait for us.
            let _ = tokio::io::copy(&mut output.into_inner(), &mut tokio::io::sink()).await;
        }
        said
    };
    let ended = async {
        let ((), said) = tokio::join!(write, read);
        (child.wait().await, said)
    };
    match tokio::time::timeout(timeout, ended).await {
        Err(_) => Tried::Failed(format!("{program} did not end within {timeout:?}")),
        Ok((Ok(status), _)) if status.success() => Tried::Delivered,
        Ok((Ok(status), said)) => {
            let said = String::from_utf8_lossy(&said);
            Tried::Failed(format!("{program}: {status}: {}", said.trim()))
        }
        Ok((Err(error), _)) => Tried::Failed(format!("{program}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(script: &str, timeout_ms: u64) -> String {
        let command = ["sh", "-c", script].map(str::to_owned);
        match run(&command, "key-1", b"{}\n", Duration::from_millis(timeout_ms)).await {
            Tried::Delivered => "delivered".to_owned(),
            Tried::Failed(error) | Tried::Refused(error) => error,
        }
    }

    #[tokio::test]
    async fn a_command_gets_the_body_and_answers_by_its_exit_code() {
        let check = "test \"$(cat)-$LOGQ_IDEMPOTENCY_KEY\" = '{}-key-1'";
        assert_eq!(told(check, 30_000).await, "delivered");
        assert_eq!(told("exit 0", 30_000).await, "delivered", "it need not read");
        assert_eq!(told("echo no >&2; exit 3", 30_000).await, "sh: exit status: 3: no");
        assert!(told("exec yes >&2", 200).await.contains("did not end within 200ms"));
        let nobody = run(&["/nowhere/command".to_owned()], "", b"", Duration::from_secs(1)).await;
        assert!(matches!(nobody, Tried::Failed(error) if error.contains("cannot be run")));
    }
}
