//! The text of `/metrics`, read back into families.

use std::collections::{BTreeMap, BTreeSet};

/// One family of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Label names with the values that were seen, without `le`.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// Families by their names.
pub(crate) type Families = BTreeMap<String, Family>;

/// Reads a whole exposition.
pub(crate) fn read(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let named = |prefix: &str| line.strip_prefix(prefix)?.split_once(' ');
        if let Some((name, help)) = named("# HELP ") {
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some((name, kind)) = named("# TYPE ") {
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else {
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            let sample = &line[..end];
            let name = if families.contains_key(sample) { sample } else { family_of(sample) };
            let family = families.get_mut(name).unwrap_or_else(|| panic!("no family: {line}"));
            for (label, value) in labels(&line[end..]) {
                if label != "le" {
                    family.labels.entry(label).or_default().insert(value);
                }
            }
        }
    }
    families
}

/// The family of a sample of a histogram.
fn family_of(sample: &str) -> &str {
    let ends = ["_bucket", "_sum", "_count"];
    ends.iter().find_map(|end| sample.strip_suffix(end)).unwrap_or(sample)
}

/// The labels in `{a="b",c="d"} 1`.
fn labels(rest: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let Some(mut rest) = rest.strip_prefix('{') else { return labels };
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next() {
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => break after.len(),
                },
                Some((at, '"')) => break at + 1,
                Some((_, other)) => value.push(other),
                None => break after.len(),
            }
        };
        labels.push((name.trim_start_matches(',').to_owned(), value));
        rest = &after[end..];
        if rest.starts_with('}') {
            break;
        }
    }
    labels
}

#[test]
fn families_are_read_with_their_labels_and_values() {
    let families = read(concat!(
        "# HELP a_seconds How long.\n# TYPE a_seconds histogram\n",
        "a_seconds_bucket{kind=\"x\",le=\"1\"} 1\na_seconds_sum{kind=\"x\"} 1\n",
        "# HELP b_total What was said.\n# TYPE b_total counter\nb_total{said=\"a \\\"b\\\", {c}=\\\\\",by=\"d\"} 1\n",
        "# HELP c_count Nothing of a histogram.\n# TYPE c_count gauge\nc_count 2\n",
    ));
    let labels = |name: &str| format!("{:?}", families[name].labels);
    assert_eq!(labels("a_seconds"), r#"{"kind": {"x"}}"#);
    assert_eq!(labels("b_total"), r#"{"by": {"d"}, "said": {"a \"b\", {c}=\\"}}"#);
    assert_eq!(families["c_count"].kind, "gauge");
    assert_eq!(families.len(), 3);
}
