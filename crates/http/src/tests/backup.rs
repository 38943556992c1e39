//! `/v1/backup`: a file in pieces, whole or broken off.

use bytes::Bytes;
use quorate_api::{Consistency, Error};

use super::world::World;

#[test]
fn the_pieces_of_a_backup_are_one_body() {
    let mut world = World::new();
    world.node.backup = vec![Ok(Bytes::from_static(b"QUOR")), Ok(Bytes::from_static(b"BKUP"))];
    let got = world.get("GET /v1/backup?consistency=stale");
    assert_eq!((got.status, got.body.as_slice()), (200, b"QUORBKUP".as_slice()));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(
        (got.header("quorate-index"), got.header("cache-control")),
        (Some("7"), Some("no-store"))
    );
    assert_eq!(world.node.consistencies, [Consistency::Stale { max_staleness: None }]);
}

#[test]
fn a_backup_that_can_not_begin_is_a_problem() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("no leader"));
    world.get("GET /v1/backup").problem(503, "not-applied");
    world.get("GET /v1/backup?consistency=odd").problem(400, "bad-request");
}
