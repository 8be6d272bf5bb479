"""Which packages bring SELinux policy modules, and what has to come before what."""

from __future__ import annotations

from pathlib import Path

import pytest

from layering.policy import read_policy
from layering.policy_modules import PolicyModulesRefused, goes_into_store, module_of, modules_first
from tests.acceptance.policies import policy
from tests.acceptance.rpms import File, build_rpm, header
from tests.layering.bases import Ground

STORE = "/etc/selinux/targeted/active/modules/200/x"


@pytest.mark.parametrize(
    ("path", "file", "brings", "stored"),
    [
        ("/usr/share/selinux/packages/x.pp", File("m"), True, False),
        ("/usr/share/selinux/packages/deep/x.pp.bz2", File("m"), True, False),
        ("/usr/share/selinux/targeted/x.cil", File("m"), True, False),
        ("/usr/share/selinux/devel/include/x.if", File("m"), False, False),
        ("/usr/share/elsewhere/x.pp", File("m"), False, False),
        (f"{STORE}/cil", File("m"), True, True),
        (f"{STORE}/cil", File(ghost=True), True, False),
        ("/var/lib/selinux/targeted/active/modules/200/x", File(directory=True, ghost=True), True, False),
        ("/etc/selinux/targeted/contexts/files/file_contexts.local", File("c"), False, False),
    ],
)
def test_a_policy_package_is_known_by_its_files(
    tmp_path: Path, path: str, file: File, brings: bool, stored: bool
) -> None:
    read = header(build_rpm(tmp_path, "x", files={"/usr/bin/x": "x", path: file}))
    assert module_of(read) == (path if brings else None)
    assert goes_into_store(read) is stored


def test_policy_packages_and_what_they_need_come_first_else_in_the_order_given(tmp_path: Path) -> None:
    module = {"/usr/share/selinux/packages/{}.pp": "m"}

    def build(name: str, *requires: str, brings: bool = False) -> object:
        files = {path.format(name): content for path, content in module.items()} if brings else {}
        files |= {"/usr/sbin/tool": "t"} if name == "tool" else {}
        return header(build_rpm(tmp_path, name, files=files, requires=requires))

    headers = [
        build("deepest"),
        build("early"),
        build("tool", "deepest"),
        build("late", "m-selinux"),
        build("m-selinux", "/usr/sbin/tool", "(early if nothing)", brings=True),
        build("n-selinux", "m-selinux", brings=True),
    ]
    names = [each["name"] for each in modules_first(headers)]
    assert names == ["deepest", "tool", "m-selinux", "n-selinux", "early", "late"]


def test_modules_are_refused_by_name_where_nothing_can_build_them(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    with_policy = ground.base({path: file for path, file in policy().items() if "semodule" not in path})
    module = ground.package("module", {"/usr/share/selinux/packages/module.pp.bz2": "m"})
    with pytest.raises(PolicyModulesRefused, match=r"module-1\.0-1\.noarch brings .*packages/module\.pp\.bz2"):
        read_policy(ground.repo, with_policy, [module])
    assert read_policy(ground.repo, with_policy, [ground.package("plain", {"/usr/bin/plain": "p"})])
    tools = ground.package("policycoreutils", {"/usr/sbin/semodule": "s"})
    assert read_policy(ground.repo, with_policy, [module, tools])
    assert read_policy(ground.repo, ground.base(), [module]) is None
