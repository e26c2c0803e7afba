"""The order in which glibc's ld.so relocates the objects of one dlopen: dependencies before dependents (G-135).

Only among objects that need each other in a circle do the two ways of sorting differ.
"""

from __future__ import annotations

from tfguard.hosts.host import Host
from tfguard.loader.link_map import LinkMap


def relocation_order(new: list[LinkMap], scope: list[LinkMap], host: Host) -> list[LinkMap]:
    """The objects of a load in the order of their relocation.

    `new` are those it mapped, in load order, the opened object first; `scope` is it with all that it needs, breadth
    first.
    """
    if not new or not scope:
        return []
    tunable = "glibc.rtld.dynamic_sort=1" in host.environment.get("GLIBC_TUNABLES", "")
    return _moved_behind(new, scope) if host.version < (2, 35) or tunable else _depth_first(scope)


def _depth_first(scope: list[LinkMap]) -> list[LinkMap]:
    """The sort of glibc 2.35 and later: post-order over DT_NEEDED, started from the last object of the list.

    The opened object has no dependencies on record yet while this is done, and is put last.
    """
    root = scope[0]
    placed: list[LinkMap] = []
    seen = {id(root)}
    for start in reversed(scope):
        if id(start) in seen:
            continue
        seen.add(id(start))
        stack = [(start, iter(start.dependencies or ()))]
        while stack:
            link, rest = stack[-1]
            for child in rest:
                if id(child) not in seen:
                    seen.add(id(child))
                    stack.append((child, iter(child.dependencies or ())))
                    break
            else:
                placed.append(link)
                stack.pop()
    placed.append(root)
    return placed


def _moved_behind(new: list[LinkMap], scope: list[LinkMap]) -> list[LinkMap]:
    """The sort before: each object is moved behind the last one that needs it, in a circle only so many times.

    The opened object counts as needing all of its scope.
    """
    needs = {id(link): {id(one) for one in link.dependencies or ()} for link in new}
    needs[id(new[0])] = {id(link) for link in scope}
    maps = list(new)
    count = len(maps)
    seen = [0] * (count + 1)
    at = 0
    while at < count:
        seen[at] += 1
        link = maps[at]
        behind = next((place for place in range(count - 1, at, -1) if id(link) in needs[id(maps[place])]), None)
        if behind is None:
            at += 1
        else:
            maps.insert(behind, maps.pop(at))
            if seen[at + 1] <= count - at:
                seen.insert(behind, seen.pop(at))
                continue
            at += 1
        seen[at:] = [0] * (len(seen) - at)
    return maps[::-1]
