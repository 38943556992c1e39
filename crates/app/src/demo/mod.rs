//! `quorate demo`: a small cluster on this machine, of processes that can be killed one by one.
//!
//! It starts them, tells how to talk to them, shows what becomes of them, and stops them at the end. It
//! restarts nothing by itself: what a cluster does when a node is gone is what there is to see.

mod nodes;
mod plan;
mod watch;

use std::io::Write;
use std::time::{Duration, Instant};

use quorate_env::Env;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::DEMO;
use crate::layers::{Layer, Layers};
use crate::report::Report;
use crate::status::View;
use crate::stop::{self, Stop};
use nodes::Nodes;
use plan::Plan;
use watch::Watch;

/// How long all nodes may take to become voters; the first start allocates files.
const START_TIME: Duration = Duration::from_secs(60);
/// Between two looks at the nodes.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// The flags are wrong, or the cluster does not start.
pub(crate) fn run(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let env = Layer::of_env(DEMO, |name| std::env::var_os(name))?;
    let plan = Plan::make(&Layers::new(DEMO, vec![flags, env, Layer::of_defaults(DEMO)]))?;
    let stop = stop::on_signals(false, None)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, play(&plan, &stop, out))
}

async fn play(plan: &Plan, stop: &Stop, out: &mut dyn Write) -> Result<(), Failure> {
    let env = quorate::env::real::env();
    let verb = if plan.resumes() { "Resuming" } else { "Starting" };
    writeln!(out, "{verb} {} nodes, data and logs in {} ...", plan.nodes, plan.dir.display())?;
    let mut nodes = Nodes::start(plan)?;
    let outcome = show(&env, plan, &mut nodes, stop, out).await;
    // Whatever happened, the nodes end with the demo; that nobody reads the output any more is no
    // reason to leave them behind.
    drop(writeln!(out, "Stopping the nodes ..."));
    nodes.stop().await;
    outcome
}

async fn show(
    env: &Env,
    plan: &Plan,
    nodes: &mut Nodes,
    stop: &Stop,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let Some(report) = wait_until_ready(env, plan, nodes, stop).await? else { return Ok(()) };
    writeln!(out)?;
    for line in View::of(report.clone()).lines() {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    writeln!(out, "{}", invitation(plan, nodes, &report))?;
    let mut watch = Watch::new(plan.nodes);
    while !stop.is_asked() {
        for line in watch.look(env, nodes).await {
            writeln!(out, "{line}")?;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    writeln!(out)?;
    Ok(())
}

/// The leader's report when all nodes have a vote; `None` when the user has lost patience.
async fn wait_until_ready(
    env: &Env,
    plan: &Plan,
    nodes: &mut Nodes,
    stop: &Stop,
) -> Result<Option<Report>, Failure> {
    let deadline = Instant::now() + START_TIME;
    loop {
        if stop.is_asked() {
            return Ok(None);
        }
        if let Some(ended) = nodes.ended().into_iter().next() {
            return Err(Failure::Other(ended.how));
        }
        for node in nodes.iter() {
            let report = node.report(env).await.ok().filter(Report::is_leaders);
            if let Some(report) = report.filter(|report| has_all(plan, report)) {
                return Ok(Some(report));
            }
        }
        if Instant::now() > deadline {
            return Err(Failure::Other(format!(
                "after {} s not all of the {} nodes have become voters; their logs in {} may say why",
                START_TIME.as_secs(),
                plan.nodes,
                plan.dir.display()
            )));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn has_all(plan: &Plan, report: &Report) -> bool {
    (1..=plan.nodes).all(|number| {
        let id = Plan::id(number);
        report.members.iter().any(|member| member.id == id && member.voter && member.alive)
    })
}

fn invitation(plan: &Plan, nodes: &Nodes, report: &Report) -> String {
    let leader = report.leading().map_or("", |leader| &leader.id);
    let pid = nodes.iter().find(|node| node.id == leader).map_or(0, |node| node.pid);
    let (first, last) = (plan.port(1), plan.port(plan.nodes));
    let exe = nodes::exe_shown();
    format!(
        "Every node answers everything. With Redis' tools:\n\
         \n  \
           redis-cli -p {first} set greeting hello\n  \
           redis-cli -p {last} get greeting\n\
         \n\
         With curl:\n\
         \n  \
           curl -X PUT -d hello localhost:{first}/v1/kv/greeting\n  \
           curl localhost:{last}/v1/kv/greeting\n\
         \n\
         The cluster, in another terminal:\n\
         \n  \
           {exe} status --addr 127.0.0.1:{last}\n\
         \n\
         Kill the leader, {leader}, and see another one take over here:\n\
         \n  \
           kill -9 {pid}\n\
         \n\
         Ctrl-C stops all nodes; their data stays in {}.\n",
        plan.dir.display()
    )
}
