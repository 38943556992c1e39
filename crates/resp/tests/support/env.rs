//! The windows of the fake world: time stands still unless told otherwise; the rest is walled up.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_env::clock::Sleep;
use quorate_env::disk::DirLock;
use quorate_env::net::Connecting;
use quorate_env::tasks::Task;
use quorate_env::{Clock, CpuTime, Disk, DiskFile, Env, Lane, Listener, Mono, Net, OpenMode, Rng};
use quorate_env::{Tasks, Usage};

/// The time, and who waits for it.
#[derive(Default)]
struct Time {
    now_ms: u64,
    sleepers: Vec<Waker>,
}

#[derive(Default)]
pub struct FakeClock {
    time: Arc<Mutex<Time>>,
}

impl FakeClock {
    pub fn advance_ms(&self, ms: u64) {
        let mut time = self.time.lock().unwrap();
        time.now_ms += ms;
        time.sleepers.drain(..).for_each(Waker::wake);
    }
}

struct Alarm {
    time: Arc<Mutex<Time>>,
    at: Mono,
}

impl Future for Alarm {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.time.lock().unwrap();
        if Duration::from_millis(time.now_ms) >= self.at.0 {
            return Poll::Ready(());
        }
        time.sleepers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Mono {
        Mono(Duration::from_millis(self.time.lock().unwrap().now_ms))
    }
    fn wall_ms(&self) -> u64 {
        1_700_000_000_123 + self.time.lock().unwrap().now_ms
    }
    fn sleep_until(&self, at: Mono) -> Sleep {
        Box::pin(Alarm { time: Arc::clone(&self.time), at })
    }
}

struct Walled;

impl Rng for Walled {
    fn next_u64(&self) -> u64 {
        0x0123_4567_89ab_cdef
    }
}

impl Net for Walled {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn connect(&self, _: &str) -> Connecting {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

impl Tasks for Walled {
    fn spawn(&self, _: Task) {
        panic!("the front-end starts no tasks");
    }
    fn lane(&self, _: &str) -> Box<dyn Lane> {
        panic!("the front-end has no lanes");
    }
    fn usage(&self) -> Option<Usage> {
        let cpu = |user, system| CpuTime {
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
        };
        Some(Usage {
            process_id: 42,
            system_name: "Linux 6.1.0 x86_64".to_owned(),
            cpu: cpu(12_340, 5_060),
            cpu_main_thread: cpu(10_000, 5_000),
            cpu_children: CpuTime::default(),
            resident_bytes: 3 << 20,
            resident_bytes_peak: 4 << 20,
            machine_bytes: 16 << 30,
        })
    }
}

impl Disk for Walled {
    fn open(&self, _: &Path, _: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn exists(&self, _: &Path) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn DirLock>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// An environment with that clock.
pub fn fake(clock: Arc<FakeClock>) -> Env {
    let walled = Arc::new(Walled);
    Env {
        clock,
        rng: Arc::clone(&walled) as Arc<dyn Rng>,
        net: Arc::clone(&walled) as Arc<dyn Net>,
        disk: Arc::clone(&walled) as Arc<dyn Disk>,
        tasks: walled,
    }
}
