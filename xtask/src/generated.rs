//! Parts of the docs that are written by machine, each between two markers: `<!-- name -->` and `<!-- /name -->`.
//!
//! `ci` compares, `fix` writes.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;

use crate::arrows;

pub(crate) struct Part {
    path: &'static str,
    marker: &'static str,
    content: fn() -> String,
}

pub(crate) const ARROWS: &Part =
    &Part { path: "docs/ARCHITECTURE.md", marker: "arrows", content: arrows::markdown };

const PARTS: &[&Part] = &[ARROWS];

/// What is wrong with the part as it stands, if anything is.
pub(crate) fn stale(part: &Part) -> Result<Option<String>, Box<dyn Error>> {
    let Some(text) = read(part)? else {
        return Ok(Some(format!("{}: absent; it holds the part `{}`", part.path, part.marker)));
    };
    Ok(match splice(&text, part.marker, &(part.content)()) {
        None => Some(missing_markers(part)),
        Some(fresh) if fresh != text => Some(format!(
            "{}: the part `{}` is stale: run `cargo xtask fix`",
            part.path, part.marker
        )),
        Some(_) => None,
    })
}

/// Writes every part; returns the paths that changed.
pub(crate) fn write_all() -> Result<Vec<&'static str>, Box<dyn Error>> {
    let mut changed = Vec::new();
    for part in PARTS {
        let text = read(part)?.ok_or_else(|| format!("{}: absent", part.path))?;
        let fresh =
            splice(&text, part.marker, &(part.content)()).ok_or_else(|| missing_markers(part))?;
        if fresh != text {
            fs::write(part.path, fresh)?;
            changed.push(part.path);
        }
    }
    Ok(changed)
}

fn missing_markers(part: &Part) -> String {
    format!(
        "{}: lacks the markers <!-- {} --> and <!-- /{} -->",
        part.path, part.marker, part.marker
    )
}

fn read(part: &Part) -> Result<Option<String>, Box<dyn Error>> {
    match fs::read_to_string(part.path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", part.path).into()),
    }
}

/// The text with `content` between the markers; `None` when they are not both there, in order.
fn splice(text: &str, marker: &str, content: &str) -> Option<String> {
    let open = format!("<!-- {marker} -->");
    let close = format!("<!-- /{marker} -->");
    let (before, rest) = text.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}\n\n{}\n\n{close}{after}", content.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_markers_changes() {
        let text = "# Title\n<!-- arrows -->\nold\n<!-- /arrows -->\nend\n";
        let fresh = splice(text, "arrows", "new\n").unwrap();
        assert_eq!(fresh, "# Title\n<!-- arrows -->\n\nnew\n\n<!-- /arrows -->\nend\n");
        assert_eq!(splice(&fresh, "arrows", "new\n").unwrap(), fresh);
    }

    #[test]
    fn a_missing_marker_is_noticed() {
        assert!(splice("<!-- arrows -->\n", "arrows", "new").is_none());
        assert!(splice("<!-- /arrows --> <!-- arrows -->", "arrows", "new").is_none());
    }
}
