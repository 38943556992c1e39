//! A node's life: on disk, in memory, behind a port, across runtimes.

use std::io::{Read as _, Write as _};

use super::{alone, run};
use crate::{Builder, Engine, MemoryDisk, Network, OpenError};

#[test]
fn a_directory_resumes_after_a_shutdown_and_after_a_crash() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let builder = || Builder::new("n1").data_dir(dir.path());
        let node = builder().start().await.unwrap();
        let cluster = node.store().status().await.unwrap().cluster;
        for n in 1..=5 {
            assert_eq!(node.store().increment("n", 1).await.unwrap(), n);
            if n == 2 {
                node.shutdown().await.unwrap();
                break;
            }
        }
        let node = builder().start().await.unwrap();
        assert_eq!(node.store().increment("n", 1).await.unwrap(), 3);
        drop(node);
        let node = builder().start().await.unwrap();
        assert_eq!(node.store().increment("n", 1).await.unwrap(), 4);
        assert_eq!(node.store().status().await.unwrap().cluster, cluster);
    });
}

#[test]
fn memory_that_the_caller_holds_resumes_and_other_memory_does_not() {
    run(async {
        let disk = MemoryDisk::new();
        let node = Builder::new("n1").memory(&disk).start().await.unwrap();
        node.store().set("k", "v").await.unwrap();
        drop(node);
        let node = Builder::new("n1").memory(&disk).start().await.unwrap();
        assert_eq!(node.store().get("k").await.unwrap().unwrap(), "v");
        assert_eq!(alone().await.store().get("k").await.unwrap(), None);
    });
}

#[test]
fn memory_stays_bounded_however_much_is_written() {
    run(async {
        let disk = MemoryDisk::new();
        let builder = Builder::new("n1").memory(&disk).exactly_once(false);
        let builder = builder.configure(|config| {
            config.node.snapshot_log_bytes = 1 << 20;
            config.node.segment_bytes = 1 << 20;
            config.node.entries_kept = 0;
        });
        let node = builder.start().await.unwrap();
        let store = node.store();
        let value = vec![7; 100_000];
        for _ in 0..400 {
            store.set("k", &value).await.unwrap();
        }
        let status = store.status().await.unwrap();
        assert!(status.log_bytes < 20 << 20, "{status:?}");
        assert!(status.snapshots_made > 0);
        drop(node);
        let node = Builder::new("n1").memory(&disk).start().await.unwrap();
        assert_eq!(node.store().get("k").await.unwrap().unwrap(), value);
    });
}

#[test]
fn a_node_with_a_port_speaks_to_redis_clients_and_to_handles() {
    let node = Builder::new("n1").listen("127.0.0.1:0").bootstrap().start_blocking().unwrap();
    node.store().set("k", "from the handle").unwrap();
    let addr = node.as_async().addrs()[0].clone();
    let mut client = connect(&addr);
    client.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").unwrap();
    let expected = b"$15\r\nfrom the handle\r\n";
    let mut answer = vec![0; expected.len()];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
}

#[test]
fn a_reader_of_events_is_answered_before_anything_happens_and_told_what_happens_first() {
    let n1 = Builder::new("n1").listen("127.0.0.1:0").bootstrap().start_blocking().unwrap();
    let addr = n1.as_async().addrs()[0].clone();
    let mut stream = connect(&addr);
    // A node that nothing happens to says that it lives every five seconds.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(4))).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    let mut read_until = |end: &str| {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {text}"));
            text.push(char::from(byte[0]));
        }
        text
    };
    read_until("retry: 1000\n\n");
    let n2 = Builder::new("n2").listen("127.0.0.1:0").join([addr.clone()]);
    let _n2 = n2.start_blocking().unwrap();
    let told = read_until("\"}");
    assert!(told.contains("event: member-added"), "{told}");
}

#[expect(clippy::disallowed_types, reason = "a client of the machine's own network")]
fn connect(addr: &str) -> std::net::TcpStream {
    std::net::TcpStream::connect(addr).unwrap()
}

#[test]
fn a_handle_works_in_any_runtime_and_on_any_thread() {
    let node = Builder::new("n1").start_blocking().unwrap();
    let store = node.as_async().store();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // A runtime with neither timers nor I/O.
    assert_eq!(runtime.block_on(store.increment("n", 1)).unwrap(), 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let store = store.blocking();
            scope.spawn(move || store.increment("n", 1).unwrap());
        }
    });
    // Blocking calls may even stand in async code: the node has a thread of its own.
    let last = runtime.block_on(async { store.blocking().increment("n", 1) }).unwrap();
    assert_eq!(last, 6);
}

