use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hallmark_core::attestor::render::{ApiVersion, attestor_to_json};

use hallmark_core::platform::render::platform_policy_to_json;
use hallmark_core::policy::render::{policy_to_json, policy_to_yaml};
use hallmark_core::resource::Resource;
use rustix::fs::{FileType, Mode, mknodat};
use serde_json::Value;

use super::live::FilesWatch;
use super::live::Pace;
use super::*;
use crate::store::Change;
use crate::store::conformance;
use crate::store::samples::{attestation, attestor, platform_policy, policy, uri};
use crate::store::tests::states;

const NOTE: &str = "projects/p/notes/n";
const ATTESTOR: &str = "projects/p/attestors/a";

fn put(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn put_json(dir: &Path, file: &str, json: &Value) {
    put(dir, file, &serde_json::to_string_pretty(json).unwrap());
}

fn policy_yaml(etag: &str) -> String {
    policy_to_yaml(&policy(ATTESTOR, etag), &"p".parse().unwrap())
}

/// The same resources, one a file.
fn put_resources(dir: &Path, writes: Vec<Write>) {
    for write in writes {
        match write.change {
            Change::Create(resources) => {
                resources.into_iter().for_each(|(one, _)| put_resource(dir, one));
            }
            Change::Replace(policy @ Resource::Policy(..)) => put_resource(dir, policy),
            Change::PutIamPolicy(resource, policy) => {
                let place = resource.to_string();
                let (project, rest) = place["projects/".len()..].split_once('/').unwrap();
                let file = format!("projects/{project}/iam/{rest}.json");
                put_json(dir, &file, &policy.to_json());
            }
            other => panic!("{other:?} is no resource"),
        }
    }
}

fn put_resource(dir: &Path, resource: Resource) {
    let name = resource.name().to_string().replace("/platforms/gke/policies/", "/platforms/gke/");
    let json = match resource {
        Resource::Policy(project, policy) => policy_to_json(&policy, &project),
        Resource::Attestor(attestor) => attestor_to_json(&attestor, ApiVersion::V1),
        Resource::Note(note) => Value::Object(note.json),
        Resource::Occurrence(occurrence) => Value::Object(occurrence.json),
        Resource::PlatformPolicy(policy) => platform_policy_to_json(&policy),
    };
    put_json(dir, &format!("{name}.json"), &json);
}

fn faults(dir: &Path) -> String {
    FilesStore::load(dir).unwrap_err().to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn the_files_store_conforms() {
    let dir = tempfile::tempdir().unwrap();
    put_resources(dir.path(), conformance::resources());
    let store = FilesStore::load(dir.path()).unwrap();
    conformance::check(&store);
    conformance::check_read_only(&store);
    let live = LiveFiles::load(dir.path()).unwrap();
    conformance::check(&live);
    conformance::check_read_only(&live);
}

#[test]
fn the_files_store_answers_as_the_model_does() {
    for state in states() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("projects")).unwrap();
        put_resources(dir.path(), state.model.creates());
        state.check(&FilesStore::load(dir.path()).unwrap());
    }
}

#[test]
fn the_files_store_finds_everything_among_many() {
    let dir = tempfile::tempdir().unwrap();
    put_resources(dir.path(), conformance::resources());
    let mut store = FilesStore::load(dir.path()).unwrap();
    let many = conformance::many().into_iter().map(|one| (one.name.clone(), one));
    store.occurrences = many.collect();
    (store.evidence, store.by_digest) = Default::default();
    store.index_evidence();
    conformance::check_many(&store);
}

