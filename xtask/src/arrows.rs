//! Who may import whom: the one table, its picture for the docs, and the check against what cargo knows.
//!
//! Cargo refuses cycles; this refuses shortcuts. A new arrow needs a decision record first.

use crate::metadata::{self, Package, Scope};
use crate::{Outcome, Verdict, generated};

/// A room of the house and the rooms that it may import.
struct Room {
    name: &'static str,
    package: &'static str,
    imports: &'static [&'static str],
    /// Whether its tests may import any room at all, not only those in `imports`.
    tests_see_all: bool,
}

const fn room(name: &'static str, package: &'static str, imports: &'static [&'static str]) -> Room {
    Room { name, package, imports, tests_see_all: false }
}

/// From the cellar up: a room imports only rooms above its own row. `sim` sees all, and nobody sees `sim`.
const ROOMS: &[Room] = &[
    room("env", "quorate-env", &[]),
    room("engine", "quorate-engine", &[]),
    room("api", "quorate-api", &[]),
    room("keyspace", "quorate-keyspace", &["engine", "api"]),
    room("consensus", "quorate-consensus", &["env"]),
    room("node", "quorate-node", &["env", "engine", "api", "keyspace", "consensus"]),
    room("resp", "quorate-resp", &["env", "api"]),
    room("http", "quorate-http", &["env", "api"]),
    room("quorate", "quorate", &["env", "api", "node", "resp", "http"]),
    // The binary is glue over the library, hence its arrow to it. Its tests drive real processes, with the
    // clients and judges of the gym: no part of the product comes to depend on it by that.
    Room {
        tests_see_all: true,
        ..room("app", "quorate-app", &["env", "api", "node", "resp", "http", "quorate"])
    },
    room(
        "sim",
        "quorate-sim",
        &["env", "engine", "api", "keyspace", "consensus", "node", "resp", "http", "quorate"],
    ),
    room("xtask", "xtask", &[]),
];

/// The room whose real clock, disk and wire (and whose contract suite) any room's tests may use.
const TESTS_MAY_IMPORT: &str = "env";

/// A dependency from outside and the only rooms that may name it.
struct Home {
    dependency: &'static str,
    rooms: &'static [&'static str],
}

const HOMES: &[Home] = &[
    Home { dependency: "raft", rooms: &["consensus"] },
    Home { dependency: "raft-proto", rooms: &["consensus"] },
    Home { dependency: "protobuf", rooms: &["consensus"] },
    Home { dependency: "lsm-tree", rooms: &["engine"] },
    Home { dependency: "quick_cache", rooms: &["engine"] },
    Home { dependency: "siphasher", rooms: &["engine"] },
    Home { dependency: "axum", rooms: &["http"] },
    Home { dependency: "hyper", rooms: &["http"] },
    Home { dependency: "hyper-util", rooms: &["http"] },
    Home { dependency: "tower", rooms: &["http"] },
    Home { dependency: "clap", rooms: &["app"] },
    Home { dependency: "clap_complete", rooms: &["app"] },
    Home { dependency: "clap_mangen", rooms: &["app"] },
    Home { dependency: "anyhow", rooms: &["app"] },
    Home { dependency: "zstd", rooms: &["node"] },
];

pub(crate) fn run() -> Outcome {
    println!("{}", markdown());
    let mut complaints = check(&metadata::workspace()?);
    complaints.extend(generated::stale(generated::ARROWS)?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    Ok(Verdict::passed_if(complaints.is_empty()))
}

fn check(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        match ROOMS.iter().find(|room| room.package == package.name) {
            Some(room) => check_room(room, package, &mut complaints),
            None => complaints.push(format!(
                "{}: no room of this name: give it a row in xtask/src/arrows.rs, with a decision record",
                package.name
            )),
        }
    }
    for room in ROOMS {
        if !packages.iter().any(|package| package.name == room.package) {
            complaints.push(format!(
                "{}: has a row in xtask/src/arrows.rs but is no package",
                room.package
            ));
        }
    }
    complaints
}

fn check_room(room: &Room, package: &Package, complaints: &mut Vec<String>) {
    for dependency in &package.dependencies {
        let section = match dependency.scope {
            Scope::Product => "[dependencies]",
            Scope::Tests => "[dev-dependencies]",
        };
        if let Some(other) = ROOMS.iter().find(|it| it.package == dependency.name)
            && !may_import(room, other, dependency.scope)
        {
            let allowed = if room.imports.is_empty() {
                "nothing of ours".to_owned()
            } else {
                room.imports.join(", ")
            };
            complaints.push(format!(
                "{} -> {}: arrow not allowed in {section} ({} imports {allowed})",
                room.name, other.name, room.name
            ));
        }
        if let Some(home) = HOMES.iter().find(|home| home.dependency == dependency.name)
            && !home.rooms.contains(&room.name)
        {
            complaints.push(format!(
                "{} -> {}: not allowed in {section}, its home is {}",
                room.name,
                home.dependency,
                home.rooms.join(", ")
            ));
        }
    }
}

