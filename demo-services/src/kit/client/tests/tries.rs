//! What is sent how often, and with what.

use super::*;

#[tokio::test]
async fn payments_are_tried_once_whatever_becomes_of_them() {
    let hang = |_| pending::<Response>().boxed();
    let drop_connection = |_| async { std::panic::panic_any("cut") }.boxed();
    let servers = [
        (Server::always(1, StatusCode::SERVICE_UNAVAILABLE).await, "503"),
        (Server::always(1, StatusCode::TOO_MANY_REQUESTS).await, "429"),
        (Server::open(1, hang).await, "timeout"),
        (Server::open(1, drop_connection).await, "unreachable"),
    ];
    let other = Server::always(2, StatusCode::OK).await;
    for (server, expected) in &servers {
        let (servers, limit) = ([server, &other], Duration::from_millis(200));
        let stock = stock(&servers, Policy { balance: Balance::RoundRobin, ..Policy::PAYMENTS });
        let call = Call::post("/payments").idempotency_key("p-1").timeout(limit);
        let sent = timeout(DEADLINE, stock.send(call)).await.expect("a call ends");
        let outcome = match sent {
            Ok(answer) => answer.status.as_str().to_owned(),
            Err(error) => error.error_type().to_owned(),
        };
        assert_eq!(outcome, *expected);
        assert_eq!(server.hits(), 1, "{expected}");
    }
    assert_eq!(other.hits(), 0);
}

#[tokio::test]
async fn tries_of_a_call_say_whose_they_are_and_are_told() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = Server::open(1, {
        let seen = Arc::clone(&seen);
        move |headers| {
            let mut seen = seen.lock().unwrap();
            seen.push(headers);
            let status = if seen.len() < 3 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            async move { status.into_response() }.boxed()
        }
    })
    .await;
    let stock = stock(&[&server], QUICK);
    let lines = told(async { assert_eq!(status_of(&stock).await, Ok(200)) }).await;
    let seen = seen.lock().unwrap();
    let all = |name: &str| -> Vec<_> {
        seen.iter().map(|headers| headers[name].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(all("x-attempt"), ["1", "2", "3"]);
    assert_eq!(all("x-service-name"), ["shelf"; 3]);
    assert_eq!(all("x-correlation-id"), ["ord-1"; 3]);
    assert!(all("x-request-id").iter().all(|id| *id == all("x-request-id")[0]));
    let parents = all("traceparent");
    let trace = lines[0]["trace_id"].as_str().unwrap();
    assert!(parents.iter().all(|parent| parent.contains(trace)), "{parents:?} {trace}");
    assert!(parents[0] != parents[1], "each try has a span of its own");
    let scheduled = events(&lines, "retry.scheduled");
    assert_eq!(scheduled.len(), 2);
    for (line, attempt) in scheduled.iter().zip(1..) {
        assert_eq!(line["attempt"], attempt);
        assert_eq!(line["retry.operation"], "GET stock/tea");
        assert_eq!(line["error.type"], "502");
        assert_eq!(line["correlation_id"], "ord-1");
        assert!(line["retry.delay_ms"].as_u64().unwrap() <= 8);
    }
    assert!(events(&lines, "retry.exhausted").is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_none_and_a_path_leads_nowhere_else() {
    let long = |_| async { vec![b'x'; ANSWER_BYTES_MAX + 1].into_response() }.boxed();
    let server = Server::open(1, long).await;
    let stock = stock(&[&server], QUICK);
    let error = status_of(&stock).await.unwrap_err();
    assert_eq!(error.error_type(), "bad_answer");
    assert_eq!(server.hits(), 1);
    for path in ["@127.0.0.1:9/", "//127.0.0.1:9/x", "", "/ä ?x=#y", "http://127.0.0.1:9/"] {
        let error = stock.send(Call::get(path)).await.unwrap_err();
        assert_eq!(error.error_type(), "bad_answer", "{path}");
    }
    assert_eq!(server.hits(), 6);
    let unsendable = stock.send(Call::post("/tea").idempotency_key("\n")).await.unwrap_err();
    assert_eq!(unsendable.error_type(), "bad_answer");
    assert_eq!(server.hits(), 6);
}