#[test]
fn yaml_lists_and_names_of_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("\"1\""));
    let yaml = format!("# reviewed\nuserOwnedGrafeasNote:\n  noteReference: {NOTE}\n");
    put(dir.path(), "projects/p/attestors/built-by.yml", &yaml);
    put(dir.path(), "projects/p/notes/n.yaml", "attestation: {hint: {humanReadableName: prod}}\n");
    let both = ["1", "2"].map(|id| {
        Value::Object(attestation(&format!("projects/p/occurrences/{id}"), NOTE, &uri(1)).json)
    });
    put_json(dir.path(), "projects/p/occurrences/all.json", &Value::from(both.to_vec()));
    put(dir.path(), "projects/p/.gitkeep", "");
    let store = FilesStore::load(dir.path()).unwrap();
    let p = store.project(&"p".parse().unwrap()).unwrap();
    assert_eq!(p.policy, Some(policy(ATTESTOR, "\"1\"")));
    assert_eq!(p.attestors[0].name.to_string(), "projects/p/attestors/built-by");
    assert!(store.note(&NOTE.parse().unwrap()).unwrap().is_some());
    assert_eq!(store.occurrences.len(), 2);
}

#[test]
fn every_bad_file_is_named_with_its_line_and_path() {
    let dir = tempfile::tempdir().unwrap();
    let rule =
        "defaultAdmissionRule:\n  evaluationMode: ALWAYS_ALLOW\n  enforcementMode: SOMETIMES\n";
    put(dir.path(), "projects/p/policy.yaml", rule);
    put(dir.path(), "projects/p/notes/n.json", "{\n \"kind\": }");
    put(dir.path(), "projects/p/attestors/a.yaml", "description: [");
    let text = faults(dir.path());
    for expected in [
        "projects/p/policy.yaml: line 3: defaultAdmissionRule.enforcementMode",
        "projects/p/notes/n.json: line 2",
        "projects/p/attestors/a.yaml: line 1",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    for (file, expected) in [
        ("projects/p/polcy.yaml", "expected policy.yaml"),
        ("projects/p/README.md", "does not belong here"),
        ("projects/p/attestors/a.yaml.bak", "expected files .json, .yaml or .yml"),
        ("projects/p/attestors/deeper/a.yaml", "expected files .json, .yaml or .yml"),
        ("projects/stray.yaml", "expected one directory a project"),
        ("projects/no project/policy.yaml", "expected one directory a project"),
        ("projects/p/policy.json", "the project has another policy file"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "projects/p/policy.yaml", &policy_yaml("\"1\""));
        FilesStore::load(dir.path()).unwrap();
        put(dir.path(), file, &policy_yaml("\"1\""));
        let text = faults(dir.path());
        assert!(text.contains(expected), "{file}: {text}");
    }
}

#[test]
fn a_directory_without_projects_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(faults(dir.path()).starts_with("projects: "), "{}", faults(dir.path()));
    assert!(!faults(&dir.path().join("none")).is_empty());
}

#[test]
fn a_name_of_another_project_and_a_name_written_twice_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let json = attestor_to_json(&attestor(ATTESTOR, NOTE, "\"1\""), ApiVersion::V1);
    put_json(dir.path(), "projects/q/attestors/a.json", &json);
    let text = faults(dir.path());
    assert!(text.contains("does not belong in the directory of project q"), "{text}");
    fs::remove_dir_all(dir.path().join("projects/q")).unwrap();
    put_json(dir.path(), "projects/p/attestors/a.json", &json);
    put_json(dir.path(), "projects/p/attestors/b.json", &json);
    assert_eq!(
        faults(dir.path()),
        "projects/p/attestors/b.json: projects/p/attestors/a is written twice: keep one of the two"
    );
    put(dir.path(), "projects/p/notes/not an id.json", "{\"attestation\": {}}");
    assert!(faults(dir.path()).contains("rename the file, or set `name` in it"));
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        "projects/p/policy.yaml",
        &format!("#{}\n{}", " ".repeat(5 << 20), policy_yaml("")),
    );
    let text = faults(dir.path());
    assert!(text.contains("at most 4194304 are read"), "{text}");
}

#[test]
fn of_very_many_faults_the_first_are_listed_and_the_rest_counted() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..105 {
        put(dir.path(), &format!("projects/p/notes/{number}.json"), "{");
    }
    let text = faults(dir.path());
    assert!(text.ends_with("\nand 5 more"), "{text}");
    assert_eq!(text.lines().count(), 101);
}

