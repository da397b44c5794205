//! Who called whom: spans as trees by their parents, with the records that were told inside of them.
//!
//! What senders get wrong is repaired and said: a parent that is not there stands as a hole, a span that is its own
//! parent or part of a circle becomes a root, and a span id that is there twice is two nodes.

use std::collections::HashMap;

use record::{SpanId, TraceId};

use crate::entry::Entry;

/// One span, or the place of one that is missing.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Index of the span among the entries; `None` for one that is not there.
    pub(crate) span: Option<usize>,
    /// The id that children name as their parent, of a span that is not there.
    pub(crate) missing: Option<SpanId>,
    pub(crate) parent: Option<usize>,
    /// In the order of their beginnings.
    pub(crate) children: Vec<usize>,
    /// Indices of records that were told inside of it, in the order of their times.
    pub(crate) records: Vec<usize>,
    /// What was repaired.
    pub(crate) note: Option<&'static str>,
}

pub(crate) const OWN_PARENT: &str = "it names itself as its parent";
pub(crate) const CIRCLE: &str = "its parents go in a circle";
pub(crate) const TWICE: &str = "another span has the same id";

/// All trees of some entries.
#[derive(Debug, Default)]
pub(crate) struct Forest {
    pub(crate) nodes: Vec<Node>,
    /// In the order of their beginnings.
    pub(crate) roots: Vec<usize>,
    /// The node of each entry: of a span its own, of a record that of its span.
    pub(crate) node_of: Vec<Option<usize>>,
    /// Records that belong to no span, in the order of their times.
    pub(crate) records: Vec<usize>,
}

type Key = (TraceId, SpanId);

/// Spans of one id among which a parent is looked for; a sender that gives all its spans the same id must not cost time.
const SAME_ID_MAX: usize = 16;

impl Forest {
    /// `time` gives an entry's time by one clock for all.
    pub(crate) fn of(entries: &[Entry], time: &dyn Fn(usize) -> i64) -> Self {
        let mut forest = Self { node_of: vec![None; entries.len()], ..Self::default() };
        // All that have an id, the first one first.
        let mut by_id: HashMap<Key, Vec<usize>> = HashMap::new();
        let mut spans: Vec<usize> =
            (0..entries.len()).filter(|index| entries[*index].is_span()).collect();
        spans.sort_by_key(|index| (time(*index), entries[*index].record_seq));
        for index in spans {
            let node = forest.nodes.len();
            forest.nodes.push(Node { span: Some(index), ..Node::default() });
            forest.node_of[index] = Some(node);
            if let Some(key) = key(&entries[index]) {
                let same = by_id.entry(key).or_default();
                if !same.is_empty() {
                    forest.nodes[node].note = Some(TWICE);
                }
                if same.len() < SAME_ID_MAX {
                    same.push(node);
                }
            }
        }
        forest.join_parents(entries, &mut by_id);
        forest.break_circles();
        forest.sort(entries, time);
        forest.join_records(entries, &by_id, time);
        forest
    }

    fn join_parents(&mut self, entries: &[Entry], by_id: &mut HashMap<Key, Vec<usize>>) {
        let mut missing: HashMap<Key, usize> = HashMap::new();
        for node in 0..self.nodes.len() {
            let Some(entry) = self.nodes[node].span.map(|index| &entries[index]) else { continue };
            // A server's span that shares its id with its client's (Zipkin) is its child.
            let shared = key(entry).and_then(|key| by_id.get(&key)).and_then(|same| {
                let is_client = |other: &&usize| {
                    **other != node
                        && self.nodes[**other].span.is_some_and(|index| {
                            matches!(entries[index].kind(), "client" | "producer")
                        })
                };
                matches!(entry.kind(), "server" | "consumer")
                    .then(|| same.iter().find(is_client))?
            });
            if let Some(client) = shared.copied() {
                self.nodes[node].note = None;
                self.nodes[client].note = None;
                self.nodes[node].parent = Some(client);
                continue;
            }
            let Some((trace, parent)) = entry.trace_id.zip(entry.parent) else { continue };
            if entry.span_id == Some(parent) {
                self.nodes[node].note = Some(OWN_PARENT);
                continue;
            }
            let found = by_id.get(&(trace, parent)).map(|same| {
                // Of several the one of the same service is meant: it called within its process.
                let of_service = |other: &&usize| {
                    self.nodes[**other]
                        .span
                        .is_some_and(|index| entries[index].service == entry.service)
                };
                *same.iter().find(of_service).unwrap_or(&same[0])
            });
            let parent = found.unwrap_or_else(|| {
                *missing.entry((trace, parent)).or_insert_with(|| {
                    self.nodes.push(Node { missing: Some(parent), ..Node::default() });
                    self.nodes.len() - 1
                })
            });
            self.nodes[node].parent = Some(parent);
        }
    }

