//! From files into a daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use hallmark_core::attestor::Attestor;
use hallmark_core::names::{Platform, ProjectId};
use hallmark_core::occurrence::render::{note_to_json, occurrence_to_json};
use hallmark_core::occurrence::{Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::platform::render::platform_policy_to_json;
use hallmark_core::policy::render::policy_to_json;
use hallmark_core::policy::{EvaluationMode, Policy};
use serde_json::{Value, json};

use super::{
    attestor_of, content_id, normal_attestor, normal_iam_policy, normal_note, normal_occurrence,
    normal_platform_policy, normal_policy, platform_policy_of, policy_of,
};
use crate::auth::iam::{IamPolicy, IamResource};
use crate::cli::Outcome;
use crate::cli::client::{Client, encode};
use crate::cli::on_daemon::OnDaemon;
use crate::store::files::FilesStore;
use crate::store::{OccurrenceQuery, OccurrenceScope, Store};

/// Occurrences sent at once, and about as many bytes: half of what the daemon reads of a body.
const BATCH_MAX: usize = 200;
const BATCH_BYTES_MAX: usize = 2 << 20;

/// Write a whole project from files into a daemon.
///
/// Reads DIR/projects/PROJECT as `hallmark export` writes it, refuses it whole where a file is
/// wrong, then creates what is missing and replaces what differs; nothing is deleted. May be
/// repeated, also after it was interrupted. A project that has no policy yet denies everything
/// until its policy, which comes last, is in force.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The directory.
    #[arg(long, value_name = "DIR")]
    from_dir: PathBuf,
    #[command(flatten)]
    on: OnDaemon,
}

impl Import {
    pub(in crate::cli) fn run(self) -> anyhow::Result<Outcome> {
        let project: ProjectId = self.on.target.project()?.parse()?;
        let (store, places) = FilesStore::load_with_places(&self.from_dir)?;
        let transfer = Transfer { client: self.on.connect()?, project, places };
        let held = store.project(&transfer.project)?;
        if !held.known {
            let dir = self.from_dir.join("projects").join(transfer.project.as_str());
            bail!("{} holds nothing: is that the project, and the directory?", dir.display());
        }
        let notes = store.notes(&transfer.project, None, usize::MAX)?;
        let occurrences = store.occurrences(&all(&transfer.project), None, usize::MAX)?;
        let mut platform_policies = Vec::new();
        for platform in Platform::ALL {
            let found = store.platform_policies(&transfer.project, platform, None, usize::MAX)?;
            platform_policies.extend(found);
        }
        if held.policy.is_some() {
            transfer.deny_meanwhile()?;
        }
        let notes = transfer.count(&notes, |note| transfer.note(note))?;
        let attestors = transfer.count(&held.attestors, |attestor| transfer.attestor(attestor))?;
        let occurrences = transfer.occurrences(&occurrences)?;
        let platform_policies =
            transfer.count(&platform_policies, |policy| transfer.platform_policy(policy))?;
        let policy = held.policy.as_slice();
        let policy = transfer.count(policy, |policy| transfer.policy(policy))?;
        let iam = store.iam_policies(&transfer.project);
        let iam = transfer.count(&iam, |(of, policy)| transfer.iam_policy(of, policy))?;
        self.on.print(&json!({
            "policy": policy, "platformPolicies": platform_policies, "attestors": attestors,
            "notes": notes, "occurrences": occurrences, "iamPolicies": iam,
        }))?;
        Ok(Outcome::Done)
    }
}

fn all(project: &ProjectId) -> OccurrenceQuery {
    OccurrenceQuery {
        scope: OccurrenceScope::Project(project.clone()),
        resource_uri: None,
        resource_uri_suffix: None,
        kind: None,
        note: None,
    }
}

/// The action taken on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    Created,
    Updated,
    Unchanged,
}

/// One project on its way.
struct Transfer {
    client: Client,
    project: ProjectId,
    /// The file of each resource.
    places: BTreeMap<String, PathBuf>,
}

