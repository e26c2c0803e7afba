"""The whole look at an installation: everything around one package that rules can judge, gathered in one value."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tfguard.hosts.host import Host
from tfguard.hosts.root import Root
from tfguard.installed import known, shadows
from tfguard.installed.distributions import Distribution, by_name, distributions_on, read_text, requires
from tfguard.installed.elsewhere import Interpreter, OtherPython, interpreters, pythons_with
from tfguard.installed.families import ADD_ONS, WANTED_BY_TENSORFLOW, family_of, module_of
from tfguard.installed.hashing import Progress, hash_all, sha256_of
from tfguard.installed.imports import imported_at_once
from tfguard.installed.installation import Native, Package
from tfguard.installed.known import Wheels
from tfguard.installed.names import canonical
from tfguard.installed.python import Python
from tfguard.installed.record import Row, Standing, claims, is_native, rows_of, rows_of_code, stand
from tfguard.installed.requirements import Unmet, find_unmet
from tfguard.installed.shadows import Shadow, find_shadows
from tfguard.installed.wheel_tags import Foreign, find_foreign

# Files up to this size, in bytes, are hashed to tell whose they are; this many of them are enough.
_SMALL = 1 << 20
_FILES_HASHED = 40
_NAMES_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What is installed around one package, as files and metadata tell it.

    `owners` are the distributions that say they brought the package, each with what of it lies there; where they are
    several `whose` is the one whose files those are, None where they are mixed. `incomplete` are the distributions
    that the import needs and that do not lie there as installed. `unowned` are native files in the package that no
    distribution brought, `half_removed` folders that pip left behind. `vital` are the distributions without which the
    import was seen to die, `unimportable` modules that the package's `__init__` is certain to import and that have no
    file. `hidden` are pairs of a distribution in use and one of the same name in this environment that it hides.
    `deep` says that every byte was looked at.

    For a package that is not there: the distributions of which only the metadata is left (`owners`), the `others` that
    have it, the newest release with a wheel that `fits`, those that would fit another Python (`newest_elsewhere`), and
    the `interpreters` of this machine. `fits` is also what there is for this system in place of a TensorFlow that is
    `foreign`.
    """

    name: str
    python: Python
    libc: str
    libc_version: tuple[int, ...]
    package: Package | None
    owners: tuple[Standing, ...] = ()
    whose: Distribution | None = None
    incomplete: tuple[Standing, ...] = ()
    unowned: tuple[str, ...] = ()
    half_removed: tuple[str, ...] = ()
    hidden: tuple[tuple[Distribution, Distribution], ...] = ()
    shadows: tuple[Shadow, ...] = ()
    source_tree: str | None = None
    foreign: tuple[Foreign, ...] = ()
    unmet: tuple[Unmet, ...] = ()
    addons: tuple[Unmet, ...] = ()
    others: tuple[OtherPython, ...] = ()
    fits: Wheels | None = None
    newest_elsewhere: Wheels | None = None
    interpreters: tuple[Interpreter, ...] = ()
    vital: frozenset[str] = frozenset()
    unimportable: tuple[str, ...] = ()
    deep: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether nothing says that it was ever there: no package, and no distribution that claims one."""
        return self.package is None and not self.owners

    @property
    def is_namespace(self) -> bool:
        """Whether the package is a folder without an `__init__`: an import gives a module with nothing in it."""
        return self.package is not None and self.package.origin is None and bool(self.package.locations)


def survey(
    name: str,
    package: Package | None,
    natives: tuple[Native, ...],
    host: Host,
    python: Python,
    *,
    deep: bool = False,
    progress: Progress | None = None,
) -> Installed:
    """Look at everything around a package; `deep` hashes every file of what the import needs."""
    if python.freezer:  # its modules lie in an archive: no RECORD that was copied along holds for what is there
        return Installed(name=name, python=python, libc=host.loader, libc_version=host.version, package=package)
    on_path = distributions_on(python.sites, host.root)
    here = by_name(on_path)
    if package is None:
        return _absent(name, host, python, on_path)
    own = _claimants(name, package, on_path)
    # without a claim the distribution beside the package may be what was meant: a half-removed one has no RECORD left
    roots = own or tuple(here[one] for one in family_of(name) if one in here)[:1]
    needed = _needed(roots, here)
    deaths = known.deaths()
    # the RECORD of TensorFlow is read once: it has many thousand lines
    rows = {one: rows_of_code(one) for one in (*own, *needed)}
    # of what conda installed neither sizes nor hashes are those of RECORD
    hashed = tuple(one for one in (*own, *needed) if deep and not _is_conda(one))
    told = {one.distribution: one for one in hash_all(hashed, progress)} if hashed else {}
    standings = tuple(told.get(one) or stand(one, rows[one], sizes=not _is_conda(one)) for one in (*own, *needed))
    owners, others = standings[: len(own)], standings[len(own) :]
    foreign = _foreign((*roots, *needed), python, host.loader)
    instead = next((one.distribution for one in foreign if one.distribution.name in family_of("tensorflow")), None)
    return Installed(
        name=name,
        python=python,
        libc=host.loader,
        libc_version=host.version,
        package=package,
        owners=owners,
        whose=_whose(owners),
        incomplete=tuple(one for one in (*(owners if len(owners) == 1 else ()), *others) if not one.is_whole),
        unowned=_unowned(package, natives, [(one, rows[one]) for one in own]),
        half_removed=_half_removed(package),
        hidden=_hidden(on_path, (*roots, *needed), python, host.root),
        shadows=_shadows(name, package, python, here),
        source_tree=_source_tree(package),
        foreign=foreign,
        fits=instead and known.published(instead.name, instead.version, python, host.loader, host.version),
        unmet=find_unmet(roots, here, deaths, python, host) if roots else (),
        vital=frozenset(one.beside for one in deaths if one.missing and one.among(here) is not None),
        addons=_addons(here, name, python, host),
        unimportable=_unimportable(package) if any(one.missing_count for one in owners) else (),
        deep=deep,
    )


def _unimportable(package: Package) -> tuple[str, ...]:
    """A folder counts as a module too: without an `__init__` it is a namespace package."""
    found = []
    for module in sorted(imported_at_once(package)):
        stems = [os.path.join(one, *module.split(".")[1:]) for one in package.locations]
        endings = ("", ".py", ".pyc", *package.suffixes)
        if not any(package.root.exists(stem + ending) for stem in stems for ending in endings):
            found.append(module)
    return tuple(found)


def _absent(name: str, host: Host, python: Python, on_path: tuple[Distribution, ...]) -> Installed:
    left = tuple(one for one in on_path if one.name in family_of(name) and _brought(one, name))
    standings = tuple(stand(one, rows_of_code(one)) for one in left)
    wheels = known.all_wheels() if name == "tensorflow" else ()
    conda = (os.environ if host.foreign is None else host.environment).get("CONDA_PREFIX")
    running = [one for one in wheels if known.runs_on(one, python, host.loader, host.version)]
    return Installed(
        name=name,
        python=python,
        libc=host.loader,
        libc_version=host.version,
        package=None,
        owners=standings,
        incomplete=standings,
        others=pythons_with(python, family_of(name), host.root, conda=conda),
        fits=known.fitting(tuple(one for one in wheels if one.distribution == name), python, host.loader, host.version),
        newest_elsewhere=max(running, key=lambda one: (one.release, one.distribution == name), default=None),
        interpreters=interpreters(python, host.root) if name == "tensorflow" else (),
    )


def _claimants(name: str, package: Package, on_path: tuple[Distribution, ...]) -> tuple[Distribution, ...]:
    """The distributions in the package's own directory whose RECORD lists it; a package of packages is not one."""
    folder = package.directory or (package.origin and os.path.splitext(package.origin)[0])
    site = os.path.normpath(os.path.dirname(folder or "") or ".")
    beside = [one for one in on_path if os.path.normpath(one.site) == site]
    likely = [one for one in beside if one.name in family_of(name)]
    if not likely:
        likely = [one for one in beside if one.name == canonical(name)]
    return tuple(one for one in likely if _brought(one, name))


