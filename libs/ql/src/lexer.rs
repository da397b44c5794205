//! wip
pub(crate) fn is_name_character(c: char) -> bool {
    c.is_alphanumeric() || "_.-@/$".contains(c)
}
