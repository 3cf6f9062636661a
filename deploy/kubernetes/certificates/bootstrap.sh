#!/usr/bin/env bash
# Makes every certificate that a cluster and Hallmark need to know each other, with nothing but
# OpenSSL, and the files to apply. Asks no cluster for anything and changes none.
#
#   bootstrap.sh PROJECT CLUSTER DIR        such as: bootstrap.sh my-app-prod europe-west2.prod certs
#
# DIR/ca.key, DIR/ca.crt   the CA. Made once: run again with the same DIR to renew all the rest.
#                          Whoever has ca.key may speak for the API server: keep it offline.
# DIR/secrets.yaml         Secrets of hallmark-system: kubectl apply --filename DIR/secrets.yaml
# DIR/apiserver/           how the API server proves who it is: copy to /etc/kubernetes/hallmark on
#                          every control plane node, and start kube-apiserver with
#                          --admission-control-config-file=/etc/kubernetes/hallmark/admission.yaml
# DIR/webhook/             the gate: kubectl apply --kustomize DIR/webhook, when the daemon is ready
#
# HALLMARK_DAYS (365): how long certificates are good for; the CA ten times as long.
set -euo pipefail
umask 077

[ $# = 3 ] || { sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2; exit 1; }
project=$1 cluster=$2 dir=$3
[[ $project =~ ^[a-z][a-z0-9.:-]*$ ]] || { echo "PROJECT: lower case letters, digits and dashes, not \`$project\`" >&2; exit 1; }
[[ $cluster =~ ^[a-z0-9-]+\.[a-z0-9-]+$ ]] || { echo "CLUSTER: LOCATION.NAME, not \`$cluster\`" >&2; exit 1; }
command -v openssl >/dev/null || { echo "openssl is missing: install it" >&2; exit 1; }

manifests=$(realpath "$(dirname "$0")/..")
days=${HALLMARK_DAYS:-365}
service=hallmark.hallmark-system.svc
mkdir -p "$dir/apiserver" "$dir/webhook"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
# issue NAME SUBJECT USAGE [SAN]: NAME.key and NAME.crt, signed by the CA.
issue() {
    key "$dir/$1.key"
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=$3"
        echo "subjectKeyIdentifier=hash"
        echo "authorityKeyIdentifier=keyid"
        [ -z "${4:-}" ] || echo "subjectAltName=$4"
    } >"$scratch/$1.ext"
    openssl req -new -key "$dir/$1.key" -subj "$2" -out "$scratch/$1.csr"
    openssl x509 -req -sha256 -in "$scratch/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -days "$days" \
        -set_serial "0x$(openssl rand -hex 16)" -extfile "$scratch/$1.ext" -out "$dir/$1.crt" 2>/dev/null
}
encoded() { openssl base64 -A -in "$1"; }

if [ ! -e "$dir/ca.key" ]; then
    key "$dir/ca.key"
    openssl req -new -x509 -sha256 -key "$dir/ca.key" -subj "/CN=hallmark-ca" -days $((days * 10)) -out "$dir/ca.crt" \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
fi
issue tls "/CN=$service" serverAuth "DNS:$service,DNS:$service.cluster.local"
issue kube-apiserver "/CN=kube-apiserver" clientAuth
issue prometheus "/CN=prometheus" clientAuth

secret() {
    cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: $1
  namespace: hallmark-system
type: kubernetes.io/tls
data:
  ca.crt: $(encoded "$dir/ca.crt")
  tls.crt: $(encoded "$dir/$2.crt")
  tls.key: $(encoded "$dir/$2.key")
YAML
}
{ secret hallmark-tls tls; echo ---; secret hallmark-prometheus prometheus; } >"$dir/secrets.yaml"

cat >"$dir/apiserver/admission.yaml" <<YAML
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: /etc/kubernetes/hallmark/kubeconfig.yaml
YAML
# The user's name is the webhook's host, and picks these credentials for it alone.
cat >"$dir/apiserver/kubeconfig.yaml" <<YAML
apiVersion: v1
kind: Config
users:
- name: $service
  user:
    client-certificate-data: $(encoded "$dir/kube-apiserver.crt")
    client-key-data: $(encoded "$dir/kube-apiserver.key")
YAML

cat >"$dir/webhook/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- $(realpath --relative-to="$dir/webhook" "$manifests/webhook")
patches:
- target:
    kind: ValidatingWebhookConfiguration
  patch: |
$(for n in 0 1; do
    cat <<PATCH
    - op: replace
      path: /webhooks/$n/clientConfig/service/path
      value: /k8s/projects/$project/clusters/$cluster/admission
    - op: add
      path: /webhooks/$n/clientConfig/caBundle
      value: $(encoded "$dir/ca.crt")
PATCH
done)
YAML
echo "made $dir: next, kubectl apply --filename $dir/secrets.yaml"
