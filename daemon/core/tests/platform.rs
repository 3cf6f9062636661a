//! The tables of platform policies: `testdata/platform/*.yaml`. The `README.md` there says how to
//! read a row.
//!
//! No arithmetic is done here: a signature of a table is the word that says what the arithmetic
//! would, and that word stands where its bytes would stand.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hallmark_core::attestor::{KeyMaterial, PublicKey, Spki, Validity, VerificationKey};
use hallmark_core::attributes::{Namespace, ServiceAccount};
use hallmark_core::decision::TrialOutcome;
use hallmark_core::envelope::Envelopes;
use hallmark_core::evaluate::question::{Gathered, Lookup, Material, Question};
use hallmark_core::image::Digest;
use hallmark_core::limits::Limits;
use hallmark_core::names::PlatformPolicyName;
use hallmark_core::occurrence::Evidence;
use hallmark_core::platform::evaluate::Pod;
use hallmark_core::platform::evaluate::checked::{CheckEvaluation, Checked};
use hallmark_core::platform::evaluate::decide::decide;
use hallmark_core::platform::evaluate::plan::{Plan, plan};
use hallmark_core::platform::parse::{
    CHECK_SETS_MAX, CHECKS_MAX, LOOKUPS_MAX, platform_policy_from_json, platform_policy_from_yaml,
};
use hallmark_core::platform::render::{platform_policy_to_json, platform_policy_to_yaml};
use hallmark_core::platform::result::{
    CheckOutcome, CheckResult, CheckSetOutcome, Conformance, ImageOutcome, ImageResult, PodResult,
    response_to_json,
};
use hallmark_core::platform::{
    AttestationAuthenticator, AuthenticatorKeys, PlatformPolicy, PlatformRules, TrustedGkePolicy,
};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{Check, SignedForm, Unavailable, Verdict, Verified};
use serde::Deserialize;
use serde_json::{Value, json};
use table::{OccurrenceRow, answer};

const ROWS_MIN: usize = 109;
const NOW: UnixTime = UnixTime(1_000);
const KEYS: [&str; 6] = ["k1", "k2", "k3", "expired", "early", "revoked"];

/// Everything that can decide about an image, and every type of check with each of its answers.
const DECIDERS: &str = "refused|exempt|no check sets|set exempt|set no checks|\
    AlwaysDeny NON_CONFORMANT|AlwaysDeny exempt|ImageFreshnessCheck NON_CONFORMANT|\
    ImageFreshnessCheck exempt|SigstoreSignatureCheck NON_CONFORMANT|\
    SimpleSigningAttestationCheck CONFORMANT|SimpleSigningAttestationCheck ERROR|\
    SimpleSigningAttestationCheck NON_CONFORMANT|SimpleSigningAttestationCheck exempt|\
    SlsaCheck NON_CONFORMANT|TrustedDirectoryCheck CONFORMANT|\
    TrustedDirectoryCheck NON_CONFORMANT|VulnerabilityCheck NON_CONFORMANT";

