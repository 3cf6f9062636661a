"""What `gcloud … attestations sign-and-create` does with Cloud KMS: fetch the public key, trust it,
sign a digest, check every checksum, attest."""

import hashlib

from google.cloud.kms_v1.types import resources

from clients import binauthz, image, kms, payload, refused

KEYS = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions"
ECDSA = f"{KEYS}/1"
ED25519 = f"{KEYS}/2"


def crc32c(data):
    """CRC-32C (Castagnoli), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sign(c, name, message):
    """Signs the digest, as clients do, and checks what came back as they do."""
    digest = hashlib.sha256(message).digest()
    signed = c.kms.asymmetric_sign(
        {"name": name, "digest": {"sha256": digest}, "digest_crc32c": crc32c(digest)}
    )
    assert signed.verified_digest_crc32c and signed.name == name
    assert signed.signature_crc32c == crc32c(signed.signature)
    return signed


def trust(c, attestor, public):
    """Adds the key under the name that gcloud gives it."""
    key_id = f"//cloudkms.googleapis.com/v1/{public.name}"
    attestor = c.management.get_attestor(name=attestor)
    attestor.user_owned_grafeas_note.public_keys.append(
        binauthz.AttestorPublicKey(
            id=key_id,
            pkix_public_key=binauthz.PkixPublicKey(
                public_key_pem=public.pem,
                signature_algorithm=binauthz.PkixPublicKey.SignatureAlgorithm[
                    public.algorithm.name
                ],
            ),
        )
    )
    c.management.update_attestor(attestor=attestor)
    return key_id


def walk(c, attestor, occurrence):
    public = c.kms.get_public_key(name=ECDSA)
    version = c.kms.get_crypto_key_version(name=ECDSA)
    key_id = trust(c, attestor, public)
    message = payload(image("kms"))
    signed = sign(c, ECDSA, message)
    made = c.grafeas.create_occurrence(
        parent="projects/p", occurrence=occurrence(image("kms"), key_id, signed.signature, message)
    )
    data = c.kms.asymmetric_sign(
        {"name": ED25519, "data": message, "data_crc32c": crc32c(message)}
    )
    der = c.kms.get_public_key(
        {"name": ED25519, "public_key_format": resources.PublicKey.PublicKeyFormat.DER}
    )
    digest = {"sha256": hashlib.sha256(message).digest()}

    def sign_refused(**request):
        return refused(c.kms.asymmetric_sign, {"name": ECDSA, **request})

    return {
        "public": [public.name, public.algorithm.name, public.protection_level.name],
        "pem_crc32c": public.pem_crc32c == crc32c(public.pem.encode()),
        "version": [version.name, version.state.name, version.algorithm.name],
        "level": signed.protection_level.name,
        "attested": made.kind.name,
        "data": [data.verified_data_crc32c, len(data.signature), data.name],
        "der": der.public_key.crc32c_checksum == crc32c(der.public_key.data),
        "unchecked": c.kms.asymmetric_sign(
            kms.AsymmetricSignRequest(name=ECDSA, digest=digest)
        ).verified_digest_crc32c,
        "corrupt_digest": sign_refused(digest=digest, digest_crc32c=1),
        "corrupt_data": sign_refused(data=message, data_crc32c=1),
        "wrong_hash": sign_refused(digest={"sha384": bytes(48)}),
        "short": sign_refused(digest={"sha256": bytes(31)}),
        "both": sign_refused(digest=digest, data=message),
        "neither": sign_refused(),
        "digest_of_ed25519": sign_refused(name=ED25519, digest=digest),
        "missing": refused(c.kms.get_public_key, name=f"{KEYS}/3"),
    }
