//! From a daemon into files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use hallmark_core::limits::Limits;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, ProjectId};
use hallmark_core::occurrence::parse::{note_from_json, occurrence_from_json};
use hallmark_core::platform::render::platform_policy_to_yaml;
use hallmark_core::policy::AdmissionRule;
use hallmark_core::policy::render::policy_to_yaml;
use serde_json::{Value, json};

use super::left_out::{Cause, LeftOut};
use super::{
    attestor_of, content_id, normal_attestor, normal_iam_policy, normal_note, normal_occurrence,
    normal_platform_policy, normal_policy, platform_policy_of, policy_of,
};
use crate::cli::Outcome;
use crate::cli::client::{Client, encode};
use crate::cli::on_daemon::OnDaemon;
use crate::cli::output::{id, string};

/// Strays that are named; the rest is counted.
const STRAYS_NAMED_MAX: usize = 10;

/// Write a whole project into files.
///
/// Writes DIR/projects/PROJECT with the policy, the platform policies, the attestors, the notes
/// and the occurrences: a directory for `hallmark import`, or for `hallmark serve --config-dir`.
/// Their IAM policies go with them. Etags, times and the ids of occurrences are left out, and so are
/// occurrences whose note does not exist. What decisions of the project rest on and is not in the
/// files, such as notes of other projects, is said. May be repeated: what is there already stays.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The directory; made where it is not there.
    #[arg(long, value_name = "DIR")]
    to_dir: PathBuf,
    #[command(flatten)]
    on: OnDaemon,
}

impl Export {
    pub(in crate::cli) fn run(self) -> anyhow::Result<Outcome> {
        let project: ProjectId = self.on.target.project()?.parse()?;
        let root = self.to_dir.join("projects").join(project.as_str());
        let mut tree =
            Tree { root, written: BTreeSet::new(), iam_policies: 0, left_out: LeftOut::default() };
        let client = self.on.connect()?;
        // A resource that refers to another is read before it, so that the other is there.
        let policy = policy(&client, &project, &mut tree)?;
        let platform_policies = platform_policies(&client, &project, &mut tree)?;
        let attestors = attestors(&client, &project, &mut tree)?;
        let occurrences = occurrences(&client, &project, &mut tree)?;
        let notes = notes(&client, &project, &mut tree)?;
        let iam_policies = tree.iam_policies;
        if tree.written.is_empty() {
            bail!("project {project} holds nothing: is that its name?");
        }
        tree.refuse_strays()?;
        self.on.print(&json!({
            "directory": tree.root.display().to_string(),
            "policy": policy,
            "platformPolicies": platform_policies,
            "attestors": attestors,
            "notes": notes,
            "occurrences": occurrences,
            "iamPolicies": iam_policies,
            "leftOut": tree.left_out.sentences(),
        }))?;
        Ok(Outcome::Done)
    }
}

fn policy(client: &Client, project: &ProjectId, tree: &mut Tree) -> anyhow::Result<usize> {
    let answer = client.get(&format!("/v1/projects/{}/policy", encode(project.as_str())))?;
    let (policy, written) = policy_of(&answer)?;
    if written {
        for attestor in policy.rules().flat_map(AdmissionRule::attestors) {
            if attestor.project() != project {
                tree.left_out.add(Cause::AttestorElsewhere, attestor.to_string());
            }
        }
        tree.write("policy.yaml", &policy_to_yaml(&normal_policy(policy), project))?;
    } else {
        tree.left_out.add(Cause::NoPolicy, "");
    }
    let path = format!("/v1/projects/{}/policy:getIamPolicy", encode(project.as_str()));
    tree.write_iam("policy", &client.get(&path)?)?;
    Ok(usize::from(written))
}

fn platform_policies(
    client: &Client,
    project: &ProjectId,
    tree: &mut Tree,
) -> anyhow::Result<usize> {
    let mut count = 0;
    for platform in Platform::ALL {
        let collection = format!("platforms/{platform}/policies");
        count += each(client, project, &collection, "platformPolicies", |answer| {
            let policy = normal_platform_policy(platform_policy_of(&answer)?);
            let file = file_name(&id(&answer));
            let yaml = platform_policy_to_yaml(&policy);
            tree.write(&format!("platforms/{platform}/{file}.yaml"), &yaml)
        })?;
    }
    Ok(count)
}

