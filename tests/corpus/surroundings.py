"""What stands around an error text when it reaches a reader: logs, quotes, terminals, markup, cuts; SORTS has all."""

from __future__ import annotations

import html
import json
import random
import re
import textwrap
from collections.abc import Callable

Change = Callable[[str], str]


def each_line(prefix: str | Callable[[int], str], ending: str = "") -> Change:
    """Before each line the same, or what the number of the line gives."""

    def change(text: str) -> str:
        lines = text.split("\n")
        before = prefix if callable(prefix) else lambda number: prefix
        return "\n".join(f"{before(number)}{line}{ending}" for number, line in enumerate(lines))

    return change


def inside(head: str, tail: str) -> Change:
    """Between two other texts."""
    return lambda text: head + text + tail


def _stamp(number: int) -> str:
    return f"2024-05-01T10:{number // 60 % 60:02}:{number % 60:02}.{number * 7919 % 1000000:06}"


def _json_lines(text: str) -> str:
    """A line each, as Docker's json-file driver writes them."""
    return "\n".join(
        json.dumps({"log": f"{line}\n", "stream": "stderr", "time": f"{_stamp(number)}Z"})
        for number, line in enumerate(text.split("\n"))
    )


def _fluentd(text: str) -> str:
    return "\n".join(
        f"{_stamp(number)}+00:00 kubernetes.var.log.containers.train-0_ml_main-4f5e.log: "
        + json.dumps({"stream": "stderr", "logtag": "F", "message": line, "kubernetes": {"pod_name": "train-0"}})
        for number, line in enumerate(text.split("\n"))
    )


def _json_in_one(text: str) -> str:
    """All of it in one value, as structured loggers keep an exception."""
    return json.dumps({"level": "error", "msg": "training failed", "exc_info": text, "ts": 1714557600.1})


def _wrapped(text: str) -> str:
    """Lines broken between words at 80 columns, as mail programs send them."""
    return "\n".join(
        part
        for line in text.split("\n")
        for part in (textwrap.wrap(line, 80, break_long_words=False, break_on_hyphens=False) or [""])
    )


def _wrapped_in_quotes(text: str) -> str:
    return each_line("> ")(_wrapped(text))


def _reversed(text: str) -> str:
    """The last line first, as some log viewers show what came."""
    return "\n".join(reversed(text.split("\n")))


def _most_recent_first(text: str) -> str:
    """The message first, its frames innermost first behind it, as loggers of other languages write tracebacks."""
    lines = text.split("\n")
    messages = [line for line in lines if not line.startswith(("  ", "Traceback"))]
    frames = [line for line in lines if line.startswith("  ")]
    pairs = [frames[at : at + 2] for at in range(0, len(frames), 2)]
    return "\n".join([*messages, "Traceback (most recent call first):", *(one for pair in pairs[::-1] for one in pair)])


_HARMLESS = (
    "2024-05-01 10:00:{s:02}.{n:06}: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1510] step {n}",
    "INFO:tensorflow:global_step/sec: {n}.{s}",
    "Epoch {s}/99 {n}/5000 [=====>........................] - ETA: 0s - loss: 0.{n} - accuracy: 0.{s}",
    "GET /api/v1/runs/{n} HTTP/1.1 200 {s}12",
    "{n} files copied to /data/part-{s:05}",
    "DEBUG urllib3.connectionpool:450 https://pypi.org:443 GET /simple/{n}/ 200",
)


def _in_a_long_log(text: str) -> str:
    """A thousand harmless lines before it and a thousand behind."""
    chance = random.Random(1)
    lines = [chance.choice(_HARMLESS).format(n=n, s=n % 60) for n in range(2000)]
    return "\n".join([*lines[:1000], text, *lines[1000:]])


def _coloured(text: str) -> str:
    """The colours of IPython 8 and of Python 3.13."""
    text = re.sub(r"(?m)^(\w*(?:Error|Exception|Warning))(?=:|$)", "\x1b[0;31m\\1\x1b[0m", text)
    text = re.sub(r'File "([^"\n]*)", line (\d+)', 'File \x1b[35m"\\1"\x1b[0m, line \x1b[35m\\2\x1b[0m', text)
    return re.sub(r"(?m)\b(import|from)\b", "\x1b[38;5;28;01m\\1\x1b[39;00m", text)