def _brought(distribution: Distribution, name: str) -> bool:
    return claims(distribution, f"{name}/__init__.py", f"{name}.py")


def _needed(roots: tuple[Distribution, ...], here: dict[str, Distribution]) -> tuple[Distribution, ...]:
    """What these distributions require, and what that requires in turn, as far as it is there; extras left out."""
    reached = {one.name: one for one in roots}
    pending = list(roots)
    while pending:
        for text in requires(pending.pop(0)):
            if "extra ==" in text:
                continue
            name = canonical(_name_of(text))
            if name in here and name not in reached:
                reached[name] = here[name]
                pending.append(here[name])
    return tuple(one for one in reached.values() if one not in roots)


def _name_of(requirement: str) -> str:
    for position, one in enumerate(requirement):
        if not (one.isalnum() or one in "-_."):
            return requirement[:position]
    return requirement


def _is_conda(distribution: Distribution) -> bool:
    """Conda writes its own prefix into files while it installs them: their sizes say nothing."""
    return read_text(distribution, "INSTALLER").strip() == "conda"


def _whose(owners: tuple[Standing, ...]) -> Distribution | None:
    """Of several distributions the one whose files lie there: all of them by size, and by hash where sizes agree."""
    if len(owners) < 2:
        return owners[0].distribution if owners else None
    whole = [one.distribution for one in owners if not one.changed_count]
    if len(whole) == 1:
        return whole[0]
    rows = {one: {row.path: row for row in rows_of(one)} for one in whole}
    shared = set.intersection(*(set(one) for one in rows.values())) if rows else set()
    votes = dict.fromkeys(whole, 0)
    hashed = 0
    for path in sorted(shared):
        digests = {one: rows[one][path].digest for one in whole}
        size = max((rows[one][path].size or 0) for one in whole)
        if len(set(digests.values())) == 1 or size > _SMALL or not all(digests.values()):
            continue
        try:
            digest = f"sha256={sha256_of(whole[0].root.outside(os.path.join(whole[0].site, path)))}"
        except (OSError, ValueError):
            continue
        for one in whole:
            votes[one] += digests[one] == digest
        hashed += 1
        if hashed == _FILES_HASHED:
            break
    winners = [one for one, count in votes.items() if count == hashed]
    return winners[0] if len(winners) == 1 else None


