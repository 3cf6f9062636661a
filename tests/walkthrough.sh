#!/usr/bin/env bash
# The walkthroughs of Google's documentation, as they stand there: "Create an attestor using the
# Google Cloud CLI", "Create attestations", "Configure a policy", "Enable dry run", "Use
# breakglass". `gcloud` is hallmark, googleapis.com is a daemon. Run by tests/e2e/walkthrough.rs.
#
# usage: HALLMARK_ENDPOINT=… HALLMARK=… walkthrough.sh EMPTY_DIRECTORY
set -euo pipefail
cd "$1"
gcloud() {
    if [ "$*" = "auth print-access-token" ]; then echo token; else "$HALLMARK" "$@"; fi
}
fail() { echo "walkthrough: $*" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: expected $3, is $2"; }
# The exit code of an admission decision: 0 allowed, 2 denied.
admission() { local code=0; "$HALLMARK" decide --project "$DEPLOYER_PROJECT_ID" "$@" >decision.txt || code=$?; echo "$code"; }

DEPLOYER_PROJECT_ID=deployer
ATTESTOR_PROJECT_ID=attestor
ATTESTATION_PROJECT_ID=attestations
ATTESTOR_NAME=test-attestor
NOTE_ID=test-attestor-note
NOTE_URI="projects/${ATTESTOR_PROJECT_ID}/notes/${NOTE_ID}"
ATTESTOR_SERVICE_ACCOUNT="service-1@gcp-sa-binaryauthorization.iam.gserviceaccount.com"

# Create an attestor: the note.
cat > note_payload.json << EOM
{
  "name": "${NOTE_URI}",
  "attestation": {
    "hint": {
      "human_readable_name": "Attestor Note"
    }
  }
}
EOM
curl --fail-with-body -sS -X POST \
    -H "Content-Type: application/json" \
    -H "Authorization: Bearer $(gcloud auth print-access-token)"  \
    -H "x-goog-user-project: ${ATTESTOR_PROJECT_ID}" \
    --data-binary @note_payload.json  \
    "${HALLMARK_ENDPOINT}/v1/projects/${ATTESTOR_PROJECT_ID}/notes/?noteId=${NOTE_ID}"
curl --fail-with-body -sS \
    -H "Authorization: Bearer $(gcloud auth print-access-token)"  \
    -H "x-goog-user-project: ${ATTESTOR_PROJECT_ID}" \
    "${HALLMARK_ENDPOINT}/v1/projects/${ATTESTOR_PROJECT_ID}/notes/" | grep -q "$NOTE_URI" \
    || fail "the note is not listed"

# Its IAM policy, in the quotes of the documentation.
cat > iam_request.json << EOM
{
  'resource': '${NOTE_URI}',
  'policy': {
    'bindings': [
      {
        'role': 'roles/containeranalysis.notes.occurrences.viewer',
        'members': [
          'serviceAccount:${ATTESTOR_SERVICE_ACCOUNT}'
        ]
      }
    ]
  }
}
EOM
curl --fail-with-body -sS -X POST  \
    -H "Content-Type: application/json" \
    -H "Authorization: Bearer $(gcloud auth print-access-token)" \
    -H "x-goog-user-project: ${ATTESTOR_PROJECT_ID}" \
    --data-binary @iam_request.json \
    "${HALLMARK_ENDPOINT}/v1/projects/${ATTESTOR_PROJECT_ID}/notes/${NOTE_ID}:setIamPolicy" \
    | grep -q "$ATTESTOR_SERVICE_ACCOUNT" || fail "the IAM policy of the note was not set"

# The attestor and its PKIX key.
gcloud --project="${ATTESTOR_PROJECT_ID}" \
    container binauthz attestors create "${ATTESTOR_NAME}" \
    --attestation-authority-note="${NOTE_ID}" \
    --attestation-authority-note-project="${ATTESTOR_PROJECT_ID}" >/dev/null
gcloud container binauthz attestors add-iam-policy-binding \
    "projects/${ATTESTOR_PROJECT_ID}/attestors/${ATTESTOR_NAME}" \
    --member="serviceAccount:${ATTESTOR_SERVICE_ACCOUNT}" \
    --role=roles/binaryauthorization.attestorsVerifier >/dev/null
openssl ecparam -genkey -name prime256v1 -noout -out ec_private.pem
openssl ec -in ec_private.pem -pubout -out ec_public.pem 2>/dev/null
gcloud --project="${ATTESTOR_PROJECT_ID}" \
    container binauthz attestors public-keys add \
    --attestor="${ATTESTOR_NAME}" \
    --pkix-public-key-file=ec_public.pem \
    --pkix-public-key-algorithm=ecdsa-p256-sha256 >/dev/null
PUBLIC_KEY_ID=$(gcloud container binauthz attestors describe "${ATTESTOR_NAME}" \
    --project="${ATTESTOR_PROJECT_ID}" --format=yaml | sed -n 's/^ *-\{0,1\} *id: //p')
expect "the default id of the key" "${PUBLIC_KEY_ID%%;*}" "ni:///sha-256"
gcloud container binauthz attestors list --project="${ATTESTOR_PROJECT_ID}" \
    | grep -q "${ATTESTOR_NAME} .*1" || fail "the attestor is not listed with its key"

# Configure the policy: require the attestation, exempt a repository, one cluster in dry run.
gcloud container binauthz policy export --project="${DEPLOYER_PROJECT_ID}" > policy.yaml
grep -q 'evaluationMode: ALWAYS_ALLOW' policy.yaml || fail "the default policy does not allow"
cat > policy.yaml << EOM
globalPolicyEvaluationMode: ENABLE
admissionWhitelistPatterns:
- namePattern: gcr.io/example-project/exempt/*
clusterAdmissionRules:
  us-central1-a.test-cluster:
    evaluationMode: REQUIRE_ATTESTATION
    enforcementMode: DRYRUN_AUDIT_LOG_ONLY
    requireAttestationsBy:
    - projects/${ATTESTOR_PROJECT_ID}/attestors/${ATTESTOR_NAME}
defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
    - projects/${ATTESTOR_PROJECT_ID}/attestors/${ATTESTOR_NAME}
name: projects/${DEPLOYER_PROJECT_ID}/policy
EOM
gcloud container binauthz policy import policy.yaml --project="${DEPLOYER_PROJECT_ID}" >/dev/null

IMAGE_PATH="gcr.io/example-project/quickstart-image"
IMAGE_DIGEST="sha256:bedb3feb23e81d162e33976fd7b245adff00379f4755c0213e84405e5b1e0988"
IMAGE_TO_ATTEST="${IMAGE_PATH}@${IMAGE_DIGEST}"
expect "before its attestation" "$(admission "${IMAGE_TO_ATTEST}")" 2

# Create an attestation: payload, signature by OpenSSL, attestation.
gcloud container binauthz create-signature-payload \
    --artifact-url="${IMAGE_TO_ATTEST}" > generated_payload.json
openssl dgst -sha256 -sign ec_private.pem generated_payload.json > ec_signature
gcloud container binauthz attestations create \
    --project="${ATTESTATION_PROJECT_ID}" \
    --artifact-url="${IMAGE_TO_ATTEST}" \
    --attestor="projects/${ATTESTOR_PROJECT_ID}/attestors/${ATTESTOR_NAME}" \
    --signature-file=ec_signature \
    --public-key-id="${PUBLIC_KEY_ID}" \
    --validate >/dev/null
gcloud container binauthz attestations list \
    --attestor-project="${ATTESTOR_PROJECT_ID}" --attestor="${ATTESTOR_NAME}" \
    --artifact-url="${IMAGE_TO_ATTEST}" --project="${ATTESTOR_PROJECT_ID}" --format=json \
    | grep -q "projects/${ATTESTATION_PROJECT_ID}/occurrences/" || fail "the attestation is not listed"
expect "attested" "$(admission "${IMAGE_TO_ATTEST}")" 0

# The same over REST, for another image.
REST_IMAGE="${IMAGE_PATH}@sha256:77b0b75136b9bd0fd36fb50f4c92ae0dbdbbe164ab67885e736fa4374e0cbb8c"
gcloud container binauthz create-signature-payload --artifact-url="${REST_IMAGE}" > rest_payload.json
openssl dgst -sha256 -sign ec_private.pem rest_payload.json > rest_signature
cat > attestation.json << EOM
{
  "resourceUri": "https://${REST_IMAGE}",
  "note_name": "${NOTE_URI}",
  "attestation": {
    "serialized_payload": "$(base64 -w 0 rest_payload.json)",
    "signatures": [
      {
        "public_key_id": "${PUBLIC_KEY_ID}",
        "signature": "$(base64 -w 0 rest_signature)"
      }
    ]
  }
}
EOM
expect "before the attestation over REST" "$(admission "${REST_IMAGE}")" 2
curl --fail-with-body -sS -X POST \
    -H "Content-Type: application/json" \
    -H "X-Goog-User-Project: ${ATTESTATION_PROJECT_ID}" \
    -H "Authorization: Bearer $(gcloud auth print-access-token)" \
    --data-binary @attestation.json \
    "${HALLMARK_ENDPOINT}/v1/projects/${ATTESTATION_PROJECT_ID}/occurrences/" >/dev/null
expect "attested over REST" "$(admission "${REST_IMAGE}")" 0

# Exempt images, dry run, break-glass; everything else is denied.
OTHER="${IMAGE_PATH}@sha256:aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999"
expect "an exempt image by its tag" "$(admission gcr.io/example-project/exempt/tool:1)" 0
expect "an exempt directory further down" "$(admission gcr.io/example-project/exempt/x/tool:1)" 2
expect "in dry run" "$(admission "${OTHER}" --cluster us-central1-a.test-cluster)" 0
expect "in another cluster" "$(admission "${OTHER}" --cluster us-central1-a.other)" 2
expect "with break-glass" "$(admission "${OTHER}" --break-glass)" 0
expect "without" "$(admission "${OTHER}")" 2
expect "by tag" "$(admission "${IMAGE_PATH}:latest")" 2

# Evaluate under a platform policy before deploying.
cat > gke_policy.yaml << EOM
gkePolicy:
  checkSets:
  - displayName: My trusted directory check set
    checks:
      trustedDirectoryCheck:
        trustedDirPatterns:
        - "gcr.io/example-project"
      displayName: My trusted directory check
EOM
gcloud beta container binauthz policy create my-policy --platform=gke \
    --policy-file=gke_policy.yaml --project="${DEPLOYER_PROJECT_ID}" >/dev/null
gcloud beta container binauthz policy evaluate my-policy --platform=gke \
    --project="${DEPLOYER_PROJECT_ID}" --image="${IMAGE_TO_ATTEST}" >/dev/null
code=0
gcloud beta container binauthz policy evaluate my-policy --platform=gke \
    --project="${DEPLOYER_PROJECT_ID}" --image="docker.io/library/x@${IMAGE_DIGEST}" >/dev/null || code=$?
expect "an image elsewhere" "$code" 2

# Clean up, as the documentation ends: what is gone attests nothing.
gcloud --project="${ATTESTOR_PROJECT_ID}" container binauthz attestors delete "${ATTESTOR_NAME}" --quiet >/dev/null
expect "without its attestor" "$(admission "${IMAGE_TO_ATTEST}")" 2
curl --fail-with-body -sS -X DELETE \
    -H "Authorization: Bearer $(gcloud auth print-access-token)" \
    "${HALLMARK_ENDPOINT}/v1/projects/${ATTESTOR_PROJECT_ID}/notes/${NOTE_ID}" >/dev/null
echo "walkthrough: done"