#[test]
fn a_call_that_is_given_up_does_no_harm() {
    run(async {
        let node = alone().await;
        let store = node.store();
        for _ in 0..100 {
            let mut call = Box::pin(store.increment("n", 1));
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
        // They were sent before this one.
        let sum = store.increment("n", 0).await.unwrap();
        assert!((0..=100).contains(&sum), "{sum}");
        node.shutdown().await.unwrap();
    });
}

#[test]
fn an_eighth_node_joins_without_a_vote() {
    run(async {
        let network = Network::new();
        let mut nodes =
            vec![Builder::new("n1").network(&network).bootstrap().start().await.unwrap()];
        for n in 2..=8 {
            let builder = Builder::new(format!("n{n}")).network(&network).join(["n1"]);
            nodes.push(builder.start().await.unwrap());
        }
        let last = nodes[7].store();
        assert_eq!(last.status().await.unwrap().role.as_str(), "learner");
        last.set("k", "v").await.unwrap();
        assert_eq!(last.get("k").await.unwrap().unwrap(), "v");
    });
}

#[test]
fn a_member_leaves_for_good() {
    run(async {
        let network = Network::new();
        let builder = |name: &str| Builder::new(name).network(&network);
        let n1 = builder("n1").bootstrap().start().await.unwrap();
        let n2 = builder("n2").join(["n1"]).start().await.unwrap();
        let n3 = builder("n3").join(["n1"]).start().await.unwrap();
        // The founder may still be occupied with n3's vote: then it is asked again.
        n3.store().timeout(super::LONG).transfer_leadership(Some("n2")).await.unwrap();
        n3.store()
            .wait_until(|status| status.members.iter().any(|it| it.leader && it.id == "n2"))
            .await
            .unwrap();
        n1.store().remove_member("n3").await.unwrap();
        drop(n3);
        let members = n2.store().status().await.unwrap().members;
        assert_eq!(
            members.iter().map(|member| member.id.as_str()).collect::<Vec<_>>(),
            ["n1", "n2"]
        );
        n2.store().set("k", "v").await.unwrap();
        let again = builder("n3").join(["n1"]).start().await;
        assert!(again.is_err(), "a name is never used again");
    });
}

#[test]
fn a_node_on_disk_holds_more_than_its_cache_survives_a_crash_and_has_members_in_memory() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::new();
        let engine = Engine::Disk { cache_bytes: 1 << 20 };
        let n1 = || {
            let builder = Builder::new("n1").data_dir(dir.path()).engine(engine).network(&network);
            // Flushed early, so that a small test reads from the disk.
            builder.configure(|config| config.node.snapshot_log_bytes = 256 * 1024).bootstrap()
        };
        let node = n1().start().await.unwrap();
        let in_memory = Builder::new("n2").network(&network).join(["n1"]).start().await.unwrap();
        let value = vec![7; 50_000];
        for n in 0..100 {
            in_memory.store().set(format!("k{n}"), &value).await.unwrap();
        }
        let status = node.store().status().await.unwrap();
        assert_eq!(status.engine, "disk");
        drop(node);
        let node = n1().start().await.unwrap();
        for n in 0..100 {
            assert_eq!(node.store().get(format!("k{n}")).await.unwrap().unwrap(), value);
        }
        assert!(node.store().status().await.unwrap().engine_durable > 50);
    });
}

#[test]
fn an_engine_on_disk_needs_a_directory_that_is_its_own() {
    run(async {
        let nowhere = Builder::new("n1").engine(Engine::disk()).start().await.unwrap_err();
        assert!(matches!(nowhere, OpenError::Invalid(_)), "{nowhere}");
        let dir = tempfile::tempdir().unwrap();
        let builder = || Builder::new("n1").data_dir(dir.path());
        builder().start().await.unwrap().shutdown().await.unwrap();
        let other = builder().engine(Engine::disk()).start().await.unwrap_err();
        assert!(other.to_string().contains("was made with the memory engine"), "{other}");
        builder().start().await.unwrap().shutdown().await.unwrap();
    });
}
