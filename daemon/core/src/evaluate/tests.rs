//! Tests of what the decision table cannot say: what may be cached, and answers that fit no
//! question.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::Request;
use super::decide::{Evaluation, conclude, decide};
use super::explain::{EXPLANATION_BYTES_MAX, TRIALS_SHOWN_MAX};
use super::pair::{Attempted, AttestorEvidence, PairedAttestor, Pairing, pair};
use super::plan::{Plan, plan};
use crate::attestor::{
    KeyType, SignatureAlgorithm, Spki, TrustedAttestor, Validity, VerificationKey,
};
use crate::decision::{AttestorReason, AttestorResult, Reason, TrialOutcome};
use crate::envelope::Envelopes;
use crate::image::Digest;
use crate::limits::Limits;
use crate::names::AttestorName;
use crate::occurrence::{Attestation, Evidence, EvidenceError, Signature};
use crate::payload::simple_signing;
use crate::policy::parse::policy_from_yaml;
use crate::policy::{Policies, ProjectPolicy, SystemPolicy};
use crate::time::UnixTime;
use crate::verdict::{SignedForm, Unavailable, Verdict, Verified};

static NONE: LazyLock<Envelopes> = LazyLock::new(Envelopes::default);
const A: Digest = Digest([0xaa; 32]);
const B: Digest = Digest([0xbb; 32]);
const NOW: UnixTime = UnixTime(1_000);
const RAW: Verdict = Verdict::Verified(Verified::assertion(SignedForm::Raw));
const LATE: Verdict = Verdict::Unavailable(Unavailable::Deadline);

fn name(id: &str) -> AttestorName {
    format!("projects/p/attestors/{id}").parse().unwrap()
}

fn attestor(keys: &[(&str, Validity)]) -> TrustedAttestor {
    let key = |(id, validity): &(&str, Validity)| {
        Arc::new(VerificationKey {
            plugin: "pkix".into(),
            envelope: None,
            holder: None,
            ids: vec![(*id).into()],
            spki: Spki::new(id.as_bytes(), KeyType::Ed25519, 0..id.len()),
            fingerprint: [0; 32],
            algorithm: SignatureAlgorithm::Ed25519,
            validity: *validity,
        })
    };
    let note = "projects/p/notes/n".parse().unwrap();
    TrustedAttestor {
        name: name("built"),
        note,
        keys: Ok(keys.iter().map(key).collect()),
        missing: None,
    }
}

fn signed_by<'k>(digest: Digest, keys: impl IntoIterator<Item = &'k str>) -> Evidence {
    let signature = |key: &str| Signature { key_id: key.into(), signature: Bytes::from("s") };
    Ok(vec![Attestation {
        occurrence: "projects/p/occurrences/o".parse().unwrap(),
        payload: simple_signing::payload("r/app", digest).into(),
        signatures: keys.into_iter().map(signature).collect(),
        first_signature: 0,
    }])
}

fn paired(attestor: &TrustedAttestor, evidence: &Evidence) -> Pairing {
    let built = name("built");
    let source =
        AttestorEvidence { name: &built, attestor: Some(attestor), evidence, envelopes: &NONE };
    pair(A, &[source], NOW, &Limits::DEFAULT)
}

fn evaluated(digest: Digest, attestors: &[&str]) -> Arc<Evaluation> {
    let trusted = attestor(&[("k", Validity::default())]);
    let evidence = signed_by(digest, ["k"]);
    let names: Vec<_> = attestors.iter().map(|id| name(id)).collect();
    let source = |name| AttestorEvidence {
        name,
        attestor: Some(&trusted),
        evidence: &evidence,
        envelopes: &NONE,
    };
    let sources: Vec<_> = names.iter().map(source).collect();
    let pairing = pair(digest, &sources, NOW, &Limits::DEFAULT);
    let verdicts = vec![RAW; pairing.checks().len()];
    Arc::new(conclude(pairing, &verdicts))
}

fn planned(attestors: &[&str], images: &[String]) -> (Request, Plan) {
    let required: Vec<_> = attestors.iter().map(|id| name(id).to_string()).collect();
    let policy = policy_from_yaml(&format!(
        "defaultAdmissionRule: {{evaluationMode: REQUIRE_ATTESTATION, requireAttestationsBy: \
         {required:?}, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}}"
    ))
    .unwrap();
    let request = Request {
        project: "p".parse().unwrap(),
        cluster: None,
        namespace: None,
        service_account: None,
        istio_identity: None,
        images: images.iter().map(|image| image.as_str().into()).collect(),
        break_glass: false,
    };
    let system = SystemPolicy::default();
    let project = ProjectPolicy::Written(&policy);
    let policies = Policies { project: &request.project, policy: project, system: &system };
    let plan = plan(&request, &policies, &Limits::DEFAULT);
    (request, plan)
}

