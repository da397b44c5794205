//! What is not let through, and what is known of a dependency then.

use super::*;

#[tokio::test]
async fn half_open_admits_as_many_trials_as_configured_out_of_many_calls() {
    let (is_broken, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let server = Server::open(1, {
        let (is_broken, gate) = (Arc::clone(&is_broken), Arc::clone(&gate));
        move |_| {
            let (is_broken, gate) = (Arc::clone(&is_broken), Arc::clone(&gate));
            async move {
                if is_broken.load(Ordering::SeqCst) {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                gate.acquire().await.unwrap().forget();
                StatusCode::OK.into_response()
            }
            .boxed()
        }
    })
    .await;
    let breaker = BreakerPolicy {
        window: 10,
        calls_min: 5,
        failure_ratio: 0.5,
        open_for: Duration::from_secs(1),
        trials: 3,
    };
    let policy = Policy { attempts_max: 1, breaker, concurrency_max: 200, ..QUICK };
    let stock = stock(&[&server], policy);
    for _ in 0..5 {
        assert_eq!(status_of(&stock).await, Ok(500));
    }
    let Err(CallError::BreakerOpen { retry_after }) = status_of(&stock).await else {
        panic!("it is open after 5 failures of 5")
    };
    assert!(retry_after <= breaker.open_for);
    assert_eq!(server.hits(), 5);
    is_broken.store(false, Ordering::SeqCst);
    until(|| stock.report().breaker == "half_open").await;
    let mut calls: FuturesUnordered<_> = (0..100).map(|_| status_of(&stock)).collect();
    for _ in 0..97 {
        let refused = timeout(DEADLINE, calls.next()).await.expect("97 are refused at once");
        assert!(matches!(refused, Some(Err(CallError::BreakerOpen { .. }))), "{refused:?}");
    }
    assert_eq!(stock.report().breaker, "half_open");
    gate.add_permits(3);
    while let Some(answered) = calls.next().await {
        assert_eq!(answered, Ok(200));
    }
    assert_eq!(server.hits(), 8);
    assert_eq!(stock.report().breaker, "closed");
}

#[tokio::test]
async fn refusals_of_a_caller_do_not_open_the_circuit_and_lost_answers_do() {
    let hang = |_| pending::<Response>().boxed();
    let (refusing, hanging) =
        (Server::always(1, StatusCode::CONFLICT).await, Server::open(1, hang).await);
    let killed = Server::always(1, StatusCode::OK).await;
    killed.kill();
    until(|| killed.serving.is_finished()).await;
    let few = BreakerPolicy { calls_min: 2, window: 2, ..Policy::READS.breaker };
    for (server, timeout, state) in
        [(&refusing, 20_000, "closed"), (&hanging, 50, "open"), (&killed, 20_000, "open")]
    {
        let timeout = Duration::from_millis(timeout);
        let policy = Policy { attempts_max: 1, timeout, breaker: few, ..QUICK };
        let stock = stock(&[server], policy);
        for _ in 0..2 {
            let _ = status_of(&stock).await;
        }
        assert_eq!(stock.report().breaker, state);
    }
}

#[tokio::test]
async fn what_is_in_the_way_of_a_call_is_told() {
    let server = Server::always(1, StatusCode::SERVICE_UNAVAILABLE).await;
    let breaker = BreakerPolicy { calls_min: 4, window: 4, ..Policy::READS.breaker };
    let context = context(&[&server]);
    let stock = Dependency::new(&context, "stock", Policy { breaker, ..QUICK });
    let nobody = Dependency::new(&context, "nobody", QUICK);
    let lines = told(async {
        assert_eq!(status_of(&stock).await, Ok(503));
        // Its second try finds the circuit open.
        assert!(matches!(status_of(&stock).await, Err(CallError::BreakerOpen { .. })));
        assert_eq!(status_of(&nobody).await, Err(CallError::NoInstance));
    })
    .await;
    let exhausted = events(&lines, "retry.exhausted");
    let whys: Vec<_> = exhausted.iter().map(|line| line["error.type"].clone()).collect();
    assert_eq!(whys, ["503", "breaker_open"]);
    let changed = events(&lines, "circuit_breaker.changed");
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0]["circuit_breaker.name"], "stock");
    assert_eq!(changed[0]["circuit_breaker.state"], "open");
    assert_eq!(changed[0]["circuit_breaker.previous_state"], "closed");
    assert_eq!(changed[0]["circuit_breaker.failure_count"], 4);
    assert_eq!(events(&lines, "circuit_breaker.rejected").len(), 1);
    assert_eq!(events(&lines, "registry.lookup.failed")[0]["registry.service.name"], "nobody");
    let metrics = context.metrics.render();
    for line in [
        r#"logq_shop_circuit_breaker_state{name="stock",state="open"} 1"#,
        r#"logq_shop_circuit_breaker_state{name="stock",state="closed"} 0"#,
        r#"logq_shop_client_calls_total{dependency="stock",outcome="server_error"} 1"#,
        r#"logq_shop_client_calls_total{dependency="stock",outcome="breaker_open"} 1"#,
        r#"logq_shop_client_calls_total{dependency="nobody",outcome="no_instance"} 1"#,
        r#"logq_shop_client_attempts_total{dependency="stock"} 4"#,
        r#"logq_shop_client_instances{dependency="stock"} 1"#,
        r#"logq_shop_client_call_seconds_count{dependency="stock"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_full_bulkhead_refuses_and_is_empty_again_after_the_call() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Server::open(1, {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                StatusCode::OK.into_response()
            }
            .boxed()
        }
    })
    .await;
    let stock = stock(&[&server], Policy { concurrency_max: 1, waiting_max: 0, ..QUICK });
    let first = tokio::spawn({
        let stock = stock.clone();
        async move { status_of(&stock).await }
    });
    until(|| server.hits() == 1).await;
    assert_eq!(status_of(&stock).await, Err(CallError::Full));
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), Ok(200));
    assert_eq!(status_of(&stock).await, Ok(200));
}