/// Long enough for any machine; nothing waits for it to end.
const PATIENCE: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(3_600);
const EVENTS_ONLY: Pace =
    Pace { quiet: Duration::from_millis(20), patience: PATIENCE, rescan: NEVER };

type Changes = Receiver<Result<(), FilesError>>;

fn follow(dir: &Path, pace: Pace) -> (Arc<LiveFiles>, FilesWatch, Changes) {
    let live = Arc::new(LiveFiles::load(dir).unwrap());
    let (sender, changes) = channel();
    let taker = Arc::clone(&live);
    let take = move |next: Result<FilesStore, FilesError>| {
        sender.send(next.map(|next| taker.replace(next))).unwrap();
    };
    let watch = live.watch_at(pace, take).unwrap();
    (live, watch, changes)
}

fn etag(live: &LiveFiles) -> String {
    live.project(&"p".parse().unwrap())
        .unwrap()
        .policy
        .map_or_else(String::new, |policy| policy.etag)
}

/// Waits until `expected` is in use.
fn wait_for(live: &LiveFiles, changes: &Changes, expected: &str) {
    while etag(live) != expected {
        assert_eq!(changes.recv_timeout(PATIENCE), Ok(Ok(())));
    }
}

#[test]
fn a_change_is_taken_and_a_bad_one_keeps_the_last_good_state() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("1"));
    let (live, watch, changes) = follow(dir.path(), EVENTS_ONLY);
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("2"));
    wait_for(&live, &changes, "2");
    put(dir.path(), "projects/new/notes/n.json", "{");
    let faults = changes.recv_timeout(PATIENCE).unwrap().unwrap_err().to_string();
    assert!(faults.contains("projects/new/notes/n.json"), "{faults}");
    assert_eq!(etag(&live), "2");
    // A directory that came after the watch began is watched too.
    put(dir.path(), "projects/new/notes/n.json", "{\"attestation\": {}}");
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(Ok(())));
    assert!(live.project(&"new".parse().unwrap()).unwrap().known);
    fs::remove_dir_all(dir.path().join("projects/new")).unwrap();
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("3"));
    wait_for(&live, &changes, "3");
    drop(watch);
    assert_eq!(changes.recv().ok(), None, "nobody follows any more");
}

#[test]
fn a_policy_goes_with_the_directory_of_its_project_only() {
    let dir = tempfile::tempdir().unwrap();
    for project in ["p", "q"] {
        // Only a policy that does not say whose it is can move with its directory.
        let yaml = policy_yaml("1");
        let lines: Vec<_> = yaml.lines().filter(|line| !line.starts_with("name:")).collect();
        assert_eq!(lines.len() + 1, yaml.lines().count());
        let nameless = lines.join("\n");
        put(dir.path(), &format!("projects/{project}/policy.yaml"), &nameless);
        put(dir.path(), &format!("projects/{project}/notes/n.json"), "{\"attestation\": {}}");
    }
    let (live, watch, changes) = follow(dir.path(), EVENTS_ONLY);
    let policy = dir.path().join("projects/p/policy.yaml");
    fs::remove_file(&policy).unwrap();
    let gone = FilesError::one(&policy, FileFault::PolicyGone);
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), Err(gone.clone()));
    watch.look_again();
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), Err(gone.clone()), "it is no better");
    // Neither does anything else that is taken away or added meanwhile.
    fs::remove_dir_all(dir.path().join("projects/p/notes")).unwrap();
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), Err(gone));
    assert_eq!(etag(&live), "1");
    assert!(live.note(&NOTE.parse().unwrap()).unwrap().is_some(), "all of the last good state");
    // An empty directory holds no file whose removal could be seen.
    fs::remove_dir(dir.path().join("projects/p")).unwrap();
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(Ok(())));
    assert!(!live.project(&"p".parse().unwrap()).unwrap().known);
    fs::rename(dir.path().join("projects/q"), dir.path().join("projects/p")).unwrap();
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(Ok(())));
    let projects = live.load_all().unwrap();
    let [(name, _)] = projects.as_slice() else { panic!("a renamed project is another") };
    assert_eq!(name.as_str(), "p");
}

