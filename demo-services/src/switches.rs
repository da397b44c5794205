//! The failure switches: what can be broken while the shop runs. The registry keeps which are on, each service knows it
//! from its watch, and looks where it does what the switch breaks.

pub(crate) const DEAD_CONSUMER: &str = "dead-consumer.notifications";
pub(crate) const DECLINED_CARDS: &str = "declined-cards";
pub(crate) const EXPIRED_TOKEN_STORM: &str = "expired-token-storm";
pub(crate) const FAILING_COMMITS: &str = "failing-commits";
pub(crate) const FAILING_REFUNDS: &str = "failing-refunds";
pub(crate) const FLAKY_CATALOG: &str = "flaky-catalog";
pub(crate) const FORGOTTEN_KEYS: &str = "forgotten-keys";
pub(crate) const KILLED_ORCHESTRATOR: &str = "killed-orchestrator";
pub(crate) const LATE_COMMIT: &str = "late-commit";
pub(crate) const OUT_OF_STOCK: &str = "out-of-stock";
pub(crate) const SLOW_CATALOG: &str = "slow-catalog";
pub(crate) const SLOW_SHIPPING: &str = "slow-shipping";

/// All of them by name, each with what it breaks.
pub static SWITCHES: &[(&str, &str)] = &[
    (DEAD_CONSUMER, "notifications takes no messages"),
    (DECLINED_CARDS, "payments declines every card"),
    (EXPIRED_TOKEN_STORM, "users gives out tokens that have expired"),
    (FAILING_COMMITS, "inventory cannot take goods off the shelves"),
    (FAILING_REFUNDS, "payments cannot give money back"),
    (FLAKY_CATALOG, "every second read of catalog's products is a failure"),
    (FORGOTTEN_KEYS, "orders places every order anew, whatever its idempotency key"),
    (KILLED_ORCHESTRATOR, "orders stands still in the middle of its sagas"),
    (LATE_COMMIT, "payments does what it is asked and answers too late"),
    (OUT_OF_STOCK, "inventory has nothing"),
    (SLOW_CATALOG, "the first catalog takes half a second for each read of products"),
    (SLOW_SHIPPING, "shipping takes longer for a parcel than anybody waits"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_is_in_a_row_of_the_readme() {
        assert!(SWITCHES.is_sorted());
        let readme = include_str!("../README.md");
        let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        for (switch, _) in SWITCHES {
            let shown = format!("`{switch}`");
            assert!(rows.iter().any(|row| row.contains(&shown)), "{switch} is in no row");
        }
    }
}
