//! Just enough of the Redis protocol for a client and a toy: requests out, frames in.

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `+text`.
    Simple(String),
    /// `-text`.
    Error(String),
    /// `:number`.
    Int(i64),
    /// `$bytes`; text, for all that we send is.
    Bulk(String),
    /// No value, no list.
    Nil,
    /// `*frames`.
    Array(Vec<Self>),
}

/// Bytes of one frame that a reader is ready to hold.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Elements of an array that a reader is ready to hold.
const ELEMENTS_MAX: i64 = 1 << 16;
/// Arrays within arrays.
const NESTING_MAX: usize = 8;

/// What the bytes so far can't be the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends a request.
pub fn encode_request(words: &[&str], into: &mut Vec<u8>) {
    let words = words.iter().map(|word| Frame::Bulk((*word).to_owned())).collect();
    encode(&Frame::Array(words), into);
}

/// Appends a frame.
pub fn encode(frame: &Frame, into: &mut Vec<u8>) {
    match frame {
        Frame::Simple(text) => into.extend(format!("+{text}\r\n").bytes()),
        Frame::Error(text) => into.extend(format!("-{text}\r\n").bytes()),
        Frame::Int(number) => into.extend(format!(":{number}\r\n").bytes()),
        Frame::Bulk(text) => into.extend(format!("${}\r\n{text}\r\n", text.len()).bytes()),
        Frame::Nil => into.extend(b"$-1\r\n"),
        Frame::Array(frames) => {
            into.extend(format!("*{}\r\n", frames.len()).bytes());
            frames.iter().for_each(|frame| encode(frame, into));
        }
    }
}

/// Makes frames of bytes that arrive in pieces.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, when it is complete.
    ///
    /// # Errors
    /// [`Malformed`]; the connection is then good for nothing.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        if self.bytes.len() > FRAME_BYTES_MAX {
            return Err(Malformed);
        }
        let mut rest = self.bytes.as_slice();
        let frame = parse(&mut rest, NESTING_MAX)?;
        if frame.is_some() {
            let used = self.bytes.len() - rest.len();
            drop(self.bytes.drain(..used));
        }
        Ok(frame)
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a str>, Malformed> {
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let (line, tail) = rest.split_at(end);
    *rest = tail.get(2..).unwrap_or_default();
    std::str::from_utf8(line).map(Some).map_err(|_| Malformed)
}

/// `None` when the bytes end before the frame does.
fn parse(rest: &mut &[u8], nesting: usize) -> Result<Option<Frame>, Malformed> {
    let Some(line) = line(rest)? else { return Ok(None) };
    let number = |text: &str| text.parse::<i64>().map_err(|_| Malformed);
    let mut characters = line.chars();
    let (kind, text) = (characters.next().ok_or(Malformed)?, characters.as_str());
    match kind {
        '+' => Ok(Some(Frame::Simple(text.to_owned()))),
        '-' => Ok(Some(Frame::Error(text.to_owned()))),
        ':' => Ok(Some(Frame::Int(number(text)?))),
        '_' => Ok(Some(Frame::Nil)),
        '$' | '*' if text == "-1" => Ok(Some(Frame::Nil)),
        '$' => {
            let len = usize::try_from(number(text)?).map_err(|_| Malformed)?;
            if len > FRAME_BYTES_MAX {
                return Err(Malformed);
            }
            let Some((bytes, tail)) = rest.split_at_checked(len) else { return Ok(None) };
            let Some((end, tail)) = tail.split_at_checked(2) else { return Ok(None) };
            *rest = tail;
            let text = std::str::from_utf8(bytes).ok().filter(|_| end == b"\r\n");
            Ok(Some(Frame::Bulk(text.ok_or(Malformed)?.to_owned())))
        }
        '*' if nesting > 0 => {
            let count = Some(number(text)?).filter(|count| (0..=ELEMENTS_MAX).contains(count));
            let mut frames = Vec::new();
            for _ in 0..count.ok_or(Malformed)? {
                let Some(frame) = parse(rest, nesting - 1)? else { return Ok(None) };
                frames.push(frame);
            }
            Ok(Some(Frame::Array(frames)))
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let bulk = |text: &str| Frame::Bulk(text.to_owned());
        let frames = [
            Frame::Simple("OK".to_owned()),
            Frame::Error("TRYAGAIN no leader".to_owned()),
            Frame::Array(vec![bulk("a\r\nb"), Frame::Int(-7), Frame::Array(vec![]), Frame::Nil]),
            bulk(""),
        ];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        for step in 1..bytes.len() {
            let mut reader = Reader::default();
            let mut read = Vec::new();
            for piece in bytes.chunks(step) {
                reader.feed(piece);
                while let Some(frame) = reader.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            assert_eq!(read, frames);
        }
    }

    #[test]
    fn malformed_bytes_are_refused() {
        for bytes in ["?\r\n", ":x\r\n", "*-2\r\n", "$1\r\nabc", "$99999999999\r\n", "\r\n"] {
            let mut reader = Reader::default();
            reader.feed(bytes.as_bytes());
            assert_eq!(reader.next_frame(), Err(Malformed), "{bytes:?}");
        }
    }
}
