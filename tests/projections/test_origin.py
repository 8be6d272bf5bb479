"""The origin file: what is rendered is read back, by us and by GLib, whose format it is."""

from __future__ import annotations

import gi
import pytest
from hypothesis import given

from journal.values import Package, Request
from projections.host import HostState
from projections.origin import parse, render
from tests.projections.strategies import states

gi.require_version("GLib", "2.0")
from gi.repository import GLib  # noqa: E402


@given(states)
def test_what_is_rendered_is_read_back(state: HostState) -> None:
    origin = parse(render(state, "some-uuid"))
    assert origin.refspec == state.refspec
    assert set(origin.requested) == set(state.requested)
    assert origin.override_commit == (state.base_commit if state.pinned_base else None)
    assert origin.transaction == "some-uuid"
    assert origin.extra == state.origin_extra


@given(states)
def test_glib_reads_the_same_lists_and_writes_the_same_text(state: HostState) -> None:
    text = render(state, "some-uuid")
    key_file = GLib.KeyFile()
    key_file.load_from_data(text, len(text.encode()), GLib.KeyFileFlags.NONE)
    assert key_file.to_data()[0] == text
    plain = sorted(each.spec for each in state.requested if not each.sha256)
    if plain:
        assert list(key_file.get_string_list("packages", "requested")) == plain


def test_without_layers_the_origin_says_refspec() -> None:
    assert render(HostState(refspec="fedora:40"), "u") == "[origin]\nrefspec=fedora:40\n\n[layer]\ntransaction=u\n"


def test_with_layers_it_says_baserefspec_and_the_sorted_requests() -> None:
    state = HostState(
        refspec="fedora:40",
        requested=(Request("strace"), Request("jq"), Request("foo-1-1.noarch", "a" * 64)),
        packages=(Package("strace-6-1.x86_64"),),
    )
    assert render(state, "u") == (
        "[origin]\nbaserefspec=fedora:40\n\n"
        "[packages]\nrequested=jq;strace;\nrequested-local=" + "a" * 64 + ":foo-1-1.noarch;\n\n"
        "[layer]\ntransaction=u\n"
    )


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("[origin]\nrefspec=foo:bar/x86_64/baz\n", set()),
        (
            "[origin]\nbaserefspec=a:b\n[packages]\nrequested=virt-manager;libvirt;pcsc-lite-ccid\n",
            {"virt-manager", "libvirt", "pcsc-lite-ccid"},
        ),
        ("# a comment\n[origin]\nbaserefspec = a:b\n\n[packages]\nrequested= libvirt;fish;\n", {"libvirt", "fish"}),
    ],
)
def test_origins_of_other_tools_are_read(text: str, requested: set[str]) -> None:
    assert {each.spec for each in parse(text).requested} == requested


def test_what_other_tools_keep_in_an_origin_stays_there() -> None:
    text = "[origin]\nbaserefspec=a:b\n\n[overrides]\nremove=docker;\n\n[libostree-transient]\npinned=true\n"
    assert parse(text).extra == {"overrides": {"remove": "docker;"}}
