//! Lanes: while a node runs, nothing waits for a disk on the thread that everything runs on.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use quorate_env::disk::DirLock;
use quorate_env::tasks::{Job, Task};
use quorate_env::{Disk, DiskFile, Lane, OpenMode, Tasks};
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

/// What one node does to its disk.
#[derive(Clone, Default)]
struct Watch {
    /// The node has started: from here on it must not block.
    runs: Arc<AtomicBool>,
    on_lane: Arc<AtomicBool>,
    offences: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    fn blocks(&self, what: &str, path: &Path) {
        if self.runs.load(Ordering::Relaxed) && !self.on_lane.load(Ordering::Relaxed) {
            self.offences.lock().unwrap().push(format!("{what} {}", path.display()));
        }
    }
}

struct WatchedTasks(Arc<dyn Tasks>, Watch);

impl Tasks for WatchedTasks {
    fn spawn(&self, task: Task) {
        self.0.spawn(task);
    }
    fn lane(&self, name: &str) -> Box<dyn Lane> {
        Box::new(WatchedLane(self.0.lane(name), self.1.clone()))
    }
}

struct WatchedLane(Box<dyn Lane>, Watch);

impl Lane for WatchedLane {
    fn submit(&self, job: Job) {
        let on_lane = Arc::clone(&self.1.on_lane);
        self.0.submit(Box::new(move || {
            on_lane.store(true, Ordering::Relaxed);
            job();
            on_lane.store(false, Ordering::Relaxed);
        }));
    }
}

struct WatchedDisk(Arc<dyn Disk>, Watch);

impl Disk for WatchedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.open(path, mode)?;
        Ok(Box::new(WatchedFile(file, path.into(), self.1.clone())))
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.1.blocks("create", dir);
        self.0.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.1.blocks("rename", to);
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.1.blocks("remove", path);
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.1.blocks("sync", dir);
        self.0.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.0.lock(path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.0.free_bytes(dir)
    }
}

struct WatchedFile(Box<dyn DiskFile>, Box<Path>, Watch);

impl DiskFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.2.blocks("write", &self.1);
        self.0.write_at(parts, offset)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.2.blocks("cut", &self.1);
        self.0.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn sync_data(&self) -> io::Result<()> {
        self.2.blocks("sync", &self.1);
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.2.blocks("sync", &self.1);
        self.0.sync_all()
    }
}

/// Joins, writes, snapshots, a change of leaders and a removal: none of it blocks.
#[test]
fn a_running_node_writes_and_syncs_on_lanes_only() {
    let watches: Vec<Watch> = (0..3).map(|_| Watch::default()).collect();
    let of = |watches: &[Watch], number: u64| watches[usize::try_from(number - 1).unwrap()].clone();
    let (looked, begun) = (watches.clone(), watches.clone());
    let look = move |spec: &mut quorate_sim::cluster::NodeSpec| {
        let watch = of(&looked, spec.number);
        watch.runs.store(false, Ordering::Relaxed);
        spec.env.disk = Arc::new(WatchedDisk(Arc::clone(&spec.env.disk), watch.clone()));
        spec.env.tasks = Arc::new(WatchedTasks(Arc::clone(&spec.env.tasks), watch));
    };
    let started = move |spec: &quorate_sim::cluster::NodeSpec| {
        of(&begun, spec.number).runs.store(true, Ordering::Relaxed);
    };
    let mut gym = Gym::with(1, 3, look, |_, _| (), started);
    let value = "v".repeat(10_000);
    for n in 0..20 {
        assert_eq!(gym.ask(n % 3 + 1, &["SET", &format!("k{n}"), &value]).0, ok());
    }
    gym.until("a snapshot", |gym| (1..=3).any(|number| gym.status(number).snapshots_made > 0));
    let leader = gym.leader().unwrap();
    gym.stop(leader, Kill::Process);
    gym.until("another leader", |gym| gym.leader().is_some());
    gym.start(leader);
    gym.run_for(std::time::Duration::from_secs(2));
    assert_eq!(gym.ask(leader, &["SET", "k", "v"]).0, ok());
    for (watch, number) in watches.iter().zip(1..) {
        assert_eq!(*watch.offences.lock().unwrap(), [""; 0], "node {number}");
    }
}