fn reasons(required: &[&str], answers: Vec<Arc<Evaluation>>) -> (bool, Vec<&'static str>) {
    let images = [format!("r/a@{A}"), format!("r/b@{B}")];
    let (request, plan) = planned(required, &images);
    let answers = answers.into_iter().map(|answer| (answer, false)).collect();
    let decision = decide(&request, plan, answers, 1);
    (decision.allowed, decision.images.iter().map(|image| image.reason.code()).collect())
}

#[test]
fn an_evaluation_of_something_else_answers_nothing() {
    let built = |digest| evaluated(digest, &["built"]);
    let refused = |answers| {
        let (allowed, reasons) = reasons(&["built"], answers);
        assert!(!allowed);
        reasons
    };
    assert_eq!(reasons(&["built"], vec![built(A), built(B)]), (true, vec!["ATTESTED"; 2]));
    assert_eq!(refused(vec![built(A)]), ["ATTESTED", "UNDETERMINED"]);
    assert_eq!(refused(vec![built(B), built(A)]), ["UNDETERMINED"; 2]);
    assert_eq!(refused(vec![built(A), built(A)]), ["ATTESTED", "UNDETERMINED"]);
    for others in [&[][..], &["scanned"], &["built", "scanned"]] {
        let answers = vec![built(A), evaluated(B, others)];
        assert_eq!(refused(answers), ["ATTESTED", "UNDETERMINED"], "{others:?}");
    }
    let both = ["built", "scanned"];
    let answers = |of: &[&str]| vec![evaluated(A, of), evaluated(B, of)];
    assert_eq!(reasons(&both, answers(&both)), (true, vec!["ATTESTED"; 2]));
    assert_eq!(reasons(&both, answers(&["built"])), (false, vec!["UNDETERMINED"; 2]));
}

#[test]
fn no_attestor_attests_nothing() {
    assert_eq!(evaluated(A, &[]).reason, Reason::Undetermined);
}

#[test]
fn a_decision_says_its_generation_and_what_was_cached() {
    let images = [format!("r/a@{A}"), format!("r/b@{B}")];
    let (request, plan) = planned(&["built"], &images);
    assert_eq!(plan.digests().collect::<Vec<_>>(), [A, B]);
    let evaluation = |digest| evaluated(digest, &["built"]);
    let decision = decide(&request, plan, vec![(evaluation(A), true), (evaluation(B), false)], 42);
    assert_eq!(decision.generation, 42);
    let cached: Vec<_> = decision.images.iter().map(|image| (image.digest, image.cached)).collect();
    assert_eq!(cached, [(Some(A), true), (Some(B), false)]);
}

#[test]
fn verdicts_of_another_number_are_not_believed() {
    let trusted = attestor(&[("k", Validity::default())]);
    let pairing = paired(&trusted, &signed_by(A, ["k", "k"]));
    assert_eq!(pairing.checks().len(), 2);
    assert_eq!(conclude(pairing.clone(), &[RAW; 2]).reason, Reason::Attested);
    for count in [0, 1, 3] {
        let evaluation = conclude(pairing.clone(), &vec![RAW; count]);
        assert_eq!(evaluation.reason, Reason::Undetermined, "{count}");
        assert!(!evaluation.is_settled());
    }
}

#[test]
fn checks_share_the_stored_bytes() {
    let trusted = attestor(&[("k", Validity::default())]);
    let evidence = signed_by(A, ["k"]);
    let pairing = paired(&trusted, &evidence);
    let stored = evidence.as_ref().map(|stored| stored[0].payload.as_ptr());
    assert_eq!(Ok(pairing.checks()[0].payload.as_ptr()), stored);
}

