//! The contract of a [`Disk`] as a program: one function per duty, named by what it says.
//!
//! Every disk runs [`check`] in its tests. What is left after a loss of power is not in here: only a
//! simulated disk can lose it.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use crate::blocks::{BLOCK_BYTES, Blocks};
use crate::disk::{Disk, DiskFile, OpenMode, read_file, replace_file};

/// A duty, checked in an empty directory of its own.
type Duty = fn(&dyn Disk, &Path);

/// Every duty of a disk, below `dir` (which is created where missing, and not cleaned up).
pub fn check(disk: &dyn Disk, dir: &Path) {
    let duties: [(&str, Duty); 19] = [
        ("create_dir", directories_are_created_with_their_parents),
        ("missing", what_is_missing_is_not_found),
        ("create_new", a_new_file_is_empty_and_must_not_exist),
        ("modes", a_file_opened_for_reading_refuses_writes),
        ("gather", parts_are_written_one_behind_the_other),
        ("many_parts", thousands_of_parts_are_written_whole),
        ("blocks", blocks_are_written_where_they_belong),
        ("nothing", writing_nothing_changes_nothing),
        ("beyond", reads_are_short_only_at_the_end),
        ("gap", a_gap_reads_as_zeros),
        ("allocate", allocating_extends_with_zeros_and_never_cuts),
        ("set_len", setting_the_length_cuts_and_extends),
        ("shared", two_handles_see_one_file),
        ("list", a_listing_is_sorted_and_marks_directories),
        ("rename", a_rename_replaces_its_target),
        ("remove", a_removed_file_lives_on_for_who_has_it_open),
        ("lock", a_lock_keeps_others_out_until_dropped),
        ("whole", a_file_is_replaced_and_read_as_a_whole),
        ("free", free_bytes_are_told),
    ];
    for (name, duty) in duties {
        let dir = dir.join(name);
        disk.create_dir_all(&dir).expect("create a directory");
        duty(disk, &dir);
    }
}

/// [`Disk::create_dir_all`] makes all levels, and may be repeated.
pub fn directories_are_created_with_their_parents(disk: &dyn Disk, dir: &Path) {
    let deep = dir.join("a/b/c");
    for _ in 0..2 {
        disk.create_dir_all(&deep).expect("create directories");
        assert!(disk.exists(&deep).expect("exists"));
    }
    assert_eq!(disk.list(&dir.join("a")).expect("list"), ["b/"]);
    assert_eq!(disk.list(&deep).expect("list"), [""; 0]);
    drop(create(disk, &deep.join("file")));
    disk.sync_dir(&deep).expect("sync a directory");
}

/// Errors say `NotFound`; [`Disk::exists`] says false.
pub fn what_is_missing_is_not_found(disk: &dyn Disk, dir: &Path) {
    let missing = dir.join("missing");
    assert!(!disk.exists(&missing).expect("exists"));
    assert!(!disk.exists(&missing.join("below")).expect("exists"));
    for mode in [OpenMode::Read, OpenMode::Write] {
        assert_eq!(disk.open(&missing, mode).err().map(|e| e.kind()), Some(ErrorKind::NotFound));
    }
    let in_missing = disk.open(&missing.join("below"), OpenMode::CreateNew).err();
    assert_eq!(in_missing.map(|e| e.kind()), Some(ErrorKind::NotFound));
    assert_eq!(disk.list(&missing).err().map(|e| e.kind()), Some(ErrorKind::NotFound));
    assert_eq!(disk.remove(&missing).err().map(|e| e.kind()), Some(ErrorKind::NotFound));
    let renamed = disk.rename(&missing, &dir.join("other"));
    assert_eq!(renamed.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
}

/// [`OpenMode::CreateNew`] never opens what is there.
pub fn a_new_file_is_empty_and_must_not_exist(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path);
    assert_eq!((file.len().expect("len"), file.is_empty().expect("is_empty")), (0, true));
    assert!(disk.exists(&path).expect("exists"));
    let again = disk.open(&path, OpenMode::CreateNew).err();
    assert_eq!(again.map(|e| e.kind()), Some(ErrorKind::AlreadyExists));
}

/// [`OpenMode::Read`] protects the content.
pub fn a_file_opened_for_reading_refuses_writes(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    write(&*create(disk, &path), b"content", 0);
    let reader = disk.open(&path, OpenMode::Read).expect("open");
    assert!(reader.write_at(&[IoSlice::new(b"x")], 0).is_err());
    assert!(reader.set_len(0).is_err());
    assert_eq!(content(&*reader), b"content");
}

