//! A lock whose holder may be late: the key's revision is a fencing token, by which the thing that is
//! locked tells a former holder from the present one.
//!
//! A lock alone is not enough: a process may be paused between "I have it" and what it does then, for
//! longer than the lock lives. So every request to the resource carries the token, and the resource
//! refuses tokens below the highest it has seen.
//!
//! `cargo run --example fenced_lock`

#![allow(clippy::print_stdout, reason = "an example speaks")]

use std::time::Duration;

use quorate::blocking::Store;
use quorate::{Builder, Expected, Put, Revision, Swap};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A lock by name, as one of its users sees it.
struct Lock {
    store: Store,
    key: String,
    owner: String,
}

/// Proof of having had the lock.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Token(Revision);

impl Lock {
    fn new(store: Store, name: &str, owner: &str) -> Self {
        Self { store, key: format!("lock/{name}"), owner: owner.to_owned() }
    }

    /// Takes the lock for `ttl`; `None`: somebody has it.
    fn acquire(&self, ttl: Duration) -> Result<Option<Token>, quorate::Error> {
        let put = Put::new(&self.key, &self.owner).expect(Expected::Absent).ttl(ttl);
        Ok(self.store.put(put)?.done().map(Token))
    }

    /// Keeps the lock for another `ttl`; `None`: it was lost.
    fn renew(&self, token: Token, ttl: Duration) -> Result<Option<Token>, quorate::Error> {
        let put = Put::new(&self.key, &self.owner).expect(token.0).ttl(ttl);
        Ok(self.store.put(put)?.done().map(Token))
    }

    /// Gives the lock back; false: it was lost before.
    fn release(&self, token: Token) -> Result<bool, quorate::Error> {
        self.store.delete_if(&self.key, token.0)
    }
}

/// What the lock protects: any store that can remember a number.
#[derive(Default)]
struct Ledger {
    highest: Option<Revision>,
    lines: Vec<String>,
}

impl Ledger {
    fn write(&mut self, token: Token, line: &str) -> Result<(), String> {
        if self.highest > Some(token.0) {
            return Err(format!("the lock has another holder: {line:?} comes too late"));
        }
        self.highest = Some(token.0);
        self.lines.push(line.to_owned());
        Ok(())
    }
}

fn main() -> Outcome {
    let node = Builder::new("n1").start_blocking()?;
    let store = node.store();
    let (alice, bob) =
        (Lock::new(store.clone(), "ledger", "alice"), Lock::new(store.clone(), "ledger", "bob"));
    let mut ledger = Ledger::default();

    let long = Duration::from_secs(60);
    let first = alice.acquire(long)?.ok_or("nobody has the lock yet")?;
    assert_eq!(bob.acquire(long)?, None, "alice has it");
    ledger.write(first, "alice was here")?;

    // Alice renews, for a short time; then she is paused, and the lock runs out.
    let brief = Duration::from_millis(50);
    let late = alice.renew(first, brief)?.ok_or("alice still has the lock")?;
    let second = loop {
        if let Some(token) = bob.acquire(long)? {
            break token;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    ledger.write(second, "bob was here")?;

    // Alice comes back and believes that she has it. The ledger knows better.
    assert!(second.0 > late.0 && late.0 > first.0, "tokens only grow");
    let refused = ledger.write(late, "alice again").expect_err("a late holder");
    println!("{refused}");
    assert_eq!(alice.renew(late, long)?, None);
    assert!(!alice.release(late)?, "what is bob's stays bob's");
    assert_eq!(ledger.lines, ["alice was here", "bob was here"]);

    assert!(bob.release(second)?);
    let swap = store.put(Put::new("lock/ledger", "carol").expect(Expected::Absent))?;
    assert!(matches!(swap, Swap::Done(token) if token > second.0));
    node.shutdown()?;
    Ok(())
}

#[test]
fn a_late_holder_is_fenced_off() {
    main().expect("the example holds");
}
