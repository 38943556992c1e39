//! The toy's doors: they hand bytes on to the server, both ways.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use quorate_env::{Env, Mono, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Defect;
use super::server::STALE;
use super::store::{Words, words};
use crate::cluster::NodeSpec;
use crate::resp::{Frame, Reader, encode, encode_request};

/// What a stale door remembers.
type Memory = Rc<RefCell<BTreeMap<String, (Mono, Frame)>>>;

pub(super) async fn serve(spec: NodeSpec, defect: Defect) {
    let env = spec.env;
    let Ok(mut listener) = env.net.listen(&spec.addr) else { return };
    let Some(server) = spec.members.first().map(|member| member.addr.clone()) else { return };
    let memory = Memory::default();
    while let Ok(stream) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
        let (inner, server, memory) = (env.clone(), server.clone(), Rc::clone(&memory));
        env.tasks.spawn(Box::pin(async move {
            // When either side breaks, both are dropped: the client is left in doubt, rightly.
            drop(match defect {
                Defect::StaleReads => answer(&inner, stream, &server, &memory).await,
                _ => hand_on(&inner, stream, &server).await,
            });
        }));
    }
}

async fn hand_on(env: &Env, stream: Box<dyn Stream>, server: &str) -> io::Result<()> {
    let inner = env.net.connect(server).await?;
    let (mut outer, mut inner) = (stream, inner);
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}

/// Request by request; a read may be answered from memory.
async fn answer(
    env: &Env,
    mut stream: Box<dyn Stream>,
    server: &str,
    memory: &Memory,
) -> io::Result<()> {
    let mut inner = env.net.connect(server).await?;
    let (mut requests, mut replies) = (Reader::default(), Reader::default());
    let mut in_block = false;
    loop {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let frame = next(&mut stream, &mut requests).await?;
        let words = words(frame).ok_or_else(malformed)?;
        let name = words.first().map_or("", String::as_str);
        in_block = name == "MULTI" || in_block && name != "EXEC";
        let key = words.get(1).filter(|_| name == "GET" && !in_block).cloned();
        let reply = match key.as_ref().and_then(|key| remembered(env, memory, key)) {
            Some(reply) => reply,
            None => forward(&mut inner, &mut replies, &words).await?,
        };
        if let Some(key) = key {
            memory.borrow_mut().entry(key).or_insert_with(|| (env.clock.now(), reply.clone()));
        }
        let mut bytes = Vec::new();
        encode(&reply, &mut bytes);
        stream.write_all(&bytes).await?;
    }
}

fn remembered(env: &Env, memory: &Memory, key: &str) -> Option<Frame> {
    let mut memory = memory.borrow_mut();
    let (since, reply) = memory.get(key)?.clone();
    if env.clock.now().since(since) < STALE {
        return Some(reply);
    }
    memory.remove(key);
    None
}

async fn forward(
    inner: &mut Box<dyn Stream>,
    replies: &mut Reader,
    words: &Words,
) -> io::Result<Frame> {
    let mut bytes = Vec::new();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    encode_request(&words, &mut bytes);
    inner.write_all(&bytes).await?;
    next(inner, replies).await
}

async fn next(stream: &mut Box<dyn Stream>, reader: &mut Reader) -> io::Result<Frame> {
    let mut buffer = [0; 1024];
    loop {
        let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
        if let Some(frame) = reader.next_frame().map_err(malformed)? {
            return Ok(frame);
        }
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reader.feed(buffer.get(..len).unwrap_or_default());
    }
}
