//! How many members besides the leader hold an entry durably (WAIT): the leader knows, a follower asks it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use quorate_api::{AdminReply, AdminRequest};
use quorate_consensus::Index;
use quorate_env::{Env, Mono};
use tokio::sync::oneshot;

use crate::core::Core;
use crate::node::Node;

/// Between two looks at the leader's own figures.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Between two questions to the leader, once it has been asked a few times: each is a frame both ways.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// How long an answer of the leader may take; then it is asked again, or is another one.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

impl Node {
    /// Waits until `replicas` members have the entry at `index`, or the time is over (0: never), and says how
    /// many have it then. With no replicas wanted it says so at once.
    pub(crate) async fn wait_for_replicas(
        &self,
        index: u64,
        replicas: u64,
        timeout_ms: u64,
    ) -> u64 {
        let env = self.core().borrow().env.clone();
        let deadline =
            (timeout_ms > 0).then(|| env.clock.now() + Duration::from_millis(timeout_ms));
        let (mut have, mut pause) = (0, PAUSE_MIN);
        loop {
            let known = self.core().borrow().replicas_with(Index(index));
            let found = match known {
                Some(count) => Some(count),
                None => {
                    pause = (pause * 2).min(PAUSE_MAX);
                    self.ask_for_replicas(&env, index, deadline).await
                }
            };
            have = found.unwrap_or_else(|| have.max(self.core().borrow().replicas_at_least()));
            let now = env.clock.now();
            if have >= replicas
                || deadline.is_some_and(|deadline| now >= deadline)
                || self.core().borrow().stopped.is_some()
            {
                return have;
            }
            let left = deadline.map_or(pause, |deadline| deadline.since(now));
            env.clock.sleep(pause.min(left)).await;
        }
    }

    /// What the leader says; `None` where there is none, or none that answers in time.
    async fn ask_for_replicas(&self, env: &Env, index: u64, deadline: Option<Mono>) -> Option<u64> {
        let (asker, mut answer) = oneshot::channel();
        self.core().borrow_mut().administer(AdminRequest::ClusterStatus, asker);
        let limit = env.clock.now() + ANSWER_LIMIT;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        let mut sleep = env.clock.sleep(limit.since(env.clock.now()));
        let answer = poll_fn(|cx| match std::pin::Pin::new(&mut answer).poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.ok()),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
        });
        let Some(Ok(AdminReply::Status(status))) = answer.await else { return None };
        let others = status.members.iter().filter(|member| member.node != status.node);
        Some(others.filter(|member| member.matched >= index).count() as u64)
    }
}

impl Core {
    /// Members besides this one known to hold `index` durably; `None` where this is not the leader.
    fn replicas_with(&self, index: Index) -> Option<u64> {
        let progress = self.group.as_ref()?.progress();
        let own = self.identity.node;
        let others = progress.iter().filter(|member| member.node != own);
        let count = others.filter(|member| member.matched >= index).count() as u64;
        (!progress.is_empty()).then_some(count)
    }

    /// What an acknowledgement alone means: a majority has the entry, the leader among them.
    fn replicas_at_least(&self) -> u64 {
        let has_group = self.group.is_some();
        if has_group { (self.machine.configuration().voters.len() / 2) as u64 } else { 0 }
    }
}