/// [`DiskFile::write_at`] gathers, at any offset.
pub fn parts_are_written_one_behind_the_other(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    let parts = [&b"one"[..], b"", b" two", b" three"].map(IoSlice::new);
    file.write_at(&parts, 0).expect("write");
    assert_eq!(content(&*file), b"one two three");
    file.write_at(&[&b"T"[..], b"W"].map(IoSlice::new), 4).expect("write");
    assert_eq!(content(&*file), b"one TWo three");
    write(&*file, b"!", 13);
    assert_eq!(content(&*file), b"one TWo three!");
    file.sync_data().expect("sync data");
    file.sync_all().expect("sync all");
}

/// More parts than a kernel takes in one call.
pub fn thousands_of_parts_are_written_whole(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    let numbers: Vec<[u8; 4]> = (0..5_000_u32).map(u32::to_be_bytes).collect();
    let parts: Vec<IoSlice<'_>> = numbers.iter().map(|number| IoSlice::new(number)).collect();
    file.write_at(&parts, 1).expect("write");
    assert_eq!(content(&*file).get(1..), Some(numbers.concat().as_slice()));
}

/// [`DiskFile::write_blocks`] mixes with other writes, and readers see both at once.
pub fn blocks_are_written_where_they_belong(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path);
    file.allocate(3 * BLOCK_BYTES as u64).expect("allocate");
    let reader = disk.open(&path, OpenMode::Read).expect("open");
    write(&*file, b"head", 0);
    let mut expected = vec![0; 3 * BLOCK_BYTES];
    let mut expect = |at: usize, bytes: &[u8]| {
        expected.get_mut(at..at + bytes.len()).expect("within the file").copy_from_slice(bytes);
        expected.clone()
    };
    expect(0, b"head");
    let mut blocks = Blocks::new(2);
    for (offset, byte, bytes) in [(1, b'a', 5000), (0, b'b', 10), (1, b'c', 4096)] {
        blocks.clear();
        blocks.push(&vec![byte; bytes]);
        blocks.pad();
        let at = offset * BLOCK_BYTES;
        file.write_blocks(&blocks, at as u64).expect("write blocks");
        expect(at, blocks.filled());
        write(&*file, b"cached", at as u64 + 100);
        let expected = expect(at + 100, b"cached");
        assert!(content(&*reader) == expected, "behind {bytes} x {byte} at {at}");
    }
    file.sync_data().expect("sync data");
    assert!(content(&*file) == expect(0, b""), "behind the sync");
    assert!(reader.write_blocks(&blocks, 0).is_err(), "opened for reading");
}

/// No parts, or empty ones: also past the end, where they must not extend the file.
pub fn writing_nothing_changes_nothing(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    file.write_at(&[], 10).expect("no parts");
    file.write_at(&[IoSlice::new(b""), IoSlice::new(b"")], 10).expect("empty parts");
    assert_eq!(file.len().expect("len"), 0);
}

/// [`DiskFile::read_at`] fills the buffer up to the end of the file; past it, it reads nothing.
pub fn reads_are_short_only_at_the_end(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    write(&*file, &bytes, 0);
    for (offset, wanted, expected) in
        [(0, 100_000, 100_000), (1, 10, 10), (99_990, 20, 10), (100_000, 5, 0), (1 << 40, 5, 0)]
    {
        let mut buf = vec![0xaa; wanted];
        assert_eq!(file.read_at(&mut buf, offset).expect("read"), expected, "at {offset}");
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        assert_eq!(buf.get(..expected), bytes.get(from..from + expected), "at {offset}");
    }
    assert_eq!(file.read_at(&mut [], 0).expect("read nothing"), 0);
}

/// A write past the end leaves zeros before it.
pub fn a_gap_reads_as_zeros(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    write(&*file, b"a", 0);
    write(&*file, b"b", 10_000);
    let found = content(&*file);
    assert_eq!((found.len(), found.first(), found.last()), (10_001, Some(&b'a'), Some(&b'b')));
    assert!(found.iter().skip(1).take(9_999).all(|byte| *byte == 0));
}

/// [`DiskFile::allocate`] keeps content, and a length that is above what is asked for.
pub fn allocating_extends_with_zeros_and_never_cuts(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    file.allocate(0).expect("allocate nothing");
    assert_eq!(file.len().expect("len"), 0);
    write(&*file, b"head", 0);
    file.allocate(100_000).expect("allocate");
    let found = content(&*file);
    assert_eq!((found.len(), found.get(..4)), (100_000, Some(&b"head"[..])));
    assert!(found.iter().skip(4).all(|byte| *byte == 0));
    write(&*file, b"tail", 99_996);
    for len in [0, 1, 4, 100_000] {
        file.allocate(len).expect("allocate less");
        assert_eq!(file.len().expect("len"), 100_000, "after {len}");
    }
    assert_eq!(content(&*file).get(99_996..), Some(&b"tail"[..]));
}

