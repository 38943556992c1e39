//! The toy's server: one writer, which executes one request at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_env::{Env, Lane, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::Defect;
use super::store::{Log, Store, Words, is_read, words};
use crate::cluster::NodeSpec;
use crate::resp::{Frame, Reader, encode};

/// The commands of a block, or one; and where the replies go.
type Request = (Vec<Words>, oneshot::Sender<Vec<Frame>>);

pub(super) async fn serve(spec: NodeSpec, defect: Defect) {
    let env = spec.env;
    if defect == Defect::StaysDown && spec.restarts > 0 {
        std::future::pending::<()>().await;
    }
    let Ok((log, store)) = Log::open(&env.disk, &spec.data_dir) else { return };
    let Ok(mut listener) = env.net.listen(&spec.addr) else { return };
    let (sender, receiver) = mpsc::channel(64);
    let log = Arc::new(Mutex::new(log));
    let writer = Writer { lane: env.tasks.lane("log"), env: env.clone(), log, store, defect };
    env.tasks.spawn(Box::pin(writer.run(receiver)));
    while let Ok(stream) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
        let sender = sender.clone();
        env.tasks.spawn(Box::pin(async move {
            // `None` when either side broke off: then the client is in doubt, rightly.
            talk(stream, &sender).await.unwrap_or_default();
        }));
    }
}

struct Writer {
    env: Env,
    lane: Box<dyn Lane>,
    log: Arc<Mutex<Log>>,
    store: Store,
    defect: Defect,
}

impl Writer {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some((commands, reply)) = requests.recv().await {
            let writes = commands.iter().any(|command| !is_read(command));
            if writes && !self.persist(&commands).await {
                // Whoever waits hears nothing: the outcome is unknown. A restart finds out.
                return;
            }
            let frames = self.execute(&commands);
            if writes && self.defect == Defect::LyingRefusal && self.env.rng.below(50) == 0 {
                drop(reply.send(vec![Frame::Error("TRYAGAIN nothing happened".to_owned())]));
            } else {
                drop(reply.send(frames));
            }
        }
    }

    fn execute(&mut self, commands: &[Words]) -> Vec<Frame> {
        let frames = commands.iter().map(|command| self.store.execute(command)).collect();
        let torn = self.defect == Defect::TornBlocks && commands.len() > 1;
        if let Some(last) = commands.last().filter(|last| torn && !is_read(last))
            && let Some(key) = last.get(1)
            && self.env.rng.below(4) == 0
        {
            self.store.execute(&vec!["DEL".to_owned(), key.clone()]);
        }
        frames
    }

    /// Writes and syncs off the loop; true when it is durable (or so it says).
    async fn persist(&self, commands: &[Words]) -> bool {
        let (sender, receiver) = oneshot::channel();
        let (log, commands) = (Arc::clone(&self.log), commands.to_vec());
        let lazy = self.defect == Defect::LazySync;
        self.lane.submit(Box::new(move || {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let written = log.append(&commands);
            drop(sender.send(if lazy { written } else { written.and_then(|()| log.sync()) }));
        }));
        matches!(receiver.await, Ok(Ok(())))
    }
}

/// One connection: requests in, replies out, in order.
async fn talk(mut stream: Box<dyn Stream>, writer: &mpsc::Sender<Request>) -> Option<()> {
    let mut reader = Reader::default();
    let mut block: Option<Vec<Words>> = None;
    let mut buffer = [0; 1024];
    loop {
        let len = stream.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
        reader.feed(buffer.get(..len)?);
        let mut replies = Vec::new();
        while let Some(frame) = reader.next_frame().ok()? {
            let words = words(frame)?;
            let reply = match (words.first()?.as_str(), &mut block) {
                ("MULTI", _) => {
                    block = Some(Vec::new());
                    Frame::Simple("OK".to_owned())
                }
                ("EXEC", _) => match ask(writer, block.take()?).await?.as_slice() {
                    [error @ Frame::Error(_)] => error.clone(),
                    frames => Frame::Array(frames.to_vec()),
                },
                (_, Some(commands)) => {
                    commands.push(words);
                    Frame::Simple("QUEUED".to_owned())
                }
                (_, None) => ask(writer, vec![words]).await?.pop()?,
            };
            encode(&reply, &mut replies);
        }
        stream.write_all(&replies).await.ok()?;
    }
}

async fn ask(writer: &mpsc::Sender<Request>, commands: Vec<Words>) -> Option<Vec<Frame>> {
    let (sender, receiver) = oneshot::channel();
    writer.send((commands, sender)).await.ok()?;
    receiver.await.ok()
}

/// How long a door believes what it heard.
pub(super) const STALE: Duration = Duration::from_millis(700);
