"""What packages say of each other, as dnf and rpm read it: capabilities, epochs, obsoletes, and two architectures."""

from __future__ import annotations

import struct

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import fails, refused, same_deployments
from tests.acceptance.host import Host
from tests.acceptance.repositories import FOO, Repository
from tests.acceptance.rpms import Files


def layered(host: Host) -> list[str]:
    names: list[str] = host.current()["layered"]
    return names


def elf(bits: int, text: str) -> bytes:
    """The least that file(1), and by it rpmbuild, takes for a program of this word size for x86."""
    machine = {32: 3, 64: 62}[bits]
    identity = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9)
    address = "I" if bits == 32 else "Q"
    sizes = (52, 32, 0, 40, 0, 0) if bits == 32 else (64, 56, 0, 64, 0, 0)
    return identity + struct.pack(f"<HHI3{address}I6H", 2, machine, 1, 0, 0, 0, 0, *sizes) + text.encode()


# Capabilities


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("/usr/bin/tracer", "tracer-1.0-1.noarch"),
        ("/bin/tracer", "tracer-1.0-1.noarch"),
        ("/usr/share/tracer/deep/data", "tracer-1.0-1.noarch"),
        ("pkgconfig(x)", "x-devel-2.0-1.noarch"),
        ("pkgconfig(x) >= 2", "x-devel-2.0-1.noarch"),
        ("tracer-1.0", "tracer-1.0-1.noarch"),
        ("tracer.noarch", "tracer-1.0-1.noarch"),
    ],
)
def test_a_package_is_asked_for_by_what_it_provides(
    host: Host, repository: Repository, spec: str, expected: str
) -> None:
    repository.build("tracer", files={"/usr/bin/tracer": "#!/bin/sh\n", "/usr/share/tracer/deep/data": "data\n"})
    repository.build("x-devel", "2.0", provides=["pkgconfig(x) = 2.0"])
    repository.publish()
    host.ok("pkg-add", spec)
    assert (host.current()["requested"], layered(host)) == ([spec], [expected])
    assert f"requested={spec};" in host.origin()
    host.ok("pkg-delete", spec)
    assert layered(host) == []


def test_a_capability_that_nothing_provides_is_named(host: Host) -> None:
    result = refused(host, "pkg-add", "pkgconfig(nowhere)", "/usr/bin/nowhere")
    assert "Packages not found: /usr/bin/nowhere, pkgconfig(nowhere)" in result.stderr


def test_a_rich_dependency_is_met(host: Host, repository: Repository) -> None:
    repository.build("app", requires=["(foo if base-tool)", "(baz or nowhere)"])
    repository.publish()
    host.ok("pkg-add", "app")
    assert layered(host) == ["app-1.0-1.noarch", "baz-1.0-1.noarch", FOO]


# Epochs


def test_an_epoch_comes_before_a_version_and_zero_is_none(host: Host, repository: Repository) -> None:
    repository.build("aged", "9.0", epoch=0)
    repository.publish()
    host.ok("pkg-add", "aged")
    assert layered(host) == ["aged-9.0-1.noarch"]
    repository.build("aged", "1.0", epoch=2)
    repository.publish()
    host.ok("upgrade")
    assert layered(host) == ["aged-2:1.0-1.noarch"]
    assert host.last()["upgraded"] == [["aged-9.0-1.noarch", "aged-2:1.0-1.noarch"]]
    assert "aged-2:1.0-1.noarch" in host.rpm_nevras()
    host.ok("pkg-delete", "aged")
    host.ok("pkg-add", "aged-2:1.0")
    assert layered(host) == ["aged-2:1.0-1.noarch"]


# Obsoletes, conflicts


def test_an_upgrade_follows_what_obsoletes_a_layered_package(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "foo")
    repository.build("newfoo", "2.0", obsoletes=["foo < 2"], provides=["foo = 2.0"], files={"/usr/bin/foo": "new\n"})
    repository.publish()
    host.ok("upgrade")
    assert (host.current()["requested"], layered(host)) == (["foo"], ["newfoo-2.0-1.noarch"])
    assert host.read("/usr/bin/foo") == "new\n"


def test_what_obsoletes_a_package_of_the_base_is_refused_naming_it(host: Host, repository: Repository) -> None:
    repository.build("usurper", obsoletes=["base-tool"])
    repository.publish()
    result = fails(host, "pkg-add", "usurper")
    assert "base-tool-1.0-1.noarch" in result.stderr


def test_a_conflict_with_what_is_layered_or_with_the_base_is_told(host: Host, repository: Repository) -> None:
    repository.build("hostile", conflicts=["base-tool"])
    repository.publish()
    host.ok("pkg-add", "left")
    for package, other in (("right", "left-1.0-1.noarch"), ("hostile", "base-tool-1.0-1.noarch")):
        assert other in fails(host, "pkg-add", package).stderr


def test_an_upgrade_that_a_conflict_blocks_keeps_the_host_as_it_is(
    host: Host, base: BaseTree, repository: Repository
) -> None:
    host.ok("pkg-add", "left")
    base.with_packages([repository.directory / "right-1.0-1.noarch.rpm"]).commit(BRANCH, "2")
    with same_deployments(host):
        result = host.run("upgrade", check=1)
    assert "left-1.0-1.noarch" in result.stderr
    assert host.last()["outcome"] == "failed"