/// [`DiskFile::set_len`] forgets what it cuts.
pub fn setting_the_length_cuts_and_extends(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"));
    write(&*file, b"0123456789", 0);
    file.set_len(4).expect("cut");
    assert_eq!(content(&*file), b"0123");
    file.set_len(6).expect("extend");
    assert_eq!(content(&*file), b"0123\0\0");
}

/// What one handle wrote, another reads at once.
pub fn two_handles_see_one_file(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let writer = create(disk, &path);
    let reader = disk.open(&path, OpenMode::Read).expect("open");
    write(&*writer, b"seen", 0);
    assert_eq!(content(&*reader), b"seen");
    write(&*disk.open(&path, OpenMode::Write).expect("open"), b"S", 0);
    assert_eq!(content(&*reader), b"Seen");
}

/// [`Disk::list`] is in byte order, not recursive, with `/` behind directories.
pub fn a_listing_is_sorted_and_marks_directories(disk: &dyn Disk, dir: &Path) {
    for name in ["b", "a.tmp", "a", "10", "9", "Z"] {
        drop(create(disk, &dir.join(name)));
    }
    disk.create_dir_all(&dir.join("m/below")).expect("create directories");
    assert_eq!(disk.list(dir).expect("list"), ["10", "9", "Z", "a", "a.tmp", "b", "m/"]);
}

/// [`Disk::rename`] replaces a file and moves between directories.
pub fn a_rename_replaces_its_target(disk: &dyn Disk, dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    write(&*create(disk, &from), b"new", 0);
    write(&*create(disk, &to), b"old", 0);
    let old = disk.open(&to, OpenMode::Read).expect("open");
    disk.rename(&from, &to).expect("rename");
    assert!(!disk.exists(&from).expect("exists"));
    assert_eq!(read_file(disk, &to).expect("read"), b"new");
    assert_eq!(content(&*old), b"old", "an open file stays what it was");
    disk.create_dir_all(&dir.join("other")).expect("create a directory");
    disk.rename(&to, &dir.join("other/to")).expect("rename");
    assert_eq!(disk.list(dir).expect("list"), ["other/"]);
    assert_eq!(read_file(disk, &dir.join("other/to")).expect("read"), b"new");
}

/// [`Disk::remove`] frees the name at once.
pub fn a_removed_file_lives_on_for_who_has_it_open(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path);
    write(&*file, b"content", 0);
    disk.remove(&path).expect("remove");
    assert!(!disk.exists(&path).expect("exists"));
    assert_eq!(content(&*file), b"content");
    assert!(create(disk, &path).is_empty().expect("is_empty"), "the name is free");
}

/// [`Disk::lock`] creates its file, keeps everyone else out, and can be taken again afterwards.
pub fn a_lock_keeps_others_out_until_dropped(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("LOCK");
    for _ in 0..2 {
        let held = disk.lock(&path).expect("lock");
        assert_eq!(disk.lock(&path).err().map(|e| e.kind()), Some(ErrorKind::WouldBlock));
        let other = disk.lock(&dir.join("OTHER")).expect("another lock is another matter");
        drop((held, other));
    }
}

/// [`replace_file`] and [`read_file`], over what a crash between may have left.
pub fn a_file_is_replaced_and_read_as_a_whole(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    for bytes in [&b"first"[..], b"", &[7; 200_000]] {
        drop(create(disk, &dir.join("file.tmp")));
        replace_file(disk, &path, bytes).expect("replace");
        assert_eq!(read_file(disk, &path).expect("read"), bytes);
        assert_eq!(disk.list(dir).expect("list"), ["file"]);
    }
}

/// [`Disk::free_bytes`] answers for any directory.
pub fn free_bytes_are_told(disk: &dyn Disk, dir: &Path) {
    assert!(disk.free_bytes(dir).expect("free bytes") > 0);
}

fn create(disk: &dyn Disk, path: &Path) -> Box<dyn DiskFile> {
    disk.open(path, OpenMode::CreateNew).expect("create a file")
}

fn write(file: &dyn DiskFile, bytes: &[u8], offset: u64) {
    file.write_at(&[IoSlice::new(bytes)], offset).expect("write");
}

fn content(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().expect("len")).expect("a small file")];
    assert_eq!(file.read_at(&mut bytes, 0).expect("read"), bytes.len());
    bytes
}
