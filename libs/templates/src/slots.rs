//! What the values at one place of a shape have in common: all of them, or how they begin (`blk_<*>`), or nothing.
//!
//! Whatever the order in which values come, the outcome is the same.

/// What a template shows for what varies.
pub(crate) const WILDCARD: &str = "<*>";

/// What all values at one place so far have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// They are all this text.
    Whole(Box<str>),
    /// They begin with this, which ends with a mark such as `_` or `/`.
    Prefix(Box<str>),
    Nothing,
}

impl Slot {
    /// Of one value: a number is no constant, even if there is no other.
    pub(crate) fn of_value(value: &str) -> Self {
        let varies = |it: char| it.is_ascii_digit() || it.is_whitespace() || !it.is_ascii();
        if value.contains(varies) { Self::prefix(value) } else { Self::Whole(value.into()) }
    }

    /// Of one number within a name, or of a unit.
    pub(crate) fn of_name(text: &str) -> Self {
        Self::Whole(text.into())
    }

    /// Takes another value.
    pub(crate) fn join_value(&mut self, value: &str) {
        match self {
            Self::Whole(whole) if **whole == *value => {}
            Self::Prefix(prefix) if value.starts_with(&**prefix) => {}
            Self::Whole(text) | Self::Prefix(text) => {
                let same = text.bytes().zip(value.bytes()).take_while(|(a, b)| a == b).count();
                *self = Self::prefix(&text[..text.floor_char_boundary(same)]);
            }
            Self::Nothing => {}
        }
    }

    /// Takes another number within a name, or another unit.
    pub(crate) fn join_name(&mut self, text: &str) {
        if !matches!(self, Self::Whole(whole) if **whole == *text) {
            *self = Self::Nothing;
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Whole(text) | Self::Prefix(text) => text.len(),
            Self::Nothing => 0,
        }
    }

    /// As it stands in a template.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Whole(text) => text.to_string(),
            Self::Prefix(prefix) => format!("{prefix}{WILDCARD}"),
            Self::Nothing => WILDCARD.to_owned(),
        }
    }

    /// The way back from [`Slot::shown`], of a value.
    pub(crate) fn from_shown(shown: &str) -> Self {
        match shown.strip_suffix(WILDCARD) {
            Some("") => Self::Nothing,
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Whole(shown.into()),
        }
    }

    /// What two of them have in common.
    pub(crate) fn join(mut self, other: &Self) -> Self {
        match other {
            Self::Whole(text) => self.join_value(text),
            Self::Prefix(text) => {
                if let Self::Whole(whole) = &self {
                    self = Self::prefix(whole);
                }
                self.join_value(text);
            }
            Self::Nothing => self = Self::Nothing,
        }
        self
    }

    /// How `value` begins, up to the last mark before a digit or a space.
    fn prefix(value: &str) -> Self {
        let varies = |it: char| it.is_ascii_digit() || it.is_whitespace();
        let bytes = value.as_bytes();
        let end = value.find(varies).unwrap_or(value.len());
        let mark = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
        match bytes[..end].iter().rposition(mark) {
            Some(last) => Self::Prefix(value[..=last].into()),
            None => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], shown: &str) {
        let orders = [values.to_vec(), values.iter().rev().copied().collect()];
        for order in orders {
            let mut one_by_one = Slot::of_value(order[0]);
            order[1..].iter().for_each(|value| one_by_one.join_value(value));
            assert_eq!(one_by_one.shown(), shown);
            let joined = order.iter().map(|it| Slot::of_value(it)).reduce(|a, b| a.join(&b));
            assert_eq!(joined, Some(one_by_one));
        }
    }

    #[test]
    fn values_show_what_they_have_in_common() {
        check(&["/srv/a"], "/srv/a");
        check(&["/srv/a", "/srv/a"], "/srv/a");
        check(&["/srv/a", "/srv/b", "/srv/b/c"], "/srv/<*>");
        check(&["/srv/a", "/srv/"], "/srv/<*>");
        check(&["blk_12", "blk_19"], "blk_<*>");
        check(&["/srv/a", "x@b.c"], "<*>");
        check(&["12"], "<*>");
        check(&["Fri Jun 17"], "<*>");
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for value in ["/srv/a", "blk_12", "12"] {
            let slot = Slot::of_value(value);
            assert_eq!(Slot::from_shown(&slot.shown()), slot);
        }
    }

    #[test]
    fn other_numbers_in_a_name_have_nothing_in_common() {
        let mut slot = Slot::of_name("17");
        slot.join_name("17");
        assert_eq!(slot.shown(), "17");
        slot.join_name("18");
        slot.join_name("17");
        assert_eq!(slot, Slot::Nothing);
    }
}
