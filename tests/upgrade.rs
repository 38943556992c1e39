//! A rolling upgrade to a version that knows another cluster format, and mixtures that can't be. The other
//! version is this one, told (in test builds alone) which formats it knows.

use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, until};
use crate::writer::Load;

fn knows(cluster: &mut Cluster, node: usize, formats: &str) {
    cluster.recipe_mut(node).variables =
        vec![("QUORATE_TEST_FORMATS".to_owned(), formats.to_owned())];
}

fn format(cluster: &Cluster, node: usize) -> u64 {
    cluster.status(node).unwrap().number("/format")
}

#[test]
fn a_rolling_upgrade_raises_the_format_when_the_last_member_knows_it_and_not_before() {
    let mut cluster = Cluster::of(3);
    let load = Load::start(&cluster, 3);
    load.go_on(30);
    for node in [0, 1] {
        knows(&mut cluster, node, "1-2");
        assert_eq!(cluster.terminate(node).code(), Some(0));
        cluster.restart(node);
        cluster.wait_until_ready();
        load.go_on(30);
        assert_eq!(
            (0..3).map(|node| format(&cluster, node)).max(),
            Some(1),
            "one member knows only the old one"
        );
    }
    // So far there is a way back.
    knows(&mut cluster, 1, "1-1");
    cluster.terminate(1);
    cluster.restart(1);
    cluster.wait_until_ready();
    load.go_on(30);
    for node in [1, 2] {
        knows(&mut cluster, node, "1-2");
        cluster.terminate(node);
        cluster.restart(node);
        cluster.wait_until_ready();
    }
    until("all write the new format", LONG, || {
        let found: Vec<_> = (0..3).map(|node| format(&cluster, node)).collect();
        if found == [2, 2, 2] { Ok(()) } else { Err(format!("{found:?}")) }
    });
    load.go_on(30);
    let ledger = load.stop();
    assert!(ledger.in_doubt.is_empty(), "an upgrade leaves no doubt: {:?}", ledger.in_doubt);
    ledger.verify(&cluster);

    // From here on there is none: not for a member, and not for a node that comes in.
    cluster.terminate(2);
    knows(&mut cluster, 2, "1-1");
    cluster.restart(2);
    assert_eq!(cluster.wait_for_end(2, LONG).code(), Some(1));
    let text = cluster.log_text(2);
    assert!(
        text.contains("the cluster writes format 2") && text.contains("run a newer version"),
        "{text}"
    );
    let old = cluster.add(Entrance::Join);
    cluster.wait_for_log(old, "knows formats up to 1: run a newer version");
    assert_eq!(cluster.status(old).unwrap().text("/role"), "waiting");
    cluster.kill(&[old]);
    // One that is too new is told to wait for a version in between.
    let first = cluster.addr(0).to_owned();
    let new = cluster.plan(&["--join", &first]);
    knows(&mut cluster, new, "3-4");
    cluster.restart(new);
    cluster.wait_for_log(new, "needs 3 at least");
    cluster.kill(&[new]);
    knows(&mut cluster, 2, "1-2");
    cluster.restart(2);
    cluster.wait_for_voters(3);
}
