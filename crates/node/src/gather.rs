//! How long writes gather before they become an entry: as long as more are on their way than wait, and
//! while those who were just answered are coming back.
//!
//! An entry costs the same on three machines whether it carries one command or a hundred: messages, a
//! sync, several wake-ups. So while entries are uncommitted, the next one is sealed only when it carries
//! at least as many commands as those together. That clocks itself: a commit lowers what is on its way, and
//! with nothing on its way a write goes at once.
//!
//! Alone, that rule splits clients who wait for their answers into two halves: one is on its way while the other
//! gathers, for ever, and each pays for two entries' time. So when an entry is answered, the next one waits for
//! most of those clients to come back, no longer than an entry takes: then all go together, in less time and
//! half as many entries. Who does not come back teaches it: each wait in vain doubles the number of entries that
//! go without one.
//!
//! Where commits take long (a distant majority), a write waits no longer than [`GATHER_TIME`] for company.

use std::task::Context;
use std::time::Duration;

use quorate_env::Mono;
use quorate_env::clock::{Clock, Sleep};

/// The longest that a write waits for others.
const GATHER_TIME: Duration = Duration::from_millis(3);
/// Of so many that gathered or were answered, one may stay away.
const STRAGGLERS: usize = 8;
/// Entries that go without a wait for those who were answered, when they never come back.
const UNAWAITED_MAX: u32 = 255;

/// Whether the next entry still gathers.
#[derive(Default)]
pub(crate) struct Gather {
    timer: Option<Sleep>,
    is_over: bool,
    returning: Option<Returning>,
    /// Entries that will go without a wait for those who were answered.
    unawaited: u32,
    /// How many will after the next wait in vain.
    unawaited_next: u32,
}

/// Those who were answered and may come back.
struct Returning {
    /// As many commands as gather when most are back.
    expected: usize,
    until: Mono,
    timer: Option<Sleep>,
}

impl Gather {
    /// An entry that was proposed `took` ago is answered; with those who had `gathered` before its clients come
    /// back there will be `expected` commands.
    pub(crate) fn answered(&mut self, expected: usize, took: Duration, now: Mono) {
        if self.unawaited > 0 {
            self.unawaited -= 1;
            return;
        }
        let expected = expected - expected / STRAGGLERS;
        let until = now + took.min(GATHER_TIME);
        self.returning = Some(Returning { expected, until, timer: None });
    }

    /// True while what has `gathered` shall wait for more, seeing what is `on_its_way`; then `cx` is woken
    /// when the time is over.
    pub(crate) fn goes_on(
        &mut self,
        gathered: usize,
        on_its_way: usize,
        clock: &dyn Clock,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.is_over {
            return false;
        }
        let waits = if gathered < on_its_way {
            self.timer.get_or_insert_with(|| clock.sleep(GATHER_TIME))
        } else {
            let Some(returning) = &mut self.returning else { return false };
            if gathered >= returning.expected {
                self.unawaited_next /= 2;
                return false;
            }
            returning.timer.get_or_insert_with(|| clock.sleep_until(returning.until))
        };
        self.is_over = waits.as_mut().poll(cx).is_ready();
        if self.is_over && gathered >= on_its_way {
            self.unawaited_next = (2 * self.unawaited_next + 1).min(UNAWAITED_MAX);
            self.unawaited = self.unawaited_next;
        }
        !self.is_over
    }

    /// What had gathered has gone.
    pub(crate) fn start_over(&mut self) {
        (self.timer, self.is_over, self.returning) = (None, false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Poll, Wake, Waker};

    /// A clock whose timers are due once they have been waited for.
    struct Due;

    impl Clock for Due {
        fn now(&self) -> Mono {
            Mono::default()
        }
        fn wall_ms(&self) -> u64 {
            0
        }
        fn sleep_until(&self, _: Mono) -> Sleep {
            let mut waited = false;
            Box::pin(std::future::poll_fn(move |cx| {
                if std::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    const TOOK: Duration = Duration::from_micros(500);

    fn wakes(woken: &Arc<Woken>) -> bool {
        woken.0.swap(false, Ordering::Relaxed)
    }

    #[test]
    fn a_write_with_nothing_before_it_goes_at_once() {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!Gather::default().goes_on(1, 0, &Due, &mut cx));
    }

    #[test]
    fn as_many_as_are_on_their_way_go_and_fewer_wait() {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!Gather::default().goes_on(10, 10, &Due, &mut cx));
        assert!(Gather::default().goes_on(9, 10, &Due, &mut cx));
    }

    #[test]
    fn who_waits_is_woken_when_the_time_is_over_and_then_goes() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut gather = Gather::default();
        assert!(gather.goes_on(1, 10, &Due, &mut cx));
        assert!(wakes(&woken), "nothing else may come along and wake the node");
        assert!(!gather.goes_on(1, 10, &Due, &mut cx), "the time is over");
        assert!(!gather.goes_on(1, 10, &Due, &mut cx), "and stays so until they have gone");
        gather.start_over();
        assert!(gather.goes_on(1, 10, &Due, &mut cx), "the next ones gather anew");
    }

    #[test]
    fn a_write_waits_until_most_who_were_answered_are_back() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut gather = Gather::default();
        gather.answered(32, TOOK, Mono::default());
        assert!(gather.goes_on(16, 0, &Due, &mut cx));
        assert!(wakes(&woken), "should they not come, the node must be woken");
        assert!(!gather.goes_on(28, 0, &Due, &mut cx), "one in eight may stay away");
        gather.start_over();
        assert!(!gather.goes_on(1, 0, &Due, &mut cx), "nobody was answered since");
    }

    #[test]
    fn a_lone_client_never_waits_for_itself() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut gather = Gather::default();
        for _ in 0..10 {
            gather.answered(1, TOOK, Mono::default());
            assert!(!gather.goes_on(1, 0, &Due, &mut cx));
            gather.start_over();
        }
    }

    /// Of `entries`, those whose writes waited although nothing was on its way.
    fn waits(gather: &mut Gather, entries: usize, come_back: bool) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let waits = |_: &usize| {
            gather.answered(2, TOOK, Mono::default());
            let waits = gather.goes_on(1, 0, &Due, &mut cx);
            assert!(!gather.goes_on(if come_back { 2 } else { 1 }, 0, &Due, &mut cx));
            gather.start_over();
            waits
        };
        (0..entries).filter(waits).count()
    }

    #[test]
    fn who_waits_in_vain_waits_ever_more_rarely_and_again_when_clients_come_back() {
        let mut gather = Gather::default();
        assert_eq!(waits(&mut gather, 1_000, false), 10, "after 1, 3, 7, ... 255 entries");
        assert!(waits(&mut gather, 1_000, true) > 500);
    }
}
