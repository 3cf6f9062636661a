use std::fmt::Debug;
use std::str::FromStr;

use serde_json::{Value, json};

use super::parse::*;
use super::render::{policy_to_json, policy_to_yaml};
use super::select::select;
use super::*;
use crate::document::read::camel_case;
use crate::document::{Document, DocumentError, DocumentLimits};
use crate::evaluate::Request;

/// As `gcloud container binauthz policy export` writes one, with the bare key of the documentation.
const EXPORTED: &str = "\
admissionWhitelistPatterns:
- namePattern: gcr.io/google_containers/*
- namePattern: registry.example.com:5000/base@*
clusterAdmissionRules:
  us-east1-a.prod-cluster:
    enforcementMode: DRYRUN_AUDIT_LOG_ONLY
    evaluationMode: REQUIRE_ATTESTATION
    requireAttestationsBy:
    - projects/p/attestors/built-by-cloud-build
    - projects/q/attestors/qa
kubernetesNamespaceAdmissionRules:
defaultAdmissionRule:
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  evaluationMode: ALWAYS_DENY
description: 'on: # not a comment'
etag: '\"Mna+BCqXznjH\"'
globalPolicyEvaluationMode: ENABLE
name: projects/p/policy
updateTime: '2024-05-12T05:17:42.444479Z'
";

fn project() -> ProjectId {
    "p".parse().unwrap()
}

fn attestor(name: &str) -> AttestorName {
    name.parse().unwrap()
}

fn rule(evaluation: EvaluationMode) -> AdmissionRule {
    AdmissionRule { evaluation, enforcement: EnforcementMode::EnforcedBlockAndAuditLog }
}

/// A policy of one rule, in JSON.
fn with_default(rule: impl Into<Value>) -> Value {
    let rule = rule.into();
    json!({ "defaultAdmissionRule": rule })
}

fn allowing() -> Value {
    json!({"evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"})
}

/// A valid policy with one member set.
fn with(member: &str, value: impl Into<Value>) -> Value {
    let mut json = with_default(allowing());
    json[member] = value.into();
    json
}

/// The policy, or the errors as shown without their line: all of it is one.
fn read(json: &Value) -> Result<Policy, String> {
    policy_from_json(&json.to_string()).map_err(|error| error.to_string().replace("line 1: ", ""))
}

#[test]
fn an_exported_policy_is_read_and_written_back() {
    let policy = policy_from_yaml(EXPORTED).unwrap();
    assert_eq!(policy.description, "on: # not a comment");
    assert_eq!(policy.etag, "\"Mna+BCqXznjH\"");
    assert_eq!(policy.default_admission_rule, rule(EvaluationMode::AlwaysDeny));
    let SpecificRules::Cluster(rules) = &policy.specific_rules else { panic!("no cluster rules") };
    let attestors =
        ["projects/p/attestors/built-by-cloud-build", "projects/q/attestors/qa"].map(attestor);
    let expected = AdmissionRule {
        evaluation: EvaluationMode::RequireAttestation(attestors.to_vec()),
        enforcement: EnforcementMode::DryrunAuditLogOnly,
    };
    assert_eq!(rules.get("us-east1-a.prod-cluster"), Some(&expected));
    let json = policy_to_json(&policy, &project());
    let yaml = policy_to_yaml(&policy, &project());
    assert_eq!(policy_from_json(&json.to_string()), Ok(policy.clone()));
    assert_eq!(policy_from_yaml(&yaml), Ok(policy));
    let exported: Vec<_> = EXPORTED.lines().filter(|line| !line.contains("Namespace")).collect();
    let keys = |text: &[&str]| -> Vec<String> {
        let top = text.iter().filter(|line| !line.starts_with([' ', '-']));
        top.map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&yaml.lines().collect::<Vec<_>>()), keys(&exported), "{yaml}");
}

#[test]
fn policies_of_every_kind_of_rule_survive_the_round_trip() {
    let keyed = |key: &str| -> BTreeMap<_, _> {
        [(key.to_owned(), rule(EvaluationMode::AlwaysAllow))].into()
    };
    for specific_rules in [
        SpecificRules::None,
        SpecificRules::Cluster(keyed("global.my.cluster_1")),
        SpecificRules::KubernetesNamespace(keyed("123")),
        SpecificRules::KubernetesServiceAccount(keyed("shop-1:web.server")),
        SpecificRules::IstioServiceIdentity(keyed("p.svc.id.goog/ns/shop/sa/web")),
    ] {
        for (mode, description) in [
            (GlobalPolicyEvaluationMode::Unspecified, ""),
            (GlobalPolicyEvaluationMode::Disable, "true"),
            (GlobalPolicyEvaluationMode::Enable, "two\nlines: \"quoted\" \u{1} 'x' é 🎉\n"),
        ] {
            let policy = Policy {
                description: description.to_owned(),
                global_policy_evaluation_mode: mode,
                specific_rules: specific_rules.clone(),
                ..Policy::google_default()
            };
            let json = policy_to_json(&policy, &project()).to_string();
            assert_eq!(policy_from_json(&json), Ok(policy.clone()));
            assert_eq!(policy_from_yaml(&json), Ok(policy.clone()));
            let yaml = policy_to_yaml(&policy, &project());
            assert_eq!(policy_from_yaml(&yaml), Ok(policy), "{yaml}");
        }
    }
}

#[test]
fn the_default_of_google_is_written_as_google_does() {
    let expected = json!({
        "defaultAdmissionRule": allowing(), "globalPolicyEvaluationMode": "ENABLE", "name": "projects/p/policy",
    });
    assert_eq!(policy_to_json(&Policy::google_default(), &project()), expected);
}

#[test]
fn every_enum_value_is_read_by_name_and_number() {
    use EvaluationMode::{AlwaysAllow, AlwaysDeny, RequireAttestation};
    let by = || vec![attestor("projects/p/attestors/a")];
    let (enforced, dry_run) =
        (EnforcementMode::EnforcedBlockAndAuditLog, EnforcementMode::DryrunAuditLogOnly);
    for (name, number, evaluation) in [
        ("ALWAYS_ALLOW", 1, AlwaysAllow),
        ("REQUIRE_ATTESTATION", 2, RequireAttestation(by())),
        ("ALWAYS_DENY", 3, AlwaysDeny),
    ] {
        let attestors: Vec<_> =
            if number == 2 { vec!["projects/p/attestors/a"] } else { Vec::new() };
        for (mode, mode_number, enforcement) in
            [("ENFORCED_BLOCK_AND_AUDIT_LOG", 1, enforced), ("DRYRUN_AUDIT_LOG_ONLY", 2, dry_run)]
        {
            for (evaluation_mode, enforcement_mode) in [
                (json!(name), json!(mode)),
                (json!(number), json!(mode_number)),
                (json!(number.to_string()), json!(mode)),
            ] {
                let json = with_default(json!({
                    "evaluationMode": evaluation_mode, "enforcementMode": enforcement_mode, "requireAttestationsBy": attestors,
                }));
                let expected = AdmissionRule { evaluation: evaluation.clone(), enforcement };
                assert_eq!(read(&json).unwrap().default_admission_rule, expected);
            }
        }
    }
    for (value, mode) in [
        (
            json!("GLOBAL_POLICY_EVALUATION_MODE_UNSPECIFIED"),
            GlobalPolicyEvaluationMode::Unspecified,
        ),
        (json!(0), GlobalPolicyEvaluationMode::Unspecified),
        (json!("ENABLE"), GlobalPolicyEvaluationMode::Enable),
        (json!(2), GlobalPolicyEvaluationMode::Disable),
        (Value::Null, GlobalPolicyEvaluationMode::Unspecified),
    ] {
        let read = read(&with("globalPolicyEvaluationMode", value)).unwrap();
        assert_eq!(read.global_policy_evaluation_mode, mode);
    }
}

#[test]
fn rules_that_cannot_be_are_refused_with_their_path() {
    let rule = |evaluation: &str, enforcement: &str, by: &[&str]| {
        with_default(json!({
            "evaluationMode": evaluation, "enforcementMode": enforcement, "requireAttestationsBy": by,
        }))
    };
    let (block, a) = ("ENFORCED_BLOCK_AND_AUDIT_LOG", &["projects/p/attestors/a"][..]);
    let cases = [
        (json!({}), ": required; set it"),
        (with_default(json!("ALWAYS_ALLOW")), ": expected an object, not a string"),
        (
            with_default(json!({"evaluationMode": "ALWAYS_DENY"})),
            ".enforcementMode: required; set it",
        ),
        (with_default(json!({"enforcementMode": block})), ".evaluationMode: required; set it"),
        (
            rule("REQUIRE_ATTESTATION", block, &[]),
            ".evaluationMode: REQUIRE_ATTESTATION needs requireAttestationsBy; name at least one attestor",
        ),
        (
            rule("ALWAYS_ALLOW", block, a),
            ".requireAttestationsBy: goes with REQUIRE_ATTESTATION only; remove it, or change evaluationMode",
        ),
        (
            rule("ALWAYS_DENY", block, a),
            ".requireAttestationsBy: goes with REQUIRE_ATTESTATION only; remove it, or change evaluationMode",
        ),
        (
            rule("EVALUATION_MODE_UNSPECIFIED", block, &[]),
            ".evaluationMode: required; say ALWAYS_ALLOW, REQUIRE_ATTESTATION or ALWAYS_DENY",
        ),
        (
            rule("ALWAYS_ALLOW", "ENFORCEMENT_MODE_UNSPECIFIED", &[]),
            ".enforcementMode: required; say ENFORCED_BLOCK_AND_AUDIT_LOG or DRYRUN_AUDIT_LOG_ONLY",
        ),
        (
            rule("ALWAYS_ALLOW", "BLOCK", &[]),
            ".enforcementMode: unknown value \"BLOCK\"; one of ENFORCEMENT_MODE_UNSPECIFIED, ENFORCED_BLOCK_AND_AUDIT_LOG, DRYRUN_AUDIT_LOG_ONLY",
        ),
        (
            rule("REQUIRE_ATTESTATION", block, &[a[0], "a"]),
            ".requireAttestationsBy[1]: `a` is not of the form `projects/*/attestors/*`",
        ),
    ];
    for (json, error) in cases {
        assert_eq!(read(&json), Err(format!("defaultAdmissionRule{error}")));
    }
}

#[test]
fn one_attestor_needs_no_list_and_counts_once() {
    let rule = |by: Value| {
        let json = with_default(json!({
            "evaluationMode": 2, "enforcementMode": 1, "requireAttestationsBy": by,
        }));
        read(&json).unwrap().default_admission_rule.evaluation
    };
    let once = EvaluationMode::RequireAttestation(vec![attestor("projects/p/attestors/a")]);
    assert_eq!(rule(json!("projects/p/attestors/a")), once);
    assert_eq!(rule(json!(["projects/p/attestors/a", "projects/p/attestors/a"])), once);
}

#[test]
fn keys_have_the_form_of_their_map() {
    let label = "a".repeat(63);
    let subdomain = format!("{}.b", "a".repeat(251));
    let cases: [(&str, Vec<&str>, Vec<&str>); 4] = [
        (
            "clusterAdmissionRules",
            vec!["us-east1-a.prod", "global.my-cluster-id", "europe-west2.a.b", "us.eks_1"],
            vec![
                "",
                "prod",
                ".prod",
                "us.",
                ".",
                "us east.prod",
                "us/x.prod",
                "us.ä",
                "us.EKS",
                "US.x",
            ],
        ),
        (
            "kubernetesNamespaceAdmissionRules",
            vec!["shop", "shop-1", "1", &label],
            vec!["", "Shop", "-a", "a-", "a.b", "a_b", "a b", "ns:sa"],
        ),
        (
            "kubernetesServiceAccountAdmissionRules",
            vec!["test-ns:default", "a:b.c", "1:2"],
            vec!["", "a", "a:", ":b", "a:b:c", "a.b:c", "A:b", "a:b/c", "a:.b"],
        ),
        (
            "istioServiceIdentityAdmissionRules",
            vec![
                "spiffe://d.example/ns/n/sa/s",
                "d/ns/n/sa/s",
                "example.com:p.svc.id.goog/ns/n/sa/s",
            ],
            vec![
                "",
                "d/ns/n/sa",
                "d/ns/n/sa/s/x",
                "/ns/n/sa/s",
                "d/NS/n/sa/s",
                "https://d/ns/n/sa/s",
                "d/ns/N/sa/s",
                "spiffe://spiffe://d/ns/n/sa/s",
            ],
        ),
    ];
    for (map, good, bad) in cases {
        for key in good {
            read(&with(map, json!({key: allowing()}))).unwrap();
        }
        for key in bad {
            let error = read(&with(map, json!({key: allowing()}))).unwrap_err();
            assert!(error.starts_with(&format!("{map}[{key:?}]: the key must be ")), "{error}");
        }
    }
    read(&with("kubernetesNamespaceAdmissionRules", json!({format!("{label}a"): allowing()})))
        .unwrap_err();
    let account = |name: &str| {
        with("kubernetesServiceAccountAdmissionRules", json!({format!("a:{name}"): allowing()}))
    };
    read(&account(&subdomain)).unwrap();
    read(&account(&format!("{subdomain}c"))).unwrap_err();
    let identity = |domain: usize| format!("{}/ns/n/sa/s", "d".repeat(domain - "/ns/n/sa/s".len()));
    read(&with("istioServiceIdentityAdmissionRules", json!({identity(2048): allowing()}))).unwrap();
    read(&with("istioServiceIdentityAdmissionRules", json!({identity(2049): allowing()})))
        .unwrap_err();
}

#[test]
fn identities_are_one_with_and_without_scheme() {
    let map = "istioServiceIdentityAdmissionRules";
    let policy = read(&with(map, json!({"spiffe://d/ns/n/sa/s": allowing()}))).unwrap();
    let SpecificRules::IstioServiceIdentity(rules) = policy.specific_rules else {
        panic!("no rules")
    };
    assert_eq!(rules.keys().collect::<Vec<_>>(), ["d/ns/n/sa/s"]);
    let twice =
        read(&with(map, json!({"spiffe://d/ns/n/sa/s": allowing(), "d/ns/n/sa/s": allowing()})));
    let error = format!(
        "{map}[\"spiffe://d/ns/n/sa/s\"]: a second rule for d/ns/n/sa/s; keep one of the two"
    );
    assert_eq!(twice, Err(error));
}

#[test]
fn specific_rules_are_of_one_kind() {
    let maps = [
        ("clusterAdmissionRules", "a.b"),
        ("kubernetesNamespaceAdmissionRules", "n"),
        ("kubernetesServiceAccountAdmissionRules", "n:s"),
        ("istioServiceIdentityAdmissionRules", "d/ns/n/sa/s"),
    ];
    for (index, (first, first_key)) in maps.into_iter().enumerate() {
        let mut json = with(first, json!({first_key: allowing()}));
        for (other, _) in maps {
            if other != first {
                json[other] = json!({});
            }
        }
        read(&json).unwrap();
        for (second, second_key) in &maps[index + 1..] {
            let mut json = json.clone();
            json[second] = json!({*second_key: allowing()});
            let error =
                format!("{second}: {first} has rules too; a policy has specific rules of one kind");
            assert_eq!(read(&json), Err(error));
        }
    }
}

#[test]
fn counts_end_at_the_limits() {
    let attestors = |count: usize| -> Vec<_> {
        (0..count).map(|n| format!("projects/p/attestors/a{n}")).collect()
    };
    let rule = |count: usize| json!({"evaluationMode": 2, "enforcementMode": 1, "requireAttestationsBy": attestors(count)});
    let split = |first: usize, second: usize| {
        let mut json = with_default(rule(first));
        json["clusterAdmissionRules"] = json!({"a.b": rule(second)});
        json
    };
    read(&split(100, 100)).unwrap();
    let error = "clusterAdmissionRules[\"a.b\"]: with these, more than 200 requireAttestationsBy in the policy";
    assert_eq!(read(&split(100, 101)), Err(error.to_owned()));
    let patterns = |count: usize| {
        let pattern = |n| json!({"namePattern": format!("gcr.io/p{n}/*")});
        with("admissionWhitelistPatterns", (0..count).map(pattern).collect::<Vec<_>>())
    };
    read(&patterns(PATTERNS_MAX)).unwrap();
    let error = "1001 admissionWhitelistPatterns; at most 1000: use wildcards";
    assert_eq!(read(&patterns(PATTERNS_MAX + 1)), Err(error.to_owned()));
    let rules =
        |count: usize| -> Value { (0..count).map(|n| (format!("n{n}"), allowing())).collect() };
    read(&with("kubernetesNamespaceAdmissionRules", rules(RULES_MAX))).unwrap();
    let error = "kubernetesNamespaceAdmissionRules: 10001 rules; at most 10000";
    let given = read(&with("kubernetesNamespaceAdmissionRules", rules(RULES_MAX + 1)));
    assert_eq!(given, Err(error.to_owned()));
}

#[test]
fn names_are_of_policies() {
    for name in
        ["projects/p/policy", "projects/example.com:p/policy", "locations/us-east1/policy", ""]
    {
        let given = read(&with("name", if name.is_empty() { Value::Null } else { json!(name) }));
        given.unwrap();
    }
    for name in [
        "",
        "policy",
        "projects/p",
        "projects//policy",
        "projects/p/policies",
        "projects/p/policy/x",
        "folders/p/policy",
    ] {
        let error = read(&with("name", name)).unwrap_err();
        assert!(error.starts_with("name: "), "{error}");
    }
}

#[test]
fn a_policy_is_not_named_as_another_project_s() {
    let read = |name: &str, project: &str| {
        let text = with("name", json!(name)).to_string();
        let document = Document::from_json(&text, &DocumentLimits::DEFAULT).unwrap();
        policy_from_document(&document, Some(&project.parse().unwrap()))
            .map_err(|error| error.to_string())
    };
    for (name, project) in
        [("projects/p/policy", "p"), ("projects/example.com:p/policy", "example.com:p"), ("", "p")]
    {
        read(name, project).unwrap();
    }
    for name in ["projects/q/policy", "projects/P/policy", "locations/global/policy", "policy"] {
        let error = "line 1: name: is not projects/p/policy: correct it, or leave it out";
        assert_eq!(read(name, "p"), Err(error.to_owned()), "{name}");
    }
}

/// A rule with nothing in it would be dropped, and the laxer default decide.
#[test]
fn a_rule_that_is_null_is_refused_in_every_map() {
    for (map, key) in [
        ("clusterAdmissionRules", "us-east1-a.prod"),
        ("kubernetesNamespaceAdmissionRules", "prod"),
        ("kubernetesServiceAccountAdmissionRules", "prod:web"),
        ("istioServiceIdentityAdmissionRules", "spiffe://d/ns/prod/sa/web"),
        ("cluster_admission_rules", "us-east1-a.prod"),
    ] {
        let error = read(&with(map, json!({"a.b": null}))).unwrap_err();
        let path = camel_case(map);
        assert!(error.contains(&format!("{path}[\"a.b\"]: is null: write what")), "{error}");
        read(&with(map, json!({key: {}}))).unwrap_err();
        for nothing in ["", " ~", " null", " Null", " NULL"] {
            let text = format!(
                "defaultAdmissionRule: {{evaluationMode: ALWAYS_ALLOW, enforcementMode: \
                 ENFORCED_BLOCK_AND_AUDIT_LOG}}\n{map}:\n  {key}:{nothing}\n"
            );
            let error = policy_from_yaml(&text).unwrap_err().to_string();
            assert!(error.starts_with("line 3: ") && error.contains(key), "{error}");
        }
    }
}

#[test]
fn errors_are_told_all_at_once_with_line_and_path() {
    let text = "\
admissionWhitelistPatterns:
- namePattern: gcr.io/*/x
- namePatern: gcr.io/x
defaultAdmissionRule:
  evaluationMode: ALWAYS_ALOW
  enforcementMode: BLOCK
