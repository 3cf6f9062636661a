//! The metrics that an operator's dashboard is made of.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_tests::client::Client;
use hallmark_tests::project::{
    KEY_ID, REPOSITORY, World, ask, decide, digest, dry_run, file, image, occurrence, payload,
    policy, put_policy, rule,
};
use serde_json::json;

/// One exposition: families with their type, series with their value.
#[derive(Debug, Default)]
struct Exposition {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads the text format strictly, as `promtool check metrics` does.
    fn parse(text: &str) -> Self {
        let mut read = Self::default();
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.trim().is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(helped.contains(name), "no help: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                read.types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(read.family(series).is_some(), "no type: {line}");
                assert!(read.series.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        read
    }

    fn family(&self, series: &str) -> Option<&String> {
        let name = series.split('{').next()?;
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        self.types.get(name).or_else(|| {
            bare.and_then(|bare| self.types.get(bare)).filter(|kind| *kind == "histogram")
        })
    }

    /// The sum of all series of a family whose labels hold all of these.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_family = |series: &str| series.split('{').next() == Some(name);
        let found: Vec<_> = self
            .series
            .iter()
            .filter(|(series, _)| of_family(series))
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value)
            .collect();
        assert!(!found.is_empty(), "no {name} {labels:?}");
        found.into_iter().sum()
    }
}

async fn exposition(client: &Client) -> Exposition {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, 200);
    Exposition::parse(&answer.text)
}

#[tokio::test]
async fn everything_that_happens_is_counted() {
    let world = World::new().await;
    let client = world.client();
    let before = exposition(client).await;
    let attested = image("attested");
    world.attest(&attested).await;
    let (forged, bytes) = (image("forged"), payload(&image("forged")));
    let mut signature = world.key.sign(&bytes);
    *signature.last_mut().expect("not empty") ^= 1;
    file(client, &occurrence("build", &forged, &bytes, KEY_ID, &signature)).await;
    for image in [&attested, &attested, &forged, &image("plain"), &format!("{REPOSITORY}:latest")] {
        decide(client, &[image]).await;
    }
    let request = json!({"project": "p", "images": [image("plain")], "breakGlass": true});
    ask(client, &request).await.ok();
    let mut cluster = policy("ALWAYS_ALLOW", &[]);
    cluster["clusterAdmissionRules"] = json!({"l.c": dry_run(rule("ALWAYS_DENY", &[]))});
    put_policy(client, &cluster).await;
    let request = json!({"project": "p", "images": [image("plain")], "cluster": "l.c"});
    ask(client, &request).await.ok();
    client.get("/nowhere").await;
    let after = exposition(client).await;

    let moved = |name: &str, labels: &[&str]| after.sum(name, labels) - before.sum(name, labels);
    let decisions = "hallmark_decisions_total";
    assert_eq!(
        moved(decisions, &["outcome=\"allowed\"", "rule=\"default\"", "mode=\"enforced\""]),
        2.0
    );
    assert_eq!(
        moved(decisions, &["outcome=\"denied\"", "rule=\"default\"", "mode=\"enforced\""]),
        4.0
    );
    assert_eq!(
        moved(decisions, &["outcome=\"denied\"", "rule=\"cluster\"", "mode=\"dry_run\""]),
        1.0
    );
    assert_eq!(moved("hallmark_break_glass_total", &[]), 1.0);
    for part in ["", "gather_", "verify_"] {
        assert!(moved(&format!("hallmark_decision_{part}seconds_count"), &[]) >= 3.0, "{part}");
    }
    let verifications = "hallmark_verifications_total";
    assert_eq!(moved(verifications, &["ECDSA_P256_SHA256", "\"verified\""]), 1.0);
    assert_eq!(moved(verifications, &["ECDSA_P256_SHA256", "\"bad_signature\""]), 1.0);
    assert!(moved("hallmark_verification_batch_size_count", &[]) >= 2.0);
    let lookups = "hallmark_cache_requests_total";
    assert_eq!(moved(lookups, &["cache=\"evaluation\"", "outcome=\"hit\""]), 2.0);
    assert_eq!(moved(lookups, &["cache=\"evaluation\"", "outcome=\"miss\""]), 3.0);
    assert!(moved(lookups, &["cache=\"verdict\"", "outcome=\"miss\""]) >= 2.0);
    // Seven decisions; three writes, each with its intent.
    assert_eq!(moved("hallmark_audit_records_total", &[]), 13.0);
    assert_eq!(moved("hallmark_snapshot_generation", &[]), 1.0);
    assert_eq!(moved("hallmark_http_requests_total", &["api=\"decisions\"", "code=\"200\""]), 7.0);
    assert_eq!(moved("hallmark_http_requests_total", &["api=\"unknown\"", "code=\"404\""]), 1.0);
    assert!(moved("hallmark_store_seconds_count", &[]) >= 3.0);
}

