//! What may be seen of a card. Its whole number is kept by a saga alone, until that has ended.

/// The last four digits; the rest of a card's number has no place in a log or an account.
pub(crate) fn card_shown(card: &str) -> String {
    let tail = card.char_indices().rev().nth(3).map_or("", |(at, _)| &card[at..]);
    format!("…{tail}")
}
