//! Programs elect one of themselves: whoever writes the key leads for as long as it keeps it alive.
//!
//! (The *nodes* elect their own leader, too; that one is none of a program's business.) Each candidate
//! talks to a node of its own. When the leading one dies with its node, its key runs out, and another
//! takes over with a higher revision: its term of office.
//!
//! `cargo run --example leader_election`

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "an example speaks, and may panic"
)]

use std::time::Duration;

use quorate::testkit::Cluster;
use quorate::{Expected, Put, Revision, Store};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// How long a leader may be silent. A real program takes seconds.
const TERM: Duration = Duration::from_millis(500);
const KEY: &str = "office";

/// One of the programs.
struct Candidate {
    name: String,
    store: Store,
    /// Its term of office, while it leads.
    term: Option<Revision>,
}

impl Candidate {
    /// Leads, or tries to; true when it leads. To be called again and again, faster than [`TERM`].
    async fn campaign(&mut self) -> Result<bool, quorate::Error> {
        let expected = self.term.map_or(Expected::Absent, Expected::Revision);
        let put = Put::new(KEY, &self.name).expect(expected).ttl(TERM);
        self.term = self.store.put(put).await?.done();
        Ok(self.term.is_some())
    }

    /// Whom this candidate believes to lead.
    async fn leader(&self) -> Result<Option<String>, quorate::Error> {
        let found = self.store.get(KEY).await?;
        Ok(found.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }
}

async fn elect() -> Outcome {
    let mut cluster = Cluster::start(3).await?;
    let names: Vec<String> = cluster.names().map(str::to_owned).collect();
    let candidate =
        |name: &String| Candidate { name: name.clone(), store: cluster.store(name), term: None };
    let mut candidates: Vec<Candidate> = names.iter().map(candidate).collect();

    // All campaign; one wins, and all know who.
    let mut leading = 0;
    for one in &mut candidates {
        leading += u32::from(one.campaign().await?);
    }
    assert_eq!(leading, 1);
    let leader = candidates[0].leader().await?.ok_or("somebody leads")?;
    for one in &candidates {
        assert_eq!(one.leader().await?.as_ref(), Some(&leader));
    }
    println!("{leader} leads");

    // The leader dies, with its node. The others go on campaigning until one of them wins.
    let at = candidates.iter().position(|one| one.name == leader).ok_or("one of them")?;
    let dead = candidates.remove(at);
    cluster.kill(&leader);
    let winner = 'campaign: loop {
        for one in &mut candidates {
            if one.campaign().await? {
                break 'campaign one;
            }
        }
    };
    println!("{} leads", winner.name);
    assert!(winner.term > dead.term, "a later term of office");
    let winner = winner.name.clone();
    assert_ne!(winner, leader);

    // The dead one comes back and believes in its old term: it learns better before it does anything.
    cluster.restart(&leader).await?;
    let mut back =
        Candidate { name: leader.clone(), store: cluster.store(&leader), term: dead.term };
    let still_leads = back.campaign().await?;
    assert!(!still_leads && back.leader().await?.is_none_or(|name| name != leader));
    Ok(())
}

fn main() -> Outcome {
    quorate::blocking::run(elect())
}

#[test]
fn one_leads_and_another_takes_over() {
    main().expect("the example holds");
}