# Weak dependencies


def test_what_is_recommended_comes_along_and_can_be_done_without(host: Host, repository: Repository) -> None:
    repository.build("app", recommends=["nice", "not-to-be-had"])
    repository.build("nice")
    repository.build("langpack", supplements=["app"])
    repository.publish()
    host.ok("pkg-add", "app")
    assert layered(host) == ["app-1.0-1.noarch", "langpack-1.0-1.noarch", "nice-1.0-1.noarch"]
    host.ok("pkg-delete", "app")
    assert layered(host) == []


def test_a_recommendation_that_came_later_is_not_brought_by_another_request(host: Host, repository: Repository) -> None:
    repository.build("app", recommends=["nice"])
    repository.publish()
    host.ok("pkg-add", "app")
    repository.build("nice")
    repository.publish()
    host.ok("pkg-add", "foo")
    assert layered(host) == ["app-1.0-1.noarch", FOO]


# Two architectures


def program(bits: int) -> Files:
    return {"/usr/bin/prog": elf(bits, f"{bits}\n"), f"/usr/lib{'64' if bits == 64 else ''}/libprog.so": elf(bits, "x")}


def test_both_architectures_of_a_package_are_layered_and_the_64_bit_program_wins(
    host: Host, repository: Repository
) -> None:
    repository.build("prog", arch="i686", files=program(32))
    repository.build("prog", arch="x86_64", files=program(64))
    repository.publish()
    host.ok("pkg-add", "prog")
    assert layered(host) == ["prog-1.0-1.x86_64"]
    host.ok("pkg-add", "prog.i686")
    assert layered(host) == ["prog-1.0-1.i686", "prog-1.0-1.x86_64"]
    assert host.path("/usr/bin/prog").read_bytes() == elf(64, "64\n")
    assert host.path("/usr/lib/libprog.so").read_bytes() == elf(32, "x")
    assert [nevra for nevra in host.rpm_nevras() if "prog" in nevra] == ["prog-1.0-1.i686", "prog-1.0-1.x86_64"]
    host.ok("pkg-delete", "prog")
    assert layered(host) == ["prog-1.0-1.i686"]
    assert host.path("/usr/bin/prog").read_bytes() == elf(32, "32\n")


def test_a_32_bit_package_is_added_beside_the_bases_64_bit_one(
    host: Host, base: BaseTree, repository: Repository
) -> None:
    repository.build("prog", arch="i686", files=program(32))
    wide = repository.build("prog", arch="x86_64", files=program(64))
    repository.publish()
    base.with_packages([wide]).commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-add", "prog.i686")
    assert layered(host) == ["prog-1.0-1.i686"]
    assert host.path("/usr/bin/prog").read_bytes() == elf(64, "64\n")
    assert host.path("/usr/lib/libprog.so").read_bytes() == elf(32, "x")


# One for another


@pytest.mark.parametrize(
    "command",
    [["pkg-add", "right", "--uninstall", "left"], ["pkg-delete", "left", "--install", "right"]],
    ids=lambda command: command[0],
)
def test_conflicting_packages_are_exchanged_in_one_transaction(host: Host, command: list[str]) -> None:
    host.ok("pkg-add", "left", "foo")
    before = len(host.history())
    host.ok(*command)
    assert len(host.history()) == before + 1
    assert (host.current()["requested"], layered(host)) == (["foo", "right"], [FOO, "right-1.0-1.noarch"])
    entry = host.last()
    assert (entry["added"], entry["removed"]) == (["right-1.0-1.noarch"], ["left-1.0-1.noarch"])


def test_an_exchange_takes_the_old_dependencies_along_and_moves_no_versions(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "bar", "foo")
    repository.build("foo", "2.0")
    repository.publish()
    host.ok("pkg-add", "baz", "--uninstall", "bar")
    assert layered(host) == ["baz-1.0-1.noarch", FOO]


def test_what_others_need_is_served_by_the_new_one(host: Host, repository: Repository) -> None:
    for name, other in (("mta-a", "mta-b"), ("mta-b", "mta-a")):
        repository.build(name, provides=["mta"], conflicts=[other])
    repository.build("mailer", requires=["mta"])
    repository.publish()
    host.ok("pkg-add", "mta-a", "mailer")
    host.ok("pkg-add", "mta-b", "--uninstall", "mta-a")
    assert layered(host) == ["mailer-1.0-1.noarch", "mta-b-1.0-1.noarch"]


def test_an_exchange_is_refused_whole(host: Host) -> None:
    host.ok("pkg-add", "left")
    refused(host, "pkg-add", "zebra", "--uninstall", "left")
    assert "'baz' is not currently requested" in refused(host, "pkg-add", "foo", "--uninstall", "baz").stderr
    assert "'base-tool'" not in refused(host, "pkg-delete", "left", "--install", "left-over").stderr
    assert layered(host) == ["left-1.0-1.noarch"]


def test_all_is_exchanged_for_one(host: Host) -> None:
    host.ok("pkg-add", "left", "bar")
    host.ok("pkg-delete", "--all", "--install", "foo")
    assert (host.current()["requested"], layered(host)) == (["foo"], [FOO])
