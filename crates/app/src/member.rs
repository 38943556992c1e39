//! `quorate member ...`: shows and changes the members, through any of them.

use std::io::Write;
use std::time::Duration;

use quorate::address::Address;
use quorate_env::Env;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::CommandTable;
use crate::http::{Server, segment};
use crate::layers::{Layer, Layers};
use crate::output::{self, Output};
use crate::progress::{Progress, Unit};
use crate::{secret, table};

/// Between two looks at a member that is to catch up.
const PAUSE: Duration = Duration::from_millis(200);
/// Who has not answered by then is not waited for, where others can be asked.
const ANSWERED: Duration = Duration::from_secs(5);
/// A member of which nothing new is heard for so long is given up: it may catch up all the same.
const STALLED: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    /// Method and path.
    line: String,
    body: Value,
    /// What is said when it is done.
    done: String,
    /// Who must get a vote, or come in, before it is done.
    until: Option<Until>,
}

/// For what is waited.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Until {
    /// The member (name or address) has a vote.
    Votes(String),
    /// The member is a learner that has caught up.
    Follows(String),
}

/// Runs the command of `table`.
///
/// # Errors
/// The flags are wrong, or the cluster refuses.
pub(crate) fn run(
    table: &'static CommandTable,
    flags: Layer,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let env = Layer::of_env(table, |name| std::env::var_os(name))?;
    let layers = Layers::new(table, vec![flags, env, Layer::of_defaults(table)]);
    let server = Server {
        addr: layers.require("addr", Address::parse_reachable, "say whom to ask")?.to_string(),
        password: layers.parse("password-file", secret::password)?,
    };
    let output = output::chosen(&layers)?;
    let order = order(&layers)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let env = quorate::env::real::env();
    LocalSet::new().block_on(&runtime, async {
        match order {
            None => list(&env, &server, output, out).await,
            Some(order) => carry_out(&env, &server, &order, output, out).await,
        }
    })
}

/// The order that a command gives; `None`: only to show the members.
fn order(layers: &Layers) -> Result<Option<Order>, Failure> {
    let word =
        |name: &str| layers.get(name).map_or_else(String::new, |given| given.text.to_owned());
    let addr = |name: &str| {
        let addr = layers.require(name, Address::parse_reachable, "say where the new node is");
        addr.map(|addr| addr.to_string())
    };
    let force = || layers.is_on("force").map(|on| if on { "?force=true" } else { "" });
    let waits = !layers.is_on("no-wait").unwrap_or_default();
    let with_id = |mut body: Value| {
        if let (Some(given), Some(map)) = (layers.get("id"), body.as_object_mut()) {
            drop(map.insert("id".to_owned(), given.text.into()));
        }
        body
    };
    let member = word("member");
    let path = |action: &str| format!("/v1/cluster/members/{}{action}", segment(&member));
    let command = layers.table.name.split(' ').nth(1).unwrap_or_default();
    Ok(Some(match command {
        "add" => {
            let (node, learner) = (addr("node")?, layers.is_on("learner")?);
            let until =
                if learner { Until::Follows(node.clone()) } else { Until::Votes(node.clone()) };
            Order {
                line: "POST /v1/cluster/members".to_owned(),
                body: with_id(json!({ "addr": node, "learner": learner })),
                done: format!("{node} is a member"),
                until: waits.then_some(until),
            }
        }
        "replace" => {
            let node = addr("with")?;
            Order {
                line: format!("POST {}", path("/replace")),
                body: with_id(json!({ "addr": node })),
                done: format!("{node} takes the place of {member}"),
                until: waits.then_some(Until::Votes(node)),
            }
        }
        "promote" => Order {
            line: format!("POST {}", path("/promote")),
            body: Value::Null,
            done: format!("{member} {} a vote", if waits { "has" } else { "shall have" }),
            until: waits.then(|| Until::Votes(member.clone())),
        },
        "demote" => Order {
            line: format!("POST {}{}", path("/demote"), force()?),
            body: Value::Null,
            done: format!("{member} is a learner"),
            until: None,
        },
        "remove" => Order {
            line: format!("DELETE {}{}", path(""), force()?),
            body: Value::Null,
            done: format!("{member} is no member any more; its process can be stopped"),
            until: None,
        },
        "transfer" => Order {
            line: "POST /v1/cluster/transfer".to_owned(),
            body: if member == "any" { Value::Null } else { json!({ "to": member }) },
            // True also when it led already.
            done: if member == "any" {
                "leadership was handed over".to_owned()
            } else {
                format!("{member} leads")
            },
            until: None,
        },
        _ => return Ok(None),
    }))
}

