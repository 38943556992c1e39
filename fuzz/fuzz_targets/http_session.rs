//! HTTP requests to a real node, on every route and in every dialect: each is answered, with a body that is what
//! its Content-Type says, and never with the status of a fault of ours.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use quorate_fuzz::node::converse;

#[derive(Arbitrary, Debug)]
struct Request {
    method: u8,
    route: u8,
    rest: String,
    header: u8,
    value: String,
    body: Vec<u8>,
}

const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"];
const ROUTES: [&str; 18] = [
    "/v1/kv/",
    "/v1/kv/k?",
    "/v1/",
    "/",
    "/key",
    "/key/",
    "/join",
    "/get?key=",
    "/set",
    "/delete",
    "/kv/",
    "/status",
    "/cluster",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/cluster/",
];
const HEADERS: [&str; 8] = [
    "if-match",
    "if-none-match",
    "idempotency-key",
    "content-type",
    "content-encoding",
    "origin",
    "authorization",
    "accept",
];

impl Request {
    fn encode(&self, out: &mut Vec<u8>) -> bool {
        let method = METHODS[usize::from(self.method) % METHODS.len()];
        let route = ROUTES[usize::from(self.route) % ROUTES.len()];
        let clean = |text: &str, more: &str| -> String {
            text.chars().filter(|it| it.is_ascii_graphic() || more.contains(*it)).collect()
        };
        let (rest, value) = (clean(&self.rest, ""), clean(&self.value, " "));
        let header = HEADERS[usize::from(self.header) % HEADERS.len()];
        let head = format!(
            "{method} {route}{rest} HTTP/1.1\r\nhost: n1:7000\r\n{header}: {value}\r\ncontent-length: {}\r\n\r\n",
            self.body.len()
        );
        out.extend(head.bytes());
        out.extend(&self.body);
        method == "HEAD"
    }
}

fuzz_target!(|input: (u8, Vec<Request>)| {
    let mut bytes = Vec::new();
    let heads: Vec<bool> =
        input.1.iter().take(8).map(|request| request.encode(&mut bytes)).collect();
    let answer = converse(&bytes, usize::from(input.0) * 4 + 1);
    let mut rest = &*answer;
    for is_head in heads {
        // Who is refused for a malformed request is hung up on.
        if rest.is_empty() {
            return;
        }
        // Who closes a connection with a body on it unread resets it: what was answered may be lost on the way.
        let Some(end) = rest.windows(4).position(|it| it == b"\r\n\r\n") else { return };
        let head = std::str::from_utf8(&rest[..end]).expect("text");
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line").get(..3).unwrap();
        assert_ne!(status, "500", "{head}");
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let length = field("content-length").map_or(0, |it| it.parse::<usize>().expect("a length"));
        let bodiless = is_head || ["204", "304"].contains(&status);
        let body = end + 4..end + 4 + if bodiless { 0 } else { length };
        assert!(field("transfer-encoding").is_none(), "{head}");
        let Some(content) = rest.get(body.clone()) else { return };
        if !bodiless && field("content-type").is_some_and(|it| it.contains("json")) {
            serde_json::from_slice::<serde_json::Value>(content).expect("JSON");
        }
        rest = &rest[body.end..];
    }
});
