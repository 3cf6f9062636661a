//! Occurrences as bytes, small and lossless.
//!
//! The part of an attestation that a decision reads (payload and signatures) is one binary record
//! in the evidence table. The rest of the resource is a second record in the occurrence table; its
//! JSON lacks whatever can be rebuilt exactly from the binary parts. Where a member is spelled in
//! another way than the rebuilt one would be (base64 without padding, say), it stays in the JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hallmark_core::attestor::KeyId;
use hallmark_core::image::Digest;
use hallmark_core::names::OccurrenceName;
use hallmark_core::occurrence::{AttestationBody, Occurrence, Signature};
use serde_json::{Map, Value, json};

use super::fields::{Fields, put_bytes, put_number};
use crate::store::query::digest_at_end;
use crate::store::record::Damaged;

/// Most signatures that are believed of a stored record. The API's body limit ends far below.
const SIGNATURES_MAX: usize = 1 << 20;

/// The payload follows.
const PAYLOAD_WHOLE: u8 = 0;
/// The bytes between the first two parts of [`GCLOUD`] follow.
const PAYLOAD_OF_GCLOUD: u8 = 1;
/// Nearly all payloads are what gcloud writes: these parts with a repository and the digest between
/// them. Part of the file format: never to be changed.
const GCLOUD: [&[u8]; 3] = [
    b"{\n  \"critical\": {\n    \"identity\": {\n      \"docker-reference\": \"",
    b"\"\n    },\n    \"image\": {\n      \"docker-manifest-digest\": \"",
    b"\"\n    },\n    \"type\": \"Google cloud binauthz container signature\"\n  }\n}\n",
];

/// Flags that say how a record is to be put together again.
mod flag {
    /// `resourceUri` is its stored front and the digest.
    pub(super) const URI_ENDS_WITH_DIGEST: usize = 1;
    /// The occurrence's digest is one that `resourceUri` does not end with.
    pub(super) const DIGEST_APART: usize = 1 << 1;
    /// It has an attestation.
    pub(super) const ATTESTATION: usize = 1 << 2;
    /// `name`, `noteName`, `resourceUri`, `kind` were taken out of the JSON, in this order.
    pub(super) const TOP: [usize; 4] = [1 << 3, 1 << 4, 1 << 5, 1 << 6];
    /// `updateTime` was taken out: it equals `createTime`.
    pub(super) const UPDATE_TIME: usize = 1 << 7;
    /// `attestation.serializedPayload` was taken out.
    pub(super) const PAYLOAD: usize = 1 << 8;
    /// `attestation.signatures` was taken out.
    pub(super) const SIGNATURES: usize = 1 << 9;
    /// `attestation` itself was taken out, being empty then.
    pub(super) const BODY: usize = 1 << 10;
}

/// The members of an occurrence that its binary parts spell out, in the order of [`flag::TOP`].
fn top_members(occurrence: &Occurrence) -> [(&'static str, Value); 4] {
    [
        ("name", occurrence.name.to_string().into()),
        ("noteName", occurrence.note.to_string().into()),
        ("resourceUri", occurrence.resource_uri.clone().into()),
        ("kind", occurrence.kind.clone().into()),
    ]
}

fn signatures_json(body: &AttestationBody) -> Value {
    let one = |signature: &Signature| {
        json!({
            "publicKeyId": signature.key_id.as_str(),
            "signature": BASE64.encode(&signature.signature),
        })
    };
    body.signatures.iter().map(one).collect()
}

/// Payload and signatures, as the evidence table holds them under `digest`.
pub(super) fn encode_attestation(body: &AttestationBody, digest: Option<Digest>) -> Vec<u8> {
    let signatures =
        body.signatures.iter().map(|one| one.signature.len() + one.key_id.as_str().len() + 8);
    let mut record = Vec::with_capacity(body.payload.len() + signatures.sum::<usize>() + 8);
    match digest.and_then(|digest| repository_of(&body.payload, digest)) {
        Some(repository) => {
            record.push(PAYLOAD_OF_GCLOUD);
            put_bytes(&mut record, repository);
        }
        None => {
            record.push(PAYLOAD_WHOLE);
            put_bytes(&mut record, &body.payload);
        }
    }
    put_number(&mut record, body.signatures.len());
    for signature in &body.signatures {
        put_bytes(&mut record, signature.key_id.as_str().as_bytes());
        put_bytes(&mut record, &signature.signature);
    }
    record
}

/// The bytes between [`GCLOUD`]'s parts in a payload for `digest` that is made of them.
fn repository_of(payload: &[u8], digest: Digest) -> Option<&[u8]> {
    let [head, middle, tail] = GCLOUD;
    let payload = payload.strip_prefix(head)?.strip_suffix(tail)?;
    payload.strip_suffix(digest.to_string().as_bytes())?.strip_suffix(middle)
}

/// Reads what [`encode_attestation`] wrote; what it can shares `record`'s memory.
pub(super) fn decode_attestation(
    record: Bytes,
    digest: Digest,
) -> Result<AttestationBody, Damaged> {
    let mut fields = Fields(record);
    let body = take_attestation(&mut fields, Some(digest))?;
    fields.end()?;
    Ok(body)
}

fn take_payload(fields: &mut Fields, digest: Option<Digest>) -> Result<Bytes, Damaged> {
    match (fields.byte()?, digest) {
        (PAYLOAD_WHOLE, _) => fields.bytes(),
        (PAYLOAD_OF_GCLOUD, Some(digest)) => {
            let [head, middle, tail] = GCLOUD;
            Ok([head, &fields.bytes()?, middle, digest.to_string().as_bytes(), tail]
                .concat()
                .into())
        }
        _ => Err("a payload is of an unknown form".into()),
    }
}

fn take_attestation(
    fields: &mut Fields,
    digest: Option<Digest>,
) -> Result<AttestationBody, Damaged> {
    let payload = take_payload(fields, digest)?;
    let count = fields.number()?;
    if count > SIGNATURES_MAX {
        return Err("too many signatures".into());
    }
    let mut signatures = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let key_id = fields.bytes()?;
        let key_id = KeyId::from(str::from_utf8(&key_id).map_err(|_| "a key id is not UTF-8")?);
        signatures.push(Signature { key_id, signature: fields.bytes()? });
    }
    Ok(AttestationBody { payload, signatures })
}

