//! The broker's tables; the head of the broker's module says what they are for.

pub(super) const MIGRATIONS: &[&str] = &["
CREATE TABLE queues (
    name TEXT PRIMARY KEY,
    deliveries_max INTEGER NOT NULL,
    pause_min_ms INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE bindings (
    exchange TEXT NOT NULL,
    pattern TEXT NOT NULL,
    queue TEXT NOT NULL REFERENCES queues (name),
    PRIMARY KEY (exchange, pattern, queue)
) STRICT, WITHOUT ROWID;
CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL REFERENCES queues (name),
    state TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'scheduled', 'dead')),
    due_ms INTEGER NOT NULL, -- the end of a lease or pause, 0 in other states
    attempt INTEGER NOT NULL, -- deliveries so far
    awaited INTEGER NOT NULL, -- 1: nothing was said of the last one yet
    consumer TEXT, -- who has it, or had it last
    arrived_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL, -- when it came into its state
    reason TEXT, -- why the last delivery was not done
    id TEXT NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_state ON messages (queue, state, due_ms);
CREATE TABLE published (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE unrouted (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    arrived_ms INTEGER NOT NULL,
    id TEXT NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
"];
