//! Reads the labelled messages of Loghub, which lie beside the repository and are not part of it.

use std::path::PathBuf;

/// The messages of a system with their labels; says on stderr that it is skipped if they are not there.
pub(crate) fn labelled(system: &str) -> Option<Vec<(String, String)>> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let file = corpus.join(system).join(format!("{system}_2k.log_structured.csv"));
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("SKIPPED: no labelled messages of {system}: {}: {error}", file.display());
            return None;
        }
    };
    let rows = csv_rows(&text);
    let column = |name: &str| rows[0].iter().position(|cell| cell == name).expect("a known column");
    let (content, label) = (column("Content"), column("EventId"));
    Some(rows[1..].iter().map(|row| (row[content].clone(), row[label].clone())).collect())
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(character),
        }
    }
    rows
}
