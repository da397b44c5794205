//! Tests of the driver: a run can be made again, and a parser with a fault is found out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::*;

fn seeds() -> Vec<Vec<u8>> {
    vec![b"{\"key\":[1,2,{\"a\":\"b\"}]}".to_vec(), b"key=7 other=\"x y\"".to_vec()]
}

#[test]
fn an_input_depends_on_the_seed_and_its_number_alone() {
    let seeds = seeds();
    let of = |seed, number| Mutator::new(seed, &seeds, &[b"key", b"="]).input(number);
    assert_eq!(of(5, 0), seeds[0]);
    for number in [2, 99, 1_000_000] {
        assert_eq!(of(5, number), of(5, number));
    }
    let different = (2..500).filter(|number| of(5, *number) != of(6, *number)).count();
    assert!(different > 450, "{different}");
}

#[test]
fn inputs_are_bounded_and_of_many_kinds() {
    let seeds = seeds();
    let mutator = Mutator::new(1, &seeds, &[b"key"]);
    let inputs: Vec<_> = (0..5_000).map(|number| mutator.input(number)).collect();
    assert!(inputs.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
    let count = |holds: &dyn Fn(&[u8]) -> bool| inputs.iter().filter(|input| holds(input)).count();
    assert!(count(&|input| input.is_empty()) > 0);
    assert!(count(&|input| std::str::from_utf8(input).is_err()) > 500);
    assert!(count(&|input| input.windows(400).any(|all| all == [b'['; 400])) > 5);
    assert!(count(&|input| input.windows(9).any(|all| all == b"999999999")) > 5);
}

#[test]
fn a_parser_that_panics_is_found_out_with_a_small_input() {
    let seeds = seeds();
    let mutator = Mutator::new(1, &seeds, &[]);
    let check = |input: &[u8]| {
        assert!(!input.contains(&0xff), "a fault");
        true
    };
    let run = Run { name: "faulty", mutator: &mutator, check: &check, number: AtomicU64::new(0) };
    assert!(catch_unwind(AssertUnwindSafe(|| run.all(10_000))).is_err());
    let mut input = seeds[0].clone();
    input.insert(9, 0xff);
    assert_eq!(run.shrunk(&input), [0xff]);
}

#[test]
fn the_longest_time_is_that_of_its_input() {
    let seeds = seeds();
    let mutator = Mutator::new(1, &seeds, &[]);
    let slow = mutator.input(40);
    let check = |input: &[u8]| {
        // Works for a while, as a slow parser would.
        let began = Instant::now();
        while input == slow && began.elapsed() < Duration::from_millis(100) {}
        true
    };
    let run = Run { name: "slow", mutator: &mutator, check: &check, number: AtomicU64::new(0) };
    let seen = run.all(60);
    assert_eq!((seen.taken, seen.slowest.1), (60, 40));
    assert!(peak_bytes() > 1 << 20);
}
