//! A node on its way through a scenario: what it is told to do, and what it must not lose.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use super::points::Point;
use crate::client::{Link, Outcome};
use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, say, until};

pub(super) const ARMED: &str = "FAILPOINT";
pub(super) const ARRIVALS: &str = "FAILPOINT_ARRIVALS";
/// Enough for the log to outgrow the data within a few writes.
pub(super) const MEDIUM_BYTES: usize = 32 << 10;
/// A snapshot whenever the log has grown at all.
pub(super) const FLAGS: &[&str] = &["--snapshot-log-size", "1kb"];
/// More than it takes for a compaction.
pub(super) const FLUSHES: usize = 18;

/// What the writer knows.
#[derive(Default)]
pub(super) struct Book {
    pub(super) acknowledged: BTreeMap<String, String>,
    /// Keys of writes that were not applied.
    pub(super) refused: Vec<String>,
    pub(super) writes: usize,
}

/// A node on its way through a scenario.
pub(super) struct Walk {
    pub(super) cluster: Cluster,
    pub(super) victim: usize,
    pub(super) book: Book,
    pub(super) arrivals: PathBuf,
    pub(super) lives: usize,
    /// Acknowledged values that were looked for after a death, and found.
    pub(super) found: usize,
    /// The victim's last entry when the load began.
    pub(super) began_at: u64,
}

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Died,
    Survived,
}

impl Walk {
    pub(super) fn solo() -> Self {
        Self::alone(FLAGS)
    }

    pub(super) fn alone(flags: &[&str]) -> Self {
        let mut cluster = Cluster::empty(flags);
        say(&format!("again: {}", cluster.again()));
        let victim = cluster.add(Entrance::Bootstrap);
        cluster.wait_until_ready();
        Self::of(cluster, victim)
    }

    pub(super) fn of(cluster: Cluster, victim: usize) -> Self {
        let arrivals = cluster.dir().join("arrivals");
        Self { cluster, victim, book: Book::default(), arrivals, lives: 0, found: 0, began_at: 0 }
    }

    /// The next life of the victim ends at `point`, or writes down where it arrives.
    pub(super) fn arm(&mut self, point: Option<&Point>) {
        drop(fs::remove_file(&self.arrivals));
        let variable = match point {
            Some(point) => (ARMED.to_owned(), format!("{}@{}", point.name, point.nth)),
            None => (ARRIVALS.to_owned(), self.arrivals.display().to_string()),
        };
        self.cluster.recipe_mut(self.victim).variables = vec![variable];
    }

    pub(super) fn arm_nothing(&mut self) {
        self.cluster.recipe_mut(self.victim).variables.clear();
    }

    pub(super) fn start_plain(&mut self) {
        self.arm_nothing();
        self.cluster.restart(self.victim);
    }

    pub(super) fn is_dead(&mut self) -> bool {
        let Some(status) = self.cluster.ended(self.victim) else {
            return !self.cluster.running().contains(&self.victim);
        };
        assert_eq!(status.signal(), Some(9), "it ended otherwise than by its point: {status}");
        true
    }

    /// One write through the victim; whether it is still there.
    pub(super) fn write(&mut self, link: &mut Link, value: String) -> bool {
        self.book.writes += 1;
        // Heavy values replace each other; all others stay.
        let key = if value.len() >= MEDIUM_BYTES {
            "heavy".to_owned()
        } else {
            format!("k{}", self.book.writes)
        };
        match link.call::<String>(&["SET", &key, &value]) {
            Outcome::Done(_) => {
                self.book.acknowledged.insert(key, value);
            }
            // May yet be there: either value would do.
            Outcome::Unknown(_) | Outcome::Lost(_) if key == "heavy" => {
                self.book.acknowledged.remove(&key);
            }
            Outcome::NotApplied(_) if key != "heavy" => self.book.refused.push(key),
            Outcome::NotApplied(_) | Outcome::Unknown(_) | Outcome::Lost(_) => {}
        }
        !self.is_dead()
    }

    pub(super) fn write_some(&mut self, count: usize) -> End {
        self.begin_load();
        let mut link = Link::new(self.cluster.addr(self.victim));
        for _ in 0..count {
            let value = format!("v{}", self.book.writes);
            if !self.write(&mut link, value) {
                return End::Died;
            }
        }
        End::Survived
    }

    /// Values of `each` bytes that replace each other, until they are `bytes` in all.
    pub(super) fn write_heavily(&mut self, bytes: usize, each: usize) -> End {
        self.begin_load();
        let mut link = Link::new(self.cluster.addr(self.victim));
        for step in 0..bytes.div_ceil(each) {
            let letter = char::from(b'a' + u8::try_from(step % 26).unwrap());
            if !self.write(&mut link, letter.to_string().repeat(each)) {
                return End::Died;
            }
        }
        End::Survived
    }

