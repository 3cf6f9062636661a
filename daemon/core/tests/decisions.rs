//! The decision table: `testdata/decisions/*.yaml`, each row a policy, a request and evidence, and
//! the decision expected. `testdata/decisions/README.md` says how to read one.
//!
//! No arithmetic is done here: a signature of the table is the word that says what the arithmetic
//! would, and that word stands where its bytes would stand.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use hallmark_core::attestor::{
    Curve, KeyType, SignatureAlgorithm, Spki, TrustedAttestor, Validity, VerificationKey,
};
use hallmark_core::decision::{AttestorResult, Decision, Trial, TrialOutcome};
use hallmark_core::envelope::Envelopes;
use hallmark_core::evaluate::Request;
use hallmark_core::evaluate::decide::{Unrecorded, conclude, decide, join, unrecorded};
use hallmark_core::evaluate::pair::{AttestorEvidence, Pairing, pair};
use hallmark_core::evaluate::plan::{Plan, plan};
use hallmark_core::image::Digest;
use hallmark_core::limits::Limits;
use hallmark_core::names::{AttestorName, ProjectId};
use hallmark_core::occurrence::Evidence;
use hallmark_core::policy::parse::policy_from_yaml;
use hallmark_core::policy::pattern::AllowlistPattern;
use hallmark_core::policy::{
    EnforcementMode, Policies, Policy, ProjectPolicy, SystemPolicy, WithoutPolicy,
};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{SignedForm, Unavailable, Verdict, Verified};
use serde::Deserialize;
use table::{OccurrenceRow, answer};

const ROWS_MIN: usize = 170;
const GENERATION: u64 = 7;
const NOW: UnixTime = UnixTime(1_000);
static NONE: LazyLock<Envelopes> = LazyLock::new(Envelopes::default);

/// Every word a decision can give as a reason: for an image, an attestor, a signature.
const CODES: &str = "SYSTEM_POLICY_ALLOWLISTED ALLOWLISTED ALWAYS_ALLOW ATTESTED ALWAYS_DENY \
    NOT_ATTESTED DIGEST_REQUIRED IMAGE_MALFORMED PROJECT_UNKNOWN POLICY_NOT_WRITTEN LIMIT_EXCEEDED AUDIT_UNAVAILABLE \
    AUDIT_LIMIT_EXCEEDED AUDIT_RECORD_TOO_LONG UNDETERMINED | \
    VERIFIED ATTESTOR_UNKNOWN NO_KEYS NO_ATTESTATIONS NONE_VERIFIED \
    EVIDENCE_UNAVAILABLE KEYS_UNAVAILABLE VERIFIER_OVERLOADED DEADLINE_EXCEEDED VERIFIER_FAILED VERIFIERS_DISAGREE | \
    VERIFIED VERIFIED/pae KEY_ID_UNKNOWN KEY_NOT_YET_VALID KEY_EXPIRED KEY_REVOKED BAD_SIGNATURE \
    PAYLOAD_MALFORMED DIGEST_MISMATCH VERIFIER_OVERLOADED DEADLINE_EXCEEDED VERIFIER_FAILED VERIFIERS_DISAGREE";

