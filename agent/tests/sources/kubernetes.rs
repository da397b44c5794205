//! Logs of containers: what the path says, and what the runtime has wrapped.

use record::Value;

use crate::process::{Home, eventually, records};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_log_names_its_pod_and_is_read_behind_its_wrapping() {
    let (home, server) = (Home::new(), Server::start([]).await);
    let docker = |text: &str| {
        let line = serde_json::json!({
            "log": format!("{text}\n"), "stream": "stdout", "time": "2026-11-21T08:00:00.5Z",
        });
        format!("{line}\n")
    };
    for (path, text) in [
        (
            "pods/shop_orders-7d9c_1b2c/main-app/0.log",
            "2026-11-21T08:00:00.5Z stdout F {\"msg\":\"cri json\",\"service\":\"orders\"}\n"
                .to_owned(),
        ),
        ("pods/shop_carts-1_9f/cart/3.log", docker("plain words in docker")),
        ("pods/shop_carts-2_9f/cart/0.log", docker("level=warn msg=\"logfmt in docker\"")),
        ("other/app.log", docker("no pod")),
    ] {
        let path = home.path("log").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let source = format!(
        "[[agent.sources]]\nkind = \"file\"\ninclude = [\"{}/**/*.log\"]\ncontainer = \"auto\"\nstart_at = \"beginning\"",
        home.path("log").display()
    );
    home.configure(&server.addr, "", &source);
    let agent = home.start();
    eventually("all lines arrive", || (records(&server).len() == 4).then_some(()));
    agent.stop();

    let mut found = Vec::new();
    for record in records(&server) {
        let pod = record.attributes.get("k8s.pod.name");
        let pod = pod.map(|pod| match pod {
            Value::String(pod) => pod.clone(),
            other => panic!("{other:?} is no name"),
        });
        assert!(!record.attributes.contains_key("logq.unparsed"), "{record:?}");
        let service = record.service.unwrap_or_default();
        found.push((record.message, service, record.severity.name(), pod));
    }
    found.sort();
    let row = |message: &str, service: &str, level, pod: Option<&str>| {
        (message.to_owned(), service.to_owned(), level, pod.map(str::to_owned))
    };
    assert_eq!(
        found,
        [
            row("cri json", "orders", "", Some("orders-7d9c")),
            row("logfmt in docker", "cart", "warn", Some("carts-2")),
            row("no pod", "", "", None),
            row("plain words in docker", "cart", "", Some("carts-1")),
        ]
    );
}