clusterAdmissionRules:
  us-east1-a.prod:
    evaluationMode: REQUIRE_ATTESTATION
    enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
    requireAttestationsBy:
    - projects/p/attestors/a
    - projects/p/attestor/b
whitelist: []
";
    let expected = "\
line 2: admissionWhitelistPatterns[0].namePattern: a wildcard may stand only at the end of a pattern
line 3: admissionWhitelistPatterns[1].namePatern: unknown field; did you mean \"namePattern\"?
line 3: admissionWhitelistPatterns[1].namePattern: required; set it
line 5: defaultAdmissionRule.evaluationMode: unknown value \"ALWAYS_ALOW\"; did you mean \"ALWAYS_ALLOW\"?; one of EVALUATION_MODE_UNSPECIFIED, ALWAYS_ALLOW, REQUIRE_ATTESTATION, ALWAYS_DENY
line 6: defaultAdmissionRule.enforcementMode: unknown value \"BLOCK\"; one of ENFORCEMENT_MODE_UNSPECIFIED, ENFORCED_BLOCK_AND_AUDIT_LOG, DRYRUN_AUDIT_LOG_ONLY
line 13: clusterAdmissionRules[\"us-east1-a.prod\"].requireAttestationsBy[1]: `projects/p/attestor/b` is not of the form `projects/*/attestors/*`
line 14: whitelist: unknown field";
    assert_eq!(policy_from_yaml(text).unwrap_err().to_string(), expected);
}

