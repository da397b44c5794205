//! Who calls whom, and who hears whom, as a picture of text.

use std::fmt::Write;

use crate::shop::KINDS;

/// All services: what they do, whom they call, where they publish, what they hear.
pub fn topology() -> String {
    let mut text = String::new();
    for kind in KINDS.iter().rev() {
        let _ = writeln!(text, "{:14} {}", kind.name, kind.does);
        for (verb, whom) in
            [("calls", kind.calls), ("publishes to", kind.publishes), ("hears", kind.hears)]
        {
            if !whom.is_empty() {
                let _ = writeln!(text, "{:14}   {verb} {}", "", whom.join(", "));
            }
        }
    }
    text
}
