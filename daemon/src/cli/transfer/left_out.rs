//! Parts that an export does not hold, although decisions may rest on them.

use std::collections::BTreeMap;

/// Names that are listed of each kind; the rest is counted.
const NAMED_MAX: usize = 10;

/// Why something is not in an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The project has no policy.
    NoPolicy,
    /// Occurrences under a note that does not exist; by note.
    NoteMissing,
    /// Occurrences that say the same as another; by resource.
    Repeated,
    /// Occurrences of other projects under a note of this one; by project.
    OfOtherProject,
    /// Notes of other projects that attestors or occurrences of this one name; by note.
    NoteElsewhere,
    /// Attestors of other projects that the policy requires; by attestor.
    AttestorElsewhere,
    /// Notes whose occurrences in other projects could not be read; by note.
    Unknown,
}

impl Cause {
    /// A sentence about `count` things that belong to the `names`.
    fn sentence(self, count: usize, names: &str) -> String {
        match self {
            Self::NoPolicy => {
                "no policy was written: every image is denied until one is".to_owned()
            }
            Self::NoteMissing => format!(
                "{count} occurrences under notes that do not exist, which are evidence of nothing: \
                 {names}"
            ),
            Self::Repeated => format!("{count} occurrences that say the same as others: {names}"),
            Self::OfOtherProject => format!(
                "{count} occurrences of other projects under notes of this one: export these \
                 projects, too: {names}"
            ),
            Self::NoteElsewhere => format!(
                "notes of other projects, without which attestations under them do not count: \
                 export their projects, too: {names}"
            ),
            Self::AttestorElsewhere => format!(
                "attestors of other projects that the policy requires: export their projects, too: \
                 {names}"
            ),
            Self::Unknown => {
                format!("occurrences of other projects, which could not be read, under {names}")
            }
        }
    }
}

/// Counts of the parts that an export does not hold, by cause.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<Cause, BTreeMap<String, usize>>);

impl LeftOut {
    /// Counts one thing that belongs to `name`.
    pub(super) fn add(&mut self, cause: Cause, name: impl Into<String>) {
        *self.0.entry(cause).or_default().entry(name.into()).or_default() += 1;
    }

    /// One sentence for each cause.
    pub(super) fn sentences(&self) -> Vec<String> {
        let sentence = |(cause, counts): (&Cause, &BTreeMap<String, usize>)| {
            let named: Vec<_> = counts.keys().take(NAMED_MAX).map(String::as_str).collect();
            let mut names = named.join(", ");
            if counts.len() > NAMED_MAX {
                names = format!("{names} and {} more", counts.len() - NAMED_MAX);
            }
            cause.sentence(counts.values().sum(), &names)
        };
        self.0.iter().map(sentence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_one_sentence_with_its_first_names() {
        let mut left_out = LeftOut::default();
        assert!(left_out.sentences().is_empty());
        for project in 0..12 {
            left_out.add(Cause::OfOtherProject, format!("projects/q{project:02}"));
        }
        left_out.add(Cause::OfOtherProject, "projects/q00");
        left_out.add(Cause::NoPolicy, "");
        let [policy, others] = left_out.sentences().try_into().unwrap();
        assert!(policy.starts_with("no policy was written"), "{policy}");
        assert!(others.starts_with("13 occurrences of other projects"), "{others}");
        assert!(others.ends_with("projects/q09 and 2 more"), "{others}");
    }
}
