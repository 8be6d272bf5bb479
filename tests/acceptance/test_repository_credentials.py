"""Repositories that ask for a login, behind TLS of an unknown authority or a proxy; and nothing tells the login on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.certificates import Authority
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.repositories import FOO, HttpServer, Repository

USER, SECRET = "anna-of-the-mirror", "correct@horse+9battery"
IN_URL = SECRET.replace("@", "%40")
CONFIGURATION = "etc/yum.repos.d/test.repo"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(repository: Repository, authority: Authority) -> Iterator[HttpServer]:
    """The repository over HTTPS, for who has the login."""
    with HttpServer(repository.directory, authority.server, login=f"{USER}:{SECRET}") as server:
        yield server


@pytest.fixture
def host(install_host: InstallHost) -> Host:
    return install_host()


def configure(host: Host, repository: Repository, url: str, *options: str) -> None:
    """Configure the repository as an administrator with something to keep would: for root alone to read."""
    host.set_repo("")
    host.path(f"/{CONFIGURATION}").chmod(0o600)
    host.set_repo(repository.repo_file(url=url) + "".join(f"{each}\n" for each in options))


def login(password: str = SECRET) -> tuple[str, str]:
    return f"username={USER}", f"password={password}"


def trust(host: Host, authority: Authority) -> str:
    """Put the authority into the deployment's /etc; returns the option that names it there."""
    host.write("/etc/pki/own.pem", authority.certificate.read_text())
    return "sslcacert=/etc/pki/own.pem"


def assert_kept(host: Host, *said: str, secrets: tuple[str, ...] = (SECRET, IN_URL)) -> None:
    """No secret is in what was said or can be asked for, nor in any file but the configuration, which is root's."""
    asked = ("status", "-v"), ("history",), ("show",), ("audit", "log"), ("history", "--json"), ("show", "--json")
    told = [*said, *(host.ok(*each).stdout for each in asked)]
    assert not [each for each in told for secret in secrets if secret in each]
    found = []
    for directory, _, names in os.walk(host.sysroot):
        for path in (Path(directory, name) for name in names):
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and any(secret.encode() in path.read_bytes() for secret in secrets):
                found.append(path)
                assert str(path).endswith(CONFIGURATION)
                assert stat.S_IMODE(info.st_mode) == 0o600
    assert found


def test_a_login_over_https_brings_packages_and_stays_where_it_was_written(
    host: Host, repository: Repository, secure: HttpServer, authority: Authority
) -> None:
    configure(host, repository, secure.url, *login(), trust(host, authority))
    results = [host.run(*each, check=0, env={"LAYER_DEBUG": "1"}) for each in (("refresh-md",), ("pkg-add", "foo"))]
    assert host.current()["layered"] == [FOO]
    assert host.stat(f"/{CONFIGURATION}").st_mode & 0o777 == 0o600
    assert_kept(host, *map(str, results))


def test_a_wrong_login_is_told_without_it(
    host: Host, repository: Repository, secure: HttpServer, authority: Authority
) -> None:
    trusted = trust(host, authority)
    configure(host, repository, secure.url, *login("wrong-horse"), trusted)
    result = host.run("pkg-add", "foo", check=1, env={"LAYER_DEBUG": "1"})
    assert "Repository test" in result.stderr
    assert "401" in result.stderr
    assert "401" in host.last()["error"]["message"]
    assert_kept(host, str(result), secrets=("wrong-horse",))


def test_an_authority_that_nobody_named_is_not_trusted_unless_that_is_turned_off(
    host: Host, repository: Repository, secure: HttpServer
) -> None:
    configure(host, repository, secure.url, *login())
    assert "certificate" in host.run("pkg-add", "foo", check=1).stderr
    assert secure.count() == 0
    configure(host, repository, secure.url, *login(), "sslverify=1")
    assert "certificate" in host.run("pkg-add", "foo", check=1).stderr
    assert secure.count() == 0
    configure(host, repository, secure.url, *login(), "sslverify=0")
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == [FOO]
    assert_kept(host)


def test_certificates_of_another_authority_are_refused(
    host: Host, repository: Repository, secure: HttpServer, tmp_path: Path
) -> None:
    other = trust(host, Authority.make(tmp_path / "other"))
    configure(host, repository, secure.url, *login(), other)
    assert "certificate" in host.run("pkg-add", "foo", check=1).stderr
    assert secure.count() == 0


def test_a_login_in_the_url_is_left_out_of_what_is_said_of_the_repository(
    host: Host, repository: Repository, secure: HttpServer, authority: Authority
) -> None:
    url = secure.url.replace("://", f"://{USER}:{IN_URL}@")
    configure(host, repository, url, trust(host, authority))
    host.ok("pkg-add", "foo")
    secure.fail()
    failed = host.run("refresh-md", check=1)
    assert secure.url.replace("://", "://***@") in failed.stderr
    failed_json = host.run("refresh-md", "--json", check=1)
    secure.heal()
    secure.fail("*.rpm")
    not_downloaded = host.run("pkg-add", "baz", check=1)
    configure(host, repository, url, "skip_if_unavailable=1", "sslverify=0")
    secure.fail()
    left_out = host.run("pkg-add", "bar", check=1)
    assert_kept(host, *map(str, (failed, failed_json, not_downloaded, left_out)))


def test_a_key_behind_a_login_in_its_url_is_told_without_it(
    host: Host, repository: Repository, secure: HttpServer, authority: Authority
) -> None:
    url = secure.url.replace("://", f"://{USER}:{IN_URL}@")
    configure(host, repository, url, trust(host, authority), f"gpgkey={url}/no-key.asc", "gpgcheck=1")
    result = host.run("pkg-add", "foo", check=1)
    assert "no-key.asc" in result.stderr
    assert_kept(host, str(result))


@pytest.mark.parametrize("in_url", [False, True], ids=["options", "in the URL"])
def test_a_proxy_with_a_login_is_used_and_its_login_kept(host: Host, repository: Repository, in_url: bool) -> None:
    with HttpServer(repository.directory.parent, proxy_login=f"{USER}:{SECRET}") as proxy:
        url = f"http://repository.invalid/{repository.directory.name}"
        with_login = f"proxy={proxy.url.replace('://', f'://{USER}:{IN_URL}@')}"
        own = (with_login,) if in_url else (f"proxy={proxy.url}", f"proxy_username={USER}", f"proxy_password={SECRET}")
        configure(host, repository, url, *own)
        host.ok("pkg-add", "foo")
        assert host.current()["layered"] == [FOO]
        assert proxy.count("http://repository.invalid/*.rpm") > 0
        proxy.fail()
        failed = host.run("refresh-md", check=1)
        assert_kept(host, str(failed))
    refused = host.run("refresh-md", check=1)
    assert_kept(host, str(refused))