fn attestors(client: &Client, project: &ProjectId, tree: &mut Tree) -> anyhow::Result<usize> {
    each(client, project, "attestors", "attestors", |answer| {
        let attestor = attestor_of(&answer)?;
        if attestor.note.project() != project {
            tree.left_out.add(Cause::NoteElsewhere, attestor.note.to_string());
        }
        let file = file_name(attestor.name.id());
        let yaml = serde_saphyr::to_string(&normal_attestor(attestor))?;
        tree.write(&format!("attestors/{file}.yaml"), &yaml)?;
        let iam = client.get(&format!("{}:getIamPolicy", path(&answer)))?;
        tree.write_iam(&format!("attestors/{file}"), &iam)
    })
}

fn notes(client: &Client, project: &ProjectId, tree: &mut Tree) -> anyhow::Result<usize> {
    each(client, project, "notes", "notes", |answer| {
        let name: NoteName = string(&answer, "name").parse()?;
        let text = text(&normal_note(&answer))?;
        note_from_json(&text, None).with_context(|| name.to_string())?;
        let file = file_name(&id(&answer));
        tree.write(&format!("notes/{file}.json"), &text)?;
        occurrences_elsewhere(client, project, &name, &mut tree.left_out);
        let iam = client.post(&format!("{}:getIamPolicy", path(&answer)), &json!({}))?;
        tree.write_iam(&format!("notes/{file}"), &iam)
    })
}

fn occurrences(client: &Client, project: &ProjectId, tree: &mut Tree) -> anyhow::Result<usize> {
    let mut notes = Notes { client, known: BTreeMap::new() };
    let mut left_out = 0;
    let count = each(client, project, "occurrences", "occurrences", |answer| {
        let name: OccurrenceName = string(&answer, "name").parse()?;
        let normal = normal_occurrence(&answer);
        let text = text(&normal)?;
        let occurrence = occurrence_from_json(&text, Some(&name), &Limits::DEFAULT)
            .with_context(|| name.to_string())?;
        let note = &occurrence.note;
        if !notes.may_exist(note) {
            left_out += 1;
            tree.left_out.add(Cause::NoteMissing, note.to_string());
            return Ok(());
        }
        if note.project() != project {
            tree.left_out.add(Cause::NoteElsewhere, note.to_string());
        }
        let place = format!("occurrences/{}.json", content_id(&normal));
        if tree.written.contains(Path::new(&place)) {
            left_out += 1;
            tree.left_out.add(Cause::Repeated, occurrence.resource_uri);
            return Ok(());
        }
        tree.write(&place, &text)
    })?;
    Ok(count - left_out)
}

/// Which notes exist.
struct Notes<'a> {
    client: &'a Client,
    known: BTreeMap<NoteName, bool>,
}

impl Notes<'_> {
    /// False if the daemon says that there is no such note. One that it does not show may exist.
    fn may_exist(&mut self, note: &NoteName) -> bool {
        if let Some(known) = self.known.get(note) {
            return *known;
        }
        let (project, id) = (encode(note.project().as_str()), encode(note.id()));
        let found = self.client.find(&format!("/v1/projects/{project}/notes/{id}"));
        let may_exist = !matches!(found, Ok(None));
        self.known.insert(note.clone(), may_exist);
        may_exist
    }
}

/// Counts the occurrences under `note` that live in other projects, and so are not exported.
fn occurrences_elsewhere(
    client: &Client,
    project: &ProjectId,
    note: &NoteName,
    left_out: &mut LeftOut,
) {
    let (own, id) = (encode(project.as_str()), encode(note.id()));
    let path = format!("/v1/projects/{own}/notes/{id}/occurrences?pageSize=1000");
    let read = client.each(&path, "occurrences", |answer| {
        let name: OccurrenceName = string(&answer, "name").parse()?;
        if name.project() != project {
            left_out.add(Cause::OfOtherProject, name.project().to_string());
        }
        Ok(())
    });
    // Whoever exports need not be allowed to read other projects.
    if read.is_err() {
        left_out.add(Cause::Unknown, note.to_string());
    }
}

