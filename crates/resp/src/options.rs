//! What the binary tells the front-end: password, names, and the settings that CONFIG shows.

use std::fmt;
use std::rc::Rc;

use quorate_api::limits::{CONNECTIONS_MAX, DATABASES, VALUE_BYTES_MAX};

/// Puts a new value into force and returns how CONFIG GET shows it from then on; or refuses, with
/// what the value must be (`argument must be a memory value`).
pub type Change = Rc<dyn Fn(&str) -> Result<String, String>>;

/// One parameter of CONFIG.
#[derive(Clone)]
pub struct Setting {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
    /// How CONFIG SET changes it; `None`: only a restart does.
    pub change: Option<Change>,
}

impl Setting {
    /// A setting that only a restart changes.
    pub fn fixed(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), change: None }
    }

    /// A setting that CONFIG SET changes through `change`.
    pub fn changeable(
        name: impl Into<String>,
        value: impl Into<String>,
        change: impl Fn(&str) -> Result<String, String> + 'static,
    ) -> Self {
        Self { name: name.into(), value: value.into(), change: Some(Rc::new(change)) }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// How a [`crate::Server`] presents itself.
#[derive(Clone)]
pub struct Options {
    /// What AUTH asks for; `None`: nobody is asked.
    pub password: Option<String>,
    /// Quorate's own version, beside the version of Redis that features are detected by.
    pub version: String,
    /// Connections at most; CONFIG SET maxclients changes it.
    pub connections_max: usize,
    /// Settings beyond those that the front-end itself knows (`port`, `bind`, `dir`, `maxmemory`...).
    /// One with the name of a built-in replaces it.
    pub settings: Vec<Setting>,
    /// Further lines of INFO's section Server (`executable`, `config_file`...).
    pub facts: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            password: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections_max: CONNECTIONS_MAX,
            settings: Vec::new(),
            facts: Vec::new(),
        }
    }
}

impl fmt::Debug for Options {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("version", &self.version)
            .field("connections_max", &self.connections_max)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What is true of every node: writes are always synced to the log, nothing is ever evicted, and an
/// idle connection is never closed.
pub(crate) fn built_in() -> Vec<Setting> {
    vec![
        Setting::fixed("appendfsync", "always"),
        Setting::fixed("appendonly", "yes"),
        Setting::fixed("databases", DATABASES.to_string()),
        Setting::fixed("maxmemory-policy", "noeviction"),
        Setting::fixed("proto-max-bulk-len", VALUE_BYTES_MAX.to_string()),
        Setting::fixed("save", ""),
        Setting::fixed("timeout", "0"),
    ]
}
