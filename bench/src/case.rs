//! What is compared: a kind of work, who does it, and whom each of them is measured against.

use std::fmt;

use crate::flags::Flags;
use crate::fleet::Kind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Set,
    Get,
    HttpPut,
    HttpGet,
}

impl Work {
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::Set | Self::HttpPut)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Get => "GET",
            Self::HttpPut => "HTTP put",
            Self::HttpGet => "HTTP get",
        }
    }
}

/// Which node of a fleet is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Leader,
    Follower,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) ask: Ask,
}

impl Contender {
    const fn new(kind: Kind, ask: Ask) -> Self {
        Self { kind, ask }
    }

    const fn leader(kind: Kind) -> Self {
        Self::new(kind, Ask::Leader)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match (self.kind.nodes(), self.ask) {
            (1, _) => Ok(()),
            (_, Ask::Leader) => f.write_str(", leader"),
            (_, Ask::Follower) => f.write_str(", follower"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) contenders: Vec<Contender>,
}

impl Case {
    /// Whose CPU per operation is 1.0 for `contender`.
    pub(crate) fn baseline(&self, contender: Contender) -> Contender {
        Contender::leader(match (self.work, contender.kind.nodes()) {
            (Work::Set, _) => Kind::RedisAlways,
            (Work::Get, _) => Kind::RedisNone,
            (Work::HttpPut | Work::HttpGet, 1) => Kind::Etcd1,
            (Work::HttpPut | Work::HttpGet, _) => Kind::Etcd3,
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.work.name(), self.connections, self.pipeline)
    }
}

const SET: &[Contender] = &[
    Contender::leader(Kind::RedisNone),
    Contender::leader(Kind::RedisAlways),
    Contender::leader(Kind::Quorate1),
    Contender::leader(Kind::Quorate3),
    Contender::new(Kind::Quorate3, Ask::Follower),
];

const GET: &[Contender] = &[
    Contender::leader(Kind::RedisNone),
    Contender::leader(Kind::Quorate1),
    Contender::leader(Kind::Quorate3),
    Contender::new(Kind::Quorate3, Ask::Follower),
    Contender::leader(Kind::Quorate3Lease),
];

const HTTP: &[Contender] = &[
    Contender::leader(Kind::Etcd1),
    Contender::leader(Kind::Quorate1),
    Contender::leader(Kind::Etcd3),
    Contender::leader(Kind::Quorate3),
];

/// Connections and pipeline.
const RESP_CELLS: &[(usize, usize)] = &[(1, 1), (50, 1), (200, 1), (1, 16), (50, 16), (200, 16)];
const HTTP_CELLS: &[(usize, usize)] = &[(1, 1), (50, 1), (200, 1)];

/// Those with targets, and one of HTTP.
const QUICK_SET: &[(usize, usize)] = &[(50, 1), (200, 1), (50, 16)];
const QUICK_GET: &[(usize, usize)] = &[(50, 1), (50, 16)];
const QUICK_HTTP: &[(usize, usize)] = &[(50, 1)];

pub(crate) fn plan(flags: &Flags) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |work, contenders: &[Contender], full, quick| {
        for &(connections, pipeline) in if flags.quick { quick } else { full } {
            let contenders = contenders.to_vec();
            cases.push(Case { work, connections, pipeline, contenders });
        }
    };
    if flags.set {
        add(Work::Set, SET, RESP_CELLS, QUICK_SET);
    }
    if flags.get {
        add(Work::Get, GET, RESP_CELLS, QUICK_GET);
    }
    if flags.http || flags.etcd {
        let mut http = HTTP.to_vec();
        http.retain(|it| flags.etcd || !it.kind.is_etcd());
        add(Work::HttpPut, &http, HTTP_CELLS, QUICK_HTTP);
        add(Work::HttpGet, &http, HTTP_CELLS, QUICK_HTTP);
    }
    cases
}
