//! What a request must pass before the router sees it: the Host it names, the password, the page it
//! comes from. Order matters: who asks under a foreign name learns nothing else.

mod authority;
mod base64;
mod host;
mod origin;
mod password;

use axum::http::request::Parts;

use crate::error::Problem;
use crate::options::Options;

pub(crate) use password::CHALLENGE;

/// Answers without a password: an orchestrator must be able to see that the process lives.
const OPEN_PATH: &str = "/livez";

/// All guards.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: host::Hosts,
    password: Option<password::Password>,
}

impl Guard {
    /// The guards that `options` ask for.
    pub(crate) fn new(options: &Options) -> Self {
        let password = options.password.as_deref().map(password::Password::new);
        Self { hosts: host::Hosts::new(&options.hosts), password }
    }

    /// Lets the request pass, or says why not.
    ///
    /// # Errors
    /// A guard refuses it.
    pub(crate) fn check(&self, head: &Parts) -> Result<(), Problem> {
        let authority = authority::of(head)?;
        self.hosts.check(authority.as_ref())?;
        if let Some(password) = &self.password
            && head.uri.path() != OPEN_PATH
        {
            password.check(&head.headers)?;
        }
        if head.method.is_safe() {
            Ok(())
        } else {
            origin::check(&head.headers, authority.as_ref())
        }
    }
}
