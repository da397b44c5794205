//! What watchers come to know, and when.

use super::*;

#[tokio::test]
async fn a_watch_is_answered_by_a_change_or_after_its_wait() {
    let registry = Running::start(PATIENT).await;
    let first = registry.watched(0, DEADLINE).await;
    let revision = first["revision"].as_u64().unwrap();
    let began = Instant::now();
    let same = registry.watched(revision, Duration::from_millis(100)).await;
    assert_eq!(same, first);
    assert!(began.elapsed() >= Duration::from_millis(100));
    let stock = instance("stock-1", nowhere());
    let change = async {
        // Not before the watch is there, as far as that can be arranged; the outcome is the same.
        sleep(Duration::from_millis(50)).await;
        registry.register(&stock).await;
    };
    let watched = timeout(Duration::from_secs(20), registry.watched(revision, DEADLINE));
    let (state, ()) = tokio::join!(watched, change);
    let state = state.expect("answered by the change");
    assert!(state["revision"].as_u64().unwrap() > revision);
    assert_eq!(state["instances"][0]["id"], "stock-1");
    assert_eq!(state["switches"], json!([]));
    // Of a registry that was here before, or will be.
    for revision in [1, u64::MAX] {
        let watched = timeout(Duration::from_secs(20), registry.watched(revision, DEADLINE));
        assert_eq!(watched.await.expect("answered at once"), state);
    }
}

#[tokio::test]
async fn a_registry_that_stops_lets_its_watchers_go() {
    let mut registry = Running::start(PATIENT).await;
    let revision = registry.watched(0, DEADLINE).await["revision"].as_u64().unwrap();
    let stop = async {
        sleep(Duration::from_millis(50)).await;
        registry.stop.set_off();
    };
    let watched = timeout(Duration::from_secs(20), registry.watched(revision, DEADLINE));
    assert!(tokio::join!(watched, stop).0.is_ok());
    let ended = async { while registry.tasks.join_next().await.is_some() {} };
    timeout(Duration::from_secs(20), ended).await.expect("nothing is left");
}

#[tokio::test]
async fn instances_come_back_to_a_registry_that_was_started_anew_and_watchers_miss_nothing() {
    // The instance comes back later than the watcher.
    let (heartbeat, settling) = (Duration::from_secs(1), Duration::from_secs(3));
    let settings = Settings { heartbeat, settling, ..PATIENT };
    let first = Running::start(settings).await;
    let (url, address) = (first.url.clone(), first.url.socket_addrs(|| None).unwrap()[0]);
    let (stop, stopping) = Shutdown::new();
    let directory = Directory::of(url.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(directory.clone().watch(stopping.clone()));
    tasks.spawn(keep_registered(url.clone(), instance("stock-1", nowhere()), stopping.clone()));
    until(async || directory.instances("stock").len() == 1).await;
    let (status, _) = first.ask(Method::PUT, "/api/v1/switches/shelf.slow", None).await;
    assert_eq!(status, 200);
    timeout(DEADLINE, directory.switched("shelf.slow", true)).await.expect("it is on");
    drop(first);
    let second = loop {
        // The port is free as soon as the tasks of the first are gone.
        match TcpListener::bind(address).await {
            Ok(listener) => {
                drop(listener);
                break Running::start_at(address, settings, None).await;
            }
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    };
    let mut least = usize::MAX;
    until(async || {
        least = least.min(directory.instances("stock").len());
        // Off, because the new one knows of no switch: the watcher has its state.
        !directory.is_on("shelf.slow") && second.discovered("").await == ["stock-1"]
    })
    .await;
    assert_eq!(least.min(directory.instances("stock").len()), 1);
    stop.set_off();
    tasks.join_all().await;
    assert!(second.discovered("").await.is_empty(), "it deregisters at the end");
    assert_eq!(directory.instances("stock").len(), 1, "nobody watches any more");
}

#[tokio::test]
async fn switches_reach_watchers() {
    let registry = Running::start(PATIENT).await;
    let (_stop, stopping) = Shutdown::new();
    let directory = Directory::of(registry.url.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(directory.clone().watch(stopping));
    for (method, on) in [(Method::PUT, true), (Method::DELETE, false)] {
        let (_, answer) = registry.ask(method, "/api/v1/switches/shelf.slow", None).await;
        let expected = if on { json!(["shelf.slow"]) } else { json!([]) };
        assert_eq!(answer["switches"], expected);
        timeout(DEADLINE, directory.switched("shelf.slow", on)).await.expect("it is turned");
        assert_eq!(directory.is_on("shelf.slow"), on);
        let (_, listed) = registry.ask(Method::GET, "/api/v1/switches", None).await;
        assert_eq!(listed["switches"], expected);
    }
}
