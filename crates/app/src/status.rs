//! `quorate status`: a cluster as one of its members sees it, and its leader where that can be asked.

use std::io::Write;
use std::time::Duration;

use quorate::address::Address;
use quorate_env::Env;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::STATUS;
use crate::layers::{Layer, Layers};
use crate::output::{self, Output};
use crate::report::{self, Member, Report};
use crate::{secret, settings, table, watch};

/// What is asked for.
pub(crate) struct Question {
    /// Whom to ask.
    pub(crate) addr: String,
    /// The nodes' password.
    pub(crate) password: Option<String>,
    /// For whom the answer is.
    pub(crate) output: Output,
    /// Between two looks; `None`: one look is enough.
    pub(crate) interval: Option<Duration>,
}

/// Runs the command.
///
/// # Errors
/// The flags are wrong, the node can't be asked, or the cluster has no leader.
pub(crate) fn run(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let env = Layer::of_env(STATUS, |name| std::env::var_os(name))?;
    let question = check(&Layers::new(STATUS, vec![flags, env, Layer::of_defaults(STATUS)]))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let env = quorate::env::real::env();
    if let Some(interval) = question.interval {
        return LocalSet::new().block_on(&runtime, watch::run(&env, &question, interval, out));
    }
    let view = LocalSet::new().block_on(&runtime, View::ask(&env, &question))?;
    match question.output {
        Output::Table => view.lines().iter().try_for_each(|line| writeln!(out, "{line}"))?,
        Output::Json => writeln!(out, "{:#}", view.json())?,
    }
    view.trouble().map_or(Ok(()), |text| Err(Failure::Other(text)))
}

fn check(layers: &Layers) -> Result<Question, Failure> {
    let output = output::chosen(layers)?;
    let interval = layers.parse("interval", |text| settings::number(text, 1..=3600))?;
    let interval = interval.map(Duration::from_secs).filter(|_| layers.is_on("watch") == Ok(true));
    let addr = layers.require("addr", Address::parse_reachable, "say whom to ask")?;
    Ok(Question {
        addr: addr.to_string(),
        password: layers.parse("password-file", secret::password)?,
        output,
        interval,
    })
}

/// What is shown of a cluster.
#[derive(Debug)]
pub(crate) struct View {
    /// The node that was asked.
    asked: Report,
    /// Its leader, where that is another and answered, too.
    leader: Option<Report>,
}

impl View {
    async fn ask(env: &Env, question: &Question) -> Result<Self, Failure> {
        let password = question.password.as_deref();
        let asked = report::ask(env, &question.addr, password, report::PATIENCE).await;
        let asked = asked.map_err(Failure::Other)?;
        let mut leader = None;
        if !asked.is_leaders() && !asked.leader_addr.is_empty() {
            // Without the leader there is still the view of the node that was asked.
            let found = report::ask(env, &asked.leader_addr, password, report::PATIENCE).await;
            leader =
                found.ok().filter(|found| found.is_leaders() && found.cluster == asked.cluster);
        }
        Ok(Self { asked, leader })
    }

    /// The view of one node alone.
    pub(crate) fn of(report: Report) -> Self {
        Self { asked: report, leader: None }
    }

    /// The members, by name.
    fn members(&self) -> Vec<&Member> {
        let mut members: Vec<&Member> = self.best().members.iter().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        members
    }

    /// Who knows most: the leader.
    fn best(&self) -> &Report {
        self.leader.as_ref().unwrap_or(&self.asked)
    }

