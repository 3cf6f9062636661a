use std::sync::atomic::Ordering;

use hallmark_core::policy::{EvaluationMode, Policy, ProjectPolicy, SpecificRules};

use super::fixture::*;
use crate::resources::ResourceError;

#[tokio::test]
async fn a_project_without_a_policy_answers_one_that_denies_and_says_why() {
    let policy = world().resources.policy(project("p")).await.unwrap();
    assert_eq!(policy, Policy::not_written());
    assert_eq!(policy.default_admission_rule.evaluation, EvaluationMode::AlwaysDeny);
    assert!(policy.description.contains("hallmark policy import"), "{}", policy.description);
    assert_eq!(policy.etag, "", "it was never written");
}

#[tokio::test]
async fn a_written_policy_is_in_force_and_has_an_etag_and_a_time() {
    let world = world();
    let written = world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    assert_eq!(written.etag_before, None);
    let written = written.resource;
    assert!(!written.etag.is_empty() && !written.update_time.is_empty());
    assert_eq!(world.resources.policy(project("p")).await.unwrap(), written);
    let snapshot = world.snapshots.current();
    let p = project("p");
    assert!(
        matches!(snapshot.policies(&p).policy, ProjectPolicy::Written(policy) if *policy == written)
    );
}

#[tokio::test]
async fn an_etag_is_optional_and_a_stale_one_is_refused() {
    let world = world();
    let first = world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    let second = world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    assert_ne!(first.etag, second.etag);
    assert_eq!(second.etag_before.as_ref(), Some(&first.etag));
    let error = world.resources.put_policy(project("p"), first.resource).await.unwrap_err();
    assert!(matches!(error, ResourceError::EtagMismatch { .. }), "{error}");
    world.resources.put_policy(project("p"), second.resource).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_updates_with_one_etag_exactly_one_wins() {
    let world = world();
    let base = world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|i| {
            let mut policy = base.resource.clone();
            policy.description = format!("writer {i}");
            let resources = world.resources.clone();
            tokio::spawn(async move { resources.put_policy(project("p"), policy).await })
        })
        .collect();
    let mut won = Vec::new();
    for writer in writers {
        match writer.await.unwrap() {
            Ok(policy) => won.push(policy),
            Err(error) => assert!(matches!(error, ResourceError::EtagMismatch { .. }), "{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(world.resources.policy(project("p")).await.unwrap(), won[0].resource);
}

#[tokio::test]
async fn attestors_that_a_policy_names_must_exist() {
    let world = world();
    let policy = requiring(&["projects/p/attestors/a", "projects/p/attestors/missing"]);
    world.resources.create_attestor(attestor("a", vec![])).await.unwrap();
    let error = world.resources.put_policy(project("q"), policy.clone()).await.unwrap_err();
    let path = "defaultAdmissionRule.requireAttestationsBy[1]";
    let problem = "projects/p/attestors/missing does not exist: create the attestor first";
    assert_eq!(error, ResourceError::invalid(path, problem));

    let mut specific = Policy::google_default();
    let rule = policy.default_admission_rule;
    specific.specific_rules = SpecificRules::Cluster([("eu.prod".to_owned(), rule)].into());
    let error = world.resources.put_policy(project("q"), specific).await.unwrap_err().to_string();
    assert!(
        error.starts_with("clusterAdmissionRules[\"eu.prod\"].requireAttestationsBy[1]: "),
        "{error}"
    );

    let existing = requiring(&["projects/p/attestors/a"]);
    world.resources.put_policy(project("q"), existing).await.unwrap();
}

#[tokio::test]
async fn a_read_only_store_refuses_with_what_to_do_instead() {
    let world = world();
    world.store.frozen.store(true, Ordering::Relaxed);
    let error =
        world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap_err();
    assert!(
        matches!(&error, ResourceError::ReadOnly(text) if text.contains("--config-dir")),
        "{error}"
    );
}
