"""``celery.security``: what Celery signs canvas reads, what canvas signs Celery reads, and nothing else is read."""

import os
import subprocess
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import celery.security.certificate
import celery.security.key
import celery.security.serialization
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from canvas import Canvas
from canvas.celery_names import security
from canvas.celery_names.security import certificate, key
from canvas.celery_names.security import serialization as own
from canvas.errors import ConfigurationError, SignatureError

PROGRAM = """
import os, subprocess, sys
from celery import Celery, chain
from celery.contrib.testing.worker import start_worker

URL, FOLDER = os.environ["SERVER"], os.environ["FOLDER"]
app = Celery("x", broker=URL, backend=URL)
app.conf.update(
    security_key=FOLDER + "/key", security_certificate=FOLDER + "/trusted/cert", security_cert_store=FOLDER + "/trusted",
    security_key_password=b"secret", task_serializer="auth", accept_content=["auth"], result_accept_content=["json"],
)
app.setup_security()

@app.task(name="add")
def add(x, y):
    return x + y

if sys.argv[1] == "send":
    print(chain(add.s(1, 2), add.s(3)).delay().id)
elif sys.argv[1] == "ask":
    asked = Celery("y", broker=URL) if sys.argv[2] == "unsigned" else app
    print(len(asked.control.broadcast("ping", reply=True, limit=1, timeout=float(sys.argv[3]))))
else:
    def ask(program, *words):
        done = subprocess.run([sys.executable, *program, "program.py", "ask", *words], capture_output=True, text=True)
        return done.stdout.strip() or done.stderr

    with start_worker(app, perform_ping_check=False):
        found = [app.AsyncResult(sys.argv[2]).get(timeout=60), ask([], "signed", "60"), ask([], "unsigned", "0.5"),
                 ask(["-m", "canvas.as_celery"], "signed", "60"), len(app.control.broadcast("ping", reply=True, limit=1, timeout=60))]
        print(*found)
"""


def made(private, days=1, name="signer"):
    """A certificate of a key."""
    issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "canvas"),
                        x509.NameAttribute(NameOID.COMMON_NAME, name)])  # fmt: skip
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder().subject_name(issuer).issuer_name(issuer).public_key(private.public_key())
        .serial_number(7).not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=days))
    )  # fmt: skip
    return built.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def pem(private, password=None):
    sealed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, sealed).decode()


@pytest.fixture(scope="module")
def private():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, private):
    found = tmp_path_factory.mktemp("security")
    (found / "trusted").mkdir()
    (found / "key").write_text(pem(private, b"secret"))
    (found / "trusted" / "cert").write_text(made(private))
    return found


def serializer(module, keys, certificates, folder):
    cert = (folder / "trusted" / "cert").read_text()
    return module.SecureSerializer(
        keys.PrivateKey((folder / "key").read_text(), b"secret"), certificates.Certificate(cert),
        certificates.FSCertStore(str(folder / "trusted")),
    )  # fmt: skip


@pytest.fixture
def ours(folder):
    return serializer(own, key, certificate, folder)


@pytest.fixture
def theirs(folder):
    parts = celery.security
    return serializer(parts.serialization, parts.key, parts.certificate, folder)


@pytest.mark.parametrize("value", [[[1, "ä"], {"x": None}, {"chain": []}], "a\0\1b", {}])
def test_each_reads_what_the_other_signs(ours, theirs, value):
    assert theirs.deserialize(ours.serialize(value)) == value
    assert ours.deserialize(theirs.serialize(value)) == value


def test_data_that_was_changed_is_refused(ours):
    raw = b64decode(ours.serialize([1]))
    with pytest.raises(SignatureError, match="InvalidSignature"):
        ours.deserialize(b64encode(raw[:-2] + b"2]"))


@pytest.mark.parametrize("data", ["", "eA==", "ä", b64encode(b"\0\1".join([b"eA=="] * 5)).decode()])
def test_data_without_a_signature_is_refused(ours, data):
    with pytest.raises(SignatureError, match="Unable to deserialize"):
        ours.deserialize(data)


def test_an_expired_certificate_is_refused(private, tmp_path):
    expired = certificate.Certificate(made(private, days=-1))
    signature = key.PrivateKey(pem(private)).sign(b"x", hashes.SHA256())
    with pytest.raises(SignatureError, match="Expired"):
        expired.verify(b"x", signature, hashes.SHA256())
    (tmp_path / "one").write_text(made(private, days=-1))
    with pytest.raises(SignatureError, match="Expired"):
        certificate.FSCertStore(str(tmp_path))


def test_other_kinds_of_keys_are_refused(private):
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(SignatureError, match="RSA"):
        key.PrivateKey(pem(other))
    with pytest.raises(SignatureError, match="RSA"):
        certificate.Certificate(made(other))
    with pytest.raises(SignatureError, match="private key"):
        key.PrivateKey(pem(private, b"secret"), b"wrong")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task_serializer": "auth"}, r"accept_content = \['auth'\]"),
        ({"accept_content": ["auth"]}, "task_serializer = 'auth'"),
        ({"task_serializer": "auth", "accept_content": ["auth", "json"]}, "unsigned"),
        ({"task_serializer": "auth", "accept_content": ["auth"]}, "security_cert_store"),
    ],
)
def test_settings_that_do_not_fit(monkeypatch, settings, words):
    monkeypatch.setattr(security, "disable_untrusted_serializers", lambda names: None)
    app = Canvas(broker="memory://", set_as_current=False, **settings)
    with pytest.raises(ConfigurationError, match=words):
        app.setup_security()


def test_the_serializer_before_it_is_set_up():
    app = Canvas(broker="memory://", set_as_current=False, task_serializer="auth", accept_content=["auth"])
    with pytest.raises(ConfigurationError, match="setup_security"):
        app.send_task("add", (1, 2))


def test_a_worker_of_canvas_runs_what_a_client_of_celery_signs(folder, redis_server, redis_url, tmp_path):
    """It answers signed commands of Celery and of canvas, and no others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "CANVAS_"))}
    env |= {"SERVER": redis_url, "FOLDER": str(folder)}
    (tmp_path / "program.py").write_text(PROGRAM)

    def output(*words):
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    sent = output("program.py", "send")
    assert b"application/data" in redis_server.client().lrange("celery", 0, -1)[0]
    assert output("-m", "canvas.as_celery", "program.py", "work", sent) == "6 1 0 1 1"