    /// The lines for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let best = self.best();
        if self.asked.node == 0 {
            let Report { id, role, waits_for, .. } = &self.asked;
            return vec![if waits_for.is_empty() {
                format!("{id} is {role}")
            } else {
                format!("{id} is {role}: {waits_for}")
            }];
        }
        let leader = best.leading().map_or("none is known", |leader| &leader.id);
        let mut lines = vec![
            format!(
                "cluster {}, term {}, leader {leader}, as {} sees it",
                best.cluster, best.term, best.id
            ),
            String::new(),
        ];
        let rows: Vec<Vec<String>> = self.members().into_iter().map(|it| self.row(it)).collect();
        lines.extend(table::lines(&["ID", "ADDRESS", "ROLE", "ENTRY", "BEHIND", "ALIVE"], &rows));
        if !best.read_only.is_empty() {
            lines.push(String::new());
            lines.push(format!("{} takes no writes at the moment: {}", best.id, best.read_only));
        }
        lines
    }

    fn row(&self, member: &Member) -> Vec<String> {
        let known = |number: u64| {
            if member.matched == 0 { "-".to_owned() } else { number.to_string() }
        };
        let alive = if member.alive { "yes" } else { "no" };
        vec![
            member.id.clone(),
            member.addr.clone(),
            role(member).to_owned(),
            known(member.matched),
            // Only the leader knows what there is to be behind.
            if self.best().is_leaders() { known(member.lag) } else { "-".to_owned() },
            alive.to_owned(),
        ]
    }

    /// The same for programs.
    fn json(&self) -> serde_json::Value {
        let best = self.best();
        let number = |member: &Member, number: u64| (member.matched != 0).then_some(number);
        let describe = |member: &Member| {
            json!({
                "node": member.node,
                "id": member.id,
                "addr": member.addr,
                "role": role(member),
                "entry": number(member, member.matched),
                "behind": number(member, member.lag).filter(|_| best.is_leaders()),
                "alive": member.alive,
            })
        };
        json!({
            "cluster": best.cluster,
            "term": best.term,
            "leader": best.leading().map(|leader| &leader.id),
            "seen_by": best.id,
            "read_only": Some(&best.read_only).filter(|text| !text.is_empty()),
            "asked": {
                "id": self.asked.id, "role": self.asked.role,
                "waits_for": Some(&self.asked.waits_for).filter(|text| !text.is_empty()),
            },
            "trouble": self.trouble(),
            "members": self.members().into_iter().map(describe).collect::<Vec<_>>(),
        })
    }

    /// What is wrong with the cluster, so that nobody can write.
    pub(crate) fn trouble(&self) -> Option<String> {
        let (asked, id) = (&self.asked, &self.asked.id);
        if !asked.stopped.is_empty() {
            Some(format!("{id} has stopped: {}", asked.stopped))
        } else if asked.node == 0 {
            Some(format!("{id} is in no cluster yet; it is waiting: {}", asked.waits_for))
        } else if asked.leader == 0 {
            Some(format!(
                "{id} knows of no leader: an election is under way, or it can't reach a majority of the voters"
            ))
        } else {
            None
        }
    }
}

fn role(member: &Member) -> &'static str {
    match (member.leader, member.voter) {
        (true, _) => "leader",
        (false, true) => "follower",
        (false, false) => "learner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::TEXT;

    #[test]
    fn a_leader_shows_how_far_everyone_is() {
        let view = View::of(Report::parse(TEXT).unwrap());
        assert_eq!(
            view.lines(),
            [
                "cluster ab, term 4, leader n1, as n1 sees it",
                "",
                "ID  ADDRESS         ROLE      ENTRY  BEHIND  ALIVE",
                "n1  127.0.0.1:7400  leader    90     0       yes",
                "n2  127.0.0.1:7401  follower  88     2       yes",
                "n3  127.0.0.1:7402  learner   -      -       no",
            ]
        );
        assert_eq!(view.trouble(), None);
        let json = view.json();
        assert_eq!(json["leader"], "n1");
        assert_eq!(json["members"][1]["behind"], 2);
        assert!(json["members"][2]["entry"].is_null() && json["trouble"].is_null());
    }

    #[test]
    fn what_a_follower_does_not_know_is_a_dash() {
        let text = TEXT
            .replace("raft_role:leader", "raft_role:follower")
            .replace("matched=88,lag=2", "matched=0,lag=0");
        let view = View::of(Report::parse(&text).unwrap());
        assert_eq!(view.lines()[4], "n2  127.0.0.1:7401  follower  -      -       yes");
        assert!(view.json()["members"][0]["behind"].is_null());
    }

    #[test]
    fn a_cluster_without_a_leader_is_in_trouble() {
        let text = TEXT
            .replace("\nleader:1", "\nleader:0")
            .replace("raft_role:leader", "raft_role:candidate");
        let view = View::of(Report::parse(&text).unwrap());
        assert!(view.trouble().unwrap().contains("no leader"));
        assert!(view.lines()[0].contains("leader none is known"));
        let waiting = Report {
            id: "n4".to_owned(),
            role: "waiting".to_owned(),
            waits_for: "2 of 3 nodes are there: n1, n4".to_owned(),
            ..Report::default()
        };
        let view = View::of(waiting);
        assert_eq!(view.lines(), ["n4 is waiting: 2 of 3 nodes are there: n1, n4"]);
        let trouble = view.trouble().unwrap();
        assert!(trouble.contains("in no cluster yet") && trouble.contains("2 of 3"), "{trouble}");
    }
}