#[test]
fn files_are_read_by_their_extension() {
    for (name, text) in [("policy.yaml", EXPORTED), ("policy.yml", EXPORTED)] {
        policy_from_file_name(name, text, None).unwrap();
    }
    let json = with_default(allowing()).to_string();
    policy_from_file_name("policy.json", &json, None).unwrap();
    assert!(matches!(
        policy_from_file_name("policy.txt", "{}", None),
        Err(DocumentError::FileExtension { .. })
    ));
    assert_eq!(
        policy_from_file_name("policy.yaml", "# nothing\n", None),
        Err(DocumentError::Empty)
    );
}

#[test]
fn of_a_system_policy_only_the_patterns_count() {
    let text = "name: locations/global/policy\nadmissionWhitelistPatterns:\n- namePattern: gke.gcr.io/**\n";
    let read = |text: &str| {
        let document = Document::from_yaml(text, &DocumentLimits::DEFAULT).unwrap();
        system_policy_from_document(&document).map_err(|error| error.to_string())
    };
    let patterns = read(text).unwrap().admission_whitelist_patterns;
    assert_eq!(patterns.iter().map(|p| p.as_str()).collect::<Vec<_>>(), ["gke.gcr.io/**"]);
    read("name: x\n").unwrap_err();
    assert_eq!(
        read("admissionWhitelistPattern: a\n").unwrap_err(),
        "line 1: admissionWhitelistPattern: unknown field; did you mean \"admissionWhitelistPatterns\"?"
    );
}

