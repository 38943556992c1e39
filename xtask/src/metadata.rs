//! What cargo knows about our own packages: names, dependencies as declared, binaries.
//!
//! Never resolves the graph, so it needs neither network nor a lock file.

use std::error::Error;

use serde_json::Value;

use crate::command::CommandLine;

#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) binaries: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Reaches users: normal and build dependencies.
    Product,
    /// Only tests, examples and benches see it.
    Tests,
}

pub(crate) fn workspace() -> Result<Vec<Package>, Box<dyn Error>> {
    let line = CommandLine::new("cargo metadata --no-deps --format-version 1");
    packages(&serde_json::from_slice(&line.output()?)?)
}

fn packages(metadata: &Value) -> Result<Vec<Package>, Box<dyn Error>> {
    list(metadata, "packages").iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package, Box<dyn Error>> {
    let dependencies =
        list(value, "dependencies").iter().map(dependency).collect::<Result<_, _>>()?;
    let mut binaries = Vec::new();
    for target in list(value, "targets") {
        if list(target, "kind").iter().any(|kind| kind.as_str() == Some("bin")) {
            binaries.push(name(target)?);
        }
    }
    Ok(Package { name: name(value)?, dependencies, binaries })
}

fn dependency(value: &Value) -> Result<Dependency, Box<dyn Error>> {
    let scope = match value.get("kind").and_then(Value::as_str) {
        Some("dev") => Scope::Tests,
        _ => Scope::Product,
    };
    Ok(Dependency { name: name(value)?, scope })
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> Result<String, Box<dyn Error>> {
    let name = value.get("name").and_then(Value::as_str);
    name.map(str::to_owned).ok_or_else(|| "cargo metadata: something has no name".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_of_dependencies_and_targets_are_told_apart() {
        let metadata = json!({ "packages": [{
            "name": "quorate-sim",
            "dependencies": [
                { "name": "bytes", "kind": null },
                { "name": "cc", "kind": "build" },
                { "name": "proptest", "kind": "dev" },
            ],
            "targets": [
                { "name": "quorate_sim", "kind": ["lib"] },
                { "name": "sim", "kind": ["bin"] },
            ],
        }]});
        let packages = packages(&metadata).unwrap();
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].binaries, ["sim"]);
        let scopes: Vec<Scope> = packages[0].dependencies.iter().map(|it| it.scope).collect();
        assert_eq!(scopes, [Scope::Product, Scope::Product, Scope::Tests]);
    }
}