async fn carry_out(
    env: &Env,
    server: &Server,
    order: &Order,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut others = Vec::new();
    if order.until.is_some() {
        // Known beforehand: the member that is asked may be the one that leaves.
        view(env, server, &mut others).await;
    }
    server.ask(env, &order.line, &order.body).await.map_err(Failure::Other)?;
    if let Some(until) = &order.until {
        wait(env, server, others, until).await?;
    }
    match output {
        Output::Table => writeln!(out, "{}", order.done)?,
        Output::Json => writeln!(out, "{}", json!({ "done": order.done }))?,
    }
    Ok(())
}

fn find<'a>(view: &'a Value, member: &str) -> Option<&'a Value> {
    let fits =
        |it: &&Value| it["id"] == member || it["addr"] == member || it["peer_addr"] == member;
    view["members"].as_array()?.iter().find(fits)
}

/// What the member at `server` says of all members, or, where that has no answer, another one; null while nobody has.
/// Where `others` are is renewed with each answer.
async fn view(env: &Env, server: &Server, others: &mut Vec<String>) -> Value {
    for addr in std::iter::once(server.addr.clone()).chain(others.clone()) {
        let server = Server { addr, password: server.password.clone() };
        let asked = server.ask(env, "GET /v1/cluster/members", &Value::Null);
        let Ok(Ok(view)) = tokio::time::timeout(ANSWERED, asked).await else { continue };
        let members = view.get("members").and_then(Value::as_array).into_iter().flatten();
        *others = members.filter_map(|it| it.get("addr")?.as_str().map(str::to_owned)).collect();
        return view;
    }
    Value::Null
}

/// Waits until a member has what it shall get, and shows how far it is.
async fn wait(
    env: &Env,
    server: &Server,
    mut others: Vec<String>,
    until: &Until,
) -> Result<(), Failure> {
    let (Until::Votes(name) | Until::Follows(name)) = until;
    let (mut told, mut moved_at) = (Value::Null, env.clock.now());
    let mut progress = Progress::new();
    loop {
        // While leadership moves there may be no answer.
        let view = view(env, server, &mut others).await;
        let member = find(&view, name).cloned().unwrap_or_default();
        let (view, member) = (&view, &member);
        let (last, matched) = (view["last"].as_u64(), member["matched"].as_u64());
        let follows =
            last.zip(matched).is_some_and(|(last, matched)| matched > 0 && matched + 256 > last);
        let done = match until {
            // Beside the only voter it gets its vote first; then that one leaves.
            Until::Votes(_) => member["voter"] == true && member["replaces"].is_null(),
            Until::Follows(_) => follows,
        };
        if done {
            return Ok(());
        }
        let arriving = match matched {
            // Before it has the beginning, only itself knows how far it is.
            Some(0) => arriving(env, server, member).await,
            _ => Value::Null,
        };
        let part = |name: &str| arriving.get(name).and_then(Value::as_u64);
        if let Some(bytes) = part("bytes") {
            let what = format!("of a snapshot received by {name}");
            progress.show(&what, Unit::Bytes, bytes, part("total"));
        } else if let Some(matched) = matched {
            progress.show(&format!("at {name}"), Unit::Entries, matched, last);
        }
        let far = json!([matched, arriving]);
        if far != told {
            (told, moved_at) = (far, env.clock.now());
        }
        if env.clock.now().since(moved_at) > STALLED {
            return Err(Failure::Other(format!(
                "{name} has not moved on for {} s. The change stands: it comes about when {name} can be reached \
                 and has caught up. Look at `quorate member list` and at the node's log",
                STALLED.as_secs()
            )));
        }
        env.clock.sleep(PAUSE).await;
    }
}

/// What a member says of a snapshot that it is receiving.
async fn arriving(env: &Env, server: &Server, member: &Value) -> Value {
    let Some(addr) = member["addr"].as_str() else { return Value::Null };
    let server = Server { addr: addr.to_owned(), password: server.password.clone() };
    let asked = tokio::time::timeout(PAUSE, server.ask(env, "GET /v1/node", &Value::Null)).await;
    // Where it listens for Redis clients alone, or can't be reached from here, nothing is known.
    let node = asked.ok().and_then(Result::ok).unwrap_or_default();
    node.pointer("/snapshot/arriving").cloned().unwrap_or_default()
}

