"""What a .repo file may say is dnf's affair (dnf.conf(5)): each option still works here."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest

from layering.errors import PackagesNotFound, RepositoryError
from tests.acceptance.repositories import NOWHERE
from tests.layering.universes import World, demand, nevras
from tests.layering.web import WebServer

MODULES = """---
document: modulemd
version: 2
data:
  name: tool
  stream: "{stream}"
  version: 1
  context: deadbeef
  arch: x86_64
  summary: A tool
  description: A tool
  license: {{module: [MIT]}}
  artifacts:
    rpms: ["tool-0:{version}-1.noarch"]
...
"""
DEFAULTS = """---
document: modulemd-defaults
version: 1
data:
  module: tool
  stream: "1"
...
"""


@pytest.fixture
def world(world: World) -> World:
    for version in ("1.0", "2.0"):
        world.repository.build("tool", version)
    world.repository.build("other")
    world.repository.publish()
    return world


def configured(world: World, *options: str, url: str | None = None) -> None:
    world.configure(world.repository.repo_file(url=url) + "".join(f"{option}\n" for option in options))


def resolved(world: World, *asked: str, cacheonly: bool = False) -> list[str]:
    return nevras(world.resolver(cacheonly=cacheonly).resolve(demand(world, *asked)))


def test_includepkgs_leaves_all_else_out(world: World) -> None:
    configured(world, "includepkgs=tool-1*")
    assert resolved(world, "tool") == ["tool-1.0-1.noarch"]
    with pytest.raises(PackagesNotFound, match="other"):
        resolved(world, "other")


def test_the_cheaper_repository_is_taken_for_the_same_package(world: World) -> None:
    dear = world.repository.copy_to(world.directory / "dear")
    world.configure(dear.repo_file("a-dear") + "cost=2000\n", "a.repo")
    configured(world)
    [package] = world.resolver().resolve(demand(world, "other")).packages
    assert package.repository == "test"


def test_the_next_of_several_baseurls_answers_for_one_that_does_not(world: World) -> None:
    with WebServer(world.repository.directory) as web:
        configured(world, url=f"{NOWHERE}\n  {web.url}")
        assert resolved(world, "other") == ["other-1.0-1.noarch"]


def test_a_metalink_names_mirrors_and_the_checksum_of_the_metadata(world: World) -> None:
    with WebServer(world.repository.directory) as web:
        text = world.repository.repo_file()
        metalink = world.directory / "metalink"
        world.configure(text.replace(f"baseurl={world.repository.url}", f"metalink={metalink.as_uri()}"))
        repomd = (world.repository.directory / "repodata/repomd.xml").read_bytes()
        for content in (repomd, b"another"):
            metalink.write_text(metalink_of(content, f"{web.url}/repodata/repomd.xml"))
            if content == repomd:
                assert resolved(world, "other") == ["other-1.0-1.noarch"]
                subprocess.run(["rm", "-r", world.cache_dir], check=True)
            else:
                with pytest.raises(RepositoryError, match="Repository test"):
                    resolved(world, "other")


def metalink_of(repomd: bytes, url: str) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="repomd.xml">
<size>{len(repomd)}</size>
<verification><hash type="sha256">{hashlib.sha256(repomd).hexdigest()}</hash></verification>
<resources maxconnections="1"><url protocol="http" type="http" preference="100">{url}</url></resources>
</file></files></metalink>
"""


def test_zchunk_metadata_serves_as_well(world: World) -> None:
    command = ["createrepo_c", "--quiet", "--no-database", "--zck", str(world.repository.directory)]
    subprocess.run(command, check=True, capture_output=True)
    with WebServer(world.repository.directory) as web:
        configured(world, url=web.url)
        assert resolved(world, "tool") == ["tool-2.0-1.noarch"]


def test_a_proxy_is_asked_in_the_place_of_the_repository(world: World) -> None:
    with WebServer(world.directory) as proxy:
        configured(world, f"proxy={proxy.url}", url="http://repository.invalid/packages")
        assert resolved(world, "other") == ["other-1.0-1.noarch"]
        assert proxy.count("*repository.invalid/packages/repodata/repomd.xml") > 0


def test_metadata_that_is_too_old_takes_the_repository_and_only_the_cache_alone_does_with_it(world: World) -> None:
    with WebServer(world.repository.directory) as web:
        configured(world, "metadata_expire=3600", url=web.url)
        assert resolved(world, "other") == ["other-1.0-1.noarch"]
        web.fail()
        assert resolved(world, "other") == ["other-1.0-1.noarch"]
        for path in world.cache_dir.rglob("repodata/*"):
            os.utime(path, (1_700_000_000, 1_700_000_000))
        with pytest.raises(RepositoryError, match="Repository test"):
            resolved(world, "other")
        assert resolved(world, "other", cacheonly=True) == ["other-1.0-1.noarch"]
        configured(world, "metadata_expire=never", url=web.url)
        assert resolved(world, "other") == ["other-1.0-1.noarch"]


def test_of_a_module_the_default_stream_alone_is_there(world: World) -> None:
    modules = world.directory / "modules.yaml"
    streams = [MODULES.format(stream=version[0], version=version) for version in ("1.0", "2.0")]
    modules.write_text("".join([*streams, DEFAULTS]))
    repodata = world.repository.directory / "repodata"
    subprocess.run(["modifyrepo_c", "--mdtype=modules", modules, repodata], check=True, capture_output=True)
    configured(world)
    assert resolved(world, "tool") == ["tool-1.0-1.noarch"]


def test_modular_packages_are_all_there_where_the_repository_is_a_hotfix(world: World) -> None:
    modules = world.directory / "modules.yaml"
    modules.write_text(MODULES.format(stream="1", version="1.0") + DEFAULTS)
    repodata = world.repository.directory / "repodata"
    subprocess.run(["modifyrepo_c", "--mdtype=modules", modules, repodata], check=True, capture_output=True)
    configured(world, "module_hotfixes=1")
    assert resolved(world, "tool") == ["tool-2.0-1.noarch"]
