//! What travels between agents and the collector, and how it becomes records.