fn may_import(room: &Room, other: &Room, scope: Scope) -> bool {
    let in_tests = scope == Scope::Tests
        // A crate may name itself in its tests.
        && (room.tests_see_all || other.name == TESTS_MAY_IMPORT || other.name == room.name);
    in_tests || room.imports.contains(&other.name)
}

/// The picture: a row per room, a column per room that somebody may import.
pub(crate) fn markdown() -> String {
    let imported: Vec<&str> = ROOMS
        .iter()
        .map(|room| room.name)
        .filter(|name| ROOMS.iter().any(|room| room.imports.contains(name)))
        .collect();
    let mut text = format!("| may import → | {} |\n", imported.join(" | "));
    text.push_str(&format!("| --- |{}\n", " :-: |".repeat(imported.len())));
    for room in ROOMS {
        let marks =
            imported.iter().map(|name| if room.imports.contains(name) { " ● |" } else { "   |" });
        text.push_str(&format!("| **{}** |{}\n", room.name, marks.collect::<String>()));
    }
    text.push_str("\n| from outside | only in |\n| --- | --- |\n");
    for home in HOMES {
        text.push_str(&format!("| `{}` | {} |\n", home.dependency, home.rooms.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    /// All rooms without a dependency, but for one: `package` has `dependency`.
    fn house(package: &str, dependency: &str, scope: Scope) -> Vec<Package> {
        let mut packages: Vec<Package> = ROOMS
            .iter()
            .map(|room| Package {
                name: room.package.to_owned(),
                dependencies: vec![],
                binaries: vec![],
            })
            .collect();
        let packed = packages.iter_mut().find(|it| it.name == package).unwrap();
        packed.dependencies.push(Dependency { name: dependency.to_owned(), scope });
        packages
    }

    #[test]
    fn forbidden_arrow_is_reported() {
        let complaints = check(&house("quorate-consensus", "quorate-api", Scope::Product));
        assert_eq!(
            complaints,
            ["consensus -> api: arrow not allowed in [dependencies] (consensus imports env)"]
        );
    }

    #[test]
    fn allowed_arrow_is_not_reported() {
        assert!(check(&house("quorate-keyspace", "quorate-engine", Scope::Product)).is_empty());
        assert!(check(&house("quorate-app", "quorate", Scope::Product)).is_empty());
    }

    #[test]
    fn nobody_imports_sim() {
        for room in ROOMS {
            assert!(!room.imports.contains(&"sim"), "{}", room.name);
        }
        assert_eq!(check(&house("quorate-node", "quorate-sim", Scope::Product)).len(), 1);
        assert_eq!(check(&house("quorate-node", "quorate-sim", Scope::Tests)).len(), 1);
    }

    #[test]
    fn only_tests_of_real_processes_are_judged_by_sim() {
        assert!(check(&house("quorate-app", "quorate-sim", Scope::Tests)).is_empty());
        assert_eq!(check(&house("quorate-app", "quorate-sim", Scope::Product)).len(), 1);
    }

    #[test]
    fn tests_follow_the_arrows_but_for_env() {
        assert!(check(&house("quorate-engine", "quorate-env", Scope::Tests)).is_empty());
        assert_eq!(check(&house("quorate-engine", "quorate-api", Scope::Tests)).len(), 1);
        assert!(check(&house("quorate-app", "quorate-engine", Scope::Tests)).is_empty());
        assert_eq!(check(&house("quorate-app", "quorate-engine", Scope::Product)).len(), 1);
    }

    #[test]
    fn dependency_away_from_its_home_is_reported() {
        let complaints = check(&house("quorate-node", "raft", Scope::Product));
        assert_eq!(
            complaints,
            ["node -> raft: not allowed in [dependencies], its home is consensus"]
        );
        assert!(check(&house("quorate-consensus", "raft", Scope::Product)).is_empty());
        assert!(check(&house("quorate-node", "bytes", Scope::Product)).is_empty());
    }

    #[test]
    fn package_without_a_row_and_row_without_a_package_are_reported() {
        let mut packages = house("xtask", "serde_json", Scope::Product);
        packages.last_mut().unwrap().name = "quorate-attic".to_owned();
        let complaints = check(&packages);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("quorate-attic: no room"));
        assert!(complaints[1].starts_with("xtask: has a row"));
    }

    #[test]
    fn arrows_go_upward_only() {
        for (index, room) in ROOMS.iter().enumerate() {
            for import in room.imports {
                assert!(
                    ROOMS[..index].iter().any(|it| it.name == *import),
                    "{} -> {import}",
                    room.name
                );
            }
        }
    }
}
