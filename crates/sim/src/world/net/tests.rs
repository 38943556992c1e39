//! What a connection promises, and what it does not.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{HostId, Kill, Recording, World};

async fn accept(env: &Env, addr: &str) -> Box<dyn Stream> {
    let mut listener = env.net.listen(addr).unwrap();
    let stream = std::future::poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    // Keeps the port bound.
    env.tasks.spawn(Box::pin(async move {
        let _listener = listener;
        std::future::pending::<()>().await;
    }));
    stream
}

type Journal = Rc<RefCell<Vec<String>>>;

/// An echo server on n1; n2 sends a line every 100 ms and notes what comes back.
fn echo(seed: u64) -> (World, HostId, HostId, Journal) {
    let mut world = World::new(seed, Recording::Digest);
    let (server, client) = (world.add_host("n1"), world.add_host("n2"));
    start_server(&mut world, server);
    let journal = Journal::default();
    let seen = Rc::clone(&journal);
    world.start(client, |env| {
        Box::pin(async move {
            let outcome = talk(&env, &seen).await;
            seen.borrow_mut().push(format!("{:?}", outcome.unwrap_err().kind()));
            std::future::pending::<()>().await;
        })
    });
    (world, server, client, journal)
}

fn start_server(world: &mut World, server: HostId) {
    world.start(server, |env| {
        Box::pin(async move {
            let mut stream = accept(&env, "0.0.0.0:7000").await;
            let mut byte = [0; 1];
            while let Ok(1) = stream.read(&mut byte).await {
                if stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        })
    });
}

async fn talk(env: &Env, seen: &Journal) -> std::io::Result<()> {
    let mut stream = env.net.connect("n1:7000").await?;
    for line in 0..1000_u32 {
        let sent = format!("line {line:4}");
        stream.write_all(sent.as_bytes()).await?;
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).await?;
        assert_eq!(back, sent.as_bytes());
        seen.borrow_mut().push(sent);
        env.clock.sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn bytes_arrive_in_order() {
    for seed in 0..20 {
        let (mut world, _, _, journal) = echo(seed);
        world.run_for(seconds(10));
        let journal = journal.borrow();
        assert!(journal.len() > 50, "{}", journal.len());
        assert!(journal.is_sorted());
    }
}

#[test]
fn cut_in_either_direction_stalls_until_it_heals() {
    let mut went_on = 0;
    for seed in 0..40 {
        let (mut world, server, client, journal) = echo(seed);
        world.run_for(seconds(2));
        let (from, to) = if seed % 2 == 0 { (server, client) } else { (client, server) };
        world.wire().cut(from, to);
        world.run_for(seconds(1));
        let before = journal.borrow().len();
        assert!(before > 5);
        world.run_for(seconds(10));
        assert_eq!(journal.borrow().len(), before, "nothing gets through");
        world.wire().heal(from, to);
        world.run_for(seconds(5));
        let last = journal.borrow().last().unwrap().clone();
        match last.starts_with("line") {
            true => went_on += 1,
            false => assert_eq!(last, "ConnectionReset"),
        }
    }
    assert!((10..40).contains(&went_on), "{went_on}");
}

#[test]
fn link_that_was_cut_twice_is_healed_by_the_second_heal() {
    let (mut world, server, client, journal) = echo(5);
    world.run_for(seconds(2));
    world.wire().cut(client, server);
    world.wire().cut(client, server);
    world.wire().heal(client, server);
    assert!(world.wire().is_cut(client, server), "the other partition lasts");
    let before = journal.borrow().len();
    world.run_for(seconds(2));
    assert_eq!(journal.borrow().len(), before);
    world.wire().heal(client, server);
    world.wire().heal(client, server);
    assert!(!world.wire().is_cut(client, server));
    world.wire().cut(client, server);
    assert!(world.wire().is_cut(client, server), "a heal too many owes nothing");
    world.wire().cut(client, server);
    world.wire().heal_all();
    assert!(!world.wire().is_cut(client, server));
}

#[test]
fn killed_process_breaks_its_connections_and_refuses_new_ones() {
    let (mut world, server, client, journal) = echo(1);
    world.run_for(seconds(2));
    world.kill(server, Kill::Process);
    world.run_for(seconds(2));
    let last = journal.borrow().last().unwrap().clone();
    assert!(["ConnectionReset", "UnexpectedEof", "BrokenPipe"].contains(&&*last), "{last}");
    assert_eq!(connect(&mut world, client, seconds(2)), Some(Some(ErrorKind::ConnectionRefused)));
}

#[test]
fn peers_of_a_dead_machine_hear_nothing_until_it_is_back() {
    let (mut world, server, client, journal) = echo(2);
    world.run_for(seconds(2));
    world.kill(server, Kill::Power);
    world.run_for(seconds(1));
    let before = journal.borrow().len();
    world.run_for(seconds(60));
    assert_eq!(journal.borrow().len(), before);
    start_server(&mut world, server);
    world.run_for(seconds(1));
    assert_eq!(journal.borrow().last().unwrap(), "ConnectionReset");
    world.kill(server, Kill::Power);
    assert_eq!(connect(&mut world, client, seconds(3)), None, "no answer yet");
    assert_eq!(connect(&mut world, client, seconds(16)), Some(Some(ErrorKind::TimedOut)));
}

/// Whether connecting from a new process on `client` fails, and how; `None` when it takes longer.
fn connect(world: &mut World, client: HostId, limit: Duration) -> Option<Option<ErrorKind>> {
    let outcome = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&outcome);
    world.start(client, |env| {
        Box::pin(async move {
            let connected = env.net.connect("n1:7000").await;
            *seen.borrow_mut() = Some(connected.err().map(|error| error.kind()));
            std::future::pending::<()>().await;
        })
    });
    world.run_for(limit);
    outcome.take()
}

#[test]
fn writer_waits_when_nobody_reads() {
    let mut world = World::new(3, Recording::Digest);
    let (server, client) = (world.add_host("n1"), world.add_host("n2"));
    world.start(server, |env| {
        Box::pin(async move {
            let _stream = accept(&env, "n1:7000").await;
            std::future::pending::<()>().await;
        })
    });
    let written = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&written);
    world.start(client, |env| {
        Box::pin(async move {
            let mut stream = env.net.connect("10.0.0.1:7000").await.unwrap();
            loop {
                *seen.borrow_mut() += stream.write(&[0; 1000]).await.unwrap();
            }
        })
    });
    world.run_for(seconds(5));
    assert_eq!(*written.borrow(), 256 * 1024);
}

#[test]
fn port_can_be_bound_once_and_again_after_a_restart() {
    let mut world = World::new(4, Recording::Digest);
    let host = world.add_host("n1");
    let boot = |world: &mut World| {
        world.start(host, |_| Box::pin(std::future::pending()));
        world.env(host).unwrap()
    };
    let env = boot(&mut world);
    let listener = env.net.listen("n1:7000").unwrap();
    assert_eq!(listener.local_addr(), "n1:7000");
    assert_eq!(env.net.listen("0.0.0.0:7000").err().unwrap().kind(), ErrorKind::AddrInUse);
    assert_eq!(env.net.listen("n2:7000").err().unwrap().to_string(), "no such host");
    let env = boot(&mut world);
    let again = env.net.listen("n1:7000").unwrap();
    drop(listener);
    assert!(env.net.listen("n1:7000").is_err());
    drop(again);
    assert!(env.net.listen("n1:7000").is_ok());
}
