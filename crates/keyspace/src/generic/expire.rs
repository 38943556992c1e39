//! Expiry: EXPIRE and its kin, PERSIST, TTL and its kin.

use quorate_api::{Args, CommandId, Reply};

use crate::applying::Applying;
use crate::expiry::{Origin, Time, Unit, rounded_seconds};
use crate::reading::Reading;
use crate::record::Head;
use crate::stop::{Outcome, Stop};

/// The conditions of EXPIRE, as a set of bits.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions(u8);

impl Conditions {
    /// Only where there is no expiry.
    const NX: u8 = 1;
    /// Only where there is one.
    const XX: u8 = 2;
    /// Only to a later time.
    const GT: u8 = 4;
    /// Only to an earlier time.
    const LT: u8 = 8;

    fn parse(args: Args<'_>) -> Result<Self, Stop> {
        let words = [("NX", Self::NX), ("XX", Self::XX), ("GT", Self::GT), ("LT", Self::LT)];
        let mut found = Self::default();
        for word in args.iter_from(3) {
            let known = |(name, _): &&(&str, u8)| word.eq_ignore_ascii_case(name.as_bytes());
            let Some((_, bit)) = words.iter().find(known) else {
                let word = String::from_utf8_lossy(word);
                return Err(Reply::err(format!("Unsupported option {word}")).into());
            };
            found.0 |= bit;
        }
        if found.has(Self::NX) && found.has(Self::XX | Self::GT | Self::LT) {
            let text = "NX and XX, GT or LT options at the same time are not compatible";
            return Err(Reply::err(text).into());
        }
        if found.has(Self::GT) && found.has(Self::LT) {
            let text = "GT and LT options at the same time are not compatible";
            return Err(Reply::err(text).into());
        }
        Ok(found)
    }

    fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// Whether `when` may replace `current`; no expiry counts as an infinite one.
    fn hold(self, current: Option<u64>, when: i64) -> bool {
        let current = current.map(|current| i64::try_from(current).unwrap_or(i64::MAX));
        let later = current.is_some_and(|current| when > current);
        let earlier = current.is_none_or(|current| when < current);
        !(self.has(Self::NX) && current.is_some()
            || self.has(Self::XX) && current.is_none()
            || self.has(Self::GT) && !later
            || self.has(Self::LT) && !earlier)
    }
}

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT key time [NX | XX | GT | LT].
pub(crate) fn expire(on: &mut Applying<'_>, id: CommandId, args: Args<'_>) -> Outcome {
    let (unit, origin) = match id {
        CommandId::Pexpire => (Unit::Milliseconds, Origin::Stamp),
        CommandId::Expireat => (Unit::Seconds, Origin::Epoch),
        CommandId::Pexpireat => (Unit::Milliseconds, Origin::Epoch),
        _ => (Unit::Seconds, Origin::Stamp),
    };
    let conditions = Conditions::parse(args)?;
    let when = Time { text: args.at(2), unit, origin }.any(on.now_ms, on.name)?;
    let place = on.place(args.at(1));
    let Some(old) = on.find(&place)? else { return Ok(Reply::Int(0)) };
    if !conditions.hold(old.expire_ms(), when) {
        return Ok(Reply::Int(0));
    }
    // A time before 1970 has passed, whatever the stamp: as 0 it removes the key like any past time.
    let expire_ms = Some(u64::try_from(when).unwrap_or(0));
    let head = Head { expire_ms, revision: on.revision, ..*old.head() };
    on.write(&place, Some(old.brief()), old.with_head(head))?;
    Ok(Reply::Int(1))
}

/// PERSIST key.
pub(crate) fn persist(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let place = on.place(args.at(1));
    let Some(old) = on.find(&place)?.filter(|old| old.expire_ms().is_some()) else {
        return Ok(Reply::Int(0));
    };
    let head = Head { expire_ms: None, revision: on.revision, ..*old.head() };
    on.write(&place, Some(old.brief()), old.with_head(head))?;
    Ok(Reply::Int(1))
}

/// TTL, PTTL, EXPIRETIME, PEXPIRETIME key.
pub(crate) fn ttl(on: &Reading<'_>, id: CommandId, args: Args<'_>) -> Outcome {
    let Some(record) = on.find(args.at(1))? else { return Ok(Reply::Int(-2)) };
    let Some(expire_ms) = record.expire_ms() else { return Ok(Reply::Int(-1)) };
    let absolute = matches!(id, CommandId::Expiretime | CommandId::Pexpiretime);
    let ms = if absolute { expire_ms } else { expire_ms.saturating_sub(on.now_ms) };
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let in_seconds = matches!(id, CommandId::Ttl | CommandId::Expiretime);
    Ok(Reply::Int(if in_seconds { rounded_seconds(ms) } else { ms }))
}
