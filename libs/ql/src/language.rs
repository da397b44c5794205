//! The language as a table, for people: what can be written in a filter, and what it finds.

/// What is written, and what it finds.
pub const LANGUAGE: &[(&str, &str)] = &[
    (
        "word, nova-compute",
        "the word, or adjacent words, in the message; or a whole correlation or trace id",
    ),
    ("\"two words\"", "adjacent words in the message"),
    ("fail*, *out, f?o", "a word of the message by wildcard"),
    ("*, nothing", "every record"),
    (
        "a b, a AND b, a OR b, -a, NOT a, (…)",
        "AND binds closer than OR; in `f:(-5)` the `-` excludes",
    ),
    (
        "f:value, f:\"value\"",
        "equal by the type of the record's value: `500` is the integer, the float and the text",
    ),
    (
        "f:=value",
        "the same, wildcards standing for themselves; of the message: the whole text, exact",
    ),
    ("f:~value", "equal, folded to lower case; wildcards too; of the message: the whole text"),
    ("f:/api/*", "`*` and `?` over the whole value; a number as it is printed"),
    ("f:/^u-[0-9]+$/", "regular expression anywhere in the value, or in the raw message"),
    ("f:10.0.0.0/8", "an address in the network"),
    (
        "f:>5, f:>=200ms, f:<1MiB, f:[1 TO 5], f:{1 TO *}",
        "numbers; a duration in the unit of the name (`_ms`, `.s`; else ns); texts with texts when the operand is one or is quoted",
    ),
    ("f:*", "the field is there"),
    ("f:(a OR b), f:(a b -c)", "the operators over values of one field"),
    ("level:error, level:>=warn, level:17", "a level is its four numbers; `>` is above all four"),
    ("time:2026-01-01, time:>=2026-01-01T10:00Z", "a beginning of a time is the whole period"),
    ("trace:4BF9…, trace:4bf9*", "hex of any case"),
    ("any:value", "words of the message, ids, fixed texts and every attribute"),
    ("\"odd name\":x, \"span\":x", "a name in quotes is always an attribute's"),
];
