"""Drives every method of the daemon that Google's clients have, and prints what came back.

usage: drive.py HOST:PORT PRIVATE_KEY PUBLIC_KEY

Prints one JSON object, a member for each section; tests/e2e/google_clients.rs says what must be
in it.
"""

import json
import sys

from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2

import keys
from clients import (
    Clients,
    binauthz,
    binauthz_beta,
    grafeas_v1,
    image,
    openssl_sign,
    payload,
    refused,
)

PROJECT = "projects/p"
NOTE = f"{PROJECT}/notes/built"
ATTESTOR = f"{PROJECT}/attestors/built"
POLICY = f"{PROJECT}/policy"
ATTESTATION = grafeas_v1.NoteKind.ATTESTATION
Rule = binauthz.AdmissionRule


def rule(mode, attestors=()):
    return Rule(
        evaluation_mode=mode,
        enforcement_mode=Rule.EnforcementMode.ENFORCED_BLOCK_AND_AUDIT_LOG,
        require_attestations_by=list(attestors),
    )


def notes(c):
    hint = {"hint": {"human_readable_name": "built by us"}}
    note = grafeas_v1.Note(attestation=hint, short_description="old", long_description="long")
    create = {"parent": PROJECT, "note_id": "built", "note": note}
    made = c.grafeas.create_note(create)
    batch = {f"batch-{n}": grafeas_v1.Note(attestation=hint) for n in range(3)}
    batched = c.grafeas.batch_create_notes(parent=PROJECT, notes=batch)
    patched = c.grafeas.update_note(
        name=NOTE,
        note=grafeas_v1.Note(short_description="new"),
        update_mask=field_mask_pb2.FieldMask(paths=["short_description", "long_description"]),
    )
    c.grafeas.delete_note(name=f"{PROJECT}/notes/batch-0")
    located = f"{PROJECT}/locations/global"
    elsewhere = f"{PROJECT}/locations/us-east1/notes/built"
    listed = c.grafeas.list_notes({"parent": PROJECT, "page_size": 1})
    return {
        "made": [made.name, made.kind.name, bool(made.create_time)],
        "batched": sorted(note.name for note in batched.notes),
        "patched": [patched.short_description, patched.long_description, patched.kind.name],
        "hint": c.grafeas.get_note(name=NOTE).attestation.hint.human_readable_name,
        "listed": [note.name for note in listed],
        "located": [
            c.grafeas.get_note(name=f"{located}/notes/built").name,
            len(c.grafeas.list_notes(parent=located).notes),
        ],
        "elsewhere": refused(c.grafeas.get_note, name=elsewhere),
        "again": refused(c.grafeas.create_note, create),
        "missing": refused(c.grafeas.get_note, name=f"{PROJECT}/notes/none"),
        "filtered": refused(c.grafeas.list_notes, {"parent": PROJECT, "filter": 'kind="BUILD"'}),
    }


def attestors(c, public_key):
    key = binauthz.AttestorPublicKey(
        comment="ours",
        pkix_public_key=binauthz.PkixPublicKey(
            public_key_pem=public_key,
            signature_algorithm=binauthz.PkixPublicKey.SignatureAlgorithm.ECDSA_P256_SHA256,
        ),
    )
    new = binauthz.Attestor(
        name=ATTESTOR, user_owned_grafeas_note={"note_reference": NOTE, "public_keys": [key]}
    )
    made = c.management.create_attestor(parent=PROJECT, attestor_id="built", attestor=new)
    for name in "abc":
        extra = binauthz.Attestor(user_owned_grafeas_note={"note_reference": NOTE})
        c.management.create_attestor(parent=PROJECT, attestor_id=name, attestor=extra)
    changed = c.management.get_attestor(name=ATTESTOR)
    changed.description = "changed"
    changed = c.management.update_attestor(attestor=changed)
    c.management.delete_attestor(name=f"{PROJECT}/attestors/c")
    pages = c.management.list_attestors({"parent": PROJECT, "page_size": 2}).pages
    pages = [[attestor.name for attestor in page.attestors] for page in pages]
    beta = c.beta.get_attestor(name=ATTESTOR)
    beta_made = c.beta.create_attestor(
        parent=PROJECT,
        attestor_id="beta",
        attestor=binauthz_beta.Attestor(user_owned_drydock_note={"note_reference": NOTE}),
    )
    beta_made.description = "beta"
    beta_changed = c.beta.update_attestor(attestor=beta_made)
    beta_listed = [one.name for one in c.beta.list_attestors(parent=PROJECT)]
    c.beta.delete_attestor(name=beta_made.name)
    moved = binauthz.Attestor(changed)
    moved.user_owned_grafeas_note.note_reference = f"{PROJECT}/notes/batch-1"
    broken = binauthz.Attestor(changed)
    broken.user_owned_grafeas_note.public_keys[0].pkix_public_key.public_key_pem = "none"
    key = made.user_owned_grafeas_note.public_keys[0]
    return {
        "made": [made.name, bool(made.update_time), key.id, key.comment],
        "algorithm": key.pkix_public_key.signature_algorithm.name,
        "changed": changed.description,
        "pages": pages,
        "beta": [beta.user_owned_drydock_note.note_reference, beta.description],
        "beta_made": [beta_made.name, beta_changed.description, beta_made.name in beta_listed],
        "again": refused(
            c.management.create_attestor, parent=PROJECT, attestor_id="built", attestor=new
        ),
        "missing": refused(c.management.get_attestor, name=f"{PROJECT}/attestors/none"),
        "moved": refused(c.management.update_attestor, attestor=moved),
        "broken": refused(c.management.update_attestor, attestor=broken),
    }


