//! Quorate: one node that bootstraps, and others that join it.

use std::path::Path;

use super::{Node, wait_until};
use crate::child::{Server, free_ports};
use crate::fault::{Context, Fault};
use crate::http;
use crate::json;
use crate::tools::Tools;

pub(super) fn start(
    tools: &Tools,
    dir: &Path,
    count: usize,
    read_mode: Option<&str>,
) -> Result<Vec<Node>, Fault> {
    let flags =
        read_mode.map_or(Vec::new(), |mode| vec!["--read-mode".to_owned(), mode.to_owned()]);
    start_with(&tools.quorate, dir, count, &flags)
}

/// Nodes with these flags besides their names, addresses and directories.
pub(crate) fn start_with(
    quorate: &Path,
    dir: &Path,
    count: usize,
    flags: &[String],
) -> Result<Vec<Node>, Fault> {
    let ports: [u16; 3] = free_ports()?;
    let mut nodes: Vec<Node> = Vec::new();
    for (number, &port) in ports.iter().enumerate().take(count) {
        let id = format!("n{}", number + 1);
        let home = dir.join(&id);
        std::fs::create_dir(&home).context("create a data directory")?;
        let mut all = flags.to_vec();
        match number {
            0 => all.push("--bootstrap".to_owned()),
            _ => all.extend(["--join".to_owned(), format!("127.0.0.1:{}", ports[0])]),
        }
        let mut node = start_one(quorate, &id, &home, port, &all)?;
        wait_until(&mut node, "quorate", is_ready)?;
        nodes.push(node);
    }
    // A member joins without a vote: a SET that needs no quorum of three would flatter.
    if let Some(node) = nodes.first_mut() {
        wait_until(node, "quorate's last vote", |port| voters(port) == count)?;
    }
    Ok(nodes)
}

/// One node, which is not waited for.
pub(crate) fn start_one(
    quorate: &Path,
    id: &str,
    home: &Path,
    port: u16,
    flags: &[String],
) -> Result<Node, Fault> {
    let mut command = vec![quorate.display().to_string(), "serve".to_owned()];
    command.extend(["--id".to_owned(), id.to_owned()]);
    command.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
    command.extend(["--data-dir".to_owned(), home.join("data").display().to_string()]);
    command.extend_from_slice(flags);
    Ok(Node { server: Server::start(&command, home)?, port })
}

fn is_ready(port: u16) -> bool {
    http::get(port, "/readyz").is_ok_and(|(status, _)| status == 200)
}

fn voters(port: u16) -> usize {
    http::get(port, "/v1/cluster").map_or(0, |(_, body)| body.matches("\"voter\":true").count())
}

pub(crate) fn is_leader(port: u16) -> bool {
    http::get(port, "/v1/node").is_ok_and(|(_, body)| json::text(&body, "role") == Some("leader"))
}

pub(super) fn put_request(port: u16, key: &str, value: &str) -> String {
    format!(
        "PUT /v1/kv/{key} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n\r\n{value}",
        value.len()
    )
}

pub(super) fn get_request(port: u16, key: &str) -> String {
    format!("GET /v1/kv/{key} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")
}
