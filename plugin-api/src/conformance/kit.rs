//! The kit of a check.

use super::Program;
use super::batch::{Answer, Op, Sample, Shape, call};
use super::finding::{Checked, Trouble, fail};
use super::job::{Effort, Job, Subject};
use super::plugin::{Live, Loaded, Open, read};

/// The plugin, how hard to try it, and the program that tries it.
pub(super) struct Kit<'a> {
    pub(super) subject: &'a Subject,
    pub(super) effort: Effort,
    pub(super) program: Program,
}

impl<'a> Kit<'a> {
    pub(super) fn new(job: &'a Job, program: Program) -> Self {
        Self { subject: &job.subject, effort: job.effort, program }
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Trouble> {
        read(self.subject)
    }

    pub(super) fn load(&self) -> Result<Loaded, Trouble> {
        Loaded::new(self.subject)
    }

    /// Loads the plugin, makes an instance and opens a snapshot where there is any.
    pub(super) fn with_instance(
        &self,
        check: impl FnOnce(&Live<'_>, Option<&Open<'_>>) -> Checked,
    ) -> Checked {
        let loaded = self.load()?;
        let live = loaded.create()?;
        let open = live.open_if_any()?;
        check(&live, open.as_ref())
    }

    /// Runs a check for every batch call that the plugin claims.
    pub(super) fn for_each_call(
        &self,
        check: impl Fn(Op, &Live<'_>, Option<&Open<'_>>) -> Checked,
    ) -> Checked {
        self.with_instance(|live, open| {
            let claimed = Op::ALL.into_iter().filter(|op| live.plugin.has(op.cap()));
            let mut texts = Vec::new();
            for op in claimed {
                texts.push(format!("{}: {}", op.name(), check(op, live, open)?));
            }
            match texts.as_slice() {
                [] => Err(Trouble::Skip("the plugin takes no batches")),
                _ => Ok(texts.join("; ")),
            }
        })
    }
}

/// Answers to any number of samples, in batches that the plugin permits.
pub(super) fn answers(
    live: &Live<'_>,
    open: Option<&Open<'_>>,
    op: Op,
    samples: &[Sample],
    shape: Shape,
) -> Result<Vec<Answer>, Trouble> {
    let mut answers = Vec::with_capacity(samples.len());
    for chunk in samples.chunks(live.plugin.batch_max()) {
        answers.extend(call(live, open, op, chunk, shape, None)?.answers(op)?);
    }
    Ok(answers)
}

/// Each sample in a batch of its own: what all other answers are held against.
pub(super) fn alone(
    live: &Live<'_>,
    open: Option<&Open<'_>>,
    op: Op,
    samples: &[Sample],
) -> Result<Vec<Answer>, Trouble> {
    let one = |sample: &Sample| {
        let reply = call(live, open, op, std::slice::from_ref(sample), Shape::default(), None)?;
        let answer = reply.answers(op)?.into_iter().next();
        answer.ok_or_else(|| Trouble::Fail("the kit lost an answer".to_owned()))
    };
    samples.iter().map(one).collect()
}

/// Are these the same answers? Signatures may differ from call to call, all else may not.
pub(super) fn same(
    op: Op,
    expected: &[Answer],
    found: &[Answer],
    circumstance: &str,
) -> Result<(), Trouble> {
    let differs = |(expected, found): &(&Answer, &Answer)| {
        let outputs = op == Op::Sign || expected.outputs == found.outputs;
        expected.verdict != found.verdict || !outputs
    };
    match expected.iter().zip(found).position(|pair| differs(&pair)) {
        None => Ok(()),
        Some(index) => fail(format!(
            "`{}` answers {} to item {index} by itself and {} {circumstance}; an answer may depend on \
             its own item only",
            op.name(),
            verdict_name(expected[index].verdict),
            verdict_name(found[index].verdict),
        )),
    }
}

/// The name of a verdict, for people.
pub(super) fn verdict_name(verdict: crate::abi::Verdict) -> String {
    let names = [
        "NOT_PROCESSED",
        "",
        "BAD_SIGNATURE",
        "MALFORMED",
        "KEY_UNKNOWN",
        "KEY_EXPIRED",
        "KEY_NOT_YET",
        "KEY_REVOKED",
        "SIG_EXPIRED",
        "KEY_USAGE",
        "ALG_UNSUPPORTED",
        "ALG_REJECTED",
        "BACKEND_ERROR",
        "ITEM_CANCELLED",
        "ITEM_TIMEOUT",
    ];
    match verdict {
        crate::abi::HALLMARK_VALID => "VALID".to_owned(),
        crate::abi::HALLMARK_DONE => "DONE".to_owned(),
        number => match names.get(number as usize) {
            Some(name) if !name.is_empty() => (*name).to_owned(),
            _ => format!("the unknown verdict {number}"),
        },
    }
}

/// Is it a number that has a meaning as an answer?
pub(super) fn is_verdict(verdict: crate::abi::Verdict) -> bool {
    use crate::abi;
    let reasons = abi::HALLMARK_BAD_SIGNATURE..=abi::HALLMARK_ITEM_TIMEOUT;
    reasons.contains(&verdict) || [abi::HALLMARK_VALID, abi::HALLMARK_DONE].contains(&verdict)
}
