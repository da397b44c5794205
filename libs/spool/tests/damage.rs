//! Bits that flip and bytes that become zero: nothing panics, every loss is told, all else comes back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_system::{FileSystem, ModelFileSystem};
use spool::{Front, Opening, Replay, Spool, SpoolOptions};

const FOLDER: &str = "/state/spool";
const OPTIONS: SpoolOptions = SpoolOptions { file_bytes: 4096, bytes_max: 1 << 20 };

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One change as a replay tells it.
type Told = String;

/// What a spool gives when it is opened and drained, and what it says when it is opened once more.
#[derive(Debug)]
struct Seen {
    opening: Opening,
    told: Vec<Told>,
    /// Whole batches, and the numbers of the damaged ones.
    batches: BTreeMap<u64, Vec<u8>>,
    damaged: Vec<u64>,
    again: Opening,
}

fn open(fs: &ModelFileSystem) -> (Spool, Opening, Vec<Told>) {
    let mut told = Vec::new();
    let text = |note: &[u8]| String::from_utf8(note.to_vec()).unwrap();
    let (spool, opening) =
        Spool::open(Arc::new(fs.clone()), Path::new(FOLDER), OPTIONS, &mut |replay| match replay {
            Replay::Checkpoint(state) => {
                told = text(state).split_terminator(' ').map(str::to_owned).collect();
            }
            Replay::Batch { number, note } => told.push(format!("batch{number}:{}", text(note))),
            Replay::Note(note) => told.push(text(note)),
            Replay::Acknowledged { number, note } => {
                told.push(format!("acknowledged{number}:{}", text(note)));
            }
        })
        .unwrap();
    (spool, opening, told)
}

fn payload(number: u64) -> Vec<u8> {
    format!("payload of {number}").into_bytes()
}

/// Two files: the older one holds batches 0 to 2, of which 0 is acknowledged, the newer one 3 to 5.
fn written() -> (Files, Vec<Told>) {
    let fs = ModelFileSystem::new(0);
    for file in 0..2 {
        let (mut spool, _, mut told) = open(&fs);
        for number in 3 * file..3 * file + 3 {
            let state = told.iter().map(|change| format!("{change} ")).collect::<String>();
            let note = format!("n{number}");
            let appended =
                spool.append(note.as_bytes(), &payload(number), &mut || state.clone().into_bytes());
            assert_eq!(appended.unwrap(), number);
            told.push(format!("batch{number}:{note}"));
            if number == 1 {
                spool.acknowledge(0, b"a0", &mut || unreachable!()).unwrap();
                told.push("acknowledged0:a0".into());
            }
            if number == 4 {
                spool.note(b"alone", &mut || unreachable!()).unwrap();
                told.push("alone".into());
            }
        }
    }
    let (_, opening, told) = open(&fs);
    assert_eq!(opening, Opening::default());
    let files: Files = fs.files();
    assert_eq!(files.len(), 2);
    (files, told)
}

fn restored(files: &Files) -> ModelFileSystem {
    let fs = ModelFileSystem::new(1);
    fs.create_folder(Path::new(FOLDER)).unwrap();
    files.iter().for_each(|(path, content)| fs.write_synced(path, content).unwrap());
    fs.sync_folder(Path::new(FOLDER)).unwrap();
    fs
}

fn seen(fs: &ModelFileSystem) -> Seen {
    let before = spool::check(fs, Path::new(FOLDER)).unwrap();
    let (mut spool, opening, told) = open(fs);
    let (mut batches, mut damaged) = (BTreeMap::new(), Vec::new());
    let mut state = Vec::new();
    for change in &told {
        state.extend_from_slice(format!("{change} ").as_bytes());
    }
    while let Some(front) = spool.front().unwrap() {
        let last = front.last();
        match front {
            Front::Batch { number, payload, .. } => {
                assert!(batches.insert(number, payload).is_none());
            }
            Front::Damaged { numbers, .. } => damaged.extend(numbers),
        }
        spool.acknowledge(last, b"dealt", &mut || state.clone()).unwrap();
    }
    spool.note(b"settled", &mut || state.clone()).unwrap();
    let quiet = opening.damaged.is_empty() && damaged.is_empty();
    assert!(quiet || !before.is_sound(), "{before}\n{opening:?} {damaged:?}");
    drop(spool);
    let (_, again, told_again) = open(fs);
    assert_eq!(told_again[..told.len()], told);
    Seen { opening, told, batches, damaged, again }
}

