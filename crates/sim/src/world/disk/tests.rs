//! What a disk keeps, loses and reports.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::disk::{read_file, replace_file};
use quorate_env::{Disk, Env, OpenMode};

use crate::world::shared::lock;
use crate::world::{Ending, HostId, Kill, Recording, World};

fn world(seed: u64) -> (World, HostId, Env) {
    let mut world = World::new(seed, Recording::Digest);
    let host = world.add_host("n1");
    let env = boot(&mut world, host);
    env.disk.create_dir_all(Path::new("/data")).unwrap();
    (world, host, env)
}

/// An idle process, whose window is used from outside.
fn boot(world: &mut World, host: HostId) -> Env {
    world.start(host, |_| Box::pin(std::future::pending()));
    world.env(host).unwrap()
}

const FILE: &str = "/data/file";

fn write(disk: &dyn Disk, bytes: &[u8]) -> Box<dyn quorate_env::DiskFile> {
    let file = disk.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
    file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

#[test]
fn synced_bytes_under_a_synced_name_survive_every_loss_of_power() {
    for seed in 0..100 {
        let (mut world, host, env) = world(seed);
        write(&*env.disk, b"kept").sync_data().unwrap();
        env.disk.sync_dir(Path::new("/data")).unwrap();
        world.kill(host, Kill::Power);
        let env = boot(&mut world, host);
        assert_eq!(read_file(&*env.disk, Path::new(FILE)).unwrap(), b"kept");
    }
}

#[test]
fn unsynced_bytes_are_kept_lost_or_torn() {
    let mut found = BTreeSet::new();
    for seed in 0..200 {
        let (mut world, host, env) = world(seed);
        let file = write(&*env.disk, b"old old old");
        file.sync_all().unwrap();
        env.disk.sync_dir(Path::new("/data")).unwrap();
        file.write_at(&[IoSlice::new(b"new"), IoSlice::new(b" new new")], 0).unwrap();
        assert_eq!(read_file(&*env.disk, Path::new(FILE)).unwrap(), b"new new new");
        world.kill(host, Kill::Power);
        assert!(file.sync_data().is_err(), "the process is dead");
        let env = boot(&mut world, host);
        found.insert(read_file(&*env.disk, Path::new(FILE)).unwrap());
    }
    assert!(found.contains(&b"new new new"[..]) && found.contains(&b"old old old"[..]));
    assert!(found.contains(&b"new old old"[..]) || found.len() > 4, "{found:?}");
}

#[test]
fn killed_process_leaves_its_unsynced_bytes_to_the_kernel() {
    let (mut world, host, env) = world(1);
    drop(write(&*env.disk, b"cached"));
    world.kill(host, Kill::Process);
    let env = boot(&mut world, host);
    assert_eq!(read_file(&*env.disk, Path::new(FILE)).unwrap(), b"cached");
    world.kill(host, Kill::Process);
    world.power_off(host);
}

#[test]
fn unsynced_names_are_kept_or_lost() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let (mut world, host, env) = world(seed);
        write(&*env.disk, b"x").sync_all().unwrap();
        world.kill(host, Kill::Power);
        let env = boot(&mut world, host);
        found.insert(env.disk.exists(Path::new(FILE)).unwrap());
    }
    assert_eq!(found.len(), 2);
}

#[test]
fn replaced_file_holds_old_or_new_wherever_the_power_fails() {
    let mut found = BTreeSet::new();
    for seed in 0..200 {
        let (mut world, host, env) = world(seed);
        replace_file(&*env.disk, Path::new(FILE), b"old").unwrap();
        world.disk(host).fail_power_after(1 + seed % 8);
        let acknowledged = replace_file(&*env.disk, Path::new(FILE), b"newer").is_ok();
        world.kill(host, Kill::Power);
        world.disk(host).mend();
        let env = boot(&mut world, host);
        let bytes = read_file(&*env.disk, Path::new(FILE)).unwrap();
        assert!(bytes == b"newer" || bytes == b"old" && !acknowledged, "{bytes:?}");
        found.insert(bytes);
    }
    assert_eq!(found.len(), 2);
}

#[test]
fn power_fails_at_the_chosen_operation_and_the_process_ends() {
    let (mut world, host, _) = world(2);
    let reached = Rc::new(Cell::new(0));
    let seen = Rc::clone(&reached);
    world.start(host, |env| {
        Box::pin(async move {
            loop {
                env.clock.sleep(Duration::from_millis(1)).await;
                if env.disk.exists(Path::new(FILE)).is_ok() {
                    seen.set(seen.get() + 1);
                }
            }
        })
    });
    world.disk(host).fail_power_after(5);
    assert!(!world.run_for(Duration::from_secs(1)));
    assert_eq!(world.take_ending(), Some((host, Ending::PowerFailed)));
    assert_eq!(reached.get(), 4);
    assert!(!world.is_up(host));
}