/// Every metric that a dashboard needs is there from the first scrape on.
#[tokio::test]
async fn what_a_dashboard_needs_is_there_from_the_start() {
    let world = World::new().await;
    decide(world.client(), &[&image("plain")]).await;
    let seen = exposition(world.client()).await;
    for (name, labels) in [
        ("hallmark_cache_evictions_total", "evaluation"),
        ("hallmark_cache_bytes", "evaluation"),
        ("hallmark_cache_bytes", "verdict"),
        ("hallmark_cache_entries", "evaluation"),
        ("hallmark_http_shed_total", "connections"),
        ("hallmark_http_shed_total", "requests"),
        ("hallmark_audit_lag_seconds", ""),
        ("hallmark_audit_append_seconds_count", ""),
        ("hallmark_audit_errors_total", ""),
        ("hallmark_store_errors_total", ""),
        ("hallmark_verification_queue_checks", ""),
        ("hallmark_snapshot_age_seconds", ""),
        ("hallmark_http_in_flight", ""),
    ] {
        seen.sum(name, &[labels]);
    }
    assert!(seen.sum("hallmark_cache_entries", &["evaluation"]) >= 1.0);
    assert!(seen.sum("hallmark_cache_bytes", &["evaluation"]) >= 100.0);
    assert!(seen.sum("hallmark_snapshot_generation", &[]) >= 1.0);
    let plugins = seen.series.keys().filter(|series| series.starts_with("hallmark_plugin"));
    let plugins: Vec<_> = plugins.collect();
    for what in ["age", "errors"] {
        assert!(plugins.iter().any(|series| series.contains(what)), "{what}: {plugins:?}");
    }
}

/// A cached answer takes some 10 µs, a slow one a second: the buckets tell all of them apart.
#[tokio::test]
async fn latencies_are_resolved_from_ten_microseconds_to_a_second() {
    let world = World::new().await;
    decide(world.client(), &[&image("plain")]).await;
    let seen = exposition(world.client()).await;
    for histogram in ["", "gather_", "verify_"] {
        let prefix = format!("hallmark_decision_{histogram}seconds_bucket{{le=\"");
        let bounds = seen.series.keys().filter_map(|series| series.strip_prefix(prefix.as_str()));
        let mut bounds: Vec<f64> = bounds
            .filter_map(|rest| rest.trim_end_matches("\"}").parse().ok())
            .filter(|bound: &f64| bound.is_finite())
            .collect();
        bounds.sort_by(f64::total_cmp);
        assert!(bounds.first() <= Some(&1e-5) && bounds.last() >= Some(&1.0), "{bounds:?}");
        assert!(bounds.windows(2).all(|pair| pair[1] / pair[0] <= 3.0), "{bounds:?}");
    }
}

/// Labels are bounded: whatever is asked, no new series appear, and none says what was asked.
#[tokio::test]
async fn no_label_holds_what_was_asked() {
    let world = World::new().await;
    let client = world.client();
    let secret = "registry.secret.example/hush";
    for n in 0..50 {
        let request = json!({
            "project": format!("hidden{n}"), "cluster": format!("hush.c{n}"),
            "namespace": format!("hush{n}"), "images": [format!("{secret}@{}", digest(&n.to_string()))],
        });
        ask(client, &request).await.ok();
        client.get(&format!("/hush/{n}")).await;
    }
    let first = exposition(client).await;
    for series in first.series.keys() {
        for word in ["hush", "hidden", "sha256:", "registry", "projects/"] {
            assert!(!series.contains(word), "{series}");
        }
    }
    for n in 50..100 {
        ask(client, &json!({"project": format!("hidden{n}"), "images": [secret]})).await.ok();
    }
    let second = exposition(client).await;
    assert_eq!(first.series.len(), second.series.len());
    assert!(second.series.len() < 2_000, "{} series", second.series.len());
}
