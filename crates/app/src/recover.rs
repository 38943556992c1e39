//! `quorate recover`: shows what a survivor has and what would be lost, or makes a new cluster of it.

use std::io::Write;
use std::path::Path;

use quorate::env::Env;
use quorate::recover::{NewCluster, Step, Survivor, look, recover};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::RECOVER;
use crate::layers::{Layer, Layers};
use crate::moment;
use crate::output::{self, Output};
use crate::progress::{Progress, Unit};

/// Runs the command.
///
/// # Errors
/// The flags are wrong, or the directory can't be recovered.
pub(crate) fn run(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let env = Layer::of_env(RECOVER, |name| std::env::var_os(name))?;
    let layers = Layers::new(RECOVER, vec![flags, env, Layer::of_defaults(RECOVER)]);
    let dir = layers.require(
        "data-dir",
        |text| Ok(text.to_owned()),
        "say where the survivor's data are",
    )?;
    let output = output::chosen(&layers)?;
    let does = match (layers.is_on("dry-run")?, layers.is_on("yes")?) {
        (true, true) => {
            return Err(Failure::usage(
                "--dry-run changes nothing and --yes does: give one of them",
            ));
        }
        (false, false) => {
            return Err(Failure::usage(
                "say --dry-run to see what there is and what would be lost, then --yes to do it",
            ));
        }
        (_, yes) => yes,
    };
    let env = quorate::env::real::env();
    #[cfg(feature = "failpoints")]
    let env = crate::failpoints::armed(env, Path::new(&dir))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, carry_out(&env, Path::new(&dir), does, output, out))
}

async fn carry_out(
    env: &Env,
    dir: &Path,
    does: bool,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let told = |error: quorate::recover::RecoverError| Failure::other(error.to_string());
    // In the midst of a recovery there is no old state to look at: it is finished first.
    let mut progress = Progress::new();
    let survivor = match look(env, dir, &mut |step| tell(&mut progress, step)) {
        Ok(survivor) => Some(survivor),
        Err(_) if does => None,
        Err(error) => return Err(told(error)),
    };
    drop(progress);
    let now_ms = env.clock.wall_ms();
    if output == Output::Table
        && let Some(survivor) = &survivor
    {
        lines(survivor, now_ms).iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()?;
    }
    let made = if does {
        let mut progress = Progress::new();
        let recovered = recover(env, dir, &mut |step| tell(&mut progress, step)).await;
        drop(progress);
        Some(recovered.map_err(told)?)
    } else {
        None
    };
    match output {
        Output::Table => {
            after(made.as_ref()).iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Output::Json => writeln!(out, "{:#}", describe(survivor.as_ref(), made.as_ref(), now_ms))?,
    }
    Ok(())
}

/// How far a look or a recovery is.
fn tell(progress: &mut Progress, step: Step) {
    match step {
        Step::Load { bytes, of } => {
            progress.show("of the snapshot read", Unit::Bytes, bytes, Some(of));
        }
        Step::Replay { entries, of } => {
            progress.show("of the log applied", Unit::Entries, entries, Some(of));
        }
        Step::Check { records } => progress.show("checked", Unit::Records, records, None),
        Step::Write { bytes } => {
            progress.show("of the new state written", Unit::Bytes, bytes, None);
        }
    }
}

fn lines(it: &Survivor, now_ms: u64) -> Vec<String> {
    let others: Vec<_> = it.others.iter().map(|(id, addr)| format!("{id} ({addr})")).collect();
    let others = if others.is_empty() {
        "which has no other members".to_owned()
    } else {
        format!("whose other members are {}", others.join(", "))
    };
    let mut lines = vec![
        format!("{} of cluster {}, {others}", it.id, it.cluster),
        format!("last entry     {} of term {}", it.last, it.term),
        format!("last write     {}", moment::show(it.stamp_ms, now_ms)),
        format!("keys           {}", it.keys),
        format!("committed      {} at least, as it knows", it.commit),
        String::new(),
    ];
    let unsure = it.last.saturating_sub(it.commit);
    if unsure > 0 {
        lines.push(format!(
            "Kept: {unsure} {} behind entry {} of which it does not know whether {} acknowledged.",
            if unsure == 1 { "entry" } else { "entries" },
            it.commit,
            if unsure == 1 { "it was" } else { "they were" },
        ));
    }
    lines.push(format!(
        "Lost: whatever other members have acknowledged beyond entry {} of term {}.",
        it.last, it.term
    ));
    lines.push("A survivor with a higher term, or with a higher entry of the same term, has more: recover that one.".to_owned());
    if it.in_doubt {
        lines.push(
            "The end of this log is damaged: it has acknowledged more than it still has."
                .to_owned(),
        );
    }
    if it.unfinished {
        lines.push("A recovery of this directory was interrupted: --yes finishes it.".to_owned());
    }
    lines
}

fn after(made: Option<&NewCluster>) -> Vec<String> {
    let Some(made) = made else {
        return vec![String::new(), "Nothing was changed. --yes does it.".to_owned()];
    };
    let kept: Vec<_> = made.kept.iter().map(|path| path.display().to_string()).collect();
    vec![
        String::new(),
        format!("Recovered: cluster {} of one member, which goes on from entry {}.", made.cluster, made.index),
        format!("The old state is kept in {}.", kept.join(" and ")),
        "Start this node as before. Empty the data directories of all other members and start them with --join.".to_owned(),
    ]
}

fn describe(survivor: Option<&Survivor>, made: Option<&NewCluster>, now_ms: u64) -> Value {
    let survivor = survivor.map(|it| {
        json!({
            "id": it.id, "cluster": it.cluster, "last": it.last, "term": it.term, "commit": it.commit,
            "snapshot": it.snapshot, "stamp_ms": it.stamp_ms,
            "age_ms": now_ms.saturating_sub(it.stamp_ms), "keys": it.keys, "in_doubt": it.in_doubt,
            "unfinished": it.unfinished,
            "others": it.others.iter().map(|(id, addr)| json!({ "id": id, "addr": addr })).collect::<Vec<_>>(),
        })
    });
    let made = made.map(|it| {
        let kept: Vec<_> = it.kept.iter().map(|path| path.display().to_string()).collect();
        json!({ "cluster": it.cluster, "index": it.index, "kept": kept })
    });
    json!({ "survivor": survivor, "recovered": made })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivor() -> Survivor {
        Survivor {
            id: "n1".to_owned(),
            cluster: "ab".to_owned(),
            snapshot: 1,
            commit: 90,
            last: 95,
            term: 4,
            stamp_ms: 1_000_000,
            keys: 7,
            others: vec![("n2".to_owned(), "h:2".to_owned())],
            in_doubt: false,
            unfinished: false,
        }
    }

    #[test]
    fn what_is_kept_and_what_is_lost_is_said_first() {
        let text = lines(&survivor(), 1_000_000 + 300_000).join("\n");
        for words in [
            "whose other members are n2 (h:2)",
            "last entry     95 of term 4",
            "last write     1970-01-01 00:16:40 UTC, 5 min ago",
            "Kept: 5 entries behind entry 90",
            "Lost: whatever other members have acknowledged beyond entry 95 of term 4",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(after(None)[1].contains("Nothing was changed"));
        let alone = Survivor { last: 91, others: Vec::new(), ..survivor() };
        let text = lines(&alone, 1_000_000).join("\n");
        assert!(text.contains("n1 of cluster ab, which has no other members"), "{text}");
        assert!(text.contains("Kept: 1 entry behind entry 90"), "{text}");
    }
}
