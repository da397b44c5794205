//! Tests of the model: that it keeps what it must keep, and really loses the rest.

use super::*;

const FILE: &str = "/d/file";

/// A file of two sectors; sector 0 is synced as `1`, then both are written as `2`.
fn half_synced(seed: u64) -> (ModelFileSystem, Box<dyn JournalFile>) {
    let fs = ModelFileSystem::new(seed);
    fs.create_folder(Path::new("/d")).unwrap();
    let mut file = fs.create_preallocated(Path::new(FILE), 2 * SECTOR_BYTES as u64).unwrap();
    file.write_at(&[1; SECTOR_BYTES], 0).unwrap();
    file.sync().unwrap();
    fs.sync_folder(Path::new("/d")).unwrap();
    file.write_at(&[2; 2 * SECTOR_BYTES], 0).unwrap();
    (fs, file)
}

/// What the two sectors hold, for many seeds.
fn outcomes(
    act: impl Fn(&ModelFileSystem, &mut Box<dyn JournalFile>),
) -> BTreeSet<Option<(u8, u8)>> {
    (0..64)
        .map(|seed| {
            let (fs, mut file) = half_synced(seed);
            act(&fs, &mut file);
            let content = fs.read(Path::new(FILE)).ok()?;
            Some((content[0], content[SECTOR_BYTES]))
        })
        .collect()
}

fn all(outcomes: &[(u8, u8)]) -> BTreeSet<Option<(u8, u8)>> {
    outcomes.iter().copied().map(Some).collect()
}

#[test]
fn a_crash_keeps_or_loses_each_unsynced_sector() {
    assert_eq!(outcomes(|fs, _| fs.crash()), all(&[(1, 0), (1, 2), (2, 0), (2, 2)]));
}

#[test]
fn what_was_synced_survives_a_crash() {
    let outcomes = outcomes(|fs, file| {
        file.sync().unwrap();
        fs.crash();
    });
    assert_eq!(outcomes, all(&[(2, 2)]));
}

#[test]
fn a_killed_process_leaves_all_it_wrote_and_a_crash_may_still_take_it() {
    assert_eq!(outcomes(|fs, _| fs.restart()), all(&[(2, 2)]));
    let outcomes = outcomes(|fs, _| {
        fs.restart();
        fs.crash();
    });
    assert!(outcomes.contains(&Some((1, 0))));
}

#[test]
fn a_second_sync_does_not_bring_back_what_a_failed_one_lost() {
    let outcomes = outcomes(|fs, file| {
        fs.plan(1, Fault::Fail(io::ErrorKind::Other));
        assert!(file.sync().is_err());
        file.sync().unwrap();
        fs.crash();
    });
    assert!(outcomes.contains(&Some((1, 0))) && outcomes.contains(&Some((2, 2))), "{outcomes:?}");
}

#[test]
fn what_a_failed_sync_lost_can_be_written_again() {
    let outcomes = outcomes(|fs, file| {
        fs.plan(1, Fault::Fail(io::ErrorKind::Other));
        assert!(file.sync().is_err());
        file.write_at(&[3; 2 * SECTOR_BYTES], 0).unwrap();
        file.sync().unwrap();
        fs.crash();
    });
    assert_eq!(outcomes, all(&[(3, 3)]));
}

#[test]
fn a_name_is_durable_after_its_folder_was_synced() {
    let lost = |sync: bool| {
        (0..64).filter(move |seed| {
            let fs = ModelFileSystem::new(*seed);
            fs.create_folder(Path::new("/d")).unwrap();
            fs.write_synced(Path::new("/d/a"), b"x").unwrap();
            fs.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
            if sync {
                fs.sync_folder(Path::new("/d")).unwrap();
            }
            fs.crash();
            fs.files().keys().ne([&PathBuf::from("/d/b")])
        })
    };
    assert_eq!(lost(true).count(), 0);
    assert!((1..64).contains(&lost(false).count()));
}

#[test]
fn nothing_works_between_death_and_restart_and_old_handles_never_again() {
    let (fs, mut file) = half_synced(0);
    fs.plan(1, Fault::Kill);
    assert!(file.write_at(b"x", 0).is_err());
    assert!(fs.is_dead() && fs.read(Path::new(FILE)).is_err());
    fs.restart();
    assert!(fs.read(Path::new(FILE)).is_ok());
    assert!(file.write_at(b"x", 0).is_err());
}

#[test]
fn a_full_disk_refuses_growth_and_only_that() {
    let (fs, mut file) = half_synced(0);
    fs.set_capacity(Some(2 * SECTOR_BYTES as u64));
    file.write_at(b"x", 0).unwrap();
    let error = file.write_at(b"xy", 2 * SECTOR_BYTES as u64 - 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let refused = fs.create_preallocated(Path::new("/d/other"), 1);
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
}
