"""Asks, in a process that has TensorFlow loaded, what the guard says of op libraries and what TensorFlow then does.

Run as a program: `op_child.py GUARD_FIRST PATH...`; prints one JSON line a path. Each real load happens in a fork, for
some of them kill the process.
"""

from __future__ import annotations

import json
import os
import sys
import warnings


def _real(path: str) -> dict[str, object]:
    """What an unguarded tf.load_op_library does: the error's text, or the signal or status that ended the process."""
    import tensorflow as tf

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            tf.load_op_library(path)
            said: dict[str, object] = {"error": None}
        except Exception as error:
            said = {"error": type(error).__name__, "text": str(error)}
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    data = b"".join(iter(lambda: os.read(reader, 65536), b""))
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    if os.WEXITSTATUS(status):
        return {"status": os.WEXITSTATUS(status)}
    found: dict[str, object] = json.loads(data)
    return found


def _guarded(path: str) -> dict[str, object]:
    import tfguard

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = tfguard.load_op_library(path)
        except tfguard.OpLibraryError as error:
            tensorflow = sys.modules.get("tensorflow")
            return {
                "error": "OpLibraryError",
                "codes": error.codes,
                "text": str(error),
                "loader_message": error.findings[0].loader_message,
                "dies": dict(error.findings[0].evidence).get("the loader", ""),
                "chained": error.__cause__ is not None,
                "not_found": tensorflow is not None and isinstance(error, tensorflow.errors.NotFoundError),
            }
    names = [str(one.message).split(" ")[0] for one in caught if issubclass(one.category, tfguard.GuardWarning)]
    return {"error": None, "warnings": names, "ops": hasattr(module, "roi_pooling")}


def main() -> None:
    """Answer for each path, with TensorFlow imported first or (after="tensorflow") only played."""
    when, paths = sys.argv[1], sys.argv[2:]
    if when == "loaded":
        pass
    else:
        assert "tensorflow" not in sys.modules
    for path in paths:
        if when == "foretold":
            import tfguard

            report = tfguard.check_library(path, after="tensorflow")
            assert "tensorflow" not in sys.modules
            first = report.findings[0] if report.findings else None
            said: dict[str, object] = {
                "ok": report.ok,
                "codes": [one.code for one in report.findings],
                "loader_message": first.loader_message if first is not None else None,
            }
            print(json.dumps({"path": path, "foretold": said}), flush=True)
        else:
            real = _real(path)
            print(json.dumps({"path": path, "guarded": _guarded(path), "real": real}), flush=True)


if __name__ == "__main__":
    main()