#[tokio::test]
async fn the_health_report_knows_dependencies_from_their_calls() {
    let server = Server::always(1, StatusCode::SERVICE_UNAVAILABLE).await;
    let context = context(&[&server]);
    let breaker = BreakerPolicy { calls_min: 1, ..Policy::READS.breaker };
    let once = Policy { attempts_max: 1, breaker, ..QUICK };
    let stock = Dependency::new(&context, "stock", once);
    let nobody = Dependency::new(&context, "nobody", once);
    let report = async |dependencies: &[&Dependency]| {
        let dependencies = dependencies.iter().copied().cloned().collect();
        let router = crate::kit::health::route(&context, dependencies);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/health", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, router, pending(), ServerLimits::default()));
        let answer = http_client().get(url).send().await.unwrap().json::<Value>().await.unwrap();
        serving.abort();
        answer
    };
    context.health.set("database", Check::Starting);
    assert_eq!(report(&[]).await["status"], "starting");
    context.health.set("database", Check::Ok);
    assert_eq!(report(&[&nobody]).await["status"], "checking");
    let healthy = report(&[&stock]).await;
    assert_eq!(healthy["status"], "healthy");
    assert_eq!(healthy["service"], "shelf");
    assert_eq!(healthy["instance"], "shelf-1");
    assert_eq!(healthy["dependencies"][0]["last_latency_ms"], Value::Null);
    assert_eq!(status_of(&stock).await, Ok(503));
    let degraded = report(&[&stock]).await;
    assert_eq!(degraded["status"], "degraded");
    let dependency = &degraded["dependencies"][0];
    assert_eq!(dependency["name"], "stock");
    assert_eq!(dependency["breaker"], "open");
    assert_eq!(dependency["instances"], 1);
    assert!(dependency["last_latency_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(dependency["last_error"], "it answered 503 Service Unavailable");
    context.health.set("database", Check::Failed("gone".into()));
    assert_eq!(report(&[&stock]).await["status"], "unhealthy");
    context.health.begin_shutdown();
    assert_eq!(report(&[&stock]).await["status"], "shutting_down");
}

#[tokio::test]
async fn a_timeout_of_a_caller_that_had_no_time_left_opens_no_circuit() {
    let hang = |_| pending::<Response>().boxed();
    let server = Server::open(1, hang).await;
    let stock = stock(&[&server], Policy { attempts_max: 1, ..QUICK });
    let hurried = || Call::get("/tea").within(Duration::from_millis(5));
    for _ in 0..30 {
        assert_eq!(stock.send(hurried()).await.unwrap_err(), CallError::Timeout);
    }
    assert_eq!(stock.report().breaker, "closed");
    // One that had the time it may take is a failure.
    for _ in 0..30 {
        let _ = stock.send(hurried().timeout(Duration::from_millis(1))).await;
    }
    assert_eq!(stock.report().breaker, "open");
}
