//! The executor, its clocks and its processes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::tasks::yield_now;

use super::*;

type Journal = Rc<RefCell<Vec<String>>>;

fn world(seed: u64) -> (World, HostId) {
    let mut world = World::new(seed, Recording::Text);
    let host = world.add_host("n1");
    (world, host)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Tasks that race, a lane, timers and chance; what they saw, the digest and the text.
fn race(seed: u64) -> (Vec<String>, u64, String) {
    let (mut world, host) = world(seed);
    let journal = Journal::default();
    let seen = Rc::clone(&journal);
    world.start(host, |env| {
        Box::pin(async move {
            for task in 0..4_u64 {
                let (env, seen) = (env.clone(), Rc::clone(&seen));
                env.clone().tasks.spawn(Box::pin(async move {
                    for turn in 0..5 {
                        env.clock.sleep(ms(env.rng.below(5))).await;
                        yield_now().await;
                        seen.borrow_mut().push(format!("{task} {turn}"));
                    }
                }));
            }
            let lane = env.tasks.lane("writer");
            let (sender, receiver) = tokio::sync::oneshot::channel();
            lane.submit(Box::new(move || sender.send(7).unwrap()));
            assert_eq!(receiver.await, Ok(7));
            env.clock.sleep(ms(100)).await;
        })
    });
    assert!(!world.run_until(SimTime::from_ms(1000)));
    assert_eq!(world.take_ending(), Some((host, Ending::Exited)));
    let seen = journal.borrow().clone();
    (seen, world.digest(), world.trace_text())
}

#[test]
fn same_seed_gives_same_bytes() {
    assert_eq!(race(1), race(1));
}

#[test]
fn another_seed_gives_another_order() {
    let (one, two) = (race(1), race(2));
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
    assert_eq!(one.0.len(), 20);
}

#[test]
fn jobs_of_a_lane_run_in_order() {
    let (mut world, host) = world(3);
    let done = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&done);
    world.start(host, |env| {
        Box::pin(async move {
            let lane = env.tasks.lane("writer");
            for job in 0..50 {
                let seen = Arc::clone(&seen);
                lane.submit(Box::new(move || seen.lock().unwrap().push(job)));
            }
            drop(lane);
            env.clock.sleep(ms(5000)).await;
        })
    });
    world.run_until(SimTime::from_ms(4000));
    assert_eq!(*done.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

/// Starts a process that notes its monotonic time and wall time every 10 ms.
fn ticker(world: &mut World, host: HostId) -> Rc<RefCell<Vec<(Duration, u64)>>> {
    let ticks = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&ticks);
    world.start(host, |env| {
        Box::pin(async move {
            loop {
                env.clock.sleep(ms(10)).await;
                seen.borrow_mut().push((env.clock.now().0, env.clock.wall_ms()));
            }
        })
    });
    ticks
}

#[test]
fn killed_process_does_nothing_more() {
    let (mut world, host) = world(4);
    let ticks = ticker(&mut world, host);
    world.run_for(ms(105));
    world.kill(host, Kill::Process);
    let before = ticks.borrow().len();
    assert!((9..=10).contains(&before));
    world.run_for(ms(100));
    assert_eq!(ticks.borrow().len(), before);
    assert_eq!(Rc::strong_count(&ticks), 1);
}

#[test]
fn fast_clock_ticks_faster_also_for_timers_already_set() {
    let (mut world, host) = world(5);
    let ticks = ticker(&mut world, host);
    world.run_for(ms(1));
    world.set_clock_rate(host, 100_000);
    world.run_for(ms(1000));
    assert!((109..=111).contains(&ticks.borrow().len()), "{}", ticks.borrow().len());
}

#[test]
fn wall_clock_jumps_and_monotonic_does_not() {
    let (mut world, host) = world(6);
    let ticks = ticker(&mut world, host);
    world.run_for(ms(15));
    world.jump_clock(host, -3_600_000);
    world.run_for(ms(10));
    world.set_clock_right(host);
    world.run_for(ms(10));
    let ticks = ticks.borrow();
    let (one, two, three) = (ticks[0], ticks[1], ticks[2]);
    assert!(two.0 > one.0 && two.0 - one.0 < ms(12));
    assert!(two.1 < one.1 - 3_500_000);
    assert!(three.1 > one.1 && three.1 < one.1 + 100);
}

#[test]
fn end_of_one_wrong_clock_leaves_the_others_wrong() {
    let (mut world, host) = world(8);
    let ticks = ticker(&mut world, host);
    world.run_for(ms(15));
    let true_wall = ticks.borrow()[0].1;
    let wall = |world: &World| i64::try_from(world.env(host).unwrap().clock.wall_ms()).unwrap();
    world.jump_clock(host, 10_000);
    world.jump_clock(host, -3_000);
    world.set_clock_rate(host, -1_000_000);
    world.set_clock_rate(host, 100_000);
    world.take_clock_jump_back(host, 10_000);
    assert!(wall(&world) < i64::try_from(true_wall).unwrap() - 2_000);
    let still = wall(&world);
    world.take_clock_rate_back(host, 100_000);
    world.run_for(ms(1000));
    assert_eq!(wall(&world), still, "it stands still, as the first one said");
    world.take_clock_rate_back(host, -1_000_000);
    world.take_clock_jump_back(host, -3_000);
    let off = wall(&world) - i64::try_from(true_wall).unwrap() - 1_005;
    assert!((-5..=5).contains(&off), "{off}");
}

#[test]
fn lane_of_a_host_that_wakes_up_early_goes_on() {
    let (mut world, host) = world(9);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&done);
    world.start(host, |env| {
        Box::pin(async move {
            let lane = env.tasks.lane("work");
            lane.submit(Box::new(move || seen.store(true, std::sync::atomic::Ordering::Relaxed)));
            std::future::pending::<()>().await;
        })
    });
    world.run_for(Duration::from_micros(10));
    world.pause(host, Duration::from_secs(3_600), Pause::Process);
    world.pause(host, ms(100), Pause::Process);
    world.run_for(ms(500));
    assert!(!done.load(std::sync::atomic::Ordering::Relaxed), "the longer pause lasts");
    world.resume(host);
    world.run_for(ms(1));
    assert!(done.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn paused_process_catches_up_and_paused_machine_does_not_know() {
    for (what, jump) in [(Pause::Process, true), (Pause::Machine, false)] {
        let (mut world, host) = world(7);
        let ticks = ticker(&mut world, host);
        world.run_for(ms(15));
        world.pause(host, ms(500), what);
        world.run_for(ms(499));
        assert_eq!(ticks.borrow().len(), 1);
        world.run_for(ms(30));
        let ticks = ticks.borrow();
        assert!(ticks.len() >= 3);
        assert_eq!(ticks[1].0 - ticks[0].0 > ms(400), jump, "{what:?}");
    }
}

#[test]
fn panic_ends_the_process_and_is_reported() {
    let (mut world, host) = world(8);
    world.start(host, |env| {
        Box::pin(async move {
            env.clock.sleep(ms(10)).await;
            panic!("on purpose");
        })
    });
    assert!(!world.run_for(ms(20)));
    assert_eq!(world.take_ending(), Some((host, Ending::Panicked("on purpose".to_owned()))));
    assert!(!world.is_up(host));
}

#[test]
fn logs_of_the_real_code_are_in_the_text_but_not_in_the_digest() {
    let run = |recording| {
        let mut world = World::new(9, recording);
        let guard = world.capture_logs();
        let host = world.add_host("n1");
        world.start(host, |_| Box::pin(async { tracing::info!(term = 3, "elected") }));
        world.run_for(ms(1));
        drop(guard);
        (world.digest(), world.trace_text())
    };
    let ((digest, text), (same, nothing)) = (run(Recording::Text), run(Recording::Digest));
    assert_eq!(digest, same);
    assert!(text.contains("h1 log INFO quorate_sim::world::tests: elected term=3"), "{text}");
    assert_eq!(nothing, "");
}

#[test]
fn process_that_never_waits_is_ended() {
    let (mut world, host) = world(10);
    world.start(host, |_| {
        Box::pin(async {
            loop {
                yield_now().await;
            }
        })
    });
    assert!(!world.run_for(Duration::from_secs(60)));
    let (ended, ending) = world.take_ending().unwrap();
    assert_eq!(ended, host);
    assert!(matches!(ending, Ending::Panicked(message) if message.contains("never waits")));
}
