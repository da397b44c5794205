//! What may be seen of a card.

/// The last four digits; the rest of a card's number has no place in a log or a database.
pub(crate) fn card_shown(card: &str) -> String {
    let tail = card.char_indices().rev().nth(3).map_or("", |(at, _)| &card[at..]);
    format!("…{tail}")
}
