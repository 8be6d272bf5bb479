"""Signatures: what gpgcheck=1 lets through, what it refuses, and by which key it was."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import rpm

from layering.errors import SignatureError
from layering.librpm import DBPATH
from layering.progress import Silent
from layering.resolver import Demand
from layering.signatures import Keyring, certificates
from tests.acceptance import rpms
from tests.acceptance.rpms import SigningKey, build_rpm
from tests.layering.universes import World, requests
from tests.layering.web import WebServer


@pytest.fixture(scope="module")
def key() -> Iterator[SigningKey]:
    with SigningKey() as key:
        yield key


@pytest.fixture(scope="module")
def other_key() -> Iterator[SigningKey]:
    with SigningKey("Other <other@example.com>") as key:
        yield key


def key_ids(key: SigningKey) -> list[str]:
    """Of the primary key and its subkeys."""
    listing = key._gpg("--with-colons", "--list-keys").decode()
    return [line.split(":")[4].lower() for line in listing.splitlines() if line.startswith(("pub", "sub"))]


def publish(world: World, key: SigningKey | None, gpgkey: str = "", options: str = "gpgcheck=1\n") -> Path:
    """A repository of one package, signed by that key."""
    package = world.repository.build("app", files={"/usr/share/app": "content"})
    if key:
        key.sign(package)
    world.repository.publish()
    text = world.repository.repo_file().replace("gpgcheck=0\n", options)
    world.configure(text + (f"gpgkey={gpgkey}\n" if gpgkey else ""))
    return package


def signer(world: World) -> str | None:
    resolver = world.resolver()
    files = resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
    return next(iter(files)).signed_by


def install_key(world: World, key: SigningKey, path: str = "etc/pki/rpm-gpg/KEY") -> Path:
    target = world.deployment / path
    target.parent.mkdir(parents=True, exist_ok=True)
    return key.export(target)


def test_a_package_signed_by_the_key_of_its_repository_comes_with_the_id_of_the_key(
    world: World, key: SigningKey
) -> None:
    package = publish(world, key, "file:///etc/pki/rpm-gpg/KEY")
    install_key(world, key)
    before = package.read_bytes()
    assert [signer(world)] == key_ids(key)[:1]
    assert package.read_bytes() == before


def test_without_gpgcheck_no_signature_is_looked_at(world: World, key: SigningKey) -> None:
    publish(world, key, "file:///etc/absent", options="gpgcheck=0\n")
    assert signer(world) is None


def test_an_unsigned_package_is_refused_by_name(world: World, key: SigningKey) -> None:
    publish(world, None, "file:///etc/pki/rpm-gpg/KEY")
    install_key(world, key)
    with pytest.raises(SignatureError) as refused:
        signer(world)
    assert refused.value.message == "Package app-1.0-1.noarch is not signed, and repository test has gpgcheck=1"


def test_a_key_that_the_repository_does_not_name_is_refused_by_its_id(
    world: World, key: SigningKey, other_key: SigningKey
) -> None:
    publish(world, other_key, "file:///etc/pki/rpm-gpg/KEY")
    install_key(world, key)
    with pytest.raises(SignatureError) as refused:
        signer(world)
    assert refused.value.message == (
        f"Package app-1.0-1.noarch is signed by key {key_ids(other_key)[0]}, "
        "which repository test does not name in gpgkey"
    )


def test_without_any_key_a_signature_is_worth_nothing(world: World, key: SigningKey) -> None:
    publish(world, key)
    with pytest.raises(SignatureError, match="which repository test does not name in gpgkey"):
        signer(world)


def test_a_changed_header_is_refused(world: World, key: SigningKey) -> None:
    package = publish(world, key, "file:///etc/pki/rpm-gpg/KEY")
    install_key(world, key)
    data = bytearray(package.read_bytes())
    data[data.find(b"The app package")] ^= 1
    package.write_bytes(data)
    world.repository.publish()
    with pytest.raises(SignatureError, match=r"Package app-1\.0-1\.noarch from repository test has a bad signature: "):
        signer(world)


def test_a_changed_payload_is_refused_though_the_repository_describes_it(world: World, key: SigningKey) -> None:
    package = publish(world, key, "file:///etc/pki/rpm-gpg/KEY")
    install_key(world, key)
    rpms.corrupt(package)
    world.repository.publish()
    with pytest.raises(SignatureError, match="the payload is not the one that was signed"):
        signer(world)
    package.write_bytes(package.read_bytes()[:-4])
    world.repository.publish()
    with pytest.raises(SignatureError, match="the payload is not the one that was signed"):
        signer(world)


def test_several_keys_and_one_file_with_several_are_all_good(
    world: World, key: SigningKey, other_key: SigningKey
) -> None:
    publish(world, key, "file:///etc/pki/both\n  file:///etc/pki/binary")
    both = install_key(world, other_key, "etc/pki/both")
    both.write_bytes(both.read_bytes() + b"\n" + install_key(world, key, "etc/pki/one").read_bytes())
    (world.deployment / "etc/pki/binary").write_bytes(other_key._gpg("--export"))
    assert signer(world) == key_ids(key)[0]


def test_a_subkey_of_the_named_key_is_good(world: World) -> None:
    with SigningKey("Subkey <subkey@example.com>") as key:
        fingerprint = re.findall(r"^fpr:+([0-9A-F]+):", key._gpg("--with-colons", "-K").decode(), re.MULTILINE)[0]
        key._gpg("--passphrase", "", "--quick-add-key", fingerprint, "rsa2048", "sign", "never")
        publish(world, key, "file:///etc/pki/rpm-gpg/KEY")
        install_key(world, key)
        primary, subkey = key_ids(key)
        assert primary != signer(world) == subkey


def test_a_key_in_the_bases_own_rpmdb_is_good(world: World, key: SigningKey, tmp_path: Path) -> None:
    publish(world, key)
    resolver = world.resolver()
    root = world.directory / "root0"
    command = ["rpmkeys", "--root", str(root), "--dbpath", f"/{DBPATH}", "--import"]
    subprocess.run([*command, str(key.export(tmp_path / "key.asc"))], check=True)
    files = resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
    assert next(iter(files)).signed_by == key_ids(key)[0]


def test_a_key_is_fetched_over_http_and_is_there_offline_from_then_on(world: World, key: SigningKey) -> None:
    keys = world.directory / "keys"
    keys.mkdir()
    key.export(keys / "KEY")
    with WebServer(keys) as web:
        publish(world, key, f"{web.url}/KEY")
        resolver = world.resolver(cacheonly=True)
        world.resolver().resolve(Demand(requests("app")))
        with pytest.raises(SignatureError, match=rf"Key {web.url}/KEY of repository test can't be used: "):
            resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
        assert signer(world) == key_ids(key)[0]
        before = web.count()
        files = resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
        assert (next(iter(files)).signed_by, web.count()) == (key_ids(key)[0], before)
        web.fail()
        with pytest.raises(SignatureError, match="503"):
            signer(world)


def test_key_paths_lead_through_the_links_of_the_merge_deployment(world: World, key: SigningKey) -> None:
    publish(world, key, "file:///etc/pki/rpm-gpg/KEY-$releasever-$basearch")
    install_key(world, key, "usr/share/keys/real")
    link = world.deployment / "etc/pki/rpm-gpg/KEY-40-x86_64"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../alias/real")
    (world.deployment / "etc/alias").symlink_to("/usr/share/keys")
    assert signer(world) == key_ids(key)[0]


@pytest.mark.parametrize("content", [None, "", "no key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n", "\x99\x01"])
def test_a_key_that_is_absent_or_damaged_is_named_with_its_repository(
    world: World, key: SigningKey, content: str | None
) -> None:
    publish(world, key, "file:///etc/pki/KEY")
    if content is not None:
        path = world.deployment / "etc/pki/KEY"
        path.parent.mkdir()
        path.write_text(content, encoding="latin-1")
    with pytest.raises(SignatureError, match=r"^Key file://.*/etc/pki/KEY of repository test can't be used: "):
        signer(world)


def test_signed_metadata_is_checked_where_it_is_asked_for(world: World, key: SigningKey, other_key: SigningKey) -> None:
    publish(world, key, "file:///etc/pki/rpm-gpg/KEY", options="gpgcheck=1\nrepo_gpgcheck=1\n")
    install_key(world, key)
    metadata = world.repository.directory / "repodata/repomd.xml"
    with pytest.raises(Exception, match="Repository test"):
        signer(world)
    key._gpg("--armor", "--detach-sign", str(metadata))
    assert signer(world) == key_ids(key)[0]
    metadata.with_name("repomd.xml.asc").unlink()
    other_key._gpg("--armor", "--detach-sign", str(metadata))
    with pytest.raises(Exception, match="Repository test"):
        signer(world)


def test_concatenated_certificates_are_cut_apart(key: SigningKey, other_key: SigningKey, tmp_path: Path) -> None:
    parts = [key._gpg("--export"), other_key._gpg("--export")]
    assert list(certificates(b"".join(parts))) == parts
    armored = key.export(tmp_path / "a").read_bytes() + other_key.export(tmp_path / "b").read_bytes()
    assert list(certificates(b"A comment.\n" + armored.replace(b"\n", b"\r\n"))) == parts
    package = build_rpm(tmp_path, "app")
    other_key.sign(package)
    keyring = Keyring(certificates(b"".join(parts)), tmp_path)
    assert keyring.verify(package, "app", "test") == key_ids(other_key)[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "app-1.0-1.noarch.rpm", "b"]


def test_a_file_that_is_no_rpm_is_refused(key: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "not.rpm"
    path.write_bytes(b"not an rpm" * 100)
    with pytest.raises(SignatureError, match="Package app from repository test has a bad signature"):
        Keyring([key._gpg("--export")], tmp_path).verify(path, "app", "test")


def test_verifying_leaves_librpm_as_it_was_and_says_nothing(
    key: SigningKey, other_key: SigningKey, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package = build_rpm(tmp_path, "app")
    other_key.sign(package)
    capfd.readouterr()
    before = rpm.expandMacro("%{_dbpath}")
    with pytest.raises(SignatureError):
        Keyring([key._gpg("--export")], tmp_path).verify(package, "app", "test")
    assert rpm.expandMacro("%{_dbpath}") == before
    assert capfd.readouterr() == ("", "")