/// The number of signatures in what [`encode_attestation`] wrote.
pub(super) fn count_signatures(record: &[u8]) -> Result<usize, Damaged> {
    let mut head = head(record);
    let whole = head.0.len();
    head.byte()?;
    let payload_bytes = head.number()?;
    let before = whole - head.0.len() + payload_bytes;
    self::head(record.get(before..).ok_or("a payload is cut short")?).number()
}

/// As much of a record as a byte and a number take.
fn head(record: &[u8]) -> Fields {
    let bytes = record.len().min(1 + usize::BITS.div_ceil(7) as usize);
    Fields(Bytes::copy_from_slice(&record[..bytes]))
}

/// The content of a project's entry for evidence that lives there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    /// A key was seen to sign it at the write: it counts against no limit.
    pub(super) proven: bool,
    /// Its signatures.
    pub(super) signatures: usize,
    /// The length of its record.
    pub(super) bytes: usize,
    /// The key of its note.
    pub(super) note: Bytes,
}

impl Filed {
    /// As the evidence table holds it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut record = vec![u8::from(self.proven)];
        put_number(&mut record, self.signatures);
        put_number(&mut record, self.bytes);
        record.extend_from_slice(&self.note);
        record
    }

    /// Reads what [`Filed::encode`] wrote.
    pub(super) fn decode(record: Bytes) -> Result<Self, Damaged> {
        let mut fields = Fields(record);
        let proven = fields.byte()? != 0;
        let (signatures, bytes) = (fields.number()?, fields.number()?);
        Ok(Self { proven, signatures, bytes, note: fields.0 })
    }
}

/// True if the evidence table holds the attestation of `occurrence`.
pub(super) fn is_evidence(occurrence: &Occurrence) -> bool {
    occurrence.digest.is_some() && occurrence.attestation.is_some()
}

/// The record of `occurrence` in the occurrence table.
pub(super) fn encode(occurrence: &Occurrence) -> Vec<u8> {
    let mut json = occurrence.json.clone();
    let mut flags = take_out(occurrence, &mut json);
    let at_end = digest_at_end(&occurrence.resource_uri);
    let mut uri = occurrence.resource_uri.as_str();
    if let Some(digest) = at_end {
        flags |= flag::URI_ENDS_WITH_DIGEST;
        uri = &uri[..uri.len() - digest.to_string().len()];
    }
    let apart = occurrence.digest.filter(|digest| Some(*digest) != at_end);
    if apart.is_some() || (occurrence.digest.is_none() && at_end.is_some()) {
        flags |= flag::DIGEST_APART;
    }
    let mut record = Vec::with_capacity(256);
    put_number(&mut record, flags);
    for text in [occurrence.note.to_string().as_str(), &occurrence.kind, uri] {
        put_bytes(&mut record, text.as_bytes());
    }
    if let Some(digest) = at_end {
        record.extend_from_slice(&digest.0);
    }
    if flags & flag::DIGEST_APART != 0 {
        put_bytes(&mut record, apart.as_ref().map_or(&[], |digest| digest.0.as_slice()));
    }
    let rest = if json.is_empty() { String::new() } else { Value::Object(json).to_string() };
    put_bytes(&mut record, rest.as_bytes());
    if let Some(body) = occurrence.attestation.as_ref().filter(|_| !is_evidence(occurrence)) {
        record.extend_from_slice(&encode_attestation(body, None));
    }
    record
}