IPYTHON = (
    "---------------------------------------------------------------------------\n"
    "ImportError                               Traceback (most recent call last)\n"
    "\x1b[0;32m<ipython-input-1-3d1f8a>\x1b[0m in \x1b[0;36m<module>\x1b[0;34m\x1b[0m\n"
    "\x1b[0;32m----> 1\x1b[0;31m \x1b[0;32mfrom\x1b[0m \x1b[0mpackage\x1b[0m \x1b[0;32mimport\x1b[0m model\n\n"
)
DURING = (
    "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    main()\n'
    "RuntimeError: worker 3 has failed"
)
DIRECT = DURING.replace(
    "During handling of the above exception, another exception occurred",
    "The above exception was the direct cause of the following exception",
)
ISSUE_HEAD = (
    "### Issue type\n\nBug\n\n### Have you reproduced the bug with TensorFlow Nightly?\n\nNo\n\n### Source\n\n"
    "binary\n\n"
    "### Current behavior?\n\nIt ends when I start it. See below.\n\n### Standalone code to reproduce the issue\n\n"
    "```shell\npython train.py\n```\n\n### Relevant log output\n\n```shell\n"
)
ISSUE_TAIL = "\n```\n\n- [x] I have searched the existing issues\n\n_No response_\n"


def _curly(text: str) -> str:
    text = re.sub(r"'([^'\n]*)'", "\u2018\\1\u2019", text)
    return re.sub(r'"([^"\n]*)"', "\u201c\\1\u201d", text).replace("'", "\u2019").replace("  ", "\u00a0 ")


def _tail_line(text: str) -> str:
    """Only the last line that is not empty."""
    return next((line for line in reversed(text.split("\n")) if line.strip()), text)


def _second_half(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(lines[len(lines) // 2 :])


# Each sort, and how many first causes of 100 must be those of the text as it was.
SORTS: dict[str, tuple[Change, float]] = {
    "srun": (each_line("0: "), 0.98),
    "srun-of-many": (each_line(lambda n: f"{n * 7 % 128:3}: "), 0.98),
    "slurm-node": (each_line("[node01:12345] "), 0.98),
    "open-mpi": (each_line("[1,0]<stderr>:"), 0.98),
    "open-mpi-5": (each_line("[1,0]<stderr>: "), 0.98),
    "compose": (each_line("service-1  | "), 0.98),
    "compose-stamped": (each_line(lambda n: f"trainer-1  | {_stamp(n)}Z "), 0.98),
    "docker-json": (_json_lines, 0.98),
    "fluentd": (_fluentd, 0.98),
    "json-in-one": (_json_in_one, 0.98),
    "cri": (each_line(lambda n: f"{_stamp(n)}123Z stderr F "), 0.98),
    "iso-level": (each_line(lambda n: f"{_stamp(n)}Z ERROR "), 0.98),
    "iso-level-padded": (each_line(lambda n: f"{_stamp(n)[:19]} [ERROR   ] "), 0.98),
    "go-logger": (each_line(lambda n: f'time="{_stamp(n)[:19]}Z" level=error msg='), 0.98),
    "logging-default": (each_line("ERROR:root:"), 0.98),
    "logging-module": (each_line("ERROR:my_app.train.loop:"), 0.98),
    "logging-dashes": (each_line("2024-05-01 10:00:00,123 - my_app.train - ERROR - "), 0.98),
    "klog": (each_line(lambda n: f"E0501 10:00:00.{n:06}   12345 loader.cc:88] "), 0.98),
    "mail": (each_line("> > "), 0.98),
    "mail-deep": (each_line(">>> "), 0.98),
    "mail-tight": (each_line(">>"), 0.98),
    "fence": (inside("It fails:\n\n```\n", "\n```\n"), 0.98),
    "indented": (each_line("    "), 0.98),
    "list-item": (lambda text: "1. I ran it:\n" + each_line("   ")(text), 0.98),
    "issue": (inside(ISSUE_HEAD, ISSUE_TAIL), 0.98),
    "details": (inside("<details><summary>log</summary>\n<pre>\n", "\n</pre></details>"), 0.98),
    "ipython": (lambda text: IPYTHON + _coloured(text), 0.98),
    "during": (inside("", DURING), 0.98),
    "direct-cause": (inside("", DIRECT), 0.98),
    "html": (html.escape, 0.98),
    "html-pre": (lambda text: "<pre>" + html.escape(text).replace("\n", "<br>\n") + "</pre>", 0.98),
    "html-one-line": (lambda text: "<p>" + html.escape(text).replace("\n", "<br/>") + "</p>", 0.98),
    "crlf": (lambda text: text.replace("\n", "\r\n"), 0.98),
    "curly": (_curly, 0.98),
    "no-break-spaces": (lambda text: text.replace(" ", "\u00a0"), 0.98),
    "wrapped": (_wrapped, 0.98),
    "wrapped-quoted": (_wrapped_in_quotes, 0.98),
    "one-line": (lambda text: " ".join(text.split()), 0.98),
    "reversed": (_reversed, 0.98),
    "most-recent-first": (_most_recent_first, 0.98),
    "doubled": (lambda text: f"{text}\n\n{text}", 0.98),
    "long-log": (_in_a_long_log, 0.98),
    "last-line": (_tail_line, 0.0),
    "second-half": (_second_half, 0.0),
}
