//! A real node, alone, on a simulated machine: it founds its cluster, hears what a client says, and answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use quorate_sim::cluster::{Cluster, Sizes};
use quorate_sim::member::boot;
use quorate_sim::world::{Ending, Recording, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a node answers to `bytes`, which arrive in steps of `step` and are all that its client says. Panics when
/// the node ends, or never closes the connection.
pub fn converse(bytes: &[u8], step: usize) -> Vec<u8> {
    let mut world = World::new(1, Recording::Digest);
    let mut cluster = Cluster::new(&mut world, 1, 0, boot(), Sizes::default());
    cluster.start_all(&mut world);
    let client = world.add_host("client");
    let (answer, done) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let (said, over, bytes) = (Rc::clone(&answer), Rc::clone(&done), bytes.to_vec());
    let addr = cluster.addresses().remove(0);
    world.start(client, move |env| {
        Box::pin(async move {
            env.clock.sleep(Duration::from_millis(50)).await;
            let mut stream = env.net.connect(&addr).await.expect("the node listens");
            let mut pieces = bytes.chunks(step.max(1));
            let mut buffer = [0; 4096];
            // A node may hang up in the midst of what we say: the rest of its answers is there all the same.
            while let Some(piece) = pieces.next() {
                if stream.write_all(piece).await.is_err() {
                    break;
                }
            }
            if stream.shutdown().await.is_ok() {
                while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                    said.borrow_mut().extend_from_slice(&buffer[..len]);
                }
            }
            over.set(true);
            std::future::pending::<()>().await;
        })
    });
    for _ in 0..200 {
        world.run_for(Duration::from_secs(1));
        if let Some((_, ending)) = world.take_ending() {
            match ending {
                Ending::Panicked(message) => panic!("{message}"),
                ending => panic!("{ending:?}"),
            }
        }
        if done.get() {
            break;
        }
    }
    assert!(done.get(), "the connection is never closed");
    drop(world);
    answer.take()
}
