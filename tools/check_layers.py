#!/usr/bin/env python3
"""Checks src/ against tools/layers.txt: which folder may include which, where libraries enter, which tokens are banned.

SPDX-License-Identifier: Apache-2.0
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#include ([<"][^>"]+)[>"]', re.M)
LINES_MAX = {".h": 160, ".cpp": 450}


def read_rules():
    folders, libraries, banned = {}, {}, {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        if not line or line.startswith("# "):
            continue
        key, _, value = line.rpartition(": ") if line.startswith("!") else line.partition(":")
        target = banned if key.startswith("!") else libraries if key.startswith("<") else folders
        target[key.lstrip("!")] = value.split() if target is not banned else value
    return folders, libraries, banned


def problems_of(path, folders, libraries, banned):
    name = path.relative_to(ROOT / "src").as_posix()
    folder = name.split("/")[0] if "/" in name else path.stem
    text = path.read_text()
    if folder not in folders:
        yield f"{name}: folder {folder} is not in tools/layers.txt"
        return
    for include in INCLUDE.findall(text):
        if include[0] == '"':
            other = include[1:].split("/")[0]
            if other != folder and other not in folders[folder]:
                yield f"{name}: {folder}/ may not include {include[1:]}"
        else:
            rules = [prefix for prefix in libraries if include.startswith(prefix)]
            if rules and not any(name.startswith(door) for door in libraries[max(rules, key=len)]):
                yield f"{name}: {include}> enters only through {', '.join(libraries[max(rules, key=len)])}"
    for token, instead in banned.items():
        doors = instead.partition("(except in ")[2].rstrip(")").split()
        if token in text and not name.startswith(tuple(doors)):
            yield f"{name}: {token} is banned; write {instead}"
    if "// SPDX-License-Identifier: Apache-2.0" not in text[:2000].splitlines():
        yield f"{name}: no SPDX line of its own"
    if text.count("\n") > LINES_MAX[path.suffix]:
        yield f"{name}: {text.count(chr(10))} lines, at most {LINES_MAX[path.suffix]}"


def main():
    rules = read_rules()
    found = [problem for path in sorted((ROOT / "src").rglob("*")) if path.suffix in LINES_MAX
             for problem in problems_of(path, *rules)]
    print("\n".join(found) or "layers: clean")
    return 1 if found else 0


sys.exit(main())
