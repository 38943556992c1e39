//! redis-rs: typed commands, pipelines, transactions, RESP3.

use redis::{Commands, Connection, ProtocolVersion, RedisResult};

use crate::client::connect;
use crate::cluster::Cluster;

fn connect_with(addr: &str, protocol: ProtocolVersion) -> Connection {
    let info: redis::ConnectionInfo =
        format!("redis://{addr}/").parse::<redis::ConnectionInfo>().unwrap();
    let settings = info.redis_settings().clone().set_protocol(protocol);
    let info = info.set_redis_settings(settings);
    redis::Client::open(info).unwrap().get_connection().unwrap()
}

fn commands(near: &mut Connection, far: &mut Connection) -> RedisResult<()> {
    let binary: Vec<u8> = (0..=255).collect();
    near.del::<_, ()>(&["rs", "rs:n", "rs:t"])?;
    near.set::<_, _, ()>("rs", &binary)?;
    assert_eq!(far.get::<_, Vec<u8>>("rs")?, binary);
    assert_eq!(near.get::<_, Option<String>>("missing")?, None);
    assert_eq!(near.del::<_, i64>(&["rs", "missing"])?, 1);
    assert_eq!(near.incr::<_, _, i64>("rs:n", 5)?, 5);
    assert_eq!(far.incr::<_, _, i64>("rs:n", -2)?, 3);
    near.mset::<_, _, ()>(&[("rs:a", 1), ("rs:b", 2)])?;
    assert_eq!(
        far.mget::<_, Vec<Option<i64>>>(&["rs:a", "missing", "rs:b"])?,
        [Some(1), None, Some(2)]
    );
    near.set_ex::<_, _, ()>("rs:t", "v", 100)?;
    assert!((90..=100).contains(&far.ttl::<_, i64>("rs:t")?));
    let mut keys: Vec<String> = near.scan_match("rs:[ab]")?.collect::<RedisResult<_>>()?;
    keys.sort();
    assert_eq!(keys, ["rs:a", "rs:b"]);
    let error = near.incr::<_, _, i64>("rs:t", 1).unwrap_err();
    assert_eq!(error.code(), Some("ERR"), "{error}");
    Ok(())
}

fn pipelines(near: &mut Connection, far: &mut Connection) -> RedisResult<()> {
    let mut many = redis::pipe();
    for number in 0..1000 {
        many.cmd("SET").arg(format!("rs:many:{number}")).arg(number).ignore();
    }
    many.query::<()>(near)?;
    assert_eq!(far.get::<_, i64>("rs:many:999")?, 999);
    let (old, new): (i64, i64) =
        redis::pipe().atomic().set("rs:p", 1).ignore().get("rs:p").incr("rs:p", 1).query(near)?;
    assert_eq!((old, new), (1, 2));
    Ok(())
}

fn transactions(near: &mut Connection, far: &mut Connection) -> RedisResult<()> {
    near.set::<_, _, ()>("rs:w", 1)?;
    let mut attempts = 0;
    let (value,): (i64,) = redis::transaction(near, &["rs:w"], |connection, pipe| {
        attempts += 1;
        let value: i64 = connection.get("rs:w")?;
        if attempts == 1 {
            // Somebody else is faster, through another node.
            far.set::<_, _, ()>("rs:w", 10)?;
        }
        pipe.set("rs:w", value + 1).ignore().get("rs:w").query(connection)
    })?;
    assert_eq!((value, attempts), (11, 2));
    Ok(())
}

#[test]
fn redis_rs_works_through_the_leader_and_through_a_follower() {
    let cluster = Cluster::of(3);
    let (leader, follower) = (cluster.leader(), cluster.followers()[0]);
    for [near, far] in [[leader, follower], [follower, leader]] {
        for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
            let mut near = connect_with(cluster.addr(near), protocol);
            let mut far = connect(cluster.addr(far)).unwrap();
            commands(&mut near, &mut far).unwrap();
            pipelines(&mut near, &mut far).unwrap();
            transactions(&mut near, &mut far).unwrap();
        }
    }
    cluster.wait_until_equal();
}