#[test]
fn failed_sync_loses_bytes_that_readers_still_see() {
    let mut lost = 0;
    for seed in 0..50 {
        let (mut world, host, env) = world(seed);
        let file = write(&*env.disk, b"doubt");
        env.disk.sync_dir(Path::new("/data")).unwrap();
        world.disk(host).fail_syncs(1);
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok(), "the kernel forgets");
        assert_eq!(read_file(&*env.disk, Path::new(FILE)).unwrap(), b"doubt");
        world.kill(host, Kill::Power);
        let env = boot(&mut world, host);
        if read_file(&*env.disk, Path::new(FILE)).unwrap() != b"doubt" {
            lost += 1;
        }
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn full_disk_refuses_growth_and_takes_overwrites() {
    let (world, host, env) = world(3);
    let file = write(&*env.disk, b"0123456789");
    world.disk(host).fill(4);
    let full = file.write_at(&[IoSlice::new(b"abcdefgh")], 10).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(file.allocate(100).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 14, "any prefix may have been written");
    file.write_at(&[IoSlice::new(b"abc")], 0).unwrap();
    world.disk(host).mend();
    file.allocate(100).unwrap();
    assert_eq!(file.len().unwrap(), 100);
}

#[test]
fn end_of_one_fault_leaves_the_others_alone() {
    let (world, host, env) = world(6);
    let file = write(&*env.disk, b"0123456789");
    let disk = world.disk(host);
    disk.slow(7);
    disk.slow(3);
    disk.fail_writes(1);
    disk.fail_syncs(1);
    disk.fill(4);
    disk.fill(100);
    disk.hasten(7);
    disk.make_room(4);
    assert_eq!(lock(&world.shared.disks).slowness(host), 3);
    assert!(file.write_at(&[IoSlice::new(b"a")], 0).is_err() && file.sync_data().is_err());
    assert_eq!(file.allocate(111).unwrap_err().kind(), ErrorKind::StorageFull);
    file.allocate(110).unwrap();
    disk.hasten(3);
    disk.make_room(100);
    assert_eq!(lock(&world.shared.disks).slowness(host), 1);
    file.allocate(1_000).unwrap();
}

#[test]
fn flipped_bit_is_there_for_good() {
    let (mut world, host, env) = world(4);
    let file = write(&*env.disk, &[0x55; 4096]);
    replace_file(&*env.disk, Path::new(FILE), &[0x55; 4096]).unwrap();
    drop(file);
    assert!(world.disk(host).flip_bit(Path::new(FILE)).is_some());
    world.kill(host, Kill::Power);
    let env = boot(&mut world, host);
    let bytes = read_file(&*env.disk, Path::new(FILE)).unwrap();
    let flipped: u32 = bytes.iter().map(|byte| (byte ^ 0x55).count_ones()).sum();
    assert_eq!(flipped, 1);
}

#[test]
fn lock_is_exclusive_until_its_process_dies() {
    let (mut world, host, env) = world(5);
    let path = Path::new("/data/LOCK");
    let held = env.disk.lock(path).unwrap();
    assert_eq!(env.disk.lock(path).err().unwrap().kind(), ErrorKind::WouldBlock);
    drop(held);
    let held = env.disk.lock(path).unwrap();
    let env = boot(&mut world, host);
    let again = env.disk.lock(path).unwrap();
    drop(held);
    assert!(env.disk.lock(path).is_err(), "a dead process releases nothing");
    drop(again);
}

#[test]
fn renamed_directory_takes_its_files_along_or_stays() {
    let mut found = BTreeSet::new();
    for seed in 0..50 {
        let (mut world, host, env) = world(seed);
        env.disk.create_dir_all(Path::new("/data/log")).unwrap();
        replace_file(&*env.disk, Path::new("/data/log/1"), b"one").unwrap();
        env.disk.rename(Path::new("/data/log"), Path::new("/data/old")).unwrap();
        assert_eq!(env.disk.list(Path::new("/data")).unwrap(), ["old/"]);
        assert_eq!(env.disk.list(Path::new("/data/old")).unwrap(), ["1"]);
        world.kill(host, Kill::Power);
        let env = boot(&mut world, host);
        let names = env.disk.list(Path::new("/data")).unwrap();
        let file = Path::new("/data").join(&names[0]).join("1");
        assert_eq!(read_file(&*env.disk, &file).unwrap(), b"one");
        found.insert(names);
    }
    assert_eq!(found.len(), 2);
}
