//! Reading a request's body: bounded for itself and for all connections together.

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::budget::Reserved;
use crate::door::Door;
use crate::error::{Kind, Problem};

/// A body that has been read, and its place in the allowance of all connections.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its bytes.
    pub(crate) bytes: Bytes,
    _reserved: Reserved,
}

/// Reads `body`, which may have `bytes_max` bytes.
///
/// What the client announces is believed only when it is too much: memory follows the bytes that
/// have arrived.
///
/// # Errors
/// Too large, no room, or the client went away.
pub(crate) async fn read(door: &Door, body: Body, bytes_max: usize) -> Result<Held, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(too_large(bytes_max));
    }
    let mut reserved = door.reserve();
    let mut pieces = Pieces::None;
    let mut length = 0_usize;
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad("The body ended too early. Send it again."))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        if !reserved.grow(data.len()) {
            let detail = "Nothing was changed: too many bytes of unfinished requests wait on this \
                          node. Send it again later, and slower.";
            return Err(Problem::new(Kind::Overloaded, detail));
        }
        pieces = pieces.with(data);
    }
    Ok(Held { bytes: pieces.join(), _reserved: reserved })
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("The body has more than {bytes_max} bytes. Split it over several keys.");
    Problem::new(Kind::TooLarge, detail)
}

/// A body in one piece is not copied.
enum Pieces {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Pieces {
    fn with(self, data: Bytes) -> Self {
        match self {
            Self::None => Self::One(data),
            Self::One(first) => {
                let mut many = BytesMut::from(first);
                many.extend_from_slice(&data);
                Self::Many(many)
            }
            Self::Many(mut many) => {
                many.extend_from_slice(&data);
                Self::Many(many)
            }
        }
    }

    fn join(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}
