//! Failpoints of the disk engine: steps between which a process can be told to die.
//!
//! The tree writes its files itself, past the seam at which all others are killed at each operation. So the engine names
//! the steps of its own that a crash must not be able to part. Never part of the product: without the cargo feature
//! `failpoints` nothing is called, and no release build takes that feature.

/// Where a point lies in its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing is done.
    Before,
    /// All is written, and nothing names it yet; or what is to go is not named any more.
    Half,
    /// It is done, and durable.
    After,
}

#[cfg(feature = "failpoints")]
mod watched {
    use std::sync::OnceLock;

    use super::Moment;

    type Watcher = Box<dyn Fn(&'static str, Moment) + Send + Sync>;

    static WATCHER: OnceLock<Watcher> = OnceLock::new();

    /// Has `watcher` called whenever a step of any engine of this process comes to a point. The first one stays.
    pub fn watch(watcher: impl Fn(&'static str, Moment) + Send + Sync + 'static) {
        let _first = WATCHER.set(Box::new(watcher));
    }

    pub(crate) fn arrive(step: &'static str, moment: Moment) {
        if let Some(watcher) = WATCHER.get() {
            watcher(step, moment);
        }
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use watched::arrive;
#[cfg(feature = "failpoints")]
pub use watched::watch;

#[cfg(not(feature = "failpoints"))]
pub(crate) fn arrive(_step: &'static str, _moment: Moment) {}
