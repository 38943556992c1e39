//! Every way in which the first bytes of a connection may arrive.

use std::cell::RefCell;
use std::collections::VecDeque;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;

#[test]
fn an_http_request_line_is_http() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "PUT /v1/kv/a HTTP/1.0\n",
        "DELETE /key/x HTTP/1.1\r\nHost: a",
        "OPTIONS * HTTP/1.1\r\n",
        "GET /with space HTTP/1.1\r\n",
    ] {
        assert_eq!(decide(line.as_bytes()), Some(Protocol::Http), "{line}");
    }
}

#[test]
fn an_inline_get_is_redis_though_it_begins_like_http() {
    for line in [
        "GET foo\r\n",
        "GET HTTP\r\n",
        "GET\r\n",
        "GET \r\n",
        "GET /x HTTP/2.0\n",
        "GET HTTP/1.1\r\n",
        "GET /x HTTP/1.x\r\n",
        "get / HTTP/1.1\r\n",
    ] {
        assert_eq!(decide(line.as_bytes()), Some(Protocol::Resp), "{line}");
    }
}

#[test]
fn redis_commands_do_not_wait_for_their_line_to_end() {
    for start in ["GETX", "*", "*1\r\n", "PI", "PING", "SET a", "get ", "\r\n", "\x16\x03\x01", " "]
    {
        assert_eq!(decide(start.as_bytes()), Some(Protocol::Resp), "{start}");
    }
}

#[test]
fn a_line_that_is_not_whole_yet_is_waited_for() {
    let line = b"GET /some/where HTTP/1.1\r\n";
    for end in 0..line.len() {
        assert_eq!(decide(&line[..end]), None, "{end}");
    }
}

#[test]
fn a_line_longer_than_the_bound_is_http_whatever_follows() {
    let mut long = [b"GET /".as_slice(), &[b'a'; 9000]].concat();
    assert_eq!(decide(&long[..FIRST_LINE_BYTES_MAX - 1]), None);
    assert_eq!(decide(&long[..FIRST_LINE_BYTES_MAX]), Some(Protocol::Http));
    long.extend(b"\r\n");
    assert_eq!(decide(&long), Some(Protocol::Http));
}

#[test]
fn a_peer_is_known_by_its_magic_alone() {
    for end in 0..8 {
        assert_eq!(decide(&PEER_MAGIC[..end]), None);
    }
    assert_eq!(decide(&PEER_MAGIC), Some(Protocol::Peer));
    assert_eq!(decide(b"\xf5OTHER!!"), Some(Protocol::Resp));
    assert_eq!(decide(b"\xf5QO"), Some(Protocol::Resp));
}

/// A connection whose other side says `pieces`, one per read, and then is silent for good or hangs up.
struct Scripted {
    pieces: VecDeque<Vec<u8>>,
    written: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.lock().unwrap().extend(buf);
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Stream for Scripted {
    fn peer_addr(&self) -> String {
        "there:1".to_owned()
    }
    fn local_addr(&self) -> String {
        "here:2".to_owned()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What [`sniff`] decides about `pieces`, and what can be read afterwards, `step` bytes at a time.
fn sniffed(pieces: &[&[u8]], step: usize) -> io::Result<(Protocol, Vec<u8>)> {
    block_on(async {
        // An empty piece would read as the end.
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec());
        let stream = Scripted { pieces: pieces.collect(), written: std::sync::Arc::default() };
        let (protocol, mut stream) = sniff(Box::new(stream)).await?;
        let (mut all, mut buf) = (Vec::new(), vec![0; step]);
        loop {
            match stream.read(&mut buf).await? {
                0 => return Ok((protocol, all)),
                n => all.extend(&buf[..n]),
            }
        }
    })
}

#[test]
fn bytes_that_come_one_by_one_are_given_back_in_order() {
    for (text, protocol) in [
        (&b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"[..], Protocol::Http),
        (b"GET foo\r\nGET bar\r\n", Protocol::Resp),
        (b"*1\r\n$4\r\nPING\r\n", Protocol::Resp),
        (b"\xf5QUORATE and then frames", Protocol::Peer),
    ] {
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        for step in [1, 3, 1_000] {
            assert_eq!(sniffed(&pieces, step).unwrap(), (protocol, text.to_vec()));
        }
    }
}

#[test]
fn a_connection_that_ends_undecided_is_left_to_the_redis_decoder() {
    assert_eq!(sniffed(&[b"GET /x"], 10).unwrap(), (Protocol::Resp, b"GET /x".to_vec()));
    assert_eq!(sniffed(&[&PEER_MAGIC[..5]], 10).unwrap().0, Protocol::Resp);
    assert_eq!(sniffed(&[], 10).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_sniffed_connection_writes_and_names_its_ends_as_before() {
    block_on(async {
        let written = std::sync::Arc::default();
        let pieces = VecDeque::from([b"PING\r\n".to_vec()]);
        let stream = Scripted { pieces, written: std::sync::Arc::clone(&written) };
        let (_, mut stream) = sniff(Box::new(stream)).await.unwrap();
        stream.write_all(b"+PONG\r\n").await.unwrap();
        assert_eq!(*written.lock().unwrap(), b"+PONG\r\n");
        assert_eq!((stream.peer_addr(), stream.local_addr()), ("there:1".into(), "here:2".into()));
    });
}

/// First bytes of all kinds, and such as nearly are one.
fn beginnings() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just(Vec::new()),
        Just(PEER_MAGIC.to_vec()),
        proptest::sample::subsequence(PEER_MAGIC.to_vec(), 1..8),
        proptest::sample::select(METHODS.to_vec()).prop_map(<[u8]>::to_vec),
        proptest::sample::select(METHODS.to_vec()).prop_map(|method| [method, b" "].concat()),
    ];
    let middle = prop_oneof![
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "[a-z]{8100,8300}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let end = proptest::sample::select(vec![
        &b" HTTP/1.1\r\n"[..],
        b" HTTP/1.0\n",
        b" HTTP/1.\n",
        b"HTTP/1.1\r\n",
        b"\r\n",
        b"\n",
        b"",
    ]);
    (start, middle, end).prop_map(|(start, middle, end)| [&start, middle.as_slice(), end].concat())
}

proptest! {
    #[test]
    fn what_was_decided_stays_whatever_follows(bytes in beginnings()) {
        let decided = RefCell::new(None);
        for end in 0..=bytes.len() {
            let now = decide(&bytes[..end]);
            let before = decided.replace(now);
            prop_assert!(before.is_none() || before == now, "{before:?} {now:?} at {end}");
        }
        prop_assert!(bytes.len() < FIRST_LINE_BYTES_MAX || decide(&bytes).is_some());
    }

    #[test]
    fn the_answer_and_the_bytes_do_not_depend_on_how_they_arrive(
        bytes in beginnings(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        step in 1_usize..50,
    ) {
        prop_assume!(!bytes.is_empty());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let (protocol, read) = sniffed(&pieces, step).unwrap();
        prop_assert_eq!(protocol, decide(&bytes).unwrap_or(Protocol::Resp));
        prop_assert_eq!(read, bytes);
    }
}
