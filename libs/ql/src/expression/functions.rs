//! The functions of expressions: name, arguments and result of each, as a table that checks and documents them.

use super::Type::{Any, Bool, Number, Text, Time};
use super::{Expression, Type};

/// A function of `where` and `eval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Function {
    If,
    Case,
    Coalesce,
    Least,
    Greatest,
    TypeOf,
    Lower,
    Upper,
    Trim,
    Length,
    Substring,
    Replace,
    Contains,
    StartsWith,
    EndsWith,
    Concat,
    Split,
    Find,
    InNetwork,
    ToText,
    ToNumber,
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Log,
    Exp,
    Power,
    Now,
    ToTime,
    Bin,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Weekday,
    Epoch,
}

/// What is said of a function.
#[derive(Debug)]
pub struct FunctionHelp {
    /// What computes it.
    pub function: Function,
    /// Its name in an expression.
    pub name: &'static str,
    /// Its arguments as they are written.
    pub usage: &'static str,
    /// What it gives, in a line.
    pub summary: &'static str,
    /// The types of its arguments; the last one is that of all further ones.
    pub arguments: &'static [Type],
    /// How many it may have at least and at most.
    pub count: (usize, usize),
    /// What it gives.
    pub result: Type,
}

const MANY: usize = 64;

macro_rules! functions {
    ($($function:ident $usage:literal [$($argument:ident),*] $least:literal..$most:expr => $result:ident $summary:literal)*) => {
        /// All of them, by what they are for.
        pub const FUNCTIONS: &[FunctionHelp] = &[$(FunctionHelp {
            function: Function::$function,
            name: name_of($usage),
            usage: $usage,
            summary: $summary,
            arguments: &[$($argument),*],
            count: ($least, $most),
            result: $result,
        }),*];
    };
}

functions! {
    If "if(CONDITION, THEN, ELSE)" [Bool, Any] 3..3 => Any "one of two values"
    Case "case(CONDITION, VALUE, …, ELSE)" [Any] 2..MANY => Any "the value behind the first condition that is true; ELSE, or null without it"
    Coalesce "coalesce(VALUE, …)" [Any] 1..MANY => Any "the first that is not null"
    Least "least(VALUE, …)" [Any] 1..MANY => Any "the smallest, nulls left out"
    Greatest "greatest(VALUE, …)" [Any] 1..MANY => Any "the largest, nulls left out"
    TypeOf "typeof(VALUE)" [Any] 1..1 => Text "`null`, `bool`, `number`, `text`, `time` or `list`"
    Lower "lower(TEXT)" [Text] 1..1 => Text "in lower case"
    Upper "upper(TEXT)" [Text] 1..1 => Text "in upper case"
    Trim "trim(TEXT)" [Text] 1..1 => Text "without the blanks around it"
    Length "length(TEXT)" [Text] 1..1 => Number "its characters"
    Substring "substring(TEXT, START, LENGTH)" [Text, Number] 2..3 => Text "from the character START, counted from 1, or from the end with a negative one; to the end without LENGTH"
    Replace "replace(TEXT, FROM, TO)" [Text] 3..3 => Text "with every FROM replaced by TO"
    Contains "contains(TEXT, PART)" [Text] 2..2 => Bool "whether the part stands in it, exact"
    StartsWith "starts_with(TEXT, PART)" [Text] 2..2 => Bool "whether it begins so"
    EndsWith "ends_with(TEXT, PART)" [Text] 2..2 => Bool "whether it ends so"
    Concat "concat(VALUE, …)" [Any] 1..MANY => Text "all of them as one text, nulls left out"
    Split "split(TEXT, SEPARATOR, N)" [Text, Text, Number] 3..3 => Text "the part with this number, counted from 1, or from the end with a negative one"
    Find "find(TEXT, PART)" [Text] 2..2 => Number "the character at which the part begins, counted from 1; null without it"
    InNetwork "in_network(ADDRESS, NETWORK)" [Text] 2..2 => Bool "whether it is an address in a network like \"10.0.0.0/8\""
    ToText "text(VALUE)" [Any] 1..1 => Text "as it is printed"
    ToNumber "number(VALUE)" [Any] 1..1 => Number "the number that a text is; null if it is none; true is 1"
    Abs "abs(NUMBER)" [Number] 1..1 => Number "without its sign"
    Round "round(NUMBER, DIGITS)" [Number] 1..2 => Number "to so many digits behind the point; to a whole number without them"
    Floor "floor(NUMBER)" [Number] 1..1 => Number "the whole number below"
    Ceil "ceil(NUMBER)" [Number] 1..1 => Number "the whole number above"
    Sqrt "sqrt(NUMBER)" [Number] 1..1 => Number "the square root; null below zero"
    Log "log(NUMBER, BASE)" [Number] 1..2 => Number "the logarithm, the natural one without a base"
    Exp "exp(NUMBER)" [Number] 1..1 => Number "e to this power"
    Power "power(NUMBER, EXPONENT)" [Number] 2..2 => Number "to this power"
    Now "now()" [] 0..0 => Time "when the query began"
    ToTime "time(VALUE)" [Any] 1..1 => Time "the time that a text or an epoch number tells; null if it tells none"
    Bin "bin(VALUE, WIDTH)" [Any, Number] 2..2 => Any "a time or a number, rounded down to a multiple of the width, as in `stats … by bin(5m)`"
    Year "year(TIME)" [Time] 1..1 => Number "of UTC, like the others"
    Month "month(TIME)" [Time] 1..1 => Number "1 to 12"
    Day "day(TIME)" [Time] 1..1 => Number "of the month"
    Hour "hour(TIME)" [Time] 1..1 => Number "0 to 23"
    Minute "minute(TIME)" [Time] 1..1 => Number "0 to 59"
    Weekday "weekday(TIME)" [Time] 1..1 => Number "1 is Monday, 7 is Sunday"
    Epoch "epoch(TIME)" [Time] 1..1 => Number "seconds since 1970"
}

/// What stands before the parenthesis.
const fn name_of(usage: &'static str) -> &'static str {
    let bytes = usage.as_bytes();
    let mut end = 0;
    while bytes[end] != b'(' {
        end += 1;
    }
    usage.split_at(end).0
}

impl Function {
    /// What is said of it.
    pub fn help(self) -> &'static FunctionHelp {
        let of = |help: &&FunctionHelp| help.function == self;
        FUNCTIONS.iter().find(of).expect("every function has a row")
    }
}

impl FunctionHelp {
    /// The type that an argument must have.
    pub(super) fn argument(&self, number: usize, all: &[Expression]) -> Type {
        match self.function {
            // Conditions stand before their values.
            Function::Case if number.is_multiple_of(2) && number + 1 < all.len() => Bool,
            _ => self.arguments.get(number).or(self.arguments.last()).copied().unwrap_or(Any),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_one_row() {
        for help in FUNCTIONS {
            assert_eq!(FUNCTIONS.iter().filter(|other| other.name == help.name).count(), 1);
            assert!(help.function.help().name == help.name && help.count.0 <= help.count.1);
        }
    }
}
