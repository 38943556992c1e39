//! Members, as requests name them.

use quorate_api::{AdminRequest, Place};

use crate::error::Problem;

/// A request to add the member at `addr`.
///
/// # Errors
/// It is no address.
pub(crate) fn join(id: Option<String>, addr: String) -> Result<AdminRequest, Problem> {
    join_as(id, addr, Place::AsItWishes)
}

/// A request to add the member at `addr` as something else than it wishes.
///
/// # Errors
/// It is no address.
pub(crate) fn join_as(
    id: Option<String>,
    addr: String,
    place: Place,
) -> Result<AdminRequest, Problem> {
    check_addr(&addr)?;
    Ok(AdminRequest::Join { id, addr, place })
}

/// Checks that `addr` is `host:port`.
fn check_addr(addr: &str) -> Result<(), Problem> {
    let port = addr.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Ok(());
    }
    let detail = format!("\"{addr}\" is no address. Send host:port, where the node takes peers.");
    Err(Problem::bad(detail))
}