    /// Forgets the heavy value: no snapshot is made while the log is smaller than the data.
    pub(super) fn lighten(&mut self) -> End {
        self.book.acknowledged.remove("heavy");
        let victim = self.victim;
        self.wait_for("the heavy value goes", |cluster| {
            match cluster.try_once(victim, &["DEL", "heavy"]).0 {
                Outcome::Done(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Waits until `done`, or until the victim is dead.
    #[track_caller]
    pub(super) fn wait_for(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Cluster) -> Result<(), String>,
    ) -> End {
        until(what, LONG, || {
            if self.is_dead() {
                return Ok(End::Died);
            }
            done(&self.cluster).map(|()| End::Survived)
        })
    }

    pub(super) fn wait_until_it_serves(&mut self) -> End {
        let victim = self.victim;
        self.wait_for("the node serves", |cluster| {
            let status = cluster.status(victim)?;
            let ready = crate::http::get(cluster.addr(victim), "/readyz");
            match ready.map_err(|error| error.to_string())?.status {
                200 => Ok(()),
                other => Err(format!("{other}: {status:?}")),
            }
        })
    }

    /// Writes until the engine has flushed some more times.
    pub(super) fn write_until_flushed_often(&mut self) -> End {
        let flushes = |walk: &Self| {
            let metrics = crate::http::get(walk.cluster.addr(walk.victim), "/metrics").ok()?;
            let text = metrics.text();
            let line =
                text.lines().find(|line| line.starts_with("quorate_engine_flushes_total"))?;
            line.rsplit(' ').next()?.parse::<usize>().ok()
        };
        for round in 0..FLUSHES {
            let before = flushes(self);
            if self.write_some(20) == End::Died {
                return End::Died;
            }
            if self.write_heavily(4 * MEDIUM_BYTES, MEDIUM_BYTES) == End::Died {
                return End::Died;
            }
            let end = until("the engine flushes", LONG, || {
                if self.is_dead() {
                    return Ok(End::Died);
                }
                let now = flushes(self);
                if now > before {
                    Ok(End::Survived)
                } else {
                    Err(format!("{now:?} in round {round}"))
                }
            });
            if end == End::Died {
                return End::Died;
            }
        }
        End::Survived
    }

    /// Waits for a snapshot of the last load.
    pub(super) fn wait_for_a_snapshot(&mut self) -> End {
        let (victim, began_at) = (self.victim, self.began_at);
        self.wait_for("a snapshot is made", move |cluster| {
            let index = cluster.status(victim)?.number("/snapshot/index");
            if index > began_at { Ok(()) } else { Err(format!("{index}, not behind {began_at}")) }
        })
    }

    pub(super) fn begin_load(&mut self) {
        // A dead node is found out by the load.
        let status = self.cluster.status(self.victim);
        self.began_at = status.map_or(0, |status| status.number("/applied"));
    }

    /// After a death: the node comes back by itself and has every acknowledged write.
    #[track_caller]
    pub(super) fn come_back(&mut self) {
        self.lives += 1;
        self.start_plain();
        assert_eq!(self.wait_until_it_serves(), End::Survived);
        self.verify();
    }

    #[track_caller]
    pub(super) fn verify(&mut self) {
        self.found += self.book.acknowledged.len();
        for key in &self.book.refused {
            let found: i64 = self.cluster.ask(self.victim, &["EXISTS", key]);
            assert_eq!(found, 0, "{key} was said not to be applied");
        }
        let all: Vec<_> = self.book.acknowledged.iter().collect();
        for chunk in all.chunks(500) {
            let mut words = vec!["MGET"];
            words.extend(chunk.iter().map(|(key, _)| key.as_str()));
            let found: Vec<Option<String>> = self.cluster.ask(self.victim, &words);
            for ((key, value), found) in chunk.iter().zip(found) {
                let brief = |text: &str| text.chars().take(40).collect::<String>();
                assert!(
                    found.as_ref() == Some(*value),
                    "{key} = {} was acknowledged, but is {:?}",
                    brief(value),
                    found.as_deref().map(brief)
                );
            }
        }
    }

    /// How often each point was arrived at.
    pub(super) fn arrived(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(&self.arrivals).unwrap().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Walk {
    pub(super) fn clear(&mut self) {
        let dir = &self.cluster.recipe(self.victim).data_dir;
        fs::remove_dir_all(dir).unwrap();
        fs::create_dir(dir).unwrap();
        self.book = Book::default();
    }

    pub(super) fn leave(&self, file: &str) {
        fs::write(self.cluster.recipe(self.victim).data_dir.join(file), "half of it").unwrap();
    }

    /// Dies where the log's first manifest is written, and is then armed for its next life.
    pub(super) fn found_half_way(&mut self, next: Option<&Point>) {
        let here = Point { name: "log/manifest.tmp write half".to_owned(), nth: 1 };
        self.arm(Some(&here));
        self.cluster.restart(self.victim);
        assert_eq!(self.wait_until_it_serves(), End::Died);
        let snapshots = self.cluster.recipe(self.victim).data_dir.join("snapshots");
        fs::create_dir_all(snapshots).unwrap();
        self.leave("snapshots/snapshot-1-making.tmp");
        self.arm(next);
    }

    /// Kills it, as it happens in the middle of a snapshot, and starts it again. Whether one was under way is a matter
    /// of timing, and that a start removes what is left of it must not be.
    pub(super) fn restart_now(&mut self) {
        self.cluster.kill(&[self.victim]);
        self.leave("snapshots/snapshot-1-making.tmp");
        self.cluster.restart(self.victim);
    }
}
