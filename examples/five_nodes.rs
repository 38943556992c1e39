//! A cluster that grows from one node to three to five within this process: set, delete, write through
//! a newcomer, read everywhere. Nothing is waited for: a call returns when it is done.
//!
//! `cargo run --example five_nodes`

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "an example speaks, and may panic"
)]

use quorate::{Builder, Network, Node};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    quorate::blocking::run(five_nodes())
}

async fn five_nodes() -> Outcome {
    let network = Network::new();
    let builder = |name: &str| Builder::new(name).network(&network);

    // One node is a cluster.
    let mut nodes = vec![builder("n1").bootstrap().start().await?];
    let first = nodes[0].store();
    first.set("yes", "no").await?;
    assert_eq!(first.get("yes").await?.as_deref(), Some(&b"no"[..]));

    // Two more join by way of any member.
    nodes.push(builder("n2").join(["n1"]).start().await?);
    nodes.push(builder("n3").join(["n2"]).start().await?);
    agree(&nodes, "yes", Some("no")).await?;

    // Whoever asks, whichever node: the write is forwarded to the leader.
    let third = nodes[2].store();
    third.set("colour", "blue").await?;
    agree(&nodes, "colour", Some("blue")).await?;
    assert!(third.delete("yes").await?);
    agree(&nodes, "yes", None).await?;

    // And two more: now any two may fail.
    nodes.push(builder("n4").join(["n1"]).start().await?);
    nodes.push(builder("n5").join(["n4"]).start().await?);
    let newcomer = nodes[4].store();
    newcomer.set("size", "five").await?;
    newcomer.set("colour", "green").await?;
    agree(&nodes, "size", Some("five")).await?;
    agree(&nodes, "colour", Some("green")).await?;
    agree(&nodes, "yes", None).await?;

    let voters = newcomer.status().await?.members.iter().filter(|member| member.voter).count();
    assert_eq!(voters, 5);
    println!("{} nodes agree", nodes.len());

    // The founder leaves, and its work is done by the others.
    nodes.remove(0).shutdown().await?;
    newcomer.set("founder", "gone").await?;
    agree(&nodes, "founder", Some("gone")).await
}

/// Every node answers the same, at once.
async fn agree(nodes: &[Node], key: &str, value: Option<&str>) -> Outcome {
    for node in nodes {
        let found = node.store().get(key).await?;
        assert_eq!(found.as_deref(), value.map(str::as_bytes), "{key} on {}", node.name());
        println!("{}: {key} = {}", node.name(), value.unwrap_or("(nothing)"));
    }
    Ok(())
}

#[test]
fn a_cluster_grows_and_every_node_agrees() {
    main().expect("the example holds");
}
