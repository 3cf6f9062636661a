"""Google's clients, pointed at a daemon over plain HTTP on loopback."""

import hashlib
import subprocess

from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import binaryauthorization_v1 as binauthz
from google.cloud import binaryauthorization_v1beta1 as binauthz_beta
from google.cloud import kms_v1 as kms
from google.cloud.binaryauthorization_v1.services import (
    binauthz_management_service_v1,
    system_policy_v1,
    validation_helper_v1,
)
from google.cloud.binaryauthorization_v1beta1.services import (
    binauthz_management_service_v1_beta1,
    system_policy_v1_beta1,
)
from google.cloud.devtools.containeranalysis_v1.services import container_analysis
from google.cloud.kms_v1.services import key_management_service
from grafeas import grafeas_v1
from grafeas.grafeas_v1.services import grafeas


def client(service, name, host):
    """The REST client `name` of a generated service package."""
    transport = service.transports.__dict__[f"{name}RestTransport"](
        host=host, credentials=AnonymousCredentials(), url_scheme="http"
    )
    return service.__dict__[f"{name}Client"](transport=transport)


class Clients:
    """One of each, for the daemon at `host`."""

    def __init__(self, host):
        self.management = client(
            binauthz_management_service_v1, "BinauthzManagementServiceV1", host
        )
        self.validation = client(validation_helper_v1, "ValidationHelperV1", host)
        self.system = client(system_policy_v1, "SystemPolicyV1", host)
        self.beta = client(
            binauthz_management_service_v1_beta1, "BinauthzManagementServiceV1Beta1", host
        )
        self.beta_system = client(system_policy_v1_beta1, "SystemPolicyV1Beta1", host)
        self.grafeas = client(grafeas, "Grafeas", host)
        self.analysis = client(container_analysis, "ContainerAnalysis", host)
        self.kms = client(key_management_service, "KeyManagementService", host)


def refused(call, *args, **kwargs):
    """The exception class, the message and the fields at fault of a call that must fail."""
    try:
        answer = call(*args, **kwargs)
    except exceptions.GoogleAPICallError as error:
        fields = [
            violation["field"]
            for detail in error.details
            for violation in detail.get("fieldViolations", [])
        ]
        return {"error": type(error).__name__, "message": error.message, "fields": fields}
    raise AssertionError(f"accepted: {answer}")


def payload(image):
    """The payload that gcloud would sign, byte for byte."""
    repository, digest = image.split("@")
    return (
        '{\n  "critical": {\n    "identity": {\n      "docker-reference": "%s"\n    },\n'
        '    "image": {\n      "docker-manifest-digest": "%s"\n    },\n'
        '    "type": "Google cloud binauthz container signature"\n  }\n}\n' % (repository, digest)
    ).encode()


def image(seed):
    """An image by digest."""
    return "registry.example.com/shop/web@sha256:" + hashlib.sha256(seed.encode()).hexdigest()


def openssl_sign(private_key, message):
    """Signs as the walkthrough of Google's documentation does."""
    command = ["openssl", "dgst", "-sha256", "-sign", private_key]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout
