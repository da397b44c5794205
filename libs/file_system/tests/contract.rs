//! What both file systems promise alike, as long as nothing fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io;
use std::path::Path;

use file_system::{FileSystem, ModelFileSystem, RealFileSystem, write_whole};

fn check(fs: &dyn FileSystem, root: &Path) {
    let folder = root.join("a/b");
    let path = folder.join("journal");
    assert!(fs.list(&folder).is_err());
    fs.create_folder(&folder).unwrap();
    fs.create_folder(&folder).unwrap();

    let mut file = fs.create_preallocated(&path, 1000).unwrap();
    let again = fs.create_preallocated(&path, 1000).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    let reader = fs.open_read(&path).unwrap();
    assert_eq!(reader.length().unwrap(), 1000);
    file.write_at(b"hello", 998).unwrap();
    file.sync().unwrap();
    let mut buffer = [7; 8];
    assert_eq!(reader.read_at(&mut buffer, 996).unwrap(), 7);
    assert_eq!(&buffer, b"\0\0hello\x07");
    assert_eq!(reader.read_at(&mut buffer, 5000).unwrap(), 0);
    fs.open_write(&path).unwrap().set_length(999).unwrap();
    assert_eq!(reader.length().unwrap(), 999);

    write_whole(fs, &folder, "whole", b"one").unwrap();
    write_whole(fs, &folder, "whole", b"two").unwrap();
    assert_eq!(fs.read(&folder.join("whole")).unwrap(), b"two");
    fs.rename(&folder.join("whole"), &folder.join("moved")).unwrap();
    let files = [("journal".to_owned(), 999), ("moved".to_owned(), 3)];
    assert_eq!(fs.list(&folder).unwrap(), files);
    fs.remove(&path).unwrap();
    fs.remove(&path).unwrap();
    assert_eq!(fs.open_read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(fs.open_write(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs.sync_folder(&folder).unwrap();
}

#[test]
fn the_real_one_and_the_model_do_the_same() {
    let folder = tempfile::tempdir().unwrap();
    check(&RealFileSystem, folder.path());
    check(&ModelFileSystem::new(0), Path::new("/model"));
}
