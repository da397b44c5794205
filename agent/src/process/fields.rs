//! Fields that every record of a source gets: `add` where it has none of that name, `set` in any case.
//!
//! `service` and `host` mean the fixed fields; every other name that is a fixed field's is refused, because
//! times, ids and messages are the line's own.

use bumpalo::Bump;
use ql::Field;
use record::{RecordRef, Value, ValueRef};

use super::ProcessError;

/// The fields of one source.
#[derive(Debug, Default)]
pub(super) struct Fields {
    service: Option<Fixed>,
    host: Option<Fixed>,
    attributes: Vec<Attribute>,
}

#[derive(Debug)]
struct Fixed {
    text: String,
    overrides: bool,
}

#[derive(Debug)]
struct Attribute {
    name: String,
    value: Value,
    overrides: bool,
}

impl Fields {
    pub(super) fn new(
        add: &[(String, Value)],
        set: &[(String, Value)],
    ) -> Result<Self, ProcessError> {
        let mut fields = Self::default();
        let all = add.iter().map(|one| (one, false)).chain(set.iter().map(|one| (one, true)));
        for ((name, value), overrides) in all {
            let wrong = |reason| Err(ProcessError::Field { name: name.clone(), reason });
            let fixed = match Field::resolve(name) {
                Field::Service => &mut fields.service,
                Field::Host => &mut fields.host,
                Field::Attribute(_) => {
                    if name.is_empty() {
                        return wrong("a field needs a name");
                    }
                    if fields.attributes.iter().any(|other| other.name == *name) {
                        return wrong("it is there twice");
                    }
                    let (name, value) = (name.clone(), value.clone());
                    fields.attributes.push(Attribute { name, value, overrides });
                    continue;
                }
                _ => return wrong("only service, host and attributes can be added"),
            };
            match value {
                Value::String(text) if !text.is_empty() => {
                    if fixed.replace(Fixed { text: text.clone(), overrides }).is_some() {
                        return wrong("it is there twice");
                    }
                }
                _ => return wrong("it must be a text that is not empty"),
            }
        }
        Ok(fields)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.service.is_none() && self.host.is_none() && self.attributes.is_empty()
    }

    /// The record with its fields; the list of attributes is copied only if it changes.
    pub(super) fn apply<'x>(&'x self, record: &mut RecordRef<'x>, arena: &'x Bump) {
        settle(&self.service, &mut record.service);
        settle(&self.host, &mut record.host);
        if self.attributes.is_empty() {
            return;
        }
        let own = record.attributes;
        let room = own.len() + self.attributes.len();
        let list = arena.alloc_slice_fill_copy(room, ("", ValueRef::Bool(false)));
        list[..own.len()].copy_from_slice(own);
        let mut length = own.len();
        for Attribute { name, value, overrides } in &self.attributes {
            match own.iter().position(|(other, _)| other == name) {
                Some(at) if *overrides => list[at].1 = value.as_ref(),
                Some(_) => {}
                None => {
                    list[length] = (name, value.as_ref());
                    length += 1;
                }
            }
        }
        record.attributes = &list[..length];
    }
}

fn settle<'x>(fixed: &'x Option<Fixed>, field: &mut Option<&'x str>) {
    if let Some(fixed) = fixed
        && (fixed.overrides || field.is_none())
    {
        *field = Some(&fixed.text);
    }
}

#[cfg(test)]
mod tests {
    use record::Record;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, Value)> {
        let pair =
            |(name, text): &(&str, &str)| ((*name).to_owned(), Value::String((*text).to_owned()));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn add_never_overrides_and_set_does() {
        let add = pairs(&[("env", "prod"), ("region", "eu"), ("service", "fallback")]);
        let set = pairs(&[("zone", "b"), ("host", "node-1")]);
        let fields = Fields::new(&add, &set).unwrap();
        let record = Record {
            service: Some("orders".into()),
            host: Some("own".into()),
            attributes: pairs(&[("env", "test"), ("zone", "a")]).into_iter().collect(),
            ..Record::default()
        };
        let arena = Bump::new();
        let after = record.with_ref(|record| {
            let mut record = *record;
            fields.apply(&mut record, &arena);
            record.to_record()
        });
        let wanted = Record {
            service: Some("orders".into()),
            host: Some("node-1".into()),
            attributes: pairs(&[("env", "test"), ("region", "eu"), ("zone", "b")])
                .into_iter()
                .collect(),
            ..Record::default()
        };
        assert_eq!(after, wanted);
    }

    #[test]
    fn fields_that_are_the_lines_own_are_refused() {
        for name in ["message", "timestamp", "trace_id", "level", "source.path", ""] {
            assert!(Fields::new(&pairs(&[(name, "x")]), &[]).is_err(), "{name}");
        }
        assert!(Fields::new(&pairs(&[("env", "a")]), &pairs(&[("env", "b")])).is_err());
        assert!(Fields::new(&[("host".into(), Value::I64(1))], &[]).is_err());
        assert!(Fields::new(&pairs(&[("service", "")]), &[]).is_err());
    }
}
