//! The fixture that the tests stand on.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hallmark_core::attestor::{
    Attestor, Curve, KeyId, KeyMaterial, KeyType, PublicKey, SignatureAlgorithm, Spki, Validity,
    VerificationKey,
};
use hallmark_core::image::Digest;
use hallmark_core::names::{
    AttestorName, NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::{AttestationBody, Note, Occurrence, Signature};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::policy::{AdmissionRule, EnforcementMode, EvaluationMode, Policy};
use prometheus::Registry;
use serde_json::{Map, Value, json};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::auth::iam::{IamPolicy, IamResource};
use crate::cache::EvidenceEpochs;
use crate::plugin::{KeyError, ResolvedKey};
use crate::resources::{BoxFuture, Prove, Resources};
use crate::snapshot::{ResolveKeys, Snapshots};
use crate::store::Told;
use crate::store::Watch;
use crate::store::WatchError;
use crate::store::embedded::EmbeddedStore;
use crate::store::metrics::StoreMetrics;
use crate::store::{
    EvidencePage, EvidenceQuery, OccurrenceQuery, ProjectResources, Proof, Store, StoreError, Write,
};

pub(crate) struct World {
    pub(crate) resources: Resources,
    pub(crate) store: Arc<TestStore>,
    pub(crate) keys: Arc<TestKeys>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) epochs: Arc<EvidenceEpochs>,
}

/// Takes the signatures under the id `good` for good, each over its payload.
#[derive(Debug, Default)]
pub(crate) struct TestProofs;

impl Prove for TestProofs {
    fn of<'a>(&'a self, occurrences: &'a [Occurrence]) -> BoxFuture<'a, Vec<Vec<Proof>>> {
        let proof = |occurrence: &Occurrence| {
            let Some(body) = &occurrence.attestation else { return Vec::new() };
            let message = sha2::Sha256::digest(&body.payload).into();
            let good = body.signatures.iter().filter(|one| one.key_id.as_str() == "good");
            good.map(|_| Proof { key: [1; 32], message }).collect()
        };
        Box::pin(std::future::ready(occurrences.iter().map(proof).collect()))
    }
}

pub(crate) fn world() -> World {
    let store = Arc::new(TestStore::open());
    let keys = Arc::new(TestKeys::default());
    let snapshots = Arc::new(Snapshots::default());
    let epochs = Arc::new(EvidenceEpochs::new());
    let resources = Resources::new(
        store.clone(),
        keys.clone(),
        snapshots.clone(),
        epochs.clone(),
        Arc::new(TestProofs),
    );
    World { resources, store, keys, snapshots, epochs }
}

pub(crate) fn project(id: &str) -> ProjectId {
    id.parse().unwrap()
}

pub(crate) fn attestor(id: &str, keys: Vec<PublicKey>) -> Attestor {
    Attestor {
        name: AttestorName::new(project("p"), id).unwrap(),
        description: String::new(),
        note: "projects/p/notes/n".parse().unwrap(),
        public_keys: keys,
        etag: String::new(),
        update_time: String::new(),
    }
}

/// A PKIX key whose "PEM" the test source turns into a key of these bytes.
pub(crate) fn pkix(pem: &str, id: Option<&str>) -> PublicKey {
    let material = KeyMaterial::Pkix {
        public_key_pem: pem.to_owned(),
        signature_algorithm: SignatureAlgorithm::EcdsaP256Sha256,
    };
    PublicKey { comment: String::new(), id: id.map(KeyId::from), material }
}

pub(crate) fn pgp(armored: &str, id: Option<&str>) -> PublicKey {
    let material = KeyMaterial::Pgp { ascii_armored: armored.to_owned() };
    PublicKey { comment: String::new(), id: id.map(KeyId::from), material }
}

pub(crate) fn reference(id: &str) -> PublicKey {
    PublicKey { comment: String::new(), id: Some(id.into()), material: KeyMaterial::Reference }
}

pub(crate) fn requiring(attestors: &[&str]) -> Policy {
    let names = attestors.iter().map(|name| name.parse().unwrap()).collect();
    let default_admission_rule = AdmissionRule {
        evaluation: EvaluationMode::RequireAttestation(names),
        enforcement: EnforcementMode::EnforcedBlockAndAuditLog,
    };
    Policy { default_admission_rule, ..Policy::google_default() }
}

pub(crate) fn note(id: &str, kind: &str) -> Note {
    let json = Map::from_iter([
        ("kind".to_owned(), json!(kind)),
        ("shortDescription".to_owned(), json!("s")),
    ]);
    Note { name: NoteName::new(project("p"), id).unwrap(), json }
}

pub(crate) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn attestation(byte: u8, signature: &str) -> Occurrence {
    let body = AttestationBody {
        payload: "payload".into(),
        signatures: vec![Signature { key_id: "k".into(), signature: signature.to_owned().into() }],
    };
    Occurrence {
        name: "projects/p/occurrences/unnamed".parse().unwrap(),
        note: "projects/p/notes/n".parse().unwrap(),
        resource_uri: format!("https://gcr.io/p/nginx@{}", digest(byte)),
        digest: Some(digest(byte)),
        kind: "ATTESTATION".to_owned(),
        attestation: Some(body),
        json: Map::from_iter([("remediation".to_owned(), json!("kept"))]),
    }
}