def _unowned(
    package: Package, natives: tuple[Native, ...], records: list[tuple[Distribution, list[Row]]]
) -> tuple[str, ...]:
    """Native files of the package that no RECORD lists; a link to a neighbour is somebody's help for a linker."""
    if not records or not all(rows for _, rows in records):
        return ()
    listed = {
        os.path.normpath(os.path.join(one.site, row.path))
        for one, rows in records
        for row in rows
        if is_native(row.path)  # a few hundred of many thousand
    }
    inside = tuple(f"{one}{os.sep}" for one in package.locations)
    found = [
        one.path
        for one in natives
        if one.path is not None
        and one.path.startswith(inside)
        and os.path.normpath(one.path) not in listed
        and package.root.link_target(one.path) is None
    ]
    return tuple(found[:_NAMES_KEPT])


def _half_removed(package: Package) -> tuple[str, ...]:
    """The folders that pip renames before it removes them, and leaves where it cannot: `~ensorflow`."""
    if package.directory is None:
        return ()
    site = os.path.dirname(package.directory)
    tails = (package.name[1:], *(one.replace("-", "_")[1:] for one in family_of(package.name)))
    return tuple(
        os.path.join(site, one)
        for one in package.root.names_in(site)
        if one.startswith("~") and one[1:].partition("-")[0].lstrip("~-").lower() in tails
    )


def _hidden(
    on_path: tuple[Distribution, ...], used: tuple[Distribution, ...], python: Python, root: Root
) -> tuple[tuple[Distribution, Distribution], ...]:
    """Distributions of the user's own site directory that hide another version in this environment."""
    if python.user_site is None:
        return ()
    user = root.realpath(python.user_site)
    names = {one.name: one for one in used if root.realpath(one.site) == user}
    return tuple(
        (names[one.name], one)
        for one in on_path
        if one.name in names
        and one.site != names[one.name].site
        and one.version != names[one.name].version
        and root.realpath(one.site).startswith(root.realpath(python.prefix) + os.sep)
    )


def _shadows(name: str, package: Package, python: Python, here: dict[str, Distribution]) -> tuple[Shadow, ...]:
    modules: dict[str, str] = {}
    for top in WANTED_BY_TENSORFLOW if name == "tensorflow" else (name,):
        brought = next((here[one] for one in family_of(top) if one in here), None)
        if brought is not None:
            modules[top] = brought.site
    standard = known.standard_names() if name == "tensorflow" else frozenset[str]()
    return find_shadows(python, modules, standard, package.root)


def _source_tree(package: Package) -> str | None:
    folder = package.directory
    if package.name != "tensorflow" or folder is None or not shadows.is_source_tree(folder, package.root):
        return None
    return folder


def _foreign(distributions: tuple[Distribution, ...], python: Python, libc: str) -> tuple[Foreign, ...]:
    found = (find_foreign(one, python, module_of(one.name, one.site, one.root.names_in), libc) for one in distributions)
    return tuple(one for one in found if one is not None)


def _addons(here: dict[str, Distribution], name: str, python: Python, host: Host) -> tuple[Unmet, ...]:
    """The add-ons with ops of their own that say they are for another TensorFlow than the one installed.

    What is `wanted` is that TensorFlow, where there is a wheel of it for this Python, else nothing.
    """
    tensorflow = next((here[one] for one in family_of(name) if one in here), None)
    if name != "tensorflow" or tensorflow is None:
        return ()
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version

    try:
        Version(tensorflow.version)
    except InvalidVersion:
        return ()
    system = python, host.loader, host.version
    wheels = tuple(one for one in known.all_wheels() if one.distribution == tensorflow.name)
    found = []
    for addon in (here[one] for one in ADD_ONS if one in here):
        for text in requires(addon):
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if canonical(requirement.name) != "tensorflow" or not requirement.specifier:
                continue
            if not requirement.specifier.contains(tensorflow.version, prereleases=True):
                asked = requirement.specifier
                theirs = known.fitting(tuple(one for one in wheels if asked.contains(one.version)), *system)
                wanted = theirs.requirement if theirs is not None else ""
                found.append(Unmet(addon, f"tensorflow{asked}", "tensorflow", tensorflow, wanted, None))
            break
    return tuple(found)
