//! How long writes gather before they become an entry: as long as more are on their way than wait.
//!
//! An entry costs the same on three machines whether it carries one command or a hundred: messages, a
//! sync, several wake-ups. So while entries are uncommitted, the next one is sealed only when it carries
//! at least as many commands as those together. That clocks itself: a commit lowers what is on its way, and
//! with nothing on its way a write goes at once. Where commits take long (a distant majority), a write waits no
//! longer than [`GATHER_TIME`] for company.

use std::task::Context;
use std::time::Duration;

use quorate_env::clock::{Clock, Sleep};

/// The longest that a write waits for others.
const GATHER_TIME: Duration = Duration::from_millis(1);

/// Whether the next entry still gathers.
#[derive(Default)]
pub(crate) struct Gather {
    timer: Option<Sleep>,
    is_over: bool,
}

impl Gather {
    /// True while what has `gathered` shall wait for more, seeing what is `on_its_way`; then `cx` is woken
    /// when the time is over.
    pub(crate) fn goes_on(
        &mut self,
        gathered: usize,
        on_its_way: usize,
        clock: &dyn Clock,
        cx: &mut Context<'_>,
    ) -> bool {
        if gathered >= on_its_way || self.is_over {
            return false;
        }
        let timer = self.timer.get_or_insert_with(|| clock.sleep(GATHER_TIME));
        self.is_over = timer.as_mut().poll(cx).is_ready();
        !self.is_over
    }

    /// What had gathered has gone.
    pub(crate) fn start_over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_env::Mono;
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
        assert!(woken.0.load(Ordering::Relaxed), "nothing else may come along and wake the node");
        assert!(!gather.goes_on(1, 10, &Due, &mut cx), "the time is over");
        assert!(!gather.goes_on(1, 10, &Due, &mut cx), "and stays so until they have gone");
        gather.start_over();
        assert!(gather.goes_on(1, 10, &Due, &mut cx), "the next ones gather anew");
    }
}