#[test]
fn a_policy_from_a_file_has_the_etag_of_its_content_if_it_has_none_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let etag_of = |text: &str| {
        put(dir.path(), "projects/p/policy.yaml", text);
        let store = FilesStore::load(dir.path()).unwrap();
        store.project(&"p".parse().unwrap()).unwrap().policy.unwrap().etag
    };
    let (first, second) = (etag_of(&policy_yaml("")), etag_of(&format!("#\n{}", policy_yaml(""))));
    assert!(first.starts_with('"') && first.len() == second.len() && first != second, "{first}");
    assert_eq!(etag_of(&policy_yaml("its own")), "its own");
}

/// As the kubelet writes a ConfigMap: files are links through `..data`, which is swapped.
fn publish(dir: &Path, version: &str) {
    let project = dir.join("projects/p");
    put(&project, &format!("..{version}/policy.yaml"), &policy_yaml(version));
    let new = project.join("..data_tmp");
    symlink(format!("..{version}"), &new).unwrap();
    fs::rename(new, project.join("..data")).unwrap();
    if version == "1" {
        symlink("..data/policy.yaml", project.join("policy.yaml")).unwrap();
    }
}

#[test]
fn the_swap_of_a_config_map_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), "1");
    let (live, _watch, changes) = follow(dir.path(), EVENTS_ONLY);
    assert_eq!(etag(&live), "1");
    for (version, old) in [("2", "1"), ("3", "2"), ("4", "3")] {
        publish(dir.path(), version);
        fs::remove_dir_all(dir.path().join("projects/p").join(format!("..{old}"))).unwrap();
        wait_for(&live, &changes, version);
    }
}

/// As git-sync does: the directory itself is a link that is swapped.
fn point(link: &Path, target: &Path) {
    let new = link.with_extension("new");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

fn two_versions(parent: &Path) -> [PathBuf; 2] {
    ["1", "2"].map(|version| {
        let dir = parent.join(version);
        put(&dir, "projects/p/policy.yaml", &policy_yaml(version));
        dir
    })
}

#[test]
fn the_swap_of_the_directory_itself_is_taken() {
    let parent = tempfile::tempdir().unwrap();
    let [one, two] = two_versions(parent.path());
    let link = parent.path().join("current");
    point(&link, &one);
    let (live, _watch, changes) = follow(&link, EVENTS_ONLY);
    point(&link, &two);
    wait_for(&live, &changes, "2");
    put(&two, "projects/p/policy.yaml", &policy_yaml("3"));
    wait_for(&live, &changes, "3");
}

#[test]
fn a_change_without_an_event_is_found_by_looking_again() {
    let parent = tempfile::tempdir().unwrap();
    let [one, two] = two_versions(&parent.path().join("versions"));
    // A link two levels up: nothing that is watched changes.
    let link = parent.path().join("current");
    point(&link, one.parent().unwrap());
    let moved = parent.path().join("other-versions");
    put(&moved, "1/projects/p/policy.yaml", &policy_yaml("4"));
    drop(two);
    let pace = Pace { rescan: Duration::from_millis(20), ..EVENTS_ONLY };
    let (live, _watch, changes) = follow(&link.join("1"), pace);
    point(&link, &moved);
    wait_for(&live, &changes, "4");
    assert_eq!(changes.try_recv().ok(), None, "looking again at the same files is no change");
}

#[test]
fn a_relative_directory_is_watched() {
    // Relative to wherever the tests run: up to the root and down again.
    let dir = tempfile::tempdir().unwrap();
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(dir.path().strip_prefix("/").unwrap());
    assert!(relative.is_relative());
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("1"));
    let (live, _watch, changes) = follow(&relative, EVENTS_ONLY);
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("2"));
    wait_for(&live, &changes, "2");
}

