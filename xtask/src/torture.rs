//! Torture of real processes for as long as one likes: options become the variables of one test.

use std::error::Error;

use crate::Outcome;
use crate::command::CommandLine;

const TEST: &str = "cargo test -p quorate-app --test processes -- --ignored --nocapture \
                    --exact torture::as_long_as_it_is_told_to";

/// Each option and the variable that the test reads.
const OPTIONS: &[(&str, &str)] = &[
    ("--minutes", "QUORATE_TORTURE_MINUTES"),
    ("--seed", "QUORATE_TEST_SEED"),
    ("--nodes", "QUORATE_TORTURE_NODES"),
    ("--engine", "QUORATE_TORTURE_ENGINE"),
];

pub(crate) fn run(options: &[&str]) -> Outcome {
    let variables = parse(options)?;
    let line = CommandLine::new(TEST);
    let line = variables.into_iter().fold(line, |line, (name, value)| line.variable(name, &value));
    println!("$ {line}");
    line.run()
}

fn parse(options: &[&str]) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let mut variables = Vec::new();
    for pair in options.chunks(2) {
        let [option, value] = pair else {
            return Err(format!("torture: `{}` wants a value", pair.concat()).into());
        };
        let known = OPTIONS.iter().find(|(name, _)| name == option);
        let (_, variable) = known.ok_or_else(|| format!("torture: unknown option `{option}`"))?;
        variables.push((*variable, (*value).to_owned()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_variables_and_unknown_ones_are_refused() {
        let variables = parse(&["--minutes", "10", "--engine", "disk"]).unwrap();
        let expected = [("QUORATE_TORTURE_MINUTES", "10"), ("QUORATE_TORTURE_ENGINE", "disk")];
        assert_eq!(variables, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(parse(&["--minutes"]).is_err());
        assert!(parse(&["--hours", "1"]).is_err());
    }
}