/// A key source that can be down, and whose reference keys change.
#[derive(Debug, Default)]
pub(crate) struct TestKeys {
    pub(crate) down: AtomicBool,
    pub(crate) references: Mutex<HashMap<KeyId, &'static str>>,
    pub(crate) asked: Mutex<usize>,
}

impl ResolveKeys for TestKeys {
    fn resolve(&self, key: &PublicKey) -> Result<ResolvedKey, KeyError> {
        *self.asked.lock().unwrap() += 1;
        if self.down.load(Ordering::Relaxed) {
            return Err(KeyError::Unavailable("the key source is down".to_owned()));
        }
        let (bytes, default_id) = match &key.material {
            KeyMaterial::Pkix { public_key_pem: pem, .. } => (pem.clone(), format!("ni:///{pem}")),
            KeyMaterial::Pgp { ascii_armored: text } => (text.clone(), text.to_uppercase()),
            KeyMaterial::Reference => {
                let id = key.id.clone().unwrap();
                let bytes = self.references.lock().unwrap().get(&id).copied();
                let bytes = bytes.ok_or_else(|| KeyError::Unavailable(format!("no key {id}")))?;
                (bytes.to_owned(), id.to_string())
            }
        };
        if bytes.contains("broken") {
            return Err(KeyError::Material("not a P-256 key".to_owned()));
        }
        let default_id = KeyId::from(default_id.as_str());
        let key = VerificationKey {
            plugin: "pkix".into(),
            envelope: None,
            holder: None,
            ids: vec![key.id.clone().unwrap_or_else(|| default_id.clone())],
            spki: Spki::new(bytes.as_bytes(), KeyType::Ec(Curve::P256), 0..bytes.len()),
            fingerprint: sha2::Sha256::digest(&bytes).into(),
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            validity: Validity::default(),
        };
        Ok(ResolvedKey { default_id, keys: vec![key] })
    }

    fn may_change(&self, key: &PublicKey) -> bool {
        key.material == KeyMaterial::Reference
    }
}

/// Called before each read.
type BeforeRead = Arc<dyn Fn() + Send + Sync>;

/// The embedded store, with faults to order.
pub(crate) struct TestStore {
    held: EmbeddedStore,
    before_read: Mutex<Option<BeforeRead>>,
    pub(crate) fail_reads: AtomicBool,
    pub(crate) frozen: AtomicBool,
    dir: TempDir,
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore").field("held", &self.held).finish_non_exhaustive()
    }
}

impl TestStore {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = StoreMetrics::register(&Registry::new()).unwrap();
        let held = EmbeddedStore::open(dir.path(), metrics).unwrap();
        let (fail_reads, frozen) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { held, before_read: Mutex::default(), fail_reads, frozen, dir }
    }

    /// A directory of the test's own, which goes with the store.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Has `before` called before each read from now on.
    pub(crate) fn before_read(&self, before: impl Fn() + Send + Sync + 'static) {
        *self.before_read.lock().unwrap() = Some(Arc::new(before));
    }

    fn read(&self) -> Result<&EmbeddedStore, StoreError> {
        let before = self.before_read.lock().unwrap().clone();
        if let Some(before) = before {
            before();
        }
        match self.fail_reads.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("the disk is gone".to_owned())),
            false => Ok(&self.held),
        }
    }
}

impl Store for TestStore {
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError> {
        self.read()?.load_all()
    }

    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError> {
        self.read()?.project(project)
    }

    fn note(&self, name: &NoteName) -> Result<Option<Note>, StoreError> {
        self.read()?.note(name)
    }

    fn notes(
        &self,
        project: &ProjectId,
        after: Option<&NoteName>,
        limit: usize,
    ) -> Result<Vec<Note>, StoreError> {
        self.read()?.notes(project, after, limit)
    }

    fn occurrence(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, StoreError> {
        self.read()?.occurrence(name)
    }

    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, StoreError> {
        self.read()?.occurrences(query, after, limit)
    }

    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError> {
        self.read()?.evidence(wanted)
    }

    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        self.read()?.platform_policy(name)
    }

    fn platform_policies(
        &self,
        project: &ProjectId,
        platform: Platform,
        after: Option<&PlatformPolicyName>,
        limit: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError> {
        self.read()?.platform_policies(project, platform, after, limit)
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<Option<IamPolicy>, StoreError> {
        self.read()?.iam_policy(resource)
    }

    fn apply(&self, write: Write) -> Result<Option<String>, StoreError> {
        match self.read_only() {
            true => Err(StoreError::ReadOnly),
            false => self.held.apply(write),
        }
    }

    fn read_only(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    fn watch(self: Arc<Self>, _: Box<dyn Told>) -> Result<Option<Box<dyn Watch>>, WatchError> {
        Ok(None)
    }
}

pub(crate) fn text(json: &Map<String, Value>, field: &str) -> String {
    json.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