impl Transfer {
    /// Counts what `write` did about each.
    fn count<R>(
        &self,
        resources: &[R],
        write: impl Fn(&R) -> anyhow::Result<Done>,
    ) -> anyhow::Result<Value> {
        let done = resources.iter().map(write).collect::<anyhow::Result<Vec<_>>>()?;
        let of = |kind| done.iter().filter(|done| **done == kind).count();
        let (created, updated) = (of(Done::Created), of(Done::Updated));
        Ok(json!({"created": created, "updated": updated, "unchanged": of(Done::Unchanged)}))
    }

    /// Says which file and which resource an error is about.
    fn place(&self, name: &dyn std::fmt::Display) -> String {
        let name = name.to_string();
        let file = self.places.get(&name).map(|file| file.display().to_string());
        format!("{}: {name}", file.unwrap_or_default())
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/projects/{}/{rest}", encode(self.project.as_str()))
    }

    /// A project that holds nothing is denied everything. Should the daemon allow everything to one
    /// without a policy, it must stay denied between the first note and the policy.
    fn deny_meanwhile(&self) -> anyhow::Result<()> {
        let (policy, written) = policy_of(&self.client.get(&self.path("policy"))?)?;
        let denies = policy.default_admission_rule.evaluation == EvaluationMode::AlwaysDeny;
        let mut holds = written || denies;
        let kept = ["attestors", "notes", "occurrences"].map(|kept| (kept.to_owned(), kept));
        let policies = Platform::ALL
            .map(|platform| (format!("platforms/{platform}/policies"), "platformPolicies"));
        for (collection, member) in kept.into_iter().chain(policies) {
            let page = self.client.get(&self.path(&format!("{collection}?pageSize=1")))?;
            holds |= page[member].as_array().is_some_and(|found| !found.is_empty());
        }
        if holds {
            return Ok(());
        }
        let description = "an import is under way".to_owned();
        let deny = Policy { description, ..Policy::not_written() };
        self.client.put(&self.path("policy"), &policy_to_json(&deny, &self.project)).map(drop)
    }

    fn policy(&self, policy: &Policy) -> anyhow::Result<Done> {
        let name = format!("projects/{}/policy", self.project);
        let place = || self.place(&name);
        let path = self.path("policy");
        let (held, written) = policy_of(&self.client.get(&path).with_context(place)?)?;
        let mut policy = normal_policy(policy.clone());
        if written && normal_policy(held.clone()) == policy {
            return Ok(Done::Unchanged);
        }
        policy.etag = held.etag;
        let body = policy_to_json(&policy, &self.project);
        self.client.put(&path, &body).with_context(place)?;
        Ok(if written { Done::Updated } else { Done::Created })
    }

    fn platform_policy(&self, policy: &PlatformPolicy) -> anyhow::Result<Done> {
        let place = || self.place(&policy.name);
        let id = encode(policy.name.id());
        let collection = self.path(&format!("platforms/{}/policies", policy.name.platform()));
        let policy = normal_platform_policy(policy.clone());
        let mut body = platform_policy_to_json(&policy);
        let path = format!("{collection}/{id}");
        let Some(held) = self.client.find(&path).with_context(place)? else {
            let path = format!("{collection}?policyId={id}");
            self.client.post(&path, &body).with_context(place)?;
            return Ok(Done::Created);
        };
        if normal_platform_policy(platform_policy_of(&held)?) == policy {
            return Ok(Done::Unchanged);
        }
        body["etag"] = held["etag"].clone();
        self.client.put(&path, &body).with_context(place)?;
        Ok(Done::Updated)
    }

    fn attestor(&self, attestor: &Attestor) -> anyhow::Result<Done> {
        let place = || self.place(&attestor.name);
        let id = encode(attestor.name.id());
        let path = self.path(&format!("attestors/{id}"));
        let mut body = normal_attestor(attestor.clone());
        let Some(held) = self.client.find(&path).with_context(place)? else {
            let path = self.path(&format!("attestors?attestorId={id}"));
            self.client.post(&path, &body).with_context(place)?;
            return Ok(Done::Created);
        };
        if normal_attestor(attestor_of(&held)?) == body {
            return Ok(Done::Unchanged);
        }
        body["etag"] = held["etag"].clone();
        self.client.put(&path, &body).with_context(place)?;
        Ok(Done::Updated)
    }

