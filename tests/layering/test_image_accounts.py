"""passwd and group while scripts run: one file for them, two in the image."""

from __future__ import annotations

from layering.image_accounts import merged, parted

ETC = "root:x:0:0:root:/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n"
LIB = "bin:x:1:1:bin:/:/sbin/nologin\nroot:x:0:0:other:/:/bin/sh\n"


def test_scripts_see_everybody_once_and_etc_s_first() -> None:
    names = [line.partition(":")[0] for line in merged(ETC, LIB).splitlines()]
    assert names == ["root", "admin", "bin"]
    assert "root:x:0:0:root:/root:/bin/sh" in merged(ETC, LIB).splitlines()


def test_what_nobody_changed_comes_out_as_it_was() -> None:
    assert parted(merged(ETC, LIB), ETC, LIB) == (ETC, LIB)


def test_new_users_are_the_image_s() -> None:
    etc, lib = parted(merged(ETC, LIB) + "svc:x:999:999::/:/sbin/nologin\n", ETC, LIB)
    assert etc == ETC
    assert lib == LIB + "svc:x:999:999::/:/sbin/nologin\n"


def test_a_changed_or_removed_user_is_so_where_it_came_from() -> None:
    after = merged(ETC, LIB).replace("bin:/:/sbin/nologin", "bin:/:/bin/sh").replace("1000:1000", "1000:100")
    etc, lib = parted(after, ETC, LIB)
    assert "admin:x:1000:100:" in etc
    assert lib.startswith("bin:x:1:1:bin:/:/bin/sh\n")
    without = "".join(f"{line}\n" for line in after.splitlines() if not line.startswith(("admin:", "bin:")))
    assert parted(without, ETC, LIB) == ("root:x:0:0:root:/root:/bin/sh\n", "root:x:0:0:other:/:/bin/sh\n")


def test_comments_and_names_that_etc_answers_for_are_kept() -> None:
    assert parted(merged("+::::::\n# note\n", LIB), "+::::::\n# note\n", LIB) == ("+::::::\n# note\n", LIB)