def policy(c):
    unwritten = c.management.get_policy(name=POLICY)
    new = binauthz.Policy(
        name=POLICY,
        description="ours",
        global_policy_evaluation_mode=binauthz.Policy.GlobalPolicyEvaluationMode.ENABLE,
        admission_whitelist_patterns=[{"name_pattern": "gcr.io/google_containers/*"}],
        cluster_admission_rules={"global.dev": rule(Rule.EvaluationMode.ALWAYS_ALLOW)},
        default_admission_rule=rule(Rule.EvaluationMode.REQUIRE_ATTESTATION, [ATTESTOR]),
    )
    written = c.management.update_policy(policy=new)
    read = c.management.get_policy(name=POLICY)
    stale = binauthz.Policy(read)
    written = c.management.update_policy(policy=written)
    empty = binauthz.Policy(name=POLICY)
    nobody = binauthz.Policy(written)
    nobody.default_admission_rule = rule(
        Rule.EvaluationMode.REQUIRE_ATTESTATION, [f"{PROJECT}/attestors/none"]
    )
    system = c.system.get_system_policy(name="locations/global/policy")
    beta = c.beta.get_policy(name=POLICY)
    beta_written = c.beta.update_policy(policy=beta)
    written = c.management.get_policy(name=POLICY)
    return {
        "unwritten": unwritten.default_admission_rule.evaluation_mode.name,
        "read": [
            read.name,
            read.description,
            read.global_policy_evaluation_mode.name,
            read.admission_whitelist_patterns[0].name_pattern,
            read.cluster_admission_rules["global.dev"].evaluation_mode.name,
            read.default_admission_rule.evaluation_mode.name,
            read.default_admission_rule.enforcement_mode.name,
            list(read.default_admission_rule.require_attestations_by),
        ],
        "beta": beta_written
        == binauthz_beta.Policy.deserialize(binauthz.Policy.serialize(written)),
        "system": [system.name, len(system.admission_whitelist_patterns) > 0],
        "system_beta": c.beta_system.get_system_policy(name="locations/us-east1/policy").name,
        "stale": refused(c.management.update_policy, policy=stale),
        "empty": refused(c.management.update_policy, policy=empty),
        "nobody": refused(c.management.update_policy, policy=nobody),
    }


def occurrence(name, key_id, signature, serialized):
    return grafeas_v1.Occurrence(
        resource_uri=f"https://{name}",
        note_name=NOTE,
        kind=ATTESTATION,
        attestation={
            "serialized_payload": serialized,
            "signatures": [{"public_key_id": key_id, "signature": signature}],
        },
    )


def occurrences(c, key_id, private_key):
    def attested(seed):
        message = payload(image(seed))
        return occurrence(image(seed), key_id, openssl_sign(private_key, message), message)

    web = attested("web")
    made = c.grafeas.create_occurrence(parent=PROJECT, occurrence=web)
    batch = [attested("one"), attested("two"), attested("three")]
    batched = c.grafeas.batch_create_occurrences(parent=PROJECT, occurrences=batch).occurrences
    digest = image("web").split("@")[1]
    filters = {
        "suffix": f'has_suffix(resourceUrl, "{digest}")',
        "url": f'resourceUrl="https://{image("web")}" AND kind="ATTESTATION"',
        "kind": 'kind="ATTESTATION"',
        "other": 'kind="VULNERABILITY"',
        "empty": "",
    }

    def found(filter):
        listed = c.grafeas.list_occurrences({"parent": PROJECT, "filter": filter, "page_size": 2})
        return len([one.name for one in listed])

    of_note = c.grafeas.list_note_occurrences({"name": NOTE, "filter": filters["suffix"]})
    vulnerability = grafeas_v1.Occurrence(
        resource_uri=f"https://{image('web')}",
        note_name=f"{PROJECT}/notes/cve",
        vulnerability={"type_": "os", "severity": grafeas_v1.Severity.HIGH, "cvss_score": 7.5},
    )
    cve = grafeas_v1.Note(vulnerability={"severity": grafeas_v1.Severity.HIGH})
    c.grafeas.create_note(parent=PROJECT, note_id="cve", note=cve)
    vulnerable = c.grafeas.create_occurrence(parent=PROJECT, occurrence=vulnerability)
    kept = c.grafeas.get_occurrence(name=vulnerable.name)
    patched = c.grafeas.update_occurrence(
        name=vulnerable.name,
        occurrence=grafeas_v1.Occurrence(remediation="update it"),
        update_mask=field_mask_pb2.FieldMask(paths=["remediation"]),
    )
    c.grafeas.delete_occurrence(name=batched[2].name)
    orphan = grafeas_v1.Occurrence(web)
    orphan.note_name = f"{PROJECT}/notes/none"
    return {
        "made": [made.name.startswith(f"{PROJECT}/occurrences/"), made.kind.name],
        "kept_bytes": made.attestation == web.attestation,
        "batched": len(batched),
        "found": {name: found(filter) for name, filter in filters.items()},
        "of_note": [one.name == made.name for one in of_note],
        "note": c.grafeas.get_occurrence_note(name=made.name).name,
        "kept": [kept.vulnerability.type_, kept.vulnerability.severity.name, kept.kind.name],
        "patched": [patched.remediation, patched.vulnerability == kept.vulnerability],
        "again": refused(c.grafeas.create_occurrence, parent=PROJECT, occurrence=web),
        "orphan": refused(c.grafeas.create_occurrence, parent=PROJECT, occurrence=orphan),
        "gone": refused(c.grafeas.get_occurrence, name=batched[2].name),
        "unfiltered": refused(
            c.grafeas.list_occurrences, {"parent": PROJECT, "filter": "severity>HIGH"}
        ),
        "summary": refused(
            c.analysis.get_vulnerability_occurrences_summary, {"parent": PROJECT}
        ),
    }