#[test]
fn an_evaluation_holds_while_no_key_in_it_changes() {
    let at = |second| Some(UnixTime(second));
    let validity = |not_before, not_after, revoked_at| Validity {
        not_before,
        not_after,
        revoked_at,
        ..Validity::default()
    };
    let cases = [
        (validity(None, None, None), i64::MIN, None),
        (validity(at(500), at(1_500), None), 500, at(1_501)),
        (validity(at(1_000), at(1_000), None), 1_000, at(1_001)),
        (validity(at(1_001), at(2_000), None), i64::MIN, at(1_001)),
        (validity(None, at(999), None), 1_000, None),
        (validity(None, at(2_000), at(1_200)), i64::MIN, at(1_200)),
        (validity(None, at(2_000), at(700)), 700, at(2_001)),
        (validity(at(i64::MIN), at(i64::MAX), None), i64::MIN, None),
    ];
    for (validity, from, until) in cases {
        let trusted = attestor(&[("k", validity)]);
        let pairing = paired(&trusted, &signed_by(A, ["k"]));
        let verdicts = vec![RAW; pairing.checks().len()];
        let evaluation = conclude(pairing, &verdicts);
        let found = (evaluation.valid_from, evaluation.valid_until);
        assert_eq!(found, (UnixTime(from), until), "{validity:?}");
        assert!(evaluation.holds_at(NOW), "{validity:?}");
        assert!(evaluation.holds_at(UnixTime(from)));
        if let Some(until) = until {
            assert!(!evaluation.holds_at(until));
            assert!(evaluation.holds_at(UnixTime(until.0 - 1)));
        }
        if from > i64::MIN {
            assert!(!evaluation.holds_at(UnixTime(from - 1)));
        }
    }
}

#[test]
fn the_first_key_to_change_ends_an_evaluation_and_others_do_not() {
    let until = |second| Validity { not_after: Some(UnixTime(second)), ..Validity::default() };
    let trusted = attestor(&[("a", until(3_000)), ("b", until(2_000)), ("unused", until(1_001))]);
    let evaluation = conclude(paired(&trusted, &signed_by(A, ["a", "b"])), &[RAW; 2]);
    assert_eq!(evaluation.valid_until, Some(UnixTime(2_001)));
}

#[test]
fn only_what_would_be_the_same_again_is_settled() {
    let trusted = attestor(&[("k", Validity::default())]);
    let settled = |evidence: &Evidence, verdicts: &[Verdict]| {
        conclude(paired(&trusted, evidence), verdicts).is_settled()
    };
    assert!(settled(&signed_by(A, ["k"]), &[RAW]));
    assert!(settled(&signed_by(A, ["k"]), &[Verdict::BadSignature]));
    assert!(settled(&signed_by(A, ["x"]), &[]));
    assert!(settled(&Ok(Vec::new()), &[]));
    assert!(!settled(&Err(EvidenceError::Deadline), &[]));
    assert!(!settled(&Err(EvidenceError::Unavailable("disk".into())), &[]));
    assert!(!settled(&signed_by(A, ["k"]), &[LATE]));
    assert!(!settled(&signed_by(A, ["k", "k"]), &[LATE, RAW]));
    let down = TrustedAttestor { keys: Err("down".into()), ..trusted.clone() };
    assert!(!conclude(paired(&down, &signed_by(A, ["k"])), &[]).is_settled());
}

#[test]
fn a_refusal_beside_a_passing_failure_is_not_settled() {
    let trusted = attestor(&[("k", Validity::default())]);
    let names = [name("built"), name("scanned")];
    let evidence = [Ok(Vec::new()), Err(EvidenceError::Deadline)];
    let sources: Vec<_> = names
        .iter()
        .zip(&evidence)
        .map(|(name, evidence)| AttestorEvidence {
            name,
            attestor: Some(&trusted),
            evidence,
            envelopes: &NONE,
        })
        .collect();
    let evaluation = conclude(pair(A, &sources, NOW, &Limits::DEFAULT), &[]);
    assert_eq!(evaluation.reason, Reason::NotAttested);
    assert!(!evaluation.is_settled());
}

#[test]
fn a_key_is_found_among_many() {
    let ids: Vec<_> = (0..1_000).map(|number| format!("key-{number}")).collect();
    let keys: Vec<_> = ids.iter().map(|id| (id.as_str(), Validity::default())).collect();
    let pairing = paired(&attestor(&keys), &signed_by(A, ids.iter().rev().map(String::as_str)));
    let found: Vec<_> = pairing.checks().iter().map(|check| check.key.ids[0].as_str()).collect();
    assert!(found.iter().copied().eq(ids.iter().rev().map(String::as_str)));
}

