//! What becomes of the nodes, told as it happens.

use std::time::Instant;

use quorate_env::Env;

use super::nodes::Nodes;
use crate::report::Report;

/// What was last seen of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Seen {
    /// Not looked at yet.
    #[default]
    Never,
    /// It does not answer.
    Silent,
    /// It answers, in this role.
    As(String),
}

/// The nodes as they were last seen.
#[derive(Debug)]
pub(super) struct Watch {
    since: Instant,
    seen: Vec<Seen>,
}

impl Watch {
    /// Of so many nodes, not yet seen.
    pub(super) fn new(nodes: usize) -> Self {
        Self { since: Instant::now(), seen: vec![Seen::Never; nodes] }
    }

    /// Looks at all nodes and tells what has changed.
    pub(super) async fn look(&mut self, env: &Env, nodes: &mut Nodes) -> Vec<String> {
        let mut news = Vec::new();
        for ended in nodes.ended() {
            news.push(ended.how);
            news.push(format!("  to start it again: {}", ended.command));
        }
        for (node, seen) in nodes.iter().zip(&mut self.seen) {
            let report = node.report(env).await;
            let now = match &report {
                Ok(report) => Seen::As(report.role.clone()),
                Err(_) => Seen::Silent,
            };
            news.extend(change(&node.id, seen, &now, report.ok().as_ref()));
            *seen = now;
        }
        let seconds = self.since.elapsed().as_secs_f64();
        news.into_iter().map(|text| format!("{seconds:7.1} s  {text}")).collect()
    }
}

/// What to tell of a node; nothing when it is seen for the first time or as before.
fn change(id: &str, before: &Seen, now: &Seen, report: Option<&Report>) -> Option<String> {
    if before == now {
        return None;
    }
    let term = report.map_or(0, |report| report.term);
    match (before, now) {
        (Seen::Never, _) | (_, Seen::Never) => None,
        (_, Seen::Silent) => Some(format!("{id} does not answer")),
        (Seen::Silent, Seen::As(role)) => Some(format!("{id} answers again: {role}, term {term}")),
        (Seen::As(old), Seen::As(role)) => {
            Some(format!("{id} was {old}, is {role} now, term {term}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let follower = Seen::As("follower".to_owned());
        let leader = Seen::As("leader".to_owned());
        let report = Report { term: 5, ..Report::default() };
        let told = |before: &Seen, now: &Seen| change("n1", before, now, Some(&report));
        assert_eq!(told(&Seen::Never, &leader), None);
        assert_eq!(told(&leader, &leader), None);
        assert_eq!(told(&follower, &leader).unwrap(), "n1 was follower, is leader now, term 5");
        assert_eq!(told(&leader, &Seen::Silent).unwrap(), "n1 does not answer");
        assert_eq!(told(&Seen::Silent, &follower).unwrap(), "n1 answers again: follower, term 5");
    }
}
