//! Who writes the log: ten services of a shop, their hosts, their calls and how long these take.

use std::sync::Arc;

/// Regions, the first the busiest.
pub(crate) const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-south-1"];

/// Names that messages speak of.
pub(crate) const TABLES: [&str; 8] =
    ["orders", "order_lines", "payments", "stock", "customers", "carts", "shipments", "outbox"];
pub(crate) const TOPICS: [&str; 6] = [
    "orders.placed",
    "orders.paid",
    "payments.captured",
    "stock.reserved",
    "shipments.sent",
    "mail.queued",
];

const ACTIONS: [&str; 20] = [
    "",
    "/list",
    "/search",
    "/count",
    "/export",
    "/recent",
    "/summary",
    "/status",
    "/history",
    "/items",
    "/confirm",
    "/cancel",
    "/validate",
    "/refresh",
    "/reserve",
    "/release",
    "/events",
    "/notes",
    "/labels",
    "/batch",
];

/// One service: its name, its share of the calls in percent (the first also opens each interaction), its hosts, the
/// resource of its paths, and the median of its durations.
#[derive(Clone, Copy, Debug)]
struct Plan {
    name: &'static str,
    share_percent: u32,
    hosts: usize,
    resource: &'static str,
    has_orders: bool,
    duration_median_ms: f64,
}

const fn plan(
    name: &'static str,
    share_percent: u32,
    hosts: usize,
    resource: &'static str,
    has_orders: bool,
    duration_median_ms: f64,
) -> Plan {
    Plan { name, share_percent, hosts, resource, has_orders, duration_median_ms }
}

const PLANS: [Plan; 10] = [
    plan("gateway", 22, 6, "shop", false, 35.0),
    plan("orders", 18, 5, "orders", true, 24.0),
    plan("payments", 12, 4, "payments", true, 120.0),
    plan("inventory", 10, 4, "stock", true, 12.0),
    plan("catalog", 9, 4, "products", false, 8.0),
    plan("cart", 8, 3, "carts", false, 6.0),
    plan("shipping", 7, 3, "shipments", true, 48.0),
    plan("notifications", 6, 2, "messages", true, 70.0),
    plan("users", 5, 2, "users", false, 9.0),
    plan("search", 3, 2, "search", false, 90.0),
];

/// One service, made ready for drawing.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) share_percent: u32,
    pub(crate) hosts: Vec<Arc<str>>,
    /// The earlier, the more often called.
    pub(crate) paths: Vec<Arc<str>>,
    /// Whether its records name the order of the interaction.
    pub(crate) has_orders: bool,
    pub(crate) duration_median_ms: f64,
}

/// The services; the first is where each interaction enters.
pub(crate) fn services() -> Vec<Service> {
    PLANS
        .iter()
        .map(|plan| Service {
            name: plan.name,
            share_percent: plan.share_percent,
            hosts: (1..=plan.hosts)
                .map(|number| format!("{}-{number:02}", plan.name).into())
                .collect(),
            paths: ACTIONS
                .iter()
                .map(|action| format!("/api/v1/{}{action}", plan.resource).into())
                .collect(),
            has_orders: plan.has_orders,
            duration_median_ms: plan.duration_median_ms,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_and_paths_are_two_hundred() {
        let all = services();
        assert_eq!(all.iter().map(|service| service.share_percent).sum::<u32>(), 100);
        assert_eq!(all.iter().map(|service| service.paths.len()).sum::<usize>(), 200);
    }
}
