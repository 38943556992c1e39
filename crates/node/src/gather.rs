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
    /// True while what has `gathered` shall wait for more, seeing what is `on_its_way`.
    pub(crate) fn goes_on(
        &mut self,
        gathered: usize,
        on_its_way: usize,
        clock: &dyn Clock,
    ) -> bool {
        if gathered >= on_its_way || self.is_over {
            return false;
        }
        if self.timer.is_none() {
            self.timer = Some(clock.sleep(GATHER_TIME));
        }
        true
    }

    /// What had gathered has gone.
    pub(crate) fn start_over(&mut self) {
        *self = Self::default();
    }

    /// Notices that the time is over; true when it has just become so.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let over = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if over {
            self.timer = None;
            self.is_over = true;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_env::Mono;
    use std::task::Waker;

    /// A clock whose timers are due at once.
    struct Hasty;

    impl Clock for Hasty {
        fn now(&self) -> Mono {
            Mono::default()
        }
        fn wall_ms(&self) -> u64 {
            0
        }
        fn sleep_until(&self, _: Mono) -> Sleep {
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn a_write_with_nothing_before_it_goes_at_once() {
        assert!(!Gather::default().goes_on(1, 0, &Hasty));
    }

    #[test]
    fn fewer_than_are_on_their_way_wait_until_they_are_as_many_or_the_time_is_over() {
        let mut gather = Gather::default();
        assert!(gather.goes_on(9, 10, &Hasty));
        assert!(!gather.goes_on(10, 10, &Hasty));
        assert!(gather.goes_on(1, 10, &Hasty));
        assert!(gather.poll(&mut Context::from_waker(Waker::noop())));
        assert!(!gather.goes_on(1, 10, &Hasty), "the time is over");
        gather.start_over();
        assert!(gather.goes_on(1, 10, &Hasty), "the next ones gather anew");
    }
}
