//! Partitions: which links a shape of them cuts.

use super::kind::Kind;
use crate::world::{Chance, HostId};

/// A link, from whom to whom.
pub type Link = (HostId, HostId);

fn links(hosts: &[HostId]) -> Vec<Link> {
    let from =
        |one: HostId| hosts.iter().filter(move |two| one != **two).map(move |two| (one, *two));
    hosts.iter().copied().flat_map(from).collect()
}

/// All links by which `host` hears `others`.
pub(super) fn towards(host: HostId, others: &[HostId]) -> Vec<Link> {
    others.iter().filter(|other| **other != host).map(|other| (*other, host)).collect()
}

/// All links by which `others` hear `host`.
pub(super) fn from(host: HostId, others: &[HostId]) -> Vec<Link> {
    towards(host, others).into_iter().map(|(other, host)| (host, other)).collect()
}

/// All links of `host` with `others`.
pub(super) fn around(host: HostId, others: &[HostId]) -> Vec<Link> {
    let there = towards(host, others);
    there.iter().flat_map(|(from, to)| [(*from, *to), (*to, *from)]).collect()
}

/// What a partition of this kind cuts; `host` is whom it is about, where it is about one.
pub(super) fn cut(kind: Kind, hosts: &[HostId], host: HostId, chance: &mut Chance) -> Vec<Link> {
    let mut links = links(hosts);
    match kind {
        Kind::CutOneWay => return chance.pick(&links).copied().into_iter().collect(),
        Kind::Deafen => {
            let hears = chance.one_in(2);
            links.retain(|(from, to)| if hears { *from == host } else { *to == host });
        }
        Kind::Split | Kind::Bridge => {
            let bridge = Some(host).filter(|_| kind == Kind::Bridge);
            let left: Vec<HostId> = hosts.iter().copied().filter(|_| chance.one_in(2)).collect();
            links.retain(|(from, to)| {
                let crosses = left.contains(from) != left.contains(to);
                crosses && Some(*from) != bridge && Some(*to) != bridge
            });
        }
        Kind::Ring => {
            let place = |host: &HostId| hosts.iter().position(|it| it == host).unwrap_or(0);
            let last = hosts.len().saturating_sub(1);
            links.retain(|(from, to)| {
                let apart = place(from).abs_diff(place(to));
                apart != 1 && apart != last
            });
        }
        Kind::CutAtRandom => links.retain(|_| chance.one_in(2)),
        _ => links.retain(|(from, to)| *from == host || *to == host),
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kind: Kind) -> Vec<Link> {
        let hosts: Vec<HostId> = (1..=5).map(HostId).collect();
        cut(kind, &hosts, HostId(2), &mut Chance::new(3, "shape"))
    }

    #[test]
    fn ring_leaves_each_node_two_neighbours() {
        let cut = shape(Kind::Ring);
        assert_eq!(cut.len(), 10);
        assert!(!cut.contains(&(HostId(1), HostId(2))) && !cut.contains(&(HostId(5), HostId(1))));
    }

    #[test]
    fn bridge_is_cut_from_nobody() {
        let cut = shape(Kind::Bridge);
        assert!(cut.iter().all(|(from, to)| *from != HostId(2) && *to != HostId(2)));
    }

    #[test]
    fn deafness_is_one_way() {
        let cut = shape(Kind::Deafen);
        assert_eq!(cut.len(), 4);
        assert!(cut.iter().all(|(from, to)| !cut.contains(&(*to, *from))));
    }

    #[test]
    fn isolation_is_both_ways() {
        assert_eq!(shape(Kind::Isolate).len(), 8);
    }
}
