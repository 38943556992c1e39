//! The windows within the process keep their contracts.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::path::Path;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{MemoryDisk, Network};
use crate::disk::{Disk as _, OpenMode, read_file};
use crate::net::{Listener, Net as _, Stream};
use crate::suite;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

async fn accept(listener: &mut Box<dyn Listener>) -> Box<dyn Stream> {
    poll_fn(|cx| listener.poll_accept(cx)).await.unwrap()
}

fn is_pending<T>(future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn the_memory_disk_keeps_the_contract() {
    let disk = MemoryDisk::new();
    suite::check(&disk, Path::new("below"));
    suite::check(&disk, Path::new("/absolute/below"));
}

#[test]
fn a_clone_is_the_same_disk_and_outlives_the_first() {
    let disk = MemoryDisk::new();
    let clone = disk.clone();
    drop(disk.open(Path::new("file"), OpenMode::CreateNew).unwrap());
    drop(disk);
    assert_eq!(read_file(&clone, Path::new("file")).unwrap(), b"");
}

#[test]
fn a_directory_moves_with_everything_below_it() {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new("a/b")).unwrap();
    drop(disk.open(Path::new("a/b/file"), OpenMode::CreateNew).unwrap());
    disk.rename(Path::new("a"), Path::new("c")).unwrap();
    assert!(!disk.exists(Path::new("a")).unwrap());
    assert_eq!(disk.list(Path::new("c")).unwrap(), ["b/"]);
    assert_eq!(disk.list(Path::new("c/b")).unwrap(), ["file"]);
}

#[test]
fn a_connection_carries_bytes_both_ways_and_its_end() {
    run(async {
        let network = Network::new();
        let (n1, n2) = (network.host("n1"), network.host("n2"));
        let mut listener = n1.listen("n1:0").unwrap();
        let addr = listener.local_addr();
        let mut here = n2.connect(&addr).await.unwrap();
        let mut there = accept(&mut listener).await;
        assert_eq!((here.peer_addr(), there.peer_addr()), (addr, here.local_addr()));
        here.write_all(b"ping").await.unwrap();
        let mut four = [0; 4];
        there.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"ping");
        drop(there);
        assert_eq!(here.read(&mut four).await.unwrap(), 0);
    });
}

#[test]
fn an_address_belongs_to_its_host_once_and_is_free_when_its_listener_goes() {
    run(async {
        let network = Network::new();
        let host = network.host("n1");
        let kind = |addr| host.listen(addr).err().map(|error| error.kind());
        let listener = host.listen("n1:7").unwrap();
        assert_eq!(kind("n1:7"), Some(ErrorKind::AddrInUse));
        assert_eq!(kind("n2:7"), Some(ErrorKind::AddrNotAvailable));
        assert_eq!(kind("nonsense"), Some(ErrorKind::InvalidInput));
        drop(listener);
        let refused = host.connect("n1:7").await.err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
        assert!(host.listen("n1:7").is_ok());
    });
}

#[test]
fn a_cut_holds_bytes_back_until_it_heals() {
    run(async {
        let network = Network::new();
        let (n1, n2) = (network.host("n1"), network.host("n2"));
        let mut listener = n1.listen("n1:7").unwrap();
        let mut here = n2.connect("n1:7").await.unwrap();
        let mut there = accept(&mut listener).await;
        network.cut_one_way("n2", "n1");
        here.write_all(b"late").await.unwrap();
        there.write_all(b"soon").await.unwrap();
        let mut four = [0; 4];
        here.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"soon", "the other way is open");
        {
            let mut reading = std::pin::pin!(there.read_exact(&mut four));
            assert!(is_pending(reading.as_mut()));
            let mut dialling = n2.connect("n1:7");
            assert!(is_pending(dialling.as_mut()), "a handshake needs both ways");
            network.heal();
            reading.await.unwrap();
            dialling.await.unwrap();
        }
        assert_eq!(&four, b"late");
    });
}

#[test]
fn a_cut_wakes_its_readers_when_it_heals() {
    run(async {
        let network = Network::new();
        let (n1, n2) = (network.host("n1"), network.host("n2"));
        let mut listener = n1.listen("n1:7").unwrap();
        let mut here = n2.connect("n1:7").await.unwrap();
        let mut there = accept(&mut listener).await;
        network.cut(&["n1"], &["n2"]);
        here.write_all(b"late").await.unwrap();
        let reader = tokio::task::spawn_local(async move {
            let mut four = [0; 4];
            there.read_exact(&mut four).await.map(|_| four)
        });
        crate::tasks::yield_now().await;
        assert!(!reader.is_finished());
        network.heal();
        assert_eq!(&reader.await.unwrap().unwrap(), b"late");
    });
}

#[test]
fn a_listener_takes_connections_in_order() {
    run(async {
        let host = Network::new().host("n1");
        let mut listener = host.listen("n1:7").unwrap();
        let first = host.connect("n1:7").await.unwrap();
        let second = host.connect("n1:7").await.unwrap();
        assert_eq!(accept(&mut listener).await.peer_addr(), first.local_addr());
        assert_eq!(accept(&mut listener).await.peer_addr(), second.local_addr());
        let none = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(none, Poll::Pending));
    });
}
