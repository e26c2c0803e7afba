"""All named cases of the comparison with the real loader."""

from __future__ import annotations

from tests.loader import (
    cases_cache,
    cases_candidates,
    cases_file,
    cases_filters,
    cases_kernel,
    cases_loaded,
    cases_peers,
    cases_policy,
    cases_process,
    cases_program,
    cases_search,
    cases_symbols,
    cases_tls,
    cases_versions,
)
from tests.loader.scene import Case

CASES: tuple[Case, ...] = (
    *cases_file.CASES,
    *cases_candidates.CASES,
    *cases_search.CASES,
    *cases_cache.CASES,
    *cases_filters.CASES,
    *cases_kernel.CASES,
    *cases_loaded.CASES,
    *cases_versions.CASES,
    *cases_symbols.CASES,
    *cases_peers.CASES,
    *cases_policy.CASES,
    *cases_process.CASES,
    *cases_program.CASES,
    *cases_tls.CASES,
)