    /// Whoever closes a circle becomes a root.
    fn break_circles(&mut self) {
        // 0: not seen, 1: on the way from the node that is looked at, 2: leads to a root.
        let mut seen = vec![0_u8; self.nodes.len()];
        let mut way = Vec::new();
        for first in 0..self.nodes.len() {
            let mut node = first;
            loop {
                match seen[node] {
                    2 => break,
                    1 => {
                        self.nodes[node].parent = None;
                        self.nodes[node].note = Some(CIRCLE);
                        break;
                    }
                    _ => {}
                }
                seen[node] = 1;
                way.push(node);
                match self.nodes[node].parent {
                    Some(parent) => node = parent,
                    None => break,
                }
            }
            for node in way.drain(..) {
                seen[node] = 2;
            }
        }
    }

    fn sort(&mut self, entries: &[Entry], time: &dyn Fn(usize) -> i64) {
        for node in 0..self.nodes.len() {
            match self.nodes[node].parent {
                Some(parent) => self.nodes[parent].children.push(node),
                None => self.roots.push(node),
            }
        }
        // A hole began, as far as is known, with the first of its children.
        let begins: Vec<(i64, u64)> = (0..self.nodes.len())
            .map(|node| {
                let of = |node: usize| {
                    let index = self.nodes[node].span?;
                    Some((time(index), entries[index].record_seq))
                };
                of(node)
                    .or_else(|| {
                        self.nodes[node].children.iter().filter_map(|child| of(*child)).min()
                    })
                    .unwrap_or_default()
            })
            .collect();
        for node in &mut self.nodes {
            node.children.sort_by_key(|child| begins[*child]);
        }
        self.roots.sort_by_key(|root| begins[*root]);
    }

    fn join_records(
        &mut self,
        entries: &[Entry],
        by_id: &HashMap<Key, Vec<usize>>,
        time: &dyn Fn(usize) -> i64,
    ) {
        let mut records: Vec<usize> =
            (0..entries.len()).filter(|index| !entries[*index].is_span()).collect();
        records.sort_by_key(|index| (time(*index), entries[*index].record_seq));
        for index in records {
            let same = key(&entries[index]).and_then(|key| by_id.get(&key));
            let node = same.map(|same| {
                let of_service = |node: &&usize| {
                    self.nodes[**node]
                        .span
                        .is_some_and(|span| entries[span].service == entries[index].service)
                };
                *same.iter().find(of_service).unwrap_or(&same[0])
            });
            match node {
                Some(node) => {
                    self.nodes[node].records.push(index);
                    self.node_of[index] = Some(node);
                }
                None => self.records.push(index),
            }
        }
    }

    /// All nodes, parents before children, each with its depth.
    pub(crate) fn walk(&self) -> Vec<(usize, usize)> {
        let mut walked = Vec::with_capacity(self.nodes.len());
        let mut rest: Vec<(usize, usize)> =
            self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((node, depth)) = rest.pop() {
            walked.push((node, depth));
            rest.extend(self.nodes[node].children.iter().rev().map(|child| (*child, depth + 1)));
        }
        walked
    }
}

fn key(entry: &Entry) -> Option<Key> {
    entry.trace_id.zip(entry.span_id)
}
