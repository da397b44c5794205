//! How instances share calls, also when one is slow or gone.

use super::*;

#[tokio::test]
async fn calls_go_round_among_three_instances() {
    let servers = [
        Server::always(1, StatusCode::OK).await,
        Server::always(2, StatusCode::OK).await,
        Server::always(3, StatusCode::OK).await,
    ];
    let policy = Policy { balance: Balance::RoundRobin, ..QUICK };
    let stock = stock(&servers.each_ref(), policy);
    for _ in 0..300 {
        assert_eq!(status_of(&stock).await, Ok(200));
    }
    assert_eq!(servers.each_ref().map(Server::hits), [100; 3]);
}

#[tokio::test]
async fn a_slow_instance_gets_few_calls_by_least_connections() {
    let slow = async |_| {
        sleep(Duration::from_millis(500)).await;
        StatusCode::OK.into_response()
    };
    let servers = [
        Server::open(1, move |headers| slow(headers).boxed()).await,
        Server::always(2, StatusCode::OK).await,
        Server::always(3, StatusCode::OK).await,
    ];
    let policy = Policy { balance: Balance::LeastConnections, ..QUICK };
    let stock = stock(&servers.each_ref(), policy);
    let left = AtomicUsize::new(400);
    let take = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let caller = async || {
        while take().is_ok() {
            assert_eq!(status_of(&stock).await, Ok(200));
        }
    };
    join_all((0..8).map(|_| caller())).await;
    let hits = servers.each_ref().map(Server::hits);
    assert_eq!(hits.iter().sum::<usize>(), 400);
    assert!(hits[0] < 40, "{hits:?}");
}

#[tokio::test]
async fn no_read_fails_when_an_instance_is_killed() {
    for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastConnections] {
        let busy = async |_| {
            sleep(Duration::from_millis(3)).await;
            StatusCode::OK.into_response()
        };
        let mut servers = Vec::new();
        for number in 1..=3 {
            servers.push(Server::open(number, move |headers| busy(headers).boxed()).await);
        }
        let context = context(&servers.iter().collect::<Vec<_>>());
        let stock = Dependency::new(&context, "stock", Policy { balance, ..QUICK });
        let answered = AtomicUsize::new(0);
        let caller = async || {
            for _ in 0..40 {
                assert_eq!(status_of(&stock).await, Ok(200), "{balance:?}");
                if answered.fetch_add(1, Ordering::SeqCst) == 200 {
                    servers[0].kill();
                }
            }
        };
        join_all((0..16).map(|_| caller())).await;
        assert_eq!(stock.report().breaker, "closed");
        // Found out by those that were under way then, and by no others while it is put aside.
        let failed = tries(&context) - 640;
        assert!((1..=32).contains(&failed), "{failed} by {balance:?}");
    }
}

fn tries(context: &Context) -> u64 {
    let metrics = context.metrics.render();
    let name = "logq_shop_client_attempts_total{dependency=\"stock\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn another_try_goes_to_another_instance() {
    // It can be connected to, so that it is not put aside.
    let drop_connection = |_| async { std::panic::panic_any("cut") }.boxed();
    let servers = [Server::open(1, drop_connection).await, Server::always(2, StatusCode::OK).await];
    let policy = Policy { balance: Balance::Random, attempts_max: 2, ..QUICK };
    let stock = stock(&servers.each_ref(), policy);
    for _ in 0..40 {
        assert_eq!(status_of(&stock).await, Ok(200));
    }
    assert!(servers[0].hits() > 0);
    assert_eq!(servers[1].hits(), 40);
}