/// Takes out of `json` what can be put back exactly; the flags say what.
fn take_out(occurrence: &Occurrence, json: &mut Map<String, Value>) -> usize {
    let mut flags = 0;
    for ((name, value), bit) in top_members(occurrence).iter().zip(flag::TOP) {
        if json.get(*name) == Some(value) {
            json.remove(*name);
            flags |= bit;
        }
    }
    if json.contains_key("createTime") && json.get("createTime") == json.get("updateTime") {
        json.remove("updateTime");
        flags |= flag::UPDATE_TIME;
    }
    if let Some(body) = &occurrence.attestation {
        flags |= flag::ATTESTATION | take_out_attestation(body, json);
    }
    flags
}

fn take_out_attestation(body: &AttestationBody, json: &mut Map<String, Value>) -> usize {
    let Some(Value::Object(member)) = json.get_mut("attestation") else { return 0 };
    let mut flags = 0;
    if member.get("serializedPayload") == Some(&BASE64.encode(&body.payload).into()) {
        member.remove("serializedPayload");
        flags |= flag::PAYLOAD;
    }
    if member.get("signatures") == Some(&signatures_json(body)) {
        member.remove("signatures");
        flags |= flag::SIGNATURES;
    }
    if member.is_empty() {
        json.remove("attestation");
        flags |= flag::BODY;
    }
    flags
}

/// The occurrence table's part of an occurrence.
#[derive(Debug)]
pub(super) struct Stored {
    flags: usize,
    occurrence: Occurrence,
}

impl Stored {
    /// Reads what [`encode`] wrote.
    pub(super) fn decode(name: OccurrenceName, record: Bytes) -> Result<Self, Damaged> {
        let mut fields = Fields(record);
        let flags = fields.number()?;
        let note = fields.text()?.parse().map_err(|_| "a note name is malformed")?;
        let kind = fields.text()?;
        let mut resource_uri = fields.text()?;
        let mut digest = None;
        if flags & flag::URI_ENDS_WITH_DIGEST != 0 {
            let at_end = digest_of(&fields.exactly(32)?)?;
            resource_uri.push_str(&at_end.to_string());
            digest = Some(at_end);
        }
        if flags & flag::DIGEST_APART != 0 {
            let apart = fields.bytes()?;
            digest = if apart.is_empty() { None } else { Some(digest_of(&apart)?) };
        }
        let rest = fields.bytes()?;
        let json = if rest.is_empty() { Map::new() } else { parse_json(&rest)? };
        let inline = flags & flag::ATTESTATION != 0 && digest.is_none();
        let attestation = if inline { Some(take_attestation(&mut fields, None)?) } else { None };
        fields.end()?;
        Ok(Self {
            flags,
            occurrence: Occurrence { name, note, resource_uri, digest, kind, attestation, json },
        })
    }

    /// Where the evidence table holds its attestation; `None` where it does not.
    pub(super) fn evidence(&self) -> Option<Digest> {
        self.occurrence.digest.filter(|_| self.flags & flag::ATTESTATION != 0)
    }

    /// The part that is known without the evidence table: everything but attestation and JSON.
    pub(super) fn head(&self) -> &Occurrence {
        &self.occurrence
    }

    /// The whole occurrence, given the attestation where [`Stored::evidence`] named one.
    pub(super) fn complete(self, evidence: Option<AttestationBody>) -> Result<Occurrence, Damaged> {
        let Self { flags, mut occurrence } = self;
        occurrence.attestation = evidence.or(occurrence.attestation);
        if flags & flag::ATTESTATION != 0 {
            let body = occurrence.attestation.as_ref().ok_or("an attestation is missing")?;
            put_back_attestation(flags, body, &mut occurrence.json)?;
        }
        for ((name, value), bit) in top_members(&occurrence).into_iter().zip(flag::TOP) {
            if flags & bit != 0 {
                occurrence.json.insert(name.to_owned(), value);
            }
        }
        if flags & flag::UPDATE_TIME != 0 {
            let created =
                occurrence.json.get("createTime").cloned().ok_or("createTime is missing")?;
            occurrence.json.insert("updateTime".to_owned(), created);
        }
        Ok(occurrence)
    }
}

fn put_back_attestation(
    flags: usize,
    body: &AttestationBody,
    json: &mut Map<String, Value>,
) -> Result<(), Damaged> {
    if flags & flag::BODY != 0 {
        json.insert("attestation".to_owned(), Value::Object(Map::new()));
    }
    let mut members = Vec::new();
    if flags & flag::PAYLOAD != 0 {
        members.push(("serializedPayload", Value::from(BASE64.encode(&body.payload))));
    }
    if flags & flag::SIGNATURES != 0 {
        members.push(("signatures", signatures_json(body)));
    }
    if !members.is_empty() {
        let member = json.get_mut("attestation").and_then(Value::as_object_mut);
        let member = member.ok_or("an attestation's JSON is missing")?;
        member.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(())
}

fn digest_of(bytes: &[u8]) -> Result<Digest, Damaged> {
    Ok(Digest(bytes.try_into().map_err(|_| "a digest is not 32 bytes")?))
}

fn parse_json(bytes: &[u8]) -> Result<Map<String, Value>, Damaged> {
    serde_json::from_slice(bytes).map_err(|error| Damaged(error.to_string()))
}

#[cfg(test)]
#[path = "occurrence_tests.rs"]
mod tests;
