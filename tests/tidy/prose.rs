//! Rules on what is written for people.

use super::source::{files, name, none, sources};

/// Words that tell what was. The history is in git; a comment says what is, and why.
const HISTORY: [&str; 11] = [
    "no longer needed",
    "no longer used",
    "no longer supported",
    "previously",
    "refactored",
    "formerly",
    "was renamed",
    "was moved",
    "we changed",
    "new implementation",
    "old implementation",
];

#[test]
fn comments_tell_no_history() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        for line in &source.lines {
            let comment = line.comment.to_lowercase();
            if let Some(word) = HISTORY.iter().find(|word| comment.contains(**word)) {
                faults.push(source.at(line, &format!("`{word}`: {}", line.text.trim())));
            }
        }
    }
    none(&faults);
}

/// Whoever writes `whitelist` or `bypass` means an allowlist or break-glass; where Google's field
/// has the old name, it is spelled as the field.
#[test]
fn the_words_are_those_of_the_field() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        for line in &source.lines {
            let comment = line.comment.to_lowercase();
            for word in ["white list", "blacklist", "black list", "whitelisted", "whitelisting"] {
                if comment.contains(word) {
                    faults.push(source.at(line, line.text.trim()));
                }
            }
        }
    }
    none(&faults);
}

/// A comment names its thing, or says what is done: a reader who scans the openings sees what there
/// is.
#[test]
fn comments_open_with_a_noun_or_a_verb() {
    let mut faults = Vec::new();
    for source in sources() {
        let mut before = "";
        for line in &source.lines {
            let text = line.text.trim();
            let opening = ["/// ", "//! ", "// "].iter().find_map(|mark| text.strip_prefix(mark));
            if let Some(opening) = opening.filter(|_| !before.starts_with("//")) {
                let word = opening.split(' ').next().unwrap_or_default();
                if ["What", "Whether", "How"].contains(&word) {
                    faults.push(source.at(line, opening));
                }
            }
            before = text;
        }
    }
    none(&faults);
}

/// Words that nobody uses any more.
#[test]
fn comments_are_modern() {
    const OLD: [&str; 7] =
        ["anew", "for want of", "be had", "comes of", "come of", "came of", "in its stead"];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        for line in &source.lines {
            let comment = line.comment.to_lowercase();
            let words: Vec<_> = comment.split(|c: char| !c.is_alphanumeric()).collect();
            let comment = format!(" {} ", words.join(" "));
            if let Some(word) = OLD.iter().find(|word| comment.contains(&format!(" {word} "))) {
                faults.push(source.at(line, &format!("`{word}`: {}", line.text.trim())));
            }
        }
    }
    none(&faults);
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for file in files("md") {
        let text = std::fs::read_to_string(&file).expect("reads");
        for (number, line) in text.lines().enumerate() {
            for target in targets(line) {
                seen += 1;
                let path = target.split('#').next().unwrap_or_default();
                let from = file.parent().expect("a file lies in a folder");
                if !path.is_empty() && !from.join(path).exists() {
                    faults.push(format!("{}:{}: {target} leads nowhere", name(&file), number + 1));
                }
            }
        }
    }
    none(&faults);
    assert!(seen > 0, "no link was looked at");
}

/// The targets of the links of one line that lead into the tree.
fn targets(line: &str) -> Vec<&str> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// Paths named in the documents exist, so that a reader finds what is spoken of.
#[test]
fn named_paths_exist() {
    let mut faults = Vec::new();
    let places = ["daemon/", "plugin-api/", "plugins/", "tests/", "benches/", "docs/", "deploy/"];
    let later = ["daemon/lanes", "plugins/pgp", "plugins/hsm", "plugins/*"];
    for file in files("md") {
        let text = std::fs::read_to_string(&file).expect("reads");
        for (number, line) in text.lines().enumerate() {
            for path in line.split('`').skip(1).step_by(2) {
                let ours =
                    places.iter().any(|place| path.starts_with(place)) && !path.contains(' ');
                let planned = later.iter().any(|known| path.starts_with(known));
                // From the root, or from the folder of the document or one above it.
                let exists = || file.ancestors().skip(1).any(|above| above.join(path).exists());
                if ours && !planned && !exists() {
                    faults.push(format!("{}:{}: there is no {path}", name(&file), number + 1));
                }
            }
        }
    }
    none(&faults);
}