    fn note(&self, note: &Note) -> anyhow::Result<Done> {
        let place = || self.place(&note.name);
        let id = encode(note.name.id());
        let path = self.path(&format!("notes/{id}"));
        let body = normal_note(&note_to_json(note));
        let Some(held) = self.client.find(&path).with_context(place)? else {
            let path = self.path(&format!("notes?noteId={id}"));
            self.client.post(&path, &body).with_context(place)?;
            return Ok(Done::Created);
        };
        if normal_note(&held) == body {
            return Ok(Done::Unchanged);
        }
        self.client.patch(&format!("{path}?updateMask=*"), &body).with_context(place)?;
        Ok(Done::Updated)
    }

    fn iam_policy(&self, of: &IamResource, policy: &IamPolicy) -> anyhow::Result<Done> {
        let place = || self.place(&format_args!("{of}:setIamPolicy"));
        let path = match of {
            IamResource::Policy(_) => self.path("policy"),
            IamResource::Attestor(name) => self.path(&format!("attestors/{}", encode(name.id()))),
            IamResource::Note(name) => self.path(&format!("notes/{}", encode(name.id()))),
        };
        let get = format!("{path}:getIamPolicy");
        let held = match of {
            IamResource::Note(_) => self.client.post(&get, &json!({})),
            _ => self.client.get(&get),
        };
        let held = held.with_context(place)?;
        let mut body = normal_iam_policy(&policy.to_json());
        if normal_iam_policy(&held) == body {
            return Ok(Done::Unchanged);
        }
        body["etag"] = held["etag"].clone();
        let set = format!("{path}:setIamPolicy");
        self.client.post(&set, &json!({"policy": body})).with_context(place)?;
        Ok(if held.get("bindings").is_some() { Done::Updated } else { Done::Created })
    }

    fn occurrences(&self, occurrences: &[Occurrence]) -> anyhow::Result<Value> {
        let held = self.content_ids()?;
        let mut batch = Batch::default();
        let mut created = 0;
        let mut sent = BTreeSet::new();
        for occurrence in occurrences {
            let body = normal_occurrence(&occurrence_to_json(occurrence));
            let id = content_id(&body);
            if held.contains(&id) || !sent.insert(id) {
                continue;
            }
            created += 1;
            batch.bytes += body.to_string().len();
            batch.names.push(occurrence.name.to_string());
            batch.bodies.push(body);
            if batch.bodies.len() == BATCH_MAX || batch.bytes >= BATCH_BYTES_MAX {
                self.send(&batch)?;
                batch = Batch::default();
            }
        }
        self.send(&batch)?;
        let unchanged = occurrences.len() - created;
        Ok(json!({"created": created, "updated": 0, "unchanged": unchanged}))
    }

    /// The content id of each occurrence of the project on the daemon.
    fn content_ids(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        let path = self.path("occurrences?pageSize=1000");
        self.client.each(&path, "occurrences", |occurrence| {
            ids.insert(content_id(&normal_occurrence(&occurrence)));
            Ok(())
        })?;
        Ok(ids)
    }

    fn send(&self, batch: &Batch) -> anyhow::Result<()> {
        if batch.bodies.is_empty() {
            return Ok(());
        }
        let path = self.path("occurrences:batchCreate");
        let body = json!({"occurrences": batch.bodies});
        if self.client.post(&path, &body).is_ok() {
            return Ok(());
        }
        // A batch is created whole or not at all: one after the other says which is at fault.
        for (name, body) in batch.names.iter().zip(&batch.bodies) {
            let created = self.client.post(&self.path("occurrences"), body);
            created.with_context(|| self.place(name))?;
        }
        Ok(())
    }
}

/// Occurrences that are sent together, and their names in the files.
#[derive(Default)]
struct Batch {
    bodies: Vec<Value>,
    names: Vec<String>,
    bytes: usize,
}