/// Whether `some` is what remains of `all` in its order.
fn is_part(some: &[Told], all: &[Told]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

/// Opens what `harm` made of the files and holds it to what must be said of it.
fn check(files: &Files, told: &[Told], what: &str, harm: impl FnOnce(&mut Files)) -> Seen {
    check_with(files, told, what, false, harm)
}

/// If the harm reaches the end of the newest file, its last entries may be gone as if they had never been.
fn check_with(
    files: &Files,
    told: &[Told],
    what: &str,
    reaches_end: bool,
    harm: impl FnOnce(&mut Files),
) -> Seen {
    let mut harmed = files.clone();
    harm(&mut harmed);
    let seen = seen(&restored(&harmed));
    assert!(is_part(&seen.told, told), "{what}: {seen:?}");
    let torn = seen.opening.torn_bytes > 0 || reaches_end && told.starts_with(&seen.told);
    if seen.told.len() < told.len() {
        let lost_changes = seen.opening.damaged.iter().any(|damage| damage.changes_lost);
        assert!(lost_changes || torn, "{what}: {seen:?}");
    }
    let acknowledged = seen.told.iter().any(|change| change.starts_with("acknowledged0"));
    for number in u64::from(acknowledged)..6 {
        let whole = seen.batches.get(&number);
        assert!(whole.is_none_or(|bytes| *bytes == payload(number)), "{what}: {seen:?}");
        let count = usize::from(whole.is_some())
            + seen.damaged.iter().filter(|damaged| **damaged == number).count();
        let told =
            count == 1 || count == 0 && (torn || seen.opening.rewound || seen.opening.state_lost);
        assert!(told, "{what}: {number} {seen:?}");
    }
    assert_eq!(seen.again, Opening::default(), "{what}");
    seen
}

fn written_bytes(content: &[u8]) -> usize {
    content.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn undamaged_everything_comes_back() {
    let (files, told) = written();
    let seen = check(&files, &told, "undamaged", |_| {});
    assert_eq!(seen.opening, Opening::default());
    assert_eq!(seen.told, told);
    assert_eq!((seen.batches.len(), seen.damaged.len()), (5, 0));
}

#[test]
fn any_flipped_bit_loses_at_most_its_own_entry_and_is_told() {
    let (files, told) = written();
    for (path, content) in &files {
        for bit in 0..8 * written_bytes(content) {
            let seen = check(&files, &told, &format!("{} bit {bit}", path.display()), |files| {
                files.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            });
            assert!(!seen.opening.state_lost && !seen.opening.rewound, "bit {bit}: {seen:?}");
            assert!(seen.told.len() + 1 >= told.len(), "bit {bit}: {seen:?}");
            assert!(seen.batches.len() >= 4 && seen.damaged.len() <= 1, "bit {bit}: {seen:?}");
        }
    }
}

#[test]
fn any_zeroed_range_is_told() {
    let (files, told) = written();
    let newest = files.keys().last().unwrap();
    for (path, content) in &files {
        for (length, stride) in [(1, 1), (13, 5), (48, 16), (300, 33), (512, 64), (2000, 64)] {
            for from in (0..written_bytes(content)).step_by(stride) {
                let what = format!("{} {from} + {length}", path.display());
                let reaches_end = path == newest && from + length >= written_bytes(content);
                check_with(&files, &told, &what, reaches_end, |files| {
                    let content = files.get_mut(path).unwrap();
                    let to = (from + length).min(content.len());
                    content[from..to].fill(0);
                });
            }
        }
    }
}

#[test]
fn a_file_cut_short_or_gone_is_told() {
    let (files, told) = written();
    for (path, content) in &files {
        let older = path == files.keys().next().unwrap();
        for length in (0..written_bytes(content)).step_by(7) {
            let what = format!("{} cut to {length}", path.display());
            check_with(&files, &told, &what, !older, |files| {
                files.get_mut(path).unwrap().truncate(length);
            });
        }
        // That the newest one was removed leaves no trace.
        if older {
            let seen = check(&files, &told, "gone", |files| {
                files.remove(path);
            });
            assert_eq!(seen.damaged, [1, 2]);
            assert_eq!(seen.opening.damaged[0].lost, Some(1..=2));
        }
    }
}

#[test]
fn a_damaged_newest_checkpoint_leads_back_to_the_one_before() {
    let (files, told) = written();
    let newest = files.keys().last().unwrap();
    let seen = check(&files, &told, "checkpoint", |files| {
        files.get_mut(newest).unwrap()[1024..1024 + 150].fill(0);
    });
    assert_eq!(seen.told, told);
    assert!(!seen.opening.state_lost);
    assert_eq!(seen.opening.damaged.len(), 1);
}

#[test]
fn without_any_checkpoint_the_state_is_lost_and_the_batches_are_kept() {
    let (files, told) = written();
    let seen = check(&files, &told, "checkpoints", |files| {
        files.values_mut().for_each(|content| content[1024..1024 + 150].fill(0));
    });
    assert!(seen.opening.state_lost && seen.opening.rewound);
    assert_eq!(seen.batches.len(), 5, "{seen:?}");
}

#[test]
fn what_was_damaged_is_kept_in_quarantine_once() {
    let (files, _) = written();
    let newest = files.keys().last().unwrap().clone();
    let fs = restored(&files);
    assert!(spool::check(&fs, Path::new(FOLDER)).unwrap().is_sound());
    fs.corrupt(&newest, |content| {
        let place = content.windows(12).position(|bytes| bytes == b"payload of 3").unwrap();
        content[place] ^= 1;
    });
    for _ in 0..2 {
        let report = spool::repair(&fs, Path::new(FOLDER)).unwrap();
        assert_eq!(report.problems.len(), 1, "{report}");
        assert_eq!(report.problems[0].batches, Some(3..=3));
        assert!(report.to_string().contains("a payload; batches 3 to 3; kept in"), "{report}");
    }
    let (mut spool, opening, _) = open(&fs);
    assert!(opening.damaged.is_empty());
    for number in [1, 2] {
        spool.acknowledge(number, b"", &mut Vec::new).unwrap();
    }
    let Front::Damaged { numbers, note, payload, damage } = spool.front().unwrap().unwrap() else {
        panic!("batch 3 is damaged");
    };
    assert_eq!((numbers, note, payload), (3..=3, Some(b"n3".to_vec()), None));
    let kept = damage.unwrap().quarantined.unwrap();
    let quarantined: Vec<_> =
        fs.files().into_keys().filter(|path| path.starts_with("/state/spool/quarantine")).collect();
    assert_eq!(quarantined, [kept]);
}

#[test]
fn mutated_files_open_and_give_only_batches_that_were_written() {
    let (files, told) = written();
    let seeds: Vec<_> = files.values().cloned().collect();
    let tokens: [&[u8]; 6] =
        [b"LQSE", b"LQSP", b"LQSE\x02\0\0\0", b"payload of 3", &[0; 48], &[0; 512]];
    mutation::run("spool", &seeds, &tokens, |input| {
        let mut harmed = files.clone();
        // The older file or the newer one, whichever the input says.
        let which = input.iter().fold(0, |sum, byte| sum ^ byte) & 1;
        *harmed.values_mut().nth(usize::from(which)).unwrap() = input.to_vec();
        let seen = seen(&restored(&harmed));
        assert!(is_part(&seen.told, &told), "{seen:?}");
        assert!(seen.batches.iter().all(|(number, bytes)| *bytes == payload(*number)), "{seen:?}");
        assert_eq!(seen.again, Opening::default());
        seen.opening == Opening::default()
    });
}
