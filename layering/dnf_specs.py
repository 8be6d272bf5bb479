"""What a request means: a name, NEVRA, capability or path as `dnf install` takes it (dnf(8), "Specifying packages")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dnf.query
import dnf.sack
import dnf.subject
import hawkey

from layering.resolver import Match

_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib64/")


def provider_in_base(sack: dnf.sack.Sack, spec: str) -> str | None:
    """NEVRA of the base's package that meets the spec, None if none does. A pattern is met by no package alone."""
    if hawkey.is_glob_pattern(spec):
        return None
    installed = sack.query().installed()
    for spelling in spellings(spec):
        subject = dnf.subject.Subject(spelling)
        for nevra in subject.get_nevra_possibilities():
            if found := nevra.to_query(sack).intersection(installed):
                return str(max(found))
        for found in (installed.filter(provides=spelling), installed.filter(file=spelling)):
            if found:
                return str(max(found))
    return None


def newer_in_base(sack: dnf.sack.Sack, nevra: str) -> str | None:
    """NEVRA of the base's package of the same name and architecture, if it is as new as this one or newer."""
    wanted = hawkey.split_nevra(nevra)
    for found in sack.query().installed().filter(name=wanted.name, arch=wanted.arch):
        if sack.evr_cmp(found.evr, wanted.evr()) >= 0:
            return str(found)
    return None


def candidates(sack: dnf.sack.Sack, spec: str, installed_names: frozenset[str]) -> list[list[hawkey.Package]]:
    """The packages beyond the base that meet the spec, any of which will do. A pattern gives one list for each name.

    Whatever obsoletes a package that is asked for by its name will do as well.
    """
    for spelling in spellings(spec):
        solution = dnf.subject.Subject(spelling).get_best_solution(sack, with_src=False)
        found = solution["query"].available()
        if not found:
            continue
        if hawkey.is_glob_pattern(spelling) and not spelling.startswith("/"):
            by_name = found._name_dict()
            return [by_name[name] for name in sorted(by_name) if name not in installed_names]
        if solution["nevra"] and solution["nevra"].has_just_name():
            found = found.union(sack.query().available().filter(obsoletes=found))
        return [found.run()]
    return []


def spellings(spec: str) -> Iterator[str]:
    """The spec as it is; a path also as it is written where /bin and its like are links into /usr."""
    yield spec
    if spec.startswith(_MERGED):
        yield f"/usr{spec}"
    elif spec.startswith("/usr") and spec.removeprefix("/usr").startswith(_MERGED):
        yield spec.removeprefix("/usr")


def matching(sack: dnf.sack.Sack, text: str) -> Iterator[Match]:
    """The packages beyond the base with this text in their name or summary: in both, in the name, in the summary."""
    available = sack.query().available()
    where = {
        kind: set(available.filter(hawkey.ICASE, **{f"{kind}__substr": text}).latest().run())
        for kind in ("name", "summary")
    }
    for kinds, found in (
        ("name and summary", where["name"] & where["summary"]),
        ("name", where["name"] - where["summary"]),
        ("summary", where["summary"] - where["name"]),
    ):
        for package in sorted(found):
            yield Match(package.name, str(package), package.summary, package.reponame, kinds)


def pulled_weakly(
    sack: dnf.sack.Sack, kept: Iterable[hawkey.Package], installed: dnf.query.Query
) -> list[hawkey.Package]:
    """What kept packages recommend, or is there to supplement them, but is not layered: it was not to be had."""
    layered = sack.query().filter(pkg=list(kept))
    present = installed.union(layered)
    pulled = sack.query().filter(empty=True)
    for package in kept:
        for capability in package.recommends:
            if not present.filter(provides=capability):
                pulled = pulled.union(sack.query().available().filter(provides=capability))
        pulled = pulled.union(sack.query().available().filter(supplements=package.provides))
    return list(pulled.difference(present).run())


def required_by(
    packages: Iterable[hawkey.Package], sack: dnf.sack.Sack, installed: dnf.query.Query
) -> dict[str, tuple[str, ...]]:
    """Each package's NEVRA to the NEVRAs of those of the others that require it, or else recommend it, beyond what the
    base meets."""
    everything = list(packages)
    layered = sack.query().filter(pkg=everything)
    needed: dict[str, set[str]] = {}
    wished: dict[str, set[str]] = {}
    for package in everything:
        for capabilities, reasons in ((package.requires, needed), (package.recommends, wished)):
            if not layered.filter(provides=capabilities):
                continue
            for capability in capabilities:
                providers = layered.filter(provides=capability)
                if not providers or installed.filter(provides=capability):
                    continue
                for provider in providers:
                    if provider != package:
                        reasons.setdefault(str(provider), set()).add(str(package))
    return {nevra: tuple(sorted(by)) for nevra, by in sorted({**wished, **needed}.items())}
