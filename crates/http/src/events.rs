//! `/v1/events`: what happens to the cluster, as server-sent events, from now on or from where a reader
//! was before.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use hyper::body::Frame;
use quorate_api::{AdminReply, AdminRequest, Event, EventPlace};
use serde::Serialize;

use crate::answer;
use crate::door::Door;
use crate::error::Problem;
use crate::query;

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new().route("/v1/events", get(events))
}

/// What browsers and other readers of such streams send when they come back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Says nothing, but that we live.
const COMMENT: &[u8] = b": still here\n\n";
/// How long a reader waits before it comes back.
const RETRY: &[u8] = b"retry: 1000\n\n";

async fn events(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let after = match query::after(&head.uri)? {
        Some(text) => Some(place(&text)?),
        None => last_event_id(&head.headers)?,
    };
    // The place from which on nothing is missed is fixed before the answer begins.
    let (place, events) = match after {
        Some(place) => (place, Vec::new()),
        None => match door.ask(AdminRequest::Events { after: None }).await? {
            AdminReply::Events { place, events } => (place, events),
            _ => return Err(Problem::unexpected_reply()),
        },
    };
    let mut opening = RETRY.to_vec();
    for event in &events {
        put(&mut opening, place.run, event).map_err(|_| Problem::unexpected_reply())?;
    }
    let stream = Stream { door, place, asking: None, opening: Some(opening.into()) };
    let mut response = answer::content("text/event-stream", Body::new(stream));
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<EventPlace>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    place(value.to_str().unwrap_or_default()).map(Some)
}

/// A place as it stands in `id:` lines.
fn id(place: EventPlace) -> String {
    format!("{:x}-{}", place.run, place.number)
}

fn place(text: &str) -> Result<EventPlace, Problem> {
    let parsed = text.split_once('-').and_then(|(run, number)| {
        let run = u64::from_str_radix(run, 16).ok()?;
        Some(EventPlace { run, number: number.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        Problem::bad("That is no id of an event. Send the last id that you have got, or none.")
    })
}

#[derive(Serialize)]
struct Data<'a> {
    at_ms: u64,
    index: Option<u64>,
    member: Option<&'a str>,
    text: &'a str,
}

fn put(out: &mut Vec<u8>, run: u64, event: &Event) -> Result<(), serde_json::Error> {
    let data = Data {
        at_ms: event.wall_ms,
        index: Some(event.index).filter(|index| *index > 0),
        member: Some(event.member.as_str()).filter(|member| !member.is_empty()),
        text: &event.text,
    };
    // JSON has no line ends outside of its strings, nor within.
    let data = serde_json::to_string(&data)?;
    let id = id(EventPlace { run, number: event.number });
    out.extend_from_slice(
        format!("id: {id}\nevent: {}\ndata: {data}\n\n", event.kind.as_str()).as_bytes(),
    );
    Ok(())
}

type Asking = Pin<Box<dyn Future<Output = Result<AdminReply, Problem>> + Send>>;

/// An answer that goes on until the reader has had enough, or the node ends.
struct Stream {
    door: Arc<Door>,
    place: EventPlace,
    asking: Option<Asking>,
    /// What a reader gets at once: the head of the answer leaves with it.
    opening: Option<Bytes>,
}

impl Stream {
    fn ask(&self) -> Asking {
        let (door, place) = (Arc::clone(&self.door), self.place);
        Box::pin(async move { door.ask(AdminRequest::Events { after: Some(place) }).await })
    }

    /// The bytes for what has happened.
    fn tell(&mut self, place: EventPlace, events: &[Event]) -> Result<Bytes, serde_json::Error> {
        self.place = place;
        if events.is_empty() {
            return Ok(Bytes::from_static(COMMENT));
        }
        let mut out = Vec::new();
        for event in events {
            put(&mut out, place.run, event)?;
        }
        Ok(out.into())
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = serde_json::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(opening) = self.opening.take() {
            return Poll::Ready(Some(Ok(Frame::data(opening))));
        }
        let mut asking = match self.asking.take() {
            Some(asking) => asking,
            None => self.ask(),
        };
        let Poll::Ready(reply) = asking.as_mut().poll(cx) else {
            self.asking = Some(asking);
            return Poll::Pending;
        };
        Poll::Ready(match reply {
            Ok(AdminReply::Events { place, events }) => {
                Some(self.tell(place, &events).map(Frame::data))
            }
            // The node is about to end, or does not answer: the reader comes back, here or elsewhere.
            Ok(_) | Err(_) => None,
        })
    }
}