/// Takes every resource of a collection, which a page holds in `member`; returns how many there are.
fn each(
    client: &Client,
    project: &ProjectId,
    collection: &str,
    member: &str,
    mut take: impl FnMut(Value) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut count = 0;
    let path = format!("/v1/projects/{}/{collection}?pageSize=1000", encode(project.as_str()));
    client.each(&path, member, |resource| {
        count += 1;
        take(resource)
    })?;
    Ok(count)
}

/// The path of a resource that a daemon answered.
fn path(answer: &Value) -> String {
    let name = string(answer, "name");
    format!("/v1/{}", name.split('/').map(encode).collect::<Vec<_>>().join("/"))
}

fn text(resource: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(resource)?))
}

/// A name for the file of a resource. One that begins with a dot would be passed over.
fn file_name(id: &str) -> String {
    let escaped = id.replace('%', "%25");
    match escaped.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => escaped,
    }
}

/// The directory of one project.
struct Tree {
    root: PathBuf,
    /// Relative to the root.
    written: BTreeSet<PathBuf>,
    iam_policies: usize,
    left_out: LeftOut,
}

impl Tree {
    /// Writes a file whole or not at all, and not where it says the same already.
    fn write(&mut self, place: &str, text: &str) -> anyhow::Result<()> {
        let path = self.root.join(place);
        self.written.insert(place.into());
        if fs::read(&path).is_ok_and(|held| held == text.as_bytes()) {
            return Ok(());
        }
        let what = || format!("cannot write {}", path.display());
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory).with_context(what)?;
        let begun = directory.join(".begun");
        fs::write(&begun, text).with_context(what)?;
        fs::rename(&begun, &path).with_context(what)
    }

    /// Writes an IAM policy that binds anybody.
    fn write_iam(&mut self, of: &str, answer: &Value) -> anyhow::Result<()> {
        if answer.get("bindings").is_none() {
            return Ok(());
        }
        self.iam_policies += 1;
        let yaml = serde_saphyr::to_string(&normal_iam_policy(answer))?;
        self.write(&format!("iam/{of}.yaml"), &yaml)
    }

    /// Files that were there before and are not of the project would be read as if they were.
    fn refuse_strays(&self) -> anyhow::Result<()> {
        let mut strays = Vec::new();
        let places = [
            "",
            "attestors",
            "notes",
            "occurrences",
            "platforms/gke",
            "platforms/cloudRun",
            "iam",
            "iam/attestors",
            "iam/notes",
        ];
        for place in places {
            strays.extend(self.strays(Path::new(place))?);
        }
        if strays.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = strays.iter().take(STRAYS_NAMED_MAX).cloned().collect();
        bail!(
            "written, but {} more files are there that are not of the project: {}: remove them, or \
             export into an empty directory",
            strays.len(),
            named.join(", ")
        )
    }

    fn strays(&self, place: &Path) -> anyhow::Result<Vec<String>> {
        let directory = self.root.join(place);
        let what = || format!("cannot read {}", directory.display());
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(what)?,
        };
        let mut strays = Vec::new();
        for entry in entries {
            let entry = entry.with_context(what)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let known = self.written.contains(&place.join(entry.file_name()));
            if !hidden && !known && !entry.path().is_dir() {
                strays.push(entry.path().display().to_string());
            }
        }
        strays.sort();
        Ok(strays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_resources_share_a_file_and_none_is_hidden() {
        let ids = ["a", ".a", "%2Ea", "%252Ea", "a.b", "%a", "%25a"];
        let files: BTreeSet<_> = ids.iter().map(|id| file_name(id)).collect();
        assert_eq!(files.len(), ids.len());
        assert!(files.iter().all(|file| !file.starts_with('.')));
    }
}
