#!/usr/bin/env bash
# Hallmark in two minutes: real keys, real signatures, a real daemon. Run by `make demo`, which
# builds it first. Leaves the daemon running and says how to talk to it; everything it makes lies
# in ./demo-data, which the next run replaces.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v openssl >/dev/null || { echo "the demo signs with OpenSSL: install openssl" >&2; exit 1; }

PATH="${CARGO_TARGET_DIR:-target}/release:$PATH"
dir=demo-data
export HALLMARK_PROJECT=my-app-prod
image=registry.example.com/shop/web
digest() { printf '%s' "$1" | openssl dgst -sha256 -r | cut -d' ' -f1; }
attested=$image@sha256:$(digest attested) plain=$image@sha256:$(digest plain) forged=$image@sha256:$(digest forged)

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
quietly() { printf '$ %s\n' "$*"; "$@" >/dev/null; }
# Denials are what the demo is about: exit code 2 is expected, anything else stops it.
denied() { local code=0; run "$@" || code=$?; [ "$code" = 2 ] || { echo "expected a denial, got exit code $code" >&2; exit 1; }; }

[ -f $dir/pid ] && kill "$(cat $dir/pid)" 2>/dev/null && sleep 0.5
rm -rf $dir && mkdir $dir

say "A daemon on an embedded store"
echo "$ hallmark serve --data-dir $dir/data --listen 127.0.0.1:0 --port-file $dir/address"
hallmark serve --data-dir $dir/data --listen 127.0.0.1:0 --port-file $dir/address >$dir/daemon.log 2>&1 &
echo $! >$dir/pid
for _ in $(seq 100); do [ -s $dir/address ] && break; sleep 0.05; done
[ -s $dir/address ] || { cat $dir/daemon.log >&2; exit 1; }
export HALLMARK_ENDPOINT="http://$(cat $dir/address)"
echo "listening on $HALLMARK_ENDPOINT"

say "Keys, made by OpenSSL: two that we trust and a stranger's"
for key in build qa stranger; do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $dir/$key.pem 2>/dev/null
    openssl pkey -in $dir/$key.pem -pubout -out $dir/$key.pub
done
for attestor in build qa; do
    quietly hallmark notes create $attestor --description "passed $attestor"
    quietly hallmark attestors create $attestor --attestation-authority-note $attestor
    quietly hallmark attestors public-keys add --attestor $attestor \
        --pkix-public-key-file $dir/$attestor.pub --pkix-public-key-algorithm ecdsa-p256-sha256 \
        --public-key-id-override "https://keys.example.com/$attestor"
done
run hallmark attestors list

say "A policy: both attestors, everywhere; one cluster is a dry run"
cat >$dir/policy.yaml <<YAML
globalPolicyEvaluationMode: ENABLE
admissionWhitelistPatterns:
- namePattern: registry.example.com/base/*
defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
  - projects/$HALLMARK_PROJECT/attestors/build
  - projects/$HALLMARK_PROJECT/attestors/qa
clusterAdmissionRules:
  europe-west2.staging:
    evaluationMode: REQUIRE_ATTESTATION
    enforcementMode: DRYRUN_AUDIT_LOG_ONLY
    requireAttestationsBy:
    - projects/$HALLMARK_PROJECT/attestors/build
YAML
cat $dir/policy.yaml
quietly hallmark policy import $dir/policy.yaml

say "Two attestations of one image: one signed by OpenSSL, one by Hallmark itself"
hallmark create-signature-payload --artifact-url "$attested" >$dir/payload.json
run openssl dgst -sha256 -sign $dir/build.pem -out $dir/build.sig $dir/payload.json
quietly hallmark attestations create --attestor build --artifact-url "$attested" \
    --signature-file $dir/build.sig --public-key-id https://keys.example.com/build
quietly hallmark attestations sign-and-create --attestor qa --artifact-url "$attested" \
    --key $dir/qa.pem --algorithm ecdsa-p256-sha256 --public-key-id-override https://keys.example.com/qa

say "The attested image is allowed"
run hallmark decide "$attested"
say "Asked again, the answer comes from the cache"
run hallmark decide "$attested" --namespace shop
say "An image that nobody attested is denied"
denied hallmark decide "$plain"
say "A stranger's signature under a trusted name is denied, and says so"
hallmark create-signature-payload --artifact-url "$forged" | openssl dgst -sha256 -sign $dir/stranger.pem -out $dir/forged.sig
quietly hallmark attestations create --attestor build --artifact-url "$forged" \
    --signature-file $dir/forged.sig --public-key-id https://keys.example.com/build
denied hallmark decide "$forged"
say "A tag is denied: attestations speak of digests"
denied hallmark decide "$image:latest"
say "An allowlisted image is allowed, tag and all"
run hallmark decide registry.example.com/base/debian:12
say "Dry run: recorded, not enforced"
run hallmark decide "$plain" --cluster europe-west2.staging
say "Break-glass: recorded, not enforced"
run hallmark decide "$plain" --break-glass

say "Some metrics"
curl_metrics() { if command -v curl >/dev/null; then curl -sf "$HALLMARK_ENDPOINT/metrics"; else python3 -c "import urllib.request as r; print(r.urlopen('$HALLMARK_ENDPOINT/metrics').read().decode())"; fi; }
curl_metrics | grep -E '^hallmark_(decisions_total|verifications_total|cache_requests_total|break_glass_total|audit_records_total|snapshot_generation)' | grep -v ' 0$'

say "The audit log, one line per decision, chained by hash"
tail -n 1 $dir/data/audit/*.jsonl | cut -c 1-220; echo …
run hallmark audit verify $dir/data/audit

say "The daemon goes on. Talk to it:"
cat <<TEXT
export HALLMARK_ENDPOINT=$HALLMARK_ENDPOINT HALLMARK_PROJECT=$HALLMARK_PROJECT
$(command -v hallmark) decide $attested
curl -s $HALLMARK_ENDPOINT/v1/decisions -d '{"project":"$HALLMARK_PROJECT","images":["$attested"]}'
curl -s $HALLMARK_ENDPOINT/v1/projects/$HALLMARK_PROJECT/policy
Stop it: kill $(cat $dir/pid)
TEXT