#[test]
fn a_message_stays_short_and_printable_whatever_the_evidence() {
    let trusted = attestor(&[("k", Validity::default())]);
    let hostile = format!("\u{1b}[2J\n\"{}", "x".repeat(10_000));
    let many = std::iter::repeat_n(hostile.as_str(), 500).chain(std::iter::repeat_n("k", 500));
    let pairing = paired(&trusted, &signed_by(A, many));
    let verdicts = vec![Verdict::BadSignature; pairing.checks().len()];
    let evaluation = conclude(pairing, &verdicts);
    assert_eq!(evaluation.attestors[0].trials.len(), TRIALS_SHOWN_MAX);
    assert_eq!(evaluation.attestors[0].others.total(), 1_000 - TRIALS_SHOWN_MAX);
    let (request, plan) = planned(&["built"], &[format!("r/app@{A}")]);
    let decision = decide(&request, plan, vec![(Arc::new(evaluation), false)], 1);
    let message = decision.images[0].message();
    let google =
        "No attestations found that were valid and signed by a key trusted by the attestor";
    let (_, cause) = message.split_once(google).unwrap();
    assert!(cause.starts_with(" (1000 signatures tried: key \"\\u{1b}[2J\\n"), "{cause}");
    assert!(cause.ends_with(" more)"), "{cause}");
    assert!(cause.len() <= 1_024, "{}", cause.len());
    assert!(!message.contains(char::is_control));
}

#[test]
fn all_causes_together_stay_short() {
    let ids: Vec<_> = (0..50).map(|number| format!("a{number}")).collect();
    let trusted = attestor(&[("k", Validity::default())]);
    let evidence = signed_by(A, ["k"; 100]);
    let names: Vec<_> = ids.iter().map(|id| name(id)).collect();
    let source = |name| AttestorEvidence {
        name,
        attestor: Some(&trusted),
        evidence: &evidence,
        envelopes: &NONE,
    };
    let sources: Vec<_> = names.iter().map(source).collect();
    let pairing = pair(A, &sources, NOW, &Limits::DEFAULT);
    let verdicts = vec![Verdict::BadSignature; pairing.checks().len()];
    let evaluation = Arc::new(conclude(pairing, &verdicts));

    let required: Vec<_> = ids.iter().map(String::as_str).collect();
    let (request, plan) = planned(&required, &[format!("r/app@{A}")]);
    let decision = decide(&request, plan, vec![(evaluation, false)], 1);
    let message = decision.images[0].message();
    let google =
        "No attestations found that were valid and signed by a key trusted by the attestor";
    assert_eq!(message.matches(google).count(), ids.len());
    let in_parentheses = message.split('(').skip(1).map(|rest| rest.find(')').unwrap() + 3);
    let causes: usize = in_parentheses.sum();
    assert!((512..=1_024).contains(&causes), "{causes}");
}

#[test]
fn a_decision_without_images_does_not_conform() {
    let (request, plan) = planned(&["built"], &[format!("r/app@{A}")]);
    let mut decision = decide(&request, plan, vec![(evaluated(A, &["built"]), false)], 1);
    assert!(decision.conforms());
    decision.images.clear();
    assert!(!decision.conforms());
}

#[test]
fn the_outcome_of_a_trial_stays_with_its_signature() {
    let expired = Validity { not_after: Some(UnixTime(1)), ..Validity::default() };
    let trusted = attestor(&[("k", Validity::default()), ("old", expired)]);
    let pairing = paired(&trusted, &signed_by(A, ["k", "old", "x", "k"]));
    let evaluation = conclude(pairing, &[Verdict::BadSignature, RAW]);
    let [built] = &*evaluation.attestors else { panic!("one attestor") };
    assert_eq!(built.reason, AttestorReason::Verified);
    let trials: Vec<_> =
        built.trials.iter().map(|trial| (trial.signature_index, &trial.outcome)).collect();
    assert_eq!(
        trials,
        [
            (0, &TrialOutcome::BadSignature),
            (1, &TrialOutcome::KeyExpired { not_after: UnixTime(1) }),
            (2, &TrialOutcome::KeyIdUnknown),
            (3, &TrialOutcome::Verified { form: SignedForm::Raw }),
        ]
    );
}

