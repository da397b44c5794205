//! Who is in the registry, and for how long.

use super::*;

#[tokio::test]
async fn an_instance_without_heartbeats_expires_and_one_with_them_stays() {
    let settings = Settings { lease: Duration::from_secs(2), ..PATIENT };
    let registry = Running::start(settings).await;
    let (_stop, stopping) = Shutdown::new();
    let mut kept = JoinSet::new();
    let stays = instance("stays", nowhere());
    kept.spawn(keep_registered(registry.url.clone(), stays, stopping));
    registry.register(&instance("goes", nowhere())).await;
    until(async || registry.discovered("").await == ["goes", "stays"]).await;
    until(async || registry.discovered("").await == ["stays"]).await;
    let heartbeat = "/api/v1/instances/goes/heartbeat";
    let (status, answer) = registry.ask(Method::PUT, heartbeat, None).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknown_instance")));
}

#[tokio::test]
async fn an_instance_that_is_not_ready_is_left_out_until_it_answers_again() {
    let is_ready = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::clone(&is_ready);
    let ready = async move || match asked.load(Ordering::SeqCst) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let router = Router::new().route("/health/ready", get(ready));
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, router, pending(), ServerLimits::default()));
    let settings = Settings { check_interval: Duration::from_millis(20), ..PATIENT };
    let registry = Running::start(settings).await;
    registry.register(&instance("stock-1", address)).await;
    registry.register(&instance("gone", nowhere())).await;
    until(async || registry.discovered("").await == ["stock-1"]).await;
    let mut revision = 0;
    for ready in [false, true] {
        is_ready.store(ready, Ordering::SeqCst);
        let left = |state: &Value| state["instances"].as_array().unwrap().len();
        let expected = usize::from(ready);
        until(async || {
            let state = registry.watched(revision, Duration::from_millis(50)).await;
            revision = state["revision"].as_u64().unwrap();
            left(&state) == expected
        })
        .await;
        assert_eq!(registry.discovered("").await.len(), expected);
    }
    let (_, all) = registry.ask(Method::GET, "/api/v1/services", None).await;
    let listed = &all["services"][0];
    assert_eq!(listed["name"], "stock");
    assert_eq!(listed["instances"][0]["id"], "gone");
    assert_eq!(listed["instances"][0]["healthy"], false);
    assert_eq!(listed["instances"][1]["healthy"], true);
}

#[test]
fn only_failures_in_a_row_make_an_instance_unhealthy() {
    let catalog = Catalog::new(PATIENT, &Metrics::new());
    let now = Instant::now();
    catalog.register(instance("stock-1", nowhere()), now).unwrap();
    let healthy = |answers: &[bool]| {
        answers.iter().for_each(|is_ready| catalog.checked("stock-1", nowhere(), *is_ready));
        catalog.snapshot().instances.len()
    };
    assert_eq!(healthy(&[false, true, false]), 1);
    assert_eq!(healthy(&[false]), 0);
    // What it says of itself does not make it well.
    assert!(catalog.heartbeat("stock-1", now));
    catalog.register(instance("stock-1", nowhere()), now).unwrap();
    assert_eq!(healthy(&[]), 0);
    assert_eq!(healthy(&[true]), 1);
    // An answer of the one that was here before is none of this one's.
    catalog.register(instance("stock-1", ([127, 0, 0, 1], 10).into()), now).unwrap();
    assert_eq!(healthy(&[false, false]), 1);
}

