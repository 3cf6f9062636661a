//! Compatibility with `gcloud`, so that a script can say `hallmark` instead: the words
//! `container binauthz`, and flags before the first word.

use std::ffi::OsString;

/// Flags that may stand before the first word and take a value, as Google's tool lets them.
const LEADING_FLAGS: [&str; 5] =
    ["--project", "--endpoint", "--format", "--token-file", "--access-token-file"];
/// Flags that may stand there and take none.
const LEADING_SWITCHES: [&str; 2] = ["--quiet", "-q"];
/// The release tracks of Google's tool. The verbs of all tracks are the same here.
const TRACKS: [&str; 2] = ["beta", "alpha"];

/// `hallmark [FLAGS] [beta|alpha] [container binauthz] VERB …` as `hallmark VERB … [FLAGS]`.
/// Anything else stays as it is, for the parser to refuse.
pub(super) fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given: Vec<OsString> = given.into_iter().collect();
    if given.is_empty() {
        return given;
    }
    let mut words = given.split_off(1);
    let leading: Vec<_> = words.drain(..leading(&words)).collect();
    let track = usize::from(words.first().is_some_and(|word| TRACKS.iter().any(|t| word == t)));
    if let [first, second, ..] = &words[track..]
        && first == "container"
        && second == "binauthz"
    {
        words.drain(..track + 2);
    }
    given.extend(words);
    given.extend(leading);
    given
}

/// The number of `words` that are flags before the first word.
fn leading(words: &[OsString]) -> usize {
    let mut count = 0;
    while let Some(text) = words.get(count).and_then(|word| word.to_str()) {
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        count += match value {
            None if LEADING_SWITCHES.contains(&name) => 1,
            None if LEADING_FLAGS.contains(&name) && count + 1 < words.len() => 2,
            Some(_) if LEADING_FLAGS.contains(&name) => 1,
            _ => break,
        };
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(given: &str) -> String {
        let words = arguments(given.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_words_of_googles_tool_lead_to_the_same_verbs() {
        for (given, expected) in [
            ("hallmark container binauthz policy export", "hallmark policy export"),
            ("hallmark beta container binauthz policy export", "hallmark policy export"),
            ("hallmark alpha container binauthz policy export", "hallmark policy export"),
            (
                "hallmark --project=p container binauthz attestors list",
                "hallmark attestors list --project=p",
            ),
            (
                "hallmark --project p -q --format json beta container binauthz attestors list -x",
                "hallmark attestors list -x --project p -q --format json",
            ),
            ("hallmark --project p attestors list", "hallmark attestors list --project p"),
        ] {
            assert_eq!(rewritten(given), expected);
        }
    }

    #[test]
    fn whatever_else_stays_as_it_is() {
        for given in [
            "hallmark",
            "hallmark --version",
            "hallmark --project",
            "hallmark container clusters list",
            "hallmark beta policy export",
            "hallmark decide container binauthz",
            "hallmark --unknown container binauthz policy export",
        ] {
            assert_eq!(rewritten(given), given);
        }
    }
}