/// A proof of two parts: one verdict for each, all of which must be good. What stands beside it keeps
/// its own verdict.
#[test]
fn all_parts_of_a_proof_must_hold() {
    let trusted = attestor(&[("k", Validity::default())]);
    let of_parts = || {
        let mut pairing = paired(&trusted, &signed_by(A, ["k", "k"]));
        let PairedAttestor { trials: Ok(trials), .. } = &mut pairing.attestors[0] else {
            panic!("two trials")
        };
        trials[0].attempts[0].state = Attempted::Awaits(NonZeroUsize::new(2).unwrap());
        let second = pairing.pairs.checks[0].clone();
        pairing.pairs.checks.insert(1, second);
        assert_eq!(pairing.awaiting().count(), 3);
        pairing
    };
    let (bad, late) = (Verdict::BadSignature, LATE);
    let rows = [
        ([RAW, RAW, bad], ["VERIFIED", "BAD_SIGNATURE"]),
        ([RAW, bad, RAW], ["BAD_SIGNATURE", "VERIFIED"]),
        ([bad, RAW, RAW], ["BAD_SIGNATURE", "VERIFIED"]),
        ([RAW, late, bad], ["DEADLINE_EXCEEDED", "BAD_SIGNATURE"]),
        ([bad, late, bad], ["BAD_SIGNATURE", "BAD_SIGNATURE"]),
    ];
    for (verdicts, expected) in rows {
        let evaluation = conclude(of_parts(), &verdicts);
        let trials = &evaluation.attestors[0].trials;
        let codes: Vec<_> = trials.iter().map(|trial| trial.outcome.code()).collect();
        assert_eq!(codes, expected, "{verdicts:?}");
    }
    let evaluation = conclude(of_parts(), &[RAW, RAW]);
    assert_ne!(evaluation.reason, Reason::Attested, "a verdict too few");
}

/// As many images and attestors as there may be, with ids as long as they may be.
#[test]
fn an_explanation_has_an_end_whatever_is_asked_and_stored() {
    let id = "\u{1}".repeat(2_048);
    let trusted = attestor(&[(&id, Validity::default())]);
    let evidence = signed_by(A, std::iter::repeat_n(id.as_str(), 1_000));
    let ids: Vec<_> = (0..200).map(|number| format!("a{number}")).collect();
    let names: Vec<_> = ids.iter().map(|id| name(id)).collect();
    let source = |name| AttestorEvidence {
        name,
        attestor: Some(&trusted),
        evidence: &evidence,
        envelopes: &NONE,
    };
    let sources: Vec<_> = names.iter().map(source).collect();
    let pairing = pair(A, &sources, NOW, &Limits::DEFAULT);
    let verdicts = vec![Verdict::BadSignature; pairing.checks().len()];
    let evaluation = Arc::new(conclude(pairing, &verdicts));

    let images: Vec<_> = (0..1_000).map(|tag| format!("r/app:{tag}@{A}")).collect();
    let (request, plan) = planned(&ids.iter().map(String::as_str).collect::<Vec<_>>(), &images);
    let answers = images.iter().map(|_| (Arc::clone(&evaluation), false)).collect();
    let decision = decide(&request, plan, answers, 1);
    let rendered = |result: &AttestorResult| {
        let trials = result.trials.iter().map(|trial| 6 * trial.key_id.as_str().len());
        trials.sum::<usize>()
    };
    let of_images = decision
        .images
        .iter()
        .map(|image| image.message().len() + image.attestors.iter().map(rendered).sum::<usize>());
    assert!(of_images.sum::<usize>() <= 2 * EXPLANATION_BYTES_MAX + 1_000 * 1_536);
    for image in &decision.images {
        assert_eq!(image.attestors.len() + image.attestors_left_out, 200);
        for result in image.attestors.iter() {
            assert_eq!(result.trials.len() + result.others.total(), 1_000);
        }
    }
    assert!(decision.images[999].message().ends_with(". 199 more attestors are not shown"));
}

#[test]
fn few_images_of_one_digest_are_each_explained() {
    let trusted = attestor(&[("k", Validity::default())]);
    let pairing = paired(&trusted, &signed_by(A, ["k"; 100]));
    let verdicts = vec![Verdict::BadSignature; pairing.checks().len()];
    let evaluation = Arc::new(conclude(pairing, &verdicts));
    let images: Vec<_> = (0..50).map(|tag| format!("r/app:{tag}@{A}")).collect();
    let (request, plan) = planned(&["built"], &images);
    let answers = images.iter().map(|_| (Arc::clone(&evaluation), false)).collect();
    for image in decide(&request, plan, answers, 1).images {
        assert_eq!(image.attestors[0].trials.len(), TRIALS_SHOWN_MAX);
        assert_eq!(image.attestors_left_out, 0);
    }
}
