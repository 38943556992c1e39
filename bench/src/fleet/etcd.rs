//! etcd, through the HTTP/JSON gateway of its v3 API.

use std::fmt::Write as _;
use std::path::Path;

use super::{Node, wait_until};
use crate::child::{Server, free_ports};
use crate::fault::{Context, Fault};
use crate::http;
use crate::json;
use crate::resp::{VALUE_BYTES, key};

/// etcd refuses transactions with more operations.
const TXN_OPERATIONS_MAX: u16 = 128;
/// The default of 2 GB is soon full of old revisions.
const QUOTA_BYTES: &str = "8589934592";

pub(super) fn start(dir: &Path, count: usize) -> Result<Vec<Node>, Fault> {
    let clients: [u16; 3] = free_ports()?;
    let peers: [u16; 3] = free_ports()?;
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let cluster: Vec<String> =
        (0..count).map(|at| format!("e{}={}", at + 1, url(peers[at]))).collect();
    let mut nodes = Vec::new();
    for at in 0..count {
        let name = format!("e{}", at + 1);
        let home = dir.join(&name);
        std::fs::create_dir(&home).context("create a data directory")?;
        let command: Vec<String> = [
            ("--name", name),
            ("--data-dir", home.join("data").display().to_string()),
            ("--listen-client-urls", url(clients[at])),
            ("--advertise-client-urls", url(clients[at])),
            ("--listen-peer-urls", url(peers[at])),
            ("--initial-advertise-peer-urls", url(peers[at])),
            ("--initial-cluster", cluster.join(",")),
            ("--initial-cluster-state", "new".to_owned()),
            ("--quota-backend-bytes", QUOTA_BYTES.to_owned()),
            ("--logger", "zap".to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        let command = [vec!["etcd".to_owned()], command].concat();
        nodes.push(Node { server: Server::start(&command, &home)?, port: clients[at] });
    }
    for node in &mut nodes {
        wait_until(node, "etcd", is_healthy)?;
    }
    Ok(nodes)
}

fn is_healthy(port: u16) -> bool {
    http::get(port, "/health").is_ok_and(|(_, body)| json::text(&body, "health") == Some("true"))
}

pub(super) fn is_leader(port: u16) -> bool {
    let Ok((_, body)) = http::post(port, "/v3/maintenance/status", "{}") else { return false };
    let leader = json::text(&body, "leader");
    leader.is_some() && leader == json::text(&body, "member_id")
}

/// As `resp::fill` does it elsewhere.
pub(super) fn fill(port: u16, keys: u64) -> Result<(), Fault> {
    let value = base64(&[b'x'; VALUE_BYTES]);
    for first in (0..keys).step_by(TXN_OPERATIONS_MAX.into()) {
        let mut body = "{\"success\":[".to_owned();
        for number in first..keys.min(first + u64::from(TXN_OPERATIONS_MAX)) {
            let comma = if number == first { "" } else { "," };
            let key = base64(key(number).as_bytes());
            write!(body, "{comma}{{\"requestPut\":{{\"key\":\"{key}\",\"value\":\"{value}\"}}}}")
                .context("write a request")?;
        }
        body.push_str("]}");
        let (status, answer) = http::post(port, "/v3/kv/txn", &body).context("fill etcd")?;
        if status != 200 {
            return Err(Fault::new(format!("fill etcd: status {status}: {answer}")));
        }
    }
    Ok(())
}

pub(super) fn put_request(port: u16, key: &str, value: &str) -> String {
    let (key, value) = (base64(key.as_bytes()), base64(value.as_bytes()));
    let body = format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}");
    http::post_request(port, "/v3/kv/put", &body)
}

/// Linearizable: etcd's default.
pub(super) fn get_request(port: u16, key: &str) -> String {
    let body = format!("{{\"key\":\"{}\"}}", base64(key.as_bytes()));
    http::post_request(port, "/v3/kv/range", &body)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS[(group >> shift & 63) as usize];
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_rfc_says() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