def validation(c, key_id, private_key):
    def validate(serialized, signature, **changes):
        request = {
            "attestor": ATTESTOR,
            "attestation": {
                "serialized_payload": serialized,
                "signatures": [{"public_key_id": key_id, "signature": signature}],
            },
            "occurrence_note": NOTE,
            "occurrence_resource_uri": f"https://{image('validated')}",
            **changes,
        }
        answer = c.validation.validate_attestation_occurrence(request)
        return [answer.result.name, answer.denial_reason]

    message = payload(image("validated"))
    signature = openssl_sign(private_key, message)
    flipped = bytes([*signature[:-1], signature[-1] ^ 1])
    other = {"occurrence_resource_uri": image("other")}
    tagged = {"occurrence_resource_uri": "registry.example.com/shop/web:latest"}
    return {
        "verified": validate(message, signature),
        "flipped": validate(message, flipped),
        "other_digest": validate(message, signature, **other),
        "other_note": validate(message, signature, occurrence_note=f"{PROJECT}/notes/cve"),
        "tagged": validate(message, signature, **tagged),
        "nobody": refused(validate, message, signature, attestor=f"{PROJECT}/attestors/none"),
    }


def iam(c):
    def walk(client, resource, permission):
        get = iam_policy_pb2.GetIamPolicyRequest(resource=resource)
        unwritten = client.get_iam_policy(get)
        unwritten.bindings.add(role="roles/binaryauthorization.policyViewer", members=["user:someone@example.com"])
        put = iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=unwritten)
        written = client.set_iam_policy(put)
        ask = iam_policy_pb2.TestIamPermissionsRequest(
            resource=resource, permissions=[permission]
        )
        held = client.test_iam_permissions(ask)
        return {
            "written": [written.bindings[0].role, list(written.bindings[0].members)],
            "read": client.get_iam_policy(get) == written,
            "held": list(held.permissions),
            "stale": refused(client.set_iam_policy, put),
        }

    bad = policy_pb2.Policy(bindings=[policy_pb2.Binding(role="owner", members=["me"])])
    bad = iam_policy_pb2.SetIamPolicyRequest(resource=ATTESTOR, policy=bad)
    return {
        "policy": walk(c.management, POLICY, "binaryauthorization.policy.get"),
        "attestor": walk(c.management, ATTESTOR, "binaryauthorization.attestors.get"),
        "beta": walk(c.beta, f"{PROJECT}/attestors/a", "binaryauthorization.attestors.get"),
        "note": walk(c.analysis, NOTE, "containeranalysis.notes.get"),
        "bad": refused(c.management.set_iam_policy, bad),
    }


def main():
    host, private_key, public_key = sys.argv[1:]
    with open(public_key, encoding="ascii") as file:
        public_key = file.read()
    c = Clients(host)
    sections = {"notes": notes(c), "attestors": attestors(c, public_key), "policy": policy(c)}
    key_id = sections["attestors"]["made"][2]
    sections["occurrences"] = occurrences(c, key_id, private_key)
    sections["validation"] = validation(c, key_id, private_key)
    sections["iam"] = iam(c)
    sections["kms"] = keys.walk(c, ATTESTOR, occurrence)
    sections["images"] = {seed: image(seed) for seed in ("web", "three", "kms")}
    json.dump(sections, sys.stdout)


if __name__ == "__main__":
    main()