#[tokio::test]
async fn instances_are_found_by_their_tags() {
    let registry = Running::start(PATIENT).await;
    for (id, tags) in [
        ("a", vec![("zone", "north")]),
        ("b", vec![("zone", "north"), ("size", "xl")]),
        ("c", vec![]),
    ] {
        let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let instance = Instance { tags: tags.collect(), ..instance(id, nowhere()) };
        registry.register(&instance).await;
    }
    for (query, found) in [
        ("", &["a", "b", "c"][..]),
        ("?tag=zone:north", &["a", "b"]),
        ("?tag=zone:north&tag=size:xl", &["b"]),
        ("?tag=zone:south", &[]),
    ] {
        assert_eq!(registry.discovered(query).await, found, "{query}");
    }
    let (status, answer) = registry.ask(Method::GET, "/api/v1/services/stock?tag=zone", None).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("bad_tag")));
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let registry = Running::start(PATIENT).await;
    let sound = json!({"service": "stock", "id": "stock-1", "address": "127.0.0.1:9", "tags": {}});
    let changed = |key: &str, value: Value| {
        let mut body = sound.clone();
        body[key] = value;
        body
    };
    let long = "x".repeat(65);
    let many: BTreeMap<_, _> = (0..9).map(|key| (key.to_string(), "x")).collect();
    for (body, status, code) in [
        (changed("service", json!("")), 422, "bad_name"),
        (changed("service", json!("a/b")), 422, "bad_name"),
        (changed("id", json!(long)), 422, "bad_name"),
        (changed("id", json!("..")), 422, "bad_name"),
        (changed("tags", json!(many)), 422, "bad_tags"),
        (changed("tags", json!({"": "x"})), 422, "bad_tags"),
        (changed("tags", json!({"a:b": "x"})), 422, "bad_tags"),
        (changed("tags", json!({"a": long})), 422, "bad_tags"),
        (changed("address", json!("nowhere")), 422, "bad_field"),
        (changed("service", json!("x".repeat(17 << 10))), 413, "too_large"),
    ] {
        let (found, answer) =
            registry.ask(Method::POST, "/api/v1/instances", Some(body.clone())).await;
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{body}");
    }
    let path = format!("/api/v1/switches/{long}");
    assert_eq!(registry.ask(Method::PUT, &path, None).await.0, 422);
}

#[test]
fn there_is_an_end_to_instances_and_switches() {
    let catalog = Catalog::new(PATIENT, &Metrics::new());
    let now = Instant::now();
    for number in 0..1_024 {
        catalog.register(instance(&format!("stock-{number}"), nowhere()), now).unwrap();
    }
    assert!(catalog.register(instance("one-more", nowhere()), now).is_err());
    assert!(catalog.register(instance("stock-7", ([127, 0, 0, 1], 10).into()), now).is_ok());
    assert!(catalog.deregister("stock-7") && !catalog.deregister("stock-7"));
    assert!(catalog.register(instance("one-more", nowhere()), now).is_ok());
    for number in 0..64 {
        catalog.turn(&format!("switch-{number}"), true).unwrap();
    }
    assert!(catalog.turn("one-more", true).is_err());
    assert!(catalog.turn("switch-7", true).is_ok());
}

#[tokio::test]
async fn what_comes_and_goes_is_told_without_a_correlation() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("registry.log");
    let [telemetry, _other] = telemetry_of_two(&log);
    let settings = Settings { lease: Duration::from_secs(2), ..PATIENT };
    let mut registry =
        Running::start_at(([127, 0, 0, 1], 0).into(), settings, Some(&telemetry)).await;
    let (stop, stopping) = Shutdown::new();
    registry.register(&instance("stock-1", nowhere())).await;
    let kept = keep_registered(registry.url.clone(), instance("stock-2", nowhere()), stopping);
    let end = async {
        until(async || registry.discovered("").await == ["stock-2"]).await;
        stop.set_off();
    };
    tokio::join!(kept, end);
    registry.stop.set_off();
    while registry.tasks.join_next().await.is_some() {}
    let lines = lines_of(&log);
    let told: Vec<_> = lines.iter().filter(|line| !line["event_name"].is_null()).collect();
    let words = |line: &&Value| {
        let text = |name: &str| line[name].as_str().unwrap_or("none").to_owned();
        let event = text("event_name").replace("registry.instance.", "");
        format!("{event} {} {}", text("registry.instance.id"), line["registry.instance.count"])
    };
    let mut told_words: Vec<_> = told.iter().map(words).collect();
    // The two come in any order.
    told_words[..2].sort();
    assert!(told_words[0].starts_with("registered stock-1"), "{told_words:?}");
    assert!(told_words[1].starts_with("registered stock-2"), "{told_words:?}");
    assert_eq!(told_words[2..], ["expired stock-1 1", "deregistered stock-2 0"]);
    for line in told {
        assert_eq!(line["correlation_id"], Value::Null, "{line}");
        assert_eq!(line["registry.service.name"], "stock");
        assert_eq!(
            (&line["server.address"], &line["server.port"]),
            (&json!("127.0.0.1"), &json!(9))
        );
    }
}

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    let registry = Trial::open("registry", "registry-1", async |context| open(context).await);
    registry.await.has_the_interface_of(&routes::routes()).await;
}
