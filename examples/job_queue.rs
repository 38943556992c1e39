//! A queue of jobs: any number of workers, every job's effect exactly once, also when a worker dies with
//! a job in its hands.
//!
//! `job/<number>` is a job that is not done. A worker claims one with `claim/<number>`, which runs out
//! when it dies. It finishes with one transaction that holds only while the claim is still its own.
//!
//! `cargo run --example job_queue`

#![allow(clippy::print_stdout, reason = "an example speaks")]

use std::time::Duration;

use quorate::blocking::Store;
use quorate::{Builder, Error, Expected, Put, Revision, Transaction};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const JOBS: i64 = 40;
const WORKERS: usize = 4;

/// A job in a worker's hands.
struct Claimed {
    number: String,
    work: String,
    claim: Revision,
}

/// Puts a job into the queue.
fn push(store: &Store, work: &str) -> Result<(), Error> {
    let number = store.increment("jobs", 1)?;
    store.set(format!("job/{number:06}"), work).map(|_| ())
}

/// Claims any job that nobody has; `None`: there is none (at the moment).
fn claim(store: &Store, worker: &str, ttl: Duration) -> Result<Option<Claimed>, Error> {
    for key in store.scan("job/") {
        let key = key?;
        let number = String::from_utf8_lossy(&key).trim_start_matches("job/").to_owned();
        let put = Put::new(format!("claim/{number}"), worker).expect(Expected::Absent).ttl(ttl);
        let Some(claim) = store.put(put)?.done() else { continue };
        // It may have been finished between the look and the claim.
        if let Some(work) = store.get(&key)? {
            let work = String::from_utf8_lossy(&work).into_owned();
            return Ok(Some(Claimed { number, work, claim }));
        }
        store.delete_if(format!("claim/{number}"), claim)?;
    }
    Ok(None)
}

/// The job's effect and its end, as one; false: the claim had run out, and nothing was done.
fn finish(store: &Store, job: &Claimed) -> Result<bool, Error> {
    let end = Transaction::new()
        .require(format!("claim/{}", job.number), job.claim)
        .increment("sum", job.work.parse().unwrap_or(0))
        .increment("done", 1)
        .delete(format!("job/{}", job.number))
        .delete(format!("claim/{}", job.number));
    Ok(store.transaction(end)?.is_some())
}

fn work(store: &Store, worker: &str) -> Result<u32, Error> {
    let mut finished = 0;
    while store.get("done")?.as_deref() != Some(JOBS.to_string().as_bytes()) {
        match claim(store, worker, Duration::from_secs(60))? {
            Some(job) => finished += u32::from(finish(store, &job)?),
            // Others are at it, or a dead worker's claim has to run out.
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
    Ok(finished)
}

fn main() -> Outcome {
    let node = Builder::new("n1").start_blocking()?;
    let store = node.store();
    for number in 1..=JOBS {
        push(&store, &number.to_string())?;
    }

    // This worker takes a job, falls silent for longer than its claim lives, and then goes on.
    let late = claim(&store, "late", Duration::from_millis(50))?.ok_or("there are jobs")?;

    let counts = std::thread::scope(|scope| {
        let start = |number: usize| {
            let store = &store;
            scope.spawn(move || work(store, &format!("worker {number}")))
        };
        let workers: Vec<_> = (0..WORKERS).map(start).collect();
        workers.into_iter().map(|worker| worker.join()).collect::<Vec<_>>()
    });
    let mut finished = 0;
    for count in counts {
        finished += i64::from(count.map_err(|_| "a worker has panicked")??);
    }

    assert!(!finish(&store, &late)?, "somebody else has done it");
    assert_eq!(finished, JOBS);
    assert_eq!(store.increment("sum", 0)?, JOBS * (JOBS + 1) / 2, "every effect once");
    assert_eq!(store.scan("job/").count() + store.scan("claim/").count(), 0);
    println!("{finished} jobs by {WORKERS} workers");
    node.shutdown()?;
    Ok(())
}

#[test]
fn every_job_takes_effect_once() {
    main().expect("the example holds");
}
