//! What the registry costs when nothing happens.

use super::*;

const INSTANCES: usize = 14;

/// What this thread has had of a processor, in the kernel's ticks of 10 ms; all of a test runs on one thread.
fn busy() -> Duration {
    let figures = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, after_name) = figures.rsplit_once(')').unwrap();
    let times = after_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(times.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

#[tokio::test]
async fn an_idle_shop_costs_less_than_a_twentieth_of_a_core() {
    let folder = tempfile::tempdir().unwrap();
    let [telemetry, _other] = telemetry_of_two(&folder.path().join("registry.log"));
    let anywhere = ([127, 0, 0, 1], 0).into();
    let registry = Running::start_at(anywhere, Settings::default(), Some(&telemetry)).await;
    let (_stop, stopping) = Shutdown::new();
    let mut tasks = JoinSet::new();
    let directory = Directory::of(registry.url.clone());
    for number in 0..INSTANCES {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance = instance(&format!("stock-{number}"), listener.local_addr().unwrap());
        let router = Router::new().route("/health/ready", get(async || StatusCode::OK));
        tasks.spawn(async move {
            serve(listener, router, pending(), ServerLimits::default()).await.unwrap();
        });
        let own = if number == 0 { directory.clone() } else { Directory::of(registry.url.clone()) };
        tasks.spawn(own.watch(stopping.clone()));
        tasks.spawn(keep_registered(registry.url.clone(), instance, stopping.clone()));
    }
    until(async || directory.instances("stock").len() == INSTANCES).await;
    let (began, before) = (Instant::now(), busy());
    sleep(Duration::from_secs(6)).await;
    let share = (busy() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.05, "{share}");
    assert_eq!(directory.instances("stock").len(), INSTANCES);
}