fn attribute<T: FromStr<Err: Debug>>(text: &str) -> Option<T> {
    Some(text).filter(|text| !text.is_empty()).map(|text| text.parse().expect(text))
}

/// One request: cluster, namespace, service account, mesh identity; `""` stands for missing.
type Attributes = [&'static str; 4];

#[test]
fn the_one_rule_is_the_specific_one_that_matches_or_the_default() {
    let cluster = ("clusterAdmissionRules", "us-east1-a.prod");
    let namespace = ("kubernetesNamespaceAdmissionRules", "shop");
    let account = ("kubernetesServiceAccountAdmissionRules", "shop:web");
    let identity = ("istioServiceIdentityAdmissionRules", "spiffe://d/ns/shop/sa/web");
    let all: Attributes = ["us-east1-a.prod", "shop", "web", "d/ns/shop/sa/web"];
    let none: Attributes = [""; 4];
    let rows: &[((&str, &str), Attributes, bool)] = &[
        (cluster, all, true),
        (namespace, all, true),
        (account, all, true),
        (identity, all, true),
        (cluster, none, false),
        (namespace, none, false),
        (account, none, false),
        (identity, none, false),
        (cluster, ["us-east1-a.prod", "", "", ""], true),
        (cluster, ["us-east1-a.prod2", "shop", "web", ""], false),
        (cluster, ["", "prod", "", ""], false),
        (namespace, ["x.y", "shop", "", ""], true),
        (namespace, ["l.shop", "other", "", ""], false),
        (namespace, ["", "", "shop", ""], false),
        (namespace, ["", "shop2", "", ""], false),
        (account, ["", "shop", "web", ""], true),
        (account, ["", "shop", "", ""], false),
        (account, ["", "", "web", ""], false),
        (account, ["", "other", "web", ""], false),
        (identity, ["", "", "", "spiffe://d/ns/shop/sa/web"], true),
        (identity, ["", "", "", "spiffe://e/ns/shop/sa/web"], false),
        (identity, ["", "shop", "web", ""], false),
    ];
    for (index, ((map, key), attributes, specific)) in rows.iter().enumerate() {
        let denying = json!({"evaluationMode": "ALWAYS_DENY", "enforcementMode": 2});
        let policy = read(&with(map, json!({*key: denying}))).unwrap();
        let request = Request {
            project: project(),
            cluster: attribute(attributes[0]),
            namespace: attribute(attributes[1]),
            service_account: attribute(attributes[2]),
            istio_identity: attribute(attributes[3]),
            images: Vec::new(),
            break_glass: false,
        };
        let (matched, rule) = select(&policy, &request);
        assert_eq!(rule.evaluation == EvaluationMode::AlwaysDeny, *specific, "row {index}");
        let expected = match (specific, *map) {
            (false, _) => RuleMatch::Default,
            (true, "clusterAdmissionRules") => RuleMatch::Cluster((*key).to_owned()),
            (true, "kubernetesNamespaceAdmissionRules") => {
                RuleMatch::KubernetesNamespace((*key).to_owned())
            }
            (true, "kubernetesServiceAccountAdmissionRules") => {
                RuleMatch::KubernetesServiceAccount((*key).to_owned())
            }
            (true, _) => RuleMatch::IstioServiceIdentity("d/ns/shop/sa/web".to_owned()),
        };
        assert_eq!(matched, expected, "row {index}");
    }
}