fn fifo(path: &Path) {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn what_is_no_regular_file_is_refused_and_holds_up_nothing() {
    for place in ["policy.yaml", "notes/n.json", "notes", "iam/policy.yaml"] {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "projects/p/policy.yaml", &policy_yaml("1"));
        put(dir.path(), "projects/p/attestors/.gitkeep", "");
        put(dir.path(), "projects/p/iam/.gitkeep", "");
        if place.starts_with("notes/") {
            put(dir.path(), "projects/p/notes/.gitkeep", "");
        }
        let (live, watch, changes) = follow(dir.path(), EVENTS_ONLY);
        let path = dir.path().join("projects/p").join(place);
        let aside = dir.path().join("aside");
        fs::rename(&path, &aside).unwrap_or_default();
        fifo(&path);
        let faults = changes.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert!(faults.to_string().contains(place), "{faults}");
        assert_eq!(etag(&live), "1");
        fs::remove_file(&path).unwrap();
        put(dir.path(), "projects/p/policy.yaml", &policy_yaml("2"));
        wait_for(&live, &changes, "2");
        drop(watch);
    }
}

#[test]
fn a_look_that_comes_to_its_end_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "projects/p/policy.yaml", &policy_yaml("1"));
    let pace = Pace { rescan: Duration::from_millis(1), ..EVENTS_ONLY };
    let (_live, watch, _changes) = follow(dir.path(), pace);
    let looked = watch.look_time();
    let before = looked.age();
    let started = Instant::now();
    while looked.age() >= before.max(started.elapsed()) {
        assert!(started.elapsed() < PATIENCE, "no look ends");
        std::thread::yield_now();
    }
}

#[test]
fn a_platform_policy_lies_in_the_directory_of_its_platform() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = platform_policy("projects/p/platforms/gke/policies/a", "");
    let json = platform_policy_to_json(&elsewhere);
    put_json(dir.path(), "projects/p/platforms/cloudRun/a.json", &json);
    put_json(dir.path(), "projects/p/platforms/vm/a.json", &json);
    let error = FilesStore::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("gke or cloudRun"), "{error}");
    fs::remove_dir_all(dir.path().join("projects/p/platforms/vm")).unwrap();
    let error = FilesStore::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("does not belong in the directory of cloudRun"), "{error}");
}

#[test]
fn an_iam_policy_is_of_a_resource_that_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let viewer = "{\"bindings\": [{\"role\": \"roles/binaryauthorization.policyViewer\", \"members\": [\"user:a\"]}]}";
    put_json(
        dir.path(),
        "projects/p/notes/dotted.json",
        &serde_json::json!({"name": "projects/p/notes/.%a", "attestation": {}}),
    );
    put(dir.path(), "projects/p/iam/notes/%2E%25a.json", viewer);
    let store = FilesStore::load(dir.path()).unwrap();
    let note = IamResource::Note("projects/p/notes/.%a".parse().unwrap());
    assert_eq!(store.iam_policy(&note).unwrap().unwrap().bindings[0].members, ["user:a"]);
    put(dir.path(), "projects/p/iam/attestors/none.json", viewer);
    put(dir.path(), "projects/p/iam/policy.yaml", "bindings: {role: viewer}");
    let found = faults(dir.path());
    for says in [
        "iam/attestors/none.json: projects/p/attestors/none does not exist",
        "iam/policy.yaml: line 1: bindings.role: there is no role `viewer`",
    ] {
        assert!(found.contains(says), "{found}");
    }
    put(dir.path(), "projects/p/iam/policy.json", viewer);
    put(dir.path(), "projects/p/iam/policy.yaml", viewer);
    assert!(faults(dir.path()).contains("IAM policy of projects/p/policy is written twice"));
    put(dir.path(), "projects/p/iam/occurrences/o.json", viewer);
    let says = "iam/occurrences: does not belong here: expected policy.yaml, attestors or notes";
    assert!(faults(dir.path()).contains(says));
}