#[test]
fn every_row_is_evaluated_as_it_says() {
    let mut wrong = Vec::new();
    for (file, table) in tables() {
        for row in &table.rows {
            let (found, expected) = (table.outcome(row), row.outcome());
            if found != expected {
                wrong.push(format!("{file}: {}\n{expected:#?} but is\n{found:#?}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows are evaluated otherwise\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_tables_are_complete() {
    let mut rows = 0;
    let mut deciders = BTreeSet::new();
    for (file, table) in tables() {
        let names: BTreeSet<_> = table.rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), table.rows.len(), "{file}: two rows of one name");
        rows += table.rows.len();
        for row in &table.rows {
            deciders.extend(table.evaluate(row).images.iter().flat_map(deciders_of));
        }
    }
    assert!(rows >= ROWS_MIN, "{rows} rows");
    assert_eq!(deciders, DECIDERS.split('|').map(str::to_owned).collect());
}

/// A text that could match no scope is no row: no pod has it.
#[test]
fn what_names_no_namespace_has_no_default_check_set() {
    for text in ["Shop", "shop:web", "shop.web", ""] {
        assert!(text.parse::<Namespace>().is_err(), "{text:?}");
    }
    for text in ["Web", "shop:web", ""] {
        assert!(text.parse::<ServiceAccount>().is_err(), "{text:?}");
    }
}

/// No pod of a row conforms by what is missing, whatever the row says.
#[test]
fn no_pod_conforms_by_what_is_missing() {
    for (file, table) in tables() {
        for row in &table.rows {
            let at = format!("{file}: {}", row.name);
            let policy = table.policy(&row.policy);
            let planned = || row.plan(&policy);
            let questions = planned().questions();
            if questions.is_empty() {
                continue;
            }
            let denied = |evaluations, why: &str| {
                let result = decide(planned(), evaluations);
                assert_ne!(result.verdict(), Conformance::Conformant, "{at}: {why}");
            };
            denied(Vec::new(), "no answer");
            let late = questions.iter().map(|it| Arc::new(it.out_of_time(NOW, &row.limits())));
            denied(late.collect(), "no evidence");
            let of_others =
                row.evaluations(&planned(), |checks| checks.iter().map(answer).collect());
            let of_others = of_others.into_iter().map(|known| {
                let digest = Digest(known.digest.0.map(|byte| !byte));
                Arc::new(CheckEvaluation { digest, ..CheckEvaluation::clone(&known) })
            });
            denied(of_others.collect(), "answers of other digests");

            let verified = Verdict::Verified(Verified::assertion(SignedForm::Raw));
            for answer in [Verdict::BadSignature, Verdict::Unavailable(Unavailable::Panicked)] {
                let answers = |checks: &[Check]| vec![answer; checks.len()];
                denied(row.evaluations(&planned(), answers), &format!("{answer:?}"));
            }
            let one_more = |checks: &[Check]| vec![verified; checks.len() + 1];
            denied(row.evaluations(&planned(), one_more), "one too many");
        }
    }
}

#[test]
fn every_refused_policy_gets_its_errors() {
    let mut wrong = Vec::new();
    let rows: Vec<RefusedRow> = read("refused.yaml");
    for row in &rows {
        let name = row.named.clone().unwrap_or_else(|| "gke".to_owned());
        let errors = match policy_from_yaml(&row.policy, &name) {
            Ok(_) => "none".to_owned(),
            Err(error) => error,
        };
        if errors.trim() != row.errors.trim() {
            wrong.push(format!("{}\n{}\nbut is\n{errors}\n", row.name, row.errors));
        }
    }
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.len() >= 60, "{} rows", rows.len());
}

#[test]
fn every_tolerated_form_is_written_as_googles_api_writes_it() {
    for row in read::<Vec<ReadRow>>("read.yaml") {
        let platform = if row.written.contains("cloudRun") { "cloudRun" } else { "gke" };
        let policy = policy_from_yaml(&row.policy, platform).unwrap_or_else(|e| panic!("{e}"));
        let mut written = platform_policy_to_json(&policy);
        let name = written.as_object_mut().and_then(|object| object.remove("name"));
        assert_eq!(name, Some(json!(policy.name.to_string())), "{}", row.name);
        let expected: Value = serde_json::from_str(&row.written).expect(&row.name);
        assert_eq!(written, expected, "{}", row.name);
        survives(&policy);
    }
    for (_, table) in tables() {
        for name in table.policies.keys() {
            survives(&table.written(name));
        }
    }
}

/// Written and read again, in either format, with its own name.
fn survives(policy: &PlatformPolicy) {
    let json = platform_policy_to_json(policy).to_string();
    assert_eq!(platform_policy_from_json(&json, None).as_ref(), Ok(policy), "{json}");
    let yaml = platform_policy_to_yaml(policy);
    assert_eq!(platform_policy_from_yaml(&yaml, None).as_ref(), Ok(policy), "{yaml}");
}

#[test]
fn an_answer_has_the_shape_of_googles() {
    let policy = platform_policy_from_yaml(
        &expanded(
            "gkePolicy: {imageAllowlist: {allowPattern: gcr.io/free}, checkSets: [{displayName: prod, \
             scope: {kubernetesNamespace: shop}, imageAllowlist: {allowPattern: gcr.io/shop}, checks: \
             [{displayName: dirs, trustedDirectoryCheck: {trustedDirPatterns: gcr.io/p}}, {alwaysDeny: \
             true, imageAllowlist: {allowPattern: gcr.io/p/ok}}]}, {}]}",
        ),
        Some(&policy_name("gke")),
    );
    let policy = trusted(policy.expect("a policy"));
    let images = ["gcr.io/free:1", "gcr.io/shop", "gcr.io/p/ok", "gcr.io/p/no", "A"];
    let pod = Pod {
        name: "web-1".into(),
        namespace: Some("shop".parse().expect("a namespace")),
        service_account: Some("web".parse().expect("an account")),
        images: images.map(Into::into).into(),
    };
    let result = decide(plan(&policy, pod, &Limits::DEFAULT), Vec::new());
    let bare = Pod { images: vec!["a".into()], ..Pod::default() };
    let bare = decide(plan(&policy, bare, &Limits::DEFAULT), Vec::new());
    let expected = include_str!("../testdata/platform/answer.json");
    let expected: Value = serde_json::from_str(expected).expect("JSON");
    assert_eq!(response_to_json(&[result, bare.clone()]), expected);
    assert_eq!(response_to_json(&[bare])["verdict"], "CONFORMANT");
    assert_eq!(response_to_json(&[]), json!({"verdict": "ERROR", "results": []}));
}

#[test]
fn keys_without_an_id_can_be_given_one() {
    let key = "{publicKeyPem: x, signatureAlgorithm: 9}";
    let gke = format!(
        "gkePolicy: {{checkSets: {{checks: {{simpleSigningAttestationCheck: \
         {{attestationAuthenticators: {{pkixPublicKeySet: {{pkixPublicKeys: {key}}}}}}}}}}}}}"
    );
    let cloud_run = format!(
        "cloudRunPolicy: {{rule: {{evaluationMode: 2, enforcementMode: 1, requiredAttestors: {{id: a, \
         attestationNote: projects/p/notes/n, publicKeys: {{pkixPublicKey: {key}}}}}}}}}"
    );
    for (platform, text, path) in [
        (
            "gke",
            gke,
            "/gkePolicy/checkSets/0/checks/0/simpleSigningAttestationCheck/attestationAuthenticators/0/pkixPublicKeySet/pkixPublicKeys/0/keyId",
        ),
        ("cloudRun", cloud_run, "/cloudRunPolicy/rule/requiredAttestors/0/publicKeys/0/id"),
    ] {
        let mut policy = policy_from_yaml(&text, platform).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(platform_policy_to_json(&policy).pointer(path), None);
        let keys = policy.public_keys_mut();
        assert_eq!(keys.len(), 1);
        for (dotted, key) in keys {
            let pointer = dotted.replace(['.', '['], "/").replace(']', "");
            let above = path.rsplit_once('/').expect("a path").0;
            assert_eq!(format!("/{pointer}"), above);
            key.id = Some("ni:///sha-256;x".into());
        }
        assert_eq!(platform_policy_to_json(&policy).pointer(path), Some(&json!("ni:///sha-256;x")));
    }
    let mut none = policy_from_yaml(
        "cloudRunPolicy: {rule: {evaluationMode: 1, enforcementMode: 1}}",
        "cloudRun",
    );
    assert_eq!(none.as_mut().expect("a policy").public_keys_mut().len(), 0);
}

#[test]
fn counts_end_at_the_limits() {
    let read = |policy: Value| {
        let text = json!({"gkePolicy": policy}).to_string();
        let policy = platform_policy_from_json(&text, Some(&policy_name("gke")));
        policy.map(drop).map_err(|error| error.to_string().replace("line 1: ", ""))
    };
    let sets = |count: usize| {
        let scoped = |n| json!({"scope": {"kubernetesNamespace": format!("n{n}")}});
        let sets = (1..count).map(scoped).chain([json!({})]);
        read(json!({"checkSets": sets.collect::<Vec<_>>()}))
    };
    assert_eq!(sets(CHECK_SETS_MAX), Ok(()));
    let error = "gkePolicy: 10001 checkSets; at most 10000";
    assert_eq!(sets(CHECK_SETS_MAX + 1), Err(error.to_owned()));

    let checks = |count: usize| {
        read(json!({"checkSets": {"checks": vec![json!({"alwaysDeny": true}); count]}}))
    };
    assert_eq!(checks(CHECKS_MAX), Ok(()));
    let error = "gkePolicy.checkSets: 101 checks; a check set has at most 100";
    assert_eq!(checks(CHECKS_MAX + 1), Err(error.to_owned()));

    let patterns = |policy: usize, check: usize| {
        let directories: Vec<_> = (0..check).map(|n| format!("gcr.io/d{n}")).collect();
        let images: Vec<_> = (0..policy).map(|n| format!("gcr.io/i{n}")).collect();
        read(json!({
            "imageAllowlist": {"allowPattern": images},
            "checkSets": {"checks": {"trustedDirectoryCheck": {"trustedDirPatterns": directories}}},
        }))
    };
    assert_eq!(patterns(999, 1), Ok(()));
    let error = "gkePolicy.checkSets.checks.trustedDirectoryCheck: with these, more than 1000 patterns in the policy: use wildcards";
    assert_eq!(patterns(999, 2), Err(error.to_owned()));
    let error = "gkePolicy.imageAllowlist: with these, more than 1000 patterns in the policy: use wildcards";
    assert_eq!(patterns(1001, 1), Err(error.to_owned()));

    let key = |n| json!({"keyId": format!("a:{n}"), "publicKeyPem": "x", "signatureAlgorithm": 9});
    let attestations = |authenticators: usize, projects: usize, keys: usize| {
        let keys: Vec<_> = (0..keys).map(key).collect();
        let authenticator = json!({"pkixPublicKeySet": {"pkixPublicKeys": keys}});
        let projects: Vec<_> = (0..projects).map(|n| format!("projects/p{n}")).collect();
        read(json!({"checkSets": {"checks": {"simpleSigningAttestationCheck": {
            "containerAnalysisAttestationProjects": projects,
            "attestationAuthenticators": vec![authenticator; authenticators],
        }}}}))
    };
    assert_eq!(attestations(LOOKUPS_MAX / 10, 10, 1), Ok(()));
    let error = "gkePolicy.checkSets: 210 lookups of attestations, which are authenticators times projects; a check set has at most 200";
    assert_eq!(attestations(LOOKUPS_MAX / 10 + 1, 10, 1), Err(error.to_owned()));
    let check = "gkePolicy.checkSets.checks.simpleSigningAttestationCheck";
    let error = format!("{check}: 11 containerAnalysisAttestationProjects; at most 10");
    assert_eq!(attestations(1, 11, 1), Err(error));
    assert_eq!(attestations(1, 1, 1000), Ok(()));
    let error = format!(
        "{check}.attestationAuthenticators[0].pkixPublicKeySet: 1001 pkixPublicKeys; at most 1000"
    );
    assert_eq!(attestations(1, 1, 1001), Err(error));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedRow {
    name: String,
    named: Option<String>,
    policy: String,
    errors: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRow {
    name: String,
    policy: String,
    written: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    policies: BTreeMap<String, String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    policy: String,
    #[serde(default)]
    pod: PodRow,
    images: Vec<Box<str>>,
    #[serde(default)]
    evidence: BTreeMap<String, Vec<OccurrenceRow>>,
    #[serde(default)]
    faults: BTreeMap<String, String>,
    #[serde(default)]
    limits: LimitsRow,
    verdict: String,
    results: Vec<String>,
    explanations: Option<Vec<String>>,
    trials: Option<Vec<String>>,
    lookups: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct PodRow {
    name: Box<str>,
    namespace: Option<Box<str>>,
    service_account: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct LimitsRow {
    images: Option<usize>,
    image_bytes: Option<usize>,
    payload_bytes: Option<usize>,
}

/// The outcome that a row expects, or that an evaluation has.
#[derive(Debug, PartialEq)]
struct Outcome {
    verdict: String,
    results: Vec<String>,
    explanations: Option<Vec<String>>,
    trials: Option<Vec<String>>,
    lookups: Option<Vec<String>>,
}

impl Table {
    fn written(&self, name: &str) -> PlatformPolicy {
        let text = self.policies.get(name).unwrap_or_else(|| panic!("no policy {name}"));
        policy_from_yaml(text, "gke").unwrap_or_else(|errors| panic!("{name}: {errors}"))
    }

    fn policy(&self, name: &str) -> TrustedGkePolicy {
        trusted(self.written(name))
    }

    fn evaluate(&self, row: &Row) -> PodResult {
        let policy = self.policy(&row.policy);
        let plan = row.plan(&policy);
        let evaluations = row.evaluations(&plan, |checks| checks.iter().map(answer).collect());
        decide(plan, evaluations)
    }

    /// The outcome, without the parts that `row` does not expect.
    fn outcome(&self, row: &Row) -> Outcome {
        let policy = self.policy(&row.policy);
        let questions = row.plan(&policy).questions();
        let wanted = questions.iter().flat_map(|question| question.wanted(None));
        let lookups: BTreeSet<_> = wanted.map(|wanted| wanted.lookup).collect();
        let lookups = lookups.into_iter().map(|lookup| match lookup {
            Lookup::InProject(project, digest) => format!("{project} {digest}"),
            Lookup::UnderNote(..) => panic!("{lookup}"),
        });
        let result = self.evaluate(row);
        let checks = result.images.iter().flat_map(checks_of);
        let explanations = result.images.iter().flat_map(explanations_of);
        Outcome {
            verdict: result.verdict().as_str().to_owned(),
            results: result.images.iter().map(shown).collect(),
            explanations: row.explanations.as_ref().map(|_| explanations.collect()),
            trials: row.trials.as_ref().map(|_| checks.flat_map(trials_of).collect()),
            lookups: row.lookups.as_ref().map(|_| lookups.collect()),
        }
    }
}

impl Row {
    fn outcome(&self) -> Outcome {
        Outcome {
            verdict: self.verdict.clone(),
            results: self.results.clone(),
            explanations: self.explanations.clone(),
            trials: self.trials.clone(),
            lookups: self.lookups.clone(),
        }
    }

    fn limits(&self) -> Limits {
        let (default, row) = (Limits::DEFAULT, &self.limits);
        Limits {
            images_max: row.images.unwrap_or(default.images_max),
            image_bytes_max: row.image_bytes.unwrap_or(default.image_bytes_max),
            payload_bytes_max: row.payload_bytes.unwrap_or(default.payload_bytes_max),
            ..default
        }
    }

    fn plan<'p>(&self, policy: &'p TrustedGkePolicy) -> Plan<'p> {
        let pod = Pod {
            name: self.pod.name.clone(),
            namespace: self.pod.namespace.as_deref().map(|text| text.parse().expect(text)),
            service_account: self
                .pod
                .service_account
                .as_deref()
                .map(|text| text.parse().expect(text)),
            images: self.images.clone(),
        };
        plan(policy, pod, &self.limits())
    }

    /// The answers to all questions of a plan, with these verdicts.
    fn evaluations(
        &self,
        plan: &Plan<'_>,
        verdicts: impl Fn(&[Check]) -> Vec<Verdict>,
    ) -> Vec<Arc<CheckEvaluation>> {
        let questions = plan.questions();
        let evaluation = |question: &Checked<'_>| {
            let wanted = question.wanted(None).into_iter().map(|wanted| wanted.lookup);
            let found = wanted.map(|lookup| match &lookup {
                Lookup::InProject(project, digest) => {
                    (lookup.clone(), self.evidence(project.as_str(), *digest))
                }
                Lookup::UnderNote(..) => panic!("{lookup}"),
            });
            let (evidence, envelopes) = (&Gathered::new(found.collect()), &Envelopes::default());
            let limits = &self.limits();
            let pairing = question.pair(None, Material { evidence, envelopes, now: NOW, limits });
            let verdicts = verdicts(Checked::checks(&pairing));
            Arc::new(Checked::conclude(pairing, &verdicts))
        };
        questions.iter().map(evaluation).collect()
    }

    /// The evidence that is stored in `project` for `digest`.
    fn evidence(&self, project: &str, digest: Digest) -> Evidence {
        table::evidence(self.evidence.get(project), self.faults.get(project), digest, "a:")
    }
}

fn trusted(policy: PlatformPolicy) -> TrustedGkePolicy {
    let PlatformRules::Gke(policy) = policy.rules else { panic!("not for gke") };
    TrustedGkePolicy::new(policy, keys)
}

fn keys(authenticator: &AttestationAuthenticator) -> AuthenticatorKeys {
    match authenticator.display_name.split_once(": ") {
        Some(("down", why)) => return Err(why.to_owned()),
        _ if authenticator.display_name == "none" => return Ok(Vec::new()),
        _ => {}
    }
    Ok(authenticator.public_keys.iter().map(|key| Arc::new(verification_key(key))).collect())
}

fn verification_key(key: &PublicKey) -> VerificationKey {
    let id = key.id.clone().expect("every key of the tables has an id");
    let KeyMaterial::Pkix { signature_algorithm, .. } = key.material else { panic!("not PKIX") };
    let validity = match id.as_str() {
        "a:expired" => Validity { not_after: Some(UnixTime(999)), ..Validity::default() },
        "a:early" => Validity { not_before: Some(UnixTime(1_001)), ..Validity::default() },
        "a:revoked" => Validity { revoked_at: Some(NOW), ..Validity::default() },
        _ => Validity::default(),
    };
    VerificationKey {
        plugin: "pkix".into(),
        envelope: None,
        holder: None,
        spki: Spki::new(
            id.as_str().as_bytes(),
            signature_algorithm.key_type(),
            0..id.as_str().len(),
        ),
        ids: vec![id],
        fingerprint: [0; 32],
        algorithm: signature_algorithm,
        validity,
    }
}

/// `CONFORMANT set 0: TrustedDirectoryCheck CONFORMANT, AlwaysDeny exempt gcr.io/**`.
fn shown(image: &ImageResult) -> String {
    let decided = match &image.outcome {
        ImageOutcome::Refused { .. } => "refused".to_owned(),
        ImageOutcome::Exempt { pattern } => format!("exempt {pattern}"),
        ImageOutcome::NoCheckSets => "no check sets".to_owned(),
        ImageOutcome::CheckSet(set) => {
            let outcome = match &set.outcome {
                CheckSetOutcome::Exempt { pattern } => format!(" exempt {pattern}"),
                CheckSetOutcome::NoChecks => " no checks".to_owned(),
                CheckSetOutcome::Checks(checks) => {
                    let checks: Vec<_> = checks.iter().map(shown_check).collect();
                    format!(": {}", checks.join(", "))
                }
            };
            format!("set {}{outcome}", set.index)
        }
    };
    format!("{} {decided}", image.verdict().as_str())
}

fn shown_check(check: &CheckResult) -> String {
    match &check.outcome {
        CheckOutcome::Exempt { pattern } => format!("{} exempt {pattern}", check.check_type),
        CheckOutcome::Evaluated { verdict, .. } => {
            format!("{} {}", check.check_type, verdict.as_str())
        }
    }
}

/// The words of [`DECIDERS`].
fn deciders_of(image: &ImageResult) -> Vec<String> {
    let word = match &image.outcome {
        ImageOutcome::Refused { .. } => "refused",
        ImageOutcome::Exempt { .. } => "exempt",
        ImageOutcome::NoCheckSets => "no check sets",
        ImageOutcome::CheckSet(set) => match &set.outcome {
            CheckSetOutcome::Exempt { .. } => "set exempt",
            CheckSetOutcome::NoChecks => "set no checks",
            CheckSetOutcome::Checks(checks) => {
                let word =
                    |check| shown_check(check).split(' ').take(2).collect::<Vec<_>>().join(" ");
                return checks.iter().map(word).collect();
            }
        },
    };
    vec![word.to_owned()]
}

fn checks_of(image: &ImageResult) -> &[CheckResult] {
    match &image.outcome {
        ImageOutcome::CheckSet(set) => match &set.outcome {
            CheckSetOutcome::Checks(checks) => checks,
            CheckSetOutcome::Exempt { .. } | CheckSetOutcome::NoChecks => &[],
        },
        _ => &[],
    }
}

fn explanations_of(image: &ImageResult) -> Vec<String> {
    let of_set = match &image.outcome {
        ImageOutcome::CheckSet(set) => set.explanation(),
        _ => None,
    };
    let of_checks = checks_of(image).iter().map(CheckResult::explanation);
    image.explanation().into_iter().chain(of_set).chain(of_checks).collect()
}

fn trials_of(check: &CheckResult) -> Vec<String> {
    let CheckOutcome::Evaluated { authenticators, .. } = &check.outcome else { return Vec::new() };
    let trials = authenticators.iter().flat_map(|result| &result.trials);
    let word = |outcome: &TrialOutcome| match outcome {
        TrialOutcome::Verified { form: SignedForm::Pae } => "VERIFIED/pae".to_owned(),
        other => other.code().to_owned(),
    };
    trials.map(|trial| word(&trial.outcome)).collect()
}

fn policy_name(platform: &str) -> PlatformPolicyName {
    format!("projects/p/platforms/{platform}/policies/i").parse().expect("a name")
}

/// `none` stands for a policy that must say its name itself.
fn policy_from_yaml(text: &str, platform: &str) -> Result<PlatformPolicy, String> {
    let name = (platform != "none").then(|| policy_name(platform));
    platform_policy_from_yaml(text, name.as_ref()).map_err(|error| error.to_string())
}

/// Every table of evaluations.
fn tables() -> Vec<(&'static str, Table)> {
    ["names.yaml", "attestations.yaml"].map(|file| (file, read(file))).into()
}

fn read<T: for<'de> Deserialize<'de>>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/platform").join(file);
    let text = expanded(&fs::read_to_string(path).expect(file));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn expanded(text: &str) -> String {
    let mut text = text.to_owned();
    for letter in ["A", "B", "C", "D"] {
        let digest = format!("sha256:{}", letter.to_lowercase().repeat(64));
        text = text.replace(&format!("${letter}"), &digest);
    }
    for key in KEYS {
        let written = format!("{{keyId: 'a:{key}', publicKeyPem: x, signatureAlgorithm: 9}}");
        text = text.replace(&format!("<{key}>"), &written);
    }
    text
}
