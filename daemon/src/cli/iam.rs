//! The IAM verbs of policies and attestors: `get-iam-policy`, `set-iam-policy`,
//! `add-iam-policy-binding`, `remove-iam-policy-binding`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, Refused};
use super::documents;
use super::output::{self, Format};

/// Tries of a change, if others come between. Google's tool: as many.
const TRIES_MAX: usize = 3;

/// Who is bound to what.
#[derive(Debug, Args)]
pub(super) struct Binding {
    /// Who: user:ada@example.com, serviceAccount:ci@example.com, group:…
    #[arg(long)]
    member: String,
    /// Role of the binding, such as roles/binaryauthorization.policyViewer.
    #[arg(long)]
    role: String,
    /// None is the only one there is: conditions are not evaluated.
    #[arg(long, value_parser = ["None"], ignore_case = true)]
    condition: Option<String>,
}

/// Prints the IAM policy of the resource at `path`.
pub(super) fn get(client: &Client, path: &str, format: Format) -> anyhow::Result<()> {
    output::print(format, &current(client, path)?)
}

/// Replaces the IAM policy of the resource at `path` by the one in a file.
pub(super) fn set(
    client: &Client,
    path: &str,
    file: &PathBuf,
    format: Format,
) -> anyhow::Result<()> {
    let policy = documents::value(file)?;
    output::print(format, &replace(client, path, &policy)?)
}

impl Binding {
    /// Binds the member.
    pub(super) fn add(&self, client: &Client, path: &str, format: Format) -> anyhow::Result<()> {
        let member = json!(self.member);
        self.change(client, path, format, |bindings| {
            match bindings.iter_mut().find(|binding| self.is_of_role(binding)) {
                Some(binding) => {
                    let members = list(&mut binding["members"]);
                    if !members.contains(&member) {
                        members.push(member.clone());
                    }
                }
                None => bindings.push(json!({"role": self.role, "members": [member]})),
            }
            Ok(())
        })
    }

    /// Unbinds the member.
    pub(super) fn remove(&self, client: &Client, path: &str, format: Format) -> anyhow::Result<()> {
        self.change(client, path, format, |bindings| {
            let mut found = false;
            for binding in bindings.iter_mut().filter(|binding| self.is_of_role(binding)) {
                let members = list(&mut binding["members"]);
                let before = members.len();
                members.retain(|member| *member != self.member);
                found |= members.len() < before;
            }
            if !found {
                bail!(
                    "Policy binding with the specified principal, role, and condition not found!"
                );
            }
            bindings.retain_mut(|binding| !list(&mut binding["members"]).is_empty());
            Ok(())
        })
    }

    fn is_of_role(&self, binding: &Value) -> bool {
        binding["role"] == self.role.as_str()
    }

    /// Reads, changes, writes back under the etag that was read.
    fn change(
        &self,
        client: &Client,
        path: &str,
        format: Format,
        change: impl Fn(&mut Vec<Value>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for tries_left in (0..TRIES_MAX).rev() {
            let mut policy = current(client, path)?;
            change(list(&mut policy["bindings"]))?;
            match replace(client, path, &policy) {
                Err(error) if tries_left > 0 && Refused::is(&error, "ABORTED") => {}
                other => return output::print(format, &other?),
            }
        }
        Ok(())
    }
}

fn current(client: &Client, path: &str) -> anyhow::Result<Value> {
    client.get(&format!("{path}:getIamPolicy"))
}

fn replace(client: &Client, path: &str, policy: &Value) -> anyhow::Result<Value> {
    client.post(&format!("{path}:setIamPolicy"), &json!({"policy": policy}))
}

/// The list in `value`; an empty one where there is none.
fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("it was just made one")
}
