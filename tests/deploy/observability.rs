//! The dashboard, the alerts and the table of metrics speak of metrics that the daemon exports.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use hallmark_tests::project::{World, decide, image};
use serde_json::{Value, json};

use super::tree::{deploy, documents, items, printed, read, text};

/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// A family as exported.
#[derive(Debug, Default, PartialEq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

/// The metrics that a daemon exports while a plugin of it runs in a process of its own.
async fn exported() -> BTreeMap<String, Family> {
    let plugin = "[[plugins]]\nname = 'pkix'\nisolation = 'worker'\nconfig = {}";
    let world = World::configured(plugin).await;
    decide(world.client(), &[&image("plain")]).await;
    let answer = world.client().get("/metrics").await;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in answer.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let series = line.rsplit_once(' ').expect("a value").0;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let names = labels.split('"').step_by(2).filter_map(|part| part.strip_suffix('='));
            let names = names.map(|name| name.trim_start_matches(',').to_owned());
            let family = families.get_mut(&family_name(name, &families)).expect("a type");
            family.labels.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

/// The family of a series: a histogram's series have endings.
fn family_name<T>(series: &str, families: &BTreeMap<String, T>) -> String {
    let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
    bare.filter(|bare| families.contains_key(*bare)).unwrap_or(series).to_owned()
}

/// Every series that an expression names, with the labels that it asks of it.
fn asked(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    for (start, _) in expression.match_indices("hallmark_") {
        let rest = &expression[start..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let labels = rest[end..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        let parts = labels.unwrap_or_default().split('"').step_by(2);
        let names = parts.filter_map(|part| part.split(['=', '!']).next());
        let names = names.map(|name| name.trim_start_matches([',', ' ']).to_owned());
        found.push((rest[..end].to_owned(), names.filter(|name| !name.is_empty()).collect()));
    }
    found
}

/// Every alert, with its expression.
fn alerts() -> BTreeMap<String, String> {
    let rules = documents(&read("observability/alerts.yaml"));
    let rules = items(&rules[0]["groups"]).iter().flat_map(|group| items(&group["rules"]));
    rules.map(|rule| (text(&rule["alert"]).to_owned(), text(&rule["expr"]).to_owned())).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("observability/grafana-dashboard.json")).expect("JSON")
}

/// Every query of the dashboard, with its panel.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = items(&dashboard["panels"]).iter();
    let queries = panels.flat_map(|panel| {
        let title = text(&panel["title"]);
        items(&panel["targets"]).iter().map(move |target| (title.to_owned(), text(&target["expr"])))
    });
    let lists = ["templating", "annotations"].iter().flat_map(|list| {
        items(&dashboard[list]["list"]).iter().filter_map(|one| {
            let query = one["definition"].as_str().or_else(|| one["expr"].as_str())?;
            Some((text(&one["name"]).to_owned(), query))
        })
    });
    queries.chain(lists).map(|(title, query)| (title, query.to_owned())).collect()
}

#[tokio::test]
async fn what_dashboard_and_alerts_ask_for_is_exported() {
    let exported = exported().await;
    for (place, expression) in alerts().into_iter().chain(queries(&dashboard())) {
        for (series, labels) in asked(&expression) {
            let name = family_name(&series, &exported);
            let Some(family) = exported.get(&name) else {
                panic!("{place}: no {series} is exported");
            };
            let histogram = family.kind == "histogram";
            assert_eq!(histogram, series != name, "{place}: {series} is a {}", family.kind);
            for label in &labels {
                let known = family.labels.contains(label) || ADDED.contains(&label.as_str());
                assert!(known, "{place}: {series} has no label {label}");
            }
        }
    }
}

/// `docs/metrics.md`: `| name | type | labels | unit | meaning | what to do |`.
#[tokio::test]
async fn the_table_of_metrics_is_in_step() {
    let page = read("../docs/metrics.md");
    let mut table = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `hallmark_")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        let labels = cells[2].split('`').skip(1).step_by(2).map(str::to_owned);
        let family = Family { kind: cells[1].to_owned(), labels: labels.collect() };
        let name = cells[0].trim_matches('`').to_owned();
        assert!(table.insert(name, family).is_none(), "twice: {line}");
    }
    let exported = exported().await;
    for (name, family) in &exported {
        assert_eq!(table.get(name), Some(family), "left: the row in docs/metrics.md, {name}");
    }
    assert_eq!(table.len(), exported.len(), "docs/metrics.md names what is not exported");
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_as_they_should() {
    let at = deploy("observability");
    printed(Command::new("promtool").args(["check", "rules", "alerts.yaml"]).current_dir(&at));
    printed(Command::new("promtool").args(["test", "rules", "alerts_test.yaml"]).current_dir(&at));
}

#[test]
fn every_alert_is_tested_firing_and_quiet() {
    let tests = documents(&read("observability/alerts_test.yaml"));
    let mut seen: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for case in items(&tests[0]["tests"]).iter().flat_map(|test| items(&test["promql_expr_test"])) {
        let expression = text(&case["expr"]);
        let alert = expression.split('"').nth(1).expect("a name").to_owned();
        let fires = !items(&case["exp_samples"]).is_empty();
        seen.entry(alert).or_default()[usize::from(fires)] = true;
    }
    for alert in alerts().keys() {
        assert_eq!(seen.get(alert), Some(&[true, true]), "{alert}");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let rules = documents(&read("observability/alerts.yaml"));
    for rule in items(&rules[0]["groups"]).iter().flat_map(|group| items(&group["rules"])) {
        let severity = text(&rule["labels"]["severity"]);
        assert!(["info", "warning", "critical"].contains(&severity), "{rule}");
        for key in ["summary", "description"] {
            assert!(text(&rule["annotations"][key]).len() > 15, "{rule}");
        }
    }
}

/// Grafana's variables replaced, Prometheus itself reads every query.
#[test]
fn prometheus_takes_every_query_of_the_dashboard() {
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    let rules = queries.iter().filter(|(_, query)| !query.starts_with("label_values(")).enumerate();
    let rules = rules.map(|(n, (_, query))| {
        let plain = query.replace("$__rate_interval", "5m").replace(['$'], "");
        json!({"record": format!("panel:{n}"), "expr": plain})
    });
    let rules = rules.collect::<Vec<_>>();
    assert!(rules.len() > 40, "{}", rules.len());
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.yaml");
    let group = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, group.to_string()).expect("writes");
    printed(Command::new("promtool").args(["check", "rules"]).arg(&file));
}

#[test]
fn panels_are_told_apart_explained_and_do_not_overlap() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in items(&dashboard["panels"]) {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{panel}");
        for (x, y) in (at("x")..at("x") + at("w"))
            .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{panel}");
        }
        if panel["type"] != "row" {
            assert!(!text(&panel["description"]).is_empty(), "{panel}");
            assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{panel}");
            assert!(!items(&panel["targets"]).is_empty(), "{panel}");
        }
    }
}