#[test]
fn every_row_is_decided_as_it_says() {
    let mut wrong = Vec::new();
    for (file, table) in tables() {
        for row in &table.rows {
            let (found, expected) = (Outcome::of(&table.decision(row), row), row.outcome());
            if found != expected {
                wrong.push(format!("{file}: {}\n{expected:#?} but is\n{found:#?}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows are decided otherwise\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_is_complete() {
    let mut rows = 0;
    let mut codes: [BTreeSet<String>; 3] = Default::default();
    for (file, table) in tables() {
        let names: BTreeSet<_> = table.rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), table.rows.len(), "{file}: two rows of one name");
        rows += table.rows.len();
        for image in table.rows.iter().flat_map(|row| table.decision(row).images) {
            codes[0].insert(image.reason.code().to_owned());
            for attestor in image.attestors.iter() {
                codes[1].insert(attestor.reason.code().to_owned());
                codes[2].extend(attestor.trials.iter().map(trial));
            }
        }
    }
    assert!(rows >= ROWS_MIN, "{rows} rows");
    for (found, all) in codes.iter().zip(CODES.split('|')) {
        assert_eq!(*found, all.split_whitespace().map(str::to_owned).collect());
    }
}

/// Evidence that is examined attestation by attestation comes to what it comes to as a whole.
#[test]
fn portions_of_evidence_come_to_what_the_whole_does() {
    for (file, table) in tables() {
        for row in &table.rows {
            let (_, plan) = table.plan(row);
            for digest in plan.digests() {
                let evaluated = |of: Pairing| {
                    let verdicts: Vec<_> = of.checks().iter().map(answer).collect();
                    conclude(of, &verdicts)
                };
                let whole = evaluated(table.pair(row, &plan.required, digest));
                let portions =
                    (0..4).map(|n| evaluated(table.portion(row, &plan.required, digest, n)));
                let joined = portions.reduce(|one, next| join(&one, &next)).expect("portions");
                assert_eq!(joined, whole, "{file}: {}", row.name);
            }
        }
    }
}

/// No row is allowed by what is missing, whatever it says.
#[test]
fn no_row_is_allowed_by_what_is_missing() {
    for (file, table) in tables() {
        for row in &table.rows {
            let at = format!("{file}: {}", row.name);
            let (request, plan) = table.plan(row);
            let needed = plan.digests().count();

            let unevaluated = decide(&request, plan.clone(), Vec::new(), GENERATION);
            assert!(needed == 0 || !unevaluated.conforms(), "{at}: not evaluated");

            for answer in [Verdict::BadSignature, Verdict::Unavailable(Unavailable::Panicked)] {
                let verdicts = |pairing: &Pairing| vec![answer; pairing.checks().len()];
                let decision = table.decide(row, verdicts);
                assert!(needed == 0 || !decision.conforms(), "{at}: {answer:?}");
            }
            let verified = Verdict::Verified(Verified::assertion(SignedForm::Raw));
            let one_more = |pairing: &Pairing| vec![verified; pairing.checks().len() + 1];
            assert!(needed == 0 || !table.decide(row, one_more).conforms(), "{at}: one too many");

            let decision = table.decision(row);
            for image in decision.images.iter().filter(|image| image.rule.is_some()) {
                let dry_run = image.enforcement == Some(EnforcementMode::DryrunAuditLogOnly);
                assert!(image.enforcement.is_some() && dry_run == decision.dry_run, "{at}");
            }

            for why in [Unrecorded::Unavailable, Unrecorded::LimitExceeded, Unrecorded::TooLong] {
                let lost = unrecorded(decision.clone(), why);
                assert!(!lost.allowed && lost.enforced() && !lost.conforms(), "{at}: {why:?}");
            }
        }
    }
}

#[test]
fn break_glass_lifts_every_denial_and_changes_no_reason() {
    for (file, table) in tables() {
        for row in
            table.rows.iter().filter(|row| !row.images.is_empty() && row.audit_lost.is_none())
        {
            let plain = table.decision(row);
            let mut broken = row.clone();
            broken.request.break_glass = true;
            let broken = table.decision(&broken);
            assert!(broken.allowed && !broken.enforced(), "{file}: {}", row.name);
            assert_eq!(broken.images, plain.images, "{file}: {}", row.name);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    system: Vec<String>,
    policies: BTreeMap<String, String>,
    #[serde(default)]
    attestors: BTreeMap<String, AttestorRow>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttestorRow {
    #[serde(default)]
    keys: BTreeMap<String, KeyRow>,
    unavailable: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct KeyRow {
    also: Vec<String>,
    not_before: Option<i64>,
    not_after: Option<i64>,
    revoked_at: Option<i64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    name: String,
    policy: String,
    #[serde(default)]
    request: RequestRow,
    images: Vec<String>,
    #[serde(default)]
    evidence: BTreeMap<String, Vec<OccurrenceRow>>,
    #[serde(default)]
    faults: BTreeMap<String, String>,
    #[serde(default)]
    limits: LimitsRow,
    audit_lost: Option<String>,
    allowed: bool,
    enforced: Option<bool>,
    #[serde(default)]
    dry_run: bool,
    rule: Option<String>,
    reasons: Vec<String>,
    #[serde(default)]
    attestors: Vec<String>,
    #[serde(default)]
    messages: Vec<String>,
}

fn attribute<T: FromStr<Err: Debug>>(text: Option<Box<str>>) -> Option<T> {
    text.map(|text| text.parse().expect("an attribute"))
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RequestRow {
    cluster: Option<Box<str>>,
    namespace: Option<Box<str>>,
    service_account: Option<Box<str>>,
    istio_identity: Option<Box<str>>,
    break_glass: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct LimitsRow {
    images: Option<usize>,
    image_bytes: Option<usize>,
    payload_bytes: Option<usize>,
}

/// The outcome that a row expects, or that a decision has.
#[derive(Debug, PartialEq)]
struct Outcome {
    allowed: bool,
    enforced: bool,
    dry_run: bool,
    break_glass: bool,
    rule: Vec<String>,
    reasons: Vec<String>,
    attestors: Vec<String>,
    messages: Vec<String>,
}

impl Row {
    fn outcome(&self) -> Outcome {
        let rule = self.rule.as_deref().unwrap_or("default admission rule");
        Outcome {
            allowed: self.allowed,
            enforced: self.enforced.unwrap_or(true),
            dry_run: self.dry_run,
            break_glass: self.request.break_glass,
            rule: if rule == "none" { Vec::new() } else { vec![rule.to_owned()] },
            reasons: self.reasons.clone(),
            attestors: self.attestors.clone(),
            messages: self.messages.clone(),
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

    /// The evidence that is stored under the note of `attestor` for `digest`.
    fn evidence(&self, attestor: &str, digest: Digest) -> Evidence {
        table::evidence(self.evidence.get(attestor), self.faults.get(attestor), digest, "")
    }
}

impl Table {
    fn decision(&self, row: &Row) -> Decision {
        let answers = |pairing: &Pairing| pairing.checks().iter().map(answer).collect();
        let decision = self.decide(row, answers);
        let why = match row.audit_lost.as_deref() {
            None => return decision,
            Some("unavailable") => Unrecorded::Unavailable,
            Some("limit exceeded") => Unrecorded::LimitExceeded,
            Some("too long") => Unrecorded::TooLong,
            Some(other) => panic!("{other} is no way to lose a record"),
        };
        unrecorded(decision, why)
    }

    fn decide(&self, row: &Row, answers: impl Fn(&Pairing) -> Vec<Verdict>) -> Decision {
        let (request, plan) = self.plan(row);
        let evaluations = plan.digests().map(|digest| {
            let pairing = self.pair(row, &plan.required, digest);
            let verdicts = answers(&pairing);
            (Arc::new(conclude(pairing, &verdicts)), false)
        });
        let evaluations = evaluations.collect();
        decide(&request, plan, evaluations, GENERATION)
    }

    fn plan(&self, row: &Row) -> (Request, Plan) {
        let project: ProjectId = "p".parse().expect("an id");
        let attributes = row.request.clone();
        let request = Request {
            project: project.clone(),
            cluster: attribute(attributes.cluster),
            namespace: attribute(attributes.namespace),
            service_account: attribute(attributes.service_account),
            istio_identity: attribute(attributes.istio_identity),
            images: row.images.iter().map(|image| image.as_str().into()).collect(),
            break_glass: attributes.break_glass,
        };
        let pattern = |text: &String| AllowlistPattern::parse(text).expect(text);
        let system = SystemPolicy {
            admission_whitelist_patterns: self.system.iter().map(pattern).collect(),
        };
        let written: Policy;
        let policy = match row.policy.as_str() {
            "absent" => ProjectPolicy::Absent(WithoutPolicy::Deny),
            "absent, allowed" => ProjectPolicy::Absent(WithoutPolicy::Allow),
            "unknown project" => ProjectPolicy::UnknownProject,
            name => {
                written = policy_from_yaml(&self.policies[name]).expect(name);
                ProjectPolicy::Written(&written)
            }
        };
        let policies = Policies { project: &project, policy, system: &system };
        let plan = plan(&request, &policies, &row.limits());
        (request, plan)
    }

    fn pair(&self, row: &Row, required: &[AttestorName], digest: Digest) -> Pairing {
        self.pair_some(row, required, digest, |evidence| evidence)
    }

    /// As [`Table::pair`], of the `nth` attestation of each attestor alone.
    fn portion(&self, row: &Row, required: &[AttestorName], digest: Digest, nth: usize) -> Pairing {
        self.pair_some(row, required, digest, |evidence| {
            Ok(evidence?.into_iter().skip(nth).take(1).collect())
        })
    }

    fn pair_some(
        &self,
        row: &Row,
        required: &[AttestorName],
        digest: Digest,
        some: impl Fn(Evidence) -> Evidence,
    ) -> Pairing {
        let known: Vec<_> = required
            .iter()
            .map(|name| {
                let trusted = self.attestors.get(&short(name)).map(|keys| keys.trusted(name));
                (name, trusted, some(row.evidence(&short(name), digest)))
            })
            .collect();
        let sources: Vec<_> = known
            .iter()
            .map(|(name, trusted, evidence)| AttestorEvidence {
                envelopes: &NONE,
                name,
                attestor: trusted.as_ref(),
                evidence,
            })
            .collect();
        pair(digest, &sources, NOW, &row.limits())
    }
}

impl AttestorRow {
    fn trusted(&self, name: &AttestorName) -> TrustedAttestor {
        let keys = self.keys.iter().map(|(id, key)| Arc::new(key.verification_key(id)));
        TrustedAttestor {
            name: name.clone(),
            note: "projects/p/notes/n".parse().expect("a name"),
            keys: match &self.unavailable {
                Some(why) if self.keys.is_empty() => Err(why.clone()),
                _ => Ok(keys.collect()),
            },
            missing: self.unavailable.clone(),
        }
    }
}

impl KeyRow {
    fn verification_key(&self, id: &str) -> VerificationKey {
        let ids = [id].into_iter().chain(self.also.iter().map(String::as_str));
        VerificationKey {
            plugin: "pkix".into(),
            envelope: None,
            holder: None,
            ids: ids.map(Into::into).collect(),
            spki: Spki::new(id.as_bytes(), KeyType::Ec(Curve::P256), 0..id.len()),
            fingerprint: [0; 32],
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            validity: Validity {
                not_before: self.not_before.map(UnixTime),
                not_after: self.not_after.map(UnixTime),
                revoked_at: self.revoked_at.map(UnixTime),
                ..Validity::default()
            },
        }
    }
}

impl Outcome {
    /// Messages only where `row` expects any.
    fn of(decision: &Decision, row: &Row) -> Self {
        let messages = if row.messages.is_empty() { &[] } else { decision.images.as_slice() };
        let rules = decision.images.iter().filter_map(|image| image.rule.as_ref());
        let rule: BTreeSet<_> = rules.map(ToString::to_string).collect();
        let images = || decision.images.iter();
        Self {
            allowed: decision.allowed,
            enforced: decision.enforced(),
            dry_run: decision.dry_run,
            break_glass: decision.break_glass,
            rule: rule.into_iter().collect(),
            reasons: images().map(|image| image.reason.code().to_owned()).collect(),
            attestors: images().flat_map(|image| image.attestors.iter().map(attestor)).collect(),
            messages: messages.iter().map(|image| image.message()).collect(),
        }
    }
}

/// `built NONE_VERIFIED: BAD_SIGNATURE, KEY_ID_UNKNOWN`.
fn attestor(result: &AttestorResult) -> String {
    let trials: Vec<_> = result.trials.iter().map(trial).collect();
    let colon = if trials.is_empty() { "" } else { ": " };
    let name = short(&result.attestor);
    format!("{name} {}{colon}{}", result.reason.code(), trials.join(", "))
}

fn trial(trial: &Trial) -> String {
    let pae = matches!(trial.outcome, TrialOutcome::Verified { form: SignedForm::Pae });
    format!("{}{}", trial.outcome.code(), if pae { "/pae" } else { "" })
}

/// The attestors of project `p` go by their ids.
fn short(name: &AttestorName) -> String {
    let name = name.to_string();
    name.strip_prefix("projects/p/attestors/").unwrap_or(&name).to_owned()
}

/// Every file of the table, with `$A` to `$D` standing for digests.
fn tables() -> Vec<(String, Table)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/decisions");
    let entries = fs::read_dir(folder).expect("the folder of the table");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().map(|file| (file.display().to_string(), table(file))).collect()
}

fn table(file: &Path) -> Table {
    let mut text = fs::read_to_string(file).expect("a file of the table");
    for letter in ["A", "B", "C", "D"] {
        let digest = format!("sha256:{}", letter.to_lowercase().repeat(64));
        text = text.replace(&format!("${letter}"), &digest);
    }
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