/// The members as `node` knows them by itself, and what is wrong.
fn as_known_to(node: &Value, trouble: &str) -> (Value, Option<String>) {
    let view = json!({ "members": node["members"], "seen_by": node["id"], "trouble": trouble });
    let by = text(&node["id"]);
    (view, Some(format!("{trouble} The members are shown as {by} knows them")))
}

async fn list(
    env: &Env,
    server: &Server,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let asked = server.ask(env, "GET /v1/cluster/members", &Value::Null).await;
    // Without a leader, which is when it matters who is missing, there is still what the node knows by itself.
    let (mut view, trouble) = match asked {
        Ok(view) => (view, None),
        Err(trouble) => match server.ask(env, "GET /v1/node", &Value::Null).await {
            Ok(node) if members(&node).next().is_some() => as_known_to(&node, &trouble),
            Ok(_) | Err(_) => return Err(Failure::Other(trouble)),
        },
    };
    let advice = advice(&view, &server.addr);
    match output {
        Output::Json => {
            if let Some(map) = view.as_object_mut() {
                drop(map.insert("advice".to_owned(), advice.into()));
            }
            writeln!(out, "{view:#}")?;
        }
        Output::Table => {
            for line in lines(&view) {
                writeln!(out, "{line}")?;
            }
            for text in advice {
                writeln!(out, "\n{text}")?;
            }
        }
    }
    trouble.map_or(Ok(()), |text| Err(Failure::Other(text)))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn members(view: &Value) -> impl Iterator<Item = &Value> {
    view["members"].as_array().into_iter().flatten()
}

fn lines(view: &Value) -> Vec<String> {
    let name_of = |node: &Value| {
        members(view)
            .find(|it| it["node"] == *node)
            .map_or_else(|| text(node), |it| text(&it["id"]))
    };
    let role = |it: &Value| match (
        &it["leader"],
        &it["voter"],
        it["wish"] == "learner",
        &it["replaces"],
    ) {
        (Value::Bool(true), ..) => "leader".to_owned(),
        (_, Value::Bool(true), ..) => "voter".to_owned(),
        (_, _, true, _) => "learner".to_owned(),
        (_, _, _, Value::Null) => "learner, gets a vote".to_owned(),
        (.., replaces) => format!("learner, replaces {}", name_of(replaces)),
    };
    let row = |it: &Value| {
        let silent_ms = it["silent_ms"].as_u64().unwrap_or_default();
        let alive = if it["alive"] == true {
            "yes".to_owned()
        } else {
            format!("not for {} s", silent_ms / 1000)
        };
        vec![
            text(&it["id"]),
            text(&it["node"]),
            text(&it["addr"]),
            role(it),
            text(&it["lag"]),
            alive,
        ]
    };
    let rows: Vec<_> = members(view).map(row).collect();
    table::lines(&["ID", "NUMBER", "ADDRESS", "ROLE", "BEHIND", "ALIVE"], &rows)
}

/// Silent for so long a member is pointed out.
const SILENT_MS: u64 = 10_000;

/// What could be done about what is wrong.
fn advice(view: &Value, addr: &str) -> Vec<String> {
    let mut advice = Vec::new();
    let voters = members(view).filter(|it| it["voter"] == true).count();
    let alive = members(view).filter(|it| it["voter"] == true && it["alive"] == true).count();
    if alive < voters / 2 + 1 {
        let gone = members(view).filter(|it| it["voter"] == true && it["alive"] != true);
        let gone: Vec<_> = gone.map(|it| text(&it["id"])).collect();
        // Nobody could carry out what is advised below.
        return vec![format!(
            "{} can't be reached, so that no majority of the {voters} voters decides anything. Bring them back; if they \
             are gone for good, stop a survivor and see what it has: quorate recover --data-dir DIR --dry-run",
            gone.join(", ")
        )];
    }
    for it in members(view).filter(|it| it["silent_ms"].as_u64() > Some(SILENT_MS)) {
        let (id, silent_s) = (text(&it["id"]), it["silent_ms"].as_u64().unwrap_or_default() / 1000);
        advice.push(if it["voter"] == true {
            format!(
                "{id} has been silent for {silent_s} s. If it is gone for good, start a new node with neither \
                 --bootstrap nor --join, and say: quorate member replace {id} HOST:PORT --addr {addr}"
            )
        } else {
            format!(
                "{id} has been silent for {silent_s} s. If it is gone for good: quorate member remove {id} --addr {addr}"
            )
        });
    }
    if voters > 2 && alive == voters / 2 + 1 {
        advice.push("One more voter lost, and nothing is answered any more.".to_owned());
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn ordered(args: &[&str]) -> Result<Option<Order>, Failure> {
        let args = [&["quorate", "member"], args].concat();
        let parsed = cli::parse(args.iter().map(std::ffi::OsString::from)).unwrap();
        let defaults = Layer::of_defaults(parsed.table);
        order(&Layers::new(parsed.table, vec![parsed.flags, defaults]))
    }

    fn sent(args: &[&str]) -> (String, String) {
        let order = ordered(args).unwrap().unwrap();
        (order.line, order.body.to_string())
    }

    #[test]
    fn commands_become_requests() {
        let cases: [(&[&str], &str, &str); 8] = [
            (&["add", "h:1"], "POST /v1/cluster/members", r#"{"addr":"h:1","learner":false}"#),
            (
                &["add", "h:1", "--learner", "--id", "n4"],
                "POST /v1/cluster/members",
                r#"{"addr":"h:1","id":"n4","learner":true}"#,
            ),
            (&["remove", "n 3"], "DELETE /v1/cluster/members/n%203", "null"),
            (&["remove", "n3", "--force"], "DELETE /v1/cluster/members/n3?force=true", "null"),
            (&["demote", "n3", "--force"], "POST /v1/cluster/members/n3/demote?force=true", "null"),
            (&["transfer"], "POST /v1/cluster/transfer", "null"),
            (&["transfer", "n2"], "POST /v1/cluster/transfer", r#"{"to":"n2"}"#),
            (&["replace", "n3", "h:4"], "POST /v1/cluster/members/n3/replace", r#"{"addr":"h:4"}"#),
        ];
        for (args, line, body) in cases {
            assert_eq!(sent(args), (line.to_owned(), body.to_owned()), "{args:?}");
        }
        assert_eq!(ordered(&["list"]).unwrap(), None);
        assert!(matches!(ordered(&["add", "h"]), Err(Failure::Usage(_))));
    }

    #[test]
    fn what_is_risked_or_who_is_meant_never_comes_from_the_environment() {
        let member = |table: &&&CommandTable| table.name.starts_with("member ");
        let tables: Vec<_> = crate::flags::COMMANDS.iter().filter(member).collect();
        assert_eq!(tables.len(), 7);
        for table in tables {
            let env = Layer::of_env(table, |_| Some("true".into())).unwrap();
            for name in ["force", "no-wait", "id", "learner", "member", "node", "with"] {
                assert!(env.get(name).is_none(), "{} {name}", table.name);
            }
            assert!(env.get("addr").is_some());
        }
    }

    fn view() -> Value {
        let member = |node: u64, voter: bool, silent_ms: u64| {
            json!({
                "node": node, "id": format!("n{node}"), "addr": format!("h:{node}"), "voter": voter,
                "leader": node == 1, "matched": 9, "lag": 0, "alive": silent_ms == 0, "silent_ms": silent_ms,
                "wish": "vote", "replaces": null,
            })
        };
        json!({ "last": 9, "members": [member(1, true, 0), member(2, true, 0), member(3, true, 12_000)] })
    }

    #[test]
    fn a_silent_member_is_pointed_out_with_the_command_that_replaces_it() {
        let mut view = view();
        let said = advice(&view, "h:1").join("\n");
        assert!(said.contains("n3 has been silent for 12 s"), "{said}");
        assert!(said.contains("quorate member replace n3 HOST:PORT --addr h:1"), "{said}");
        assert!(said.contains("One more voter lost"), "{said}");
        view["members"][2]["silent_ms"] = 0.into();
        view["members"][2]["alive"] = true.into();
        assert_eq!(advice(&view, "h:1"), Vec::<String>::new());
    }

    #[test]
    fn without_a_majority_nobody_is_told_to_replace_a_member() {
        let mut view = view();
        view["members"][1]["silent_ms"] = 30_000.into();
        view["members"][1]["alive"] = false.into();
        let said = advice(&view, "h:1").join("\n");
        assert!(
            said.starts_with("n2, n3 can't be reached") && said.contains("quorate recover"),
            "{said}"
        );
        assert!(!said.contains("replace"), "{said}");
    }

    #[test]
    fn a_learner_shows_what_is_to_become_of_it() {
        let mut view = view();
        view["members"][1]["voter"] = false.into();
        view["members"][1]["replaces"] = 3.into();
        let lines = lines(&view).join("\n");
        assert!(lines.contains("learner, replaces n3"), "{lines}");
        assert!(lines.contains("not for 12 s"), "{lines}");
    }
}
