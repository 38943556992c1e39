//! The options of SET and GETEX: which of them exclude each other, and nothing else.

use quorate_api::{Args, Reply};

use crate::expiry::{Origin, Time, Unit};
use crate::stop::Stop;

/// When a value is set at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    /// Always.
    #[default]
    None,
    /// NX.
    Absent,
    /// XX.
    Present,
    /// IFEQ.
    Equal(&'a [u8]),
}

/// What becomes of the expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expiry<'a> {
    /// Not said: SET drops it, GETEX leaves it.
    #[default]
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX, PX, EXAT, PXAT.
    At(Time<'a>),
}

/// The options of SET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetOptions<'a> {
    /// NX, XX or IFEQ.
    pub(crate) condition: Condition<'a>,
    /// GET.
    pub(crate) get: bool,
    /// See [`Expiry`].
    pub(crate) expiry: Expiry<'a>,
}

impl<'a> SetOptions<'a> {
    /// True when the value that is replaced is looked at.
    pub(crate) fn wants_string(&self) -> bool {
        self.get || matches!(self.condition, Condition::Equal(_))
    }

    /// The options from argument 3 on.
    pub(crate) fn parse(args: Args<'a>) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut at = 3;
        while let Some(word) = args.get(at) {
            at += 1;
            let next = args.get(at);
            if let Some((expiry, taken)) = parse_time(word, next, options.expiry) {
                options.expiry = expiry;
                at += taken;
                continue;
            }
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            match (options.condition, options.expiry) {
                (Condition::None | Condition::Absent, _) if is("NX") => {
                    options.condition = Condition::Absent;
                }
                (Condition::None | Condition::Present, _) if is("XX") => {
                    options.condition = Condition::Present;
                }
                (Condition::None, _) if is("IFEQ") => {
                    options.condition = Condition::Equal(next.ok_or_else(Reply::syntax)?);
                    at += 1;
                }
                (_, Expiry::Unsaid | Expiry::Keep) if is("KEEPTTL") => {
                    options.expiry = Expiry::Keep;
                }
                _ if is("GET") => options.get = true,
                _ => return Err(Reply::syntax().into()),
            }
        }
        Ok(options)
    }
}

/// The option of GETEX, from argument 2 on.
pub(crate) fn parse_getex(args: Args<'_>) -> Result<Expiry<'_>, Stop> {
    let mut found = Expiry::Unsaid;
    let mut at = 2;
    while let Some(word) = args.get(at) {
        at += 1;
        if let Some((expiry, taken)) = parse_time(word, args.get(at), found) {
            found = expiry;
            at += taken;
        } else if word.eq_ignore_ascii_case(b"PERSIST")
            && matches!(found, Expiry::Unsaid | Expiry::Persist)
        {
            found = Expiry::Persist;
        } else {
            return Err(Reply::syntax().into());
        }
    }
    Ok(found)
}

/// EX, PX, EXAT or PXAT with the argument behind it, and how many arguments that took. The same word
/// may come again (the last one counts), another one may not.
fn parse_time<'a>(
    word: &[u8],
    next: Option<&'a [u8]>,
    before: Expiry<'_>,
) -> Option<(Expiry<'a>, usize)> {
    let words = [
        ("EX", Unit::Seconds, Origin::Stamp),
        ("PX", Unit::Milliseconds, Origin::Stamp),
        ("EXAT", Unit::Seconds, Origin::Epoch),
        ("PXAT", Unit::Milliseconds, Origin::Epoch),
    ];
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let (_, unit, origin) = words.into_iter().find(|(name, ..)| is(name))?;
    let compatible = match before {
        Expiry::Unsaid => true,
        Expiry::At(time) => time.unit == unit && time.origin == origin,
        Expiry::Keep | Expiry::Persist => false,
    };
    compatible.then_some((Expiry::At(Time { text: next?, unit, origin }), 1))
}
