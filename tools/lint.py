#!/usr/bin/env python3
"""What tools can check of STYLE.md: format, layers, headers that compile alone, clang-tidy, shell scripts.

  lint.py --build DIR [--since REV | --all]

clang-tidy looks at the C++ files that changed since REV (default: the commit before this one) or at all of them.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(name, command, **options):
    """Runs a step; prints its output only when it fails."""
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    print(f"{name}: {'clean' if done.returncode == 0 else 'NOT CLEAN'}", flush=True)
    if done.returncode != 0:
        print(done.stdout[-6000:], flush=True)
    return done.returncode == 0


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, text=True, capture_output=True, check=True).stdout
    return [name for name in out.splitlines() if (ROOT / name).exists()]


def changed(since):
    known = subprocess.run(["git", "rev-parse", "--verify", "--quiet", since], cwd=ROOT, capture_output=True)
    if known.returncode != 0:
        return tracked("*.cpp", "*.h")
    out = subprocess.run(["git", "diff", "--name-only", since, "--", "*.cpp", "*.h"], cwd=ROOT, text=True,
                         capture_output=True, check=True).stdout
    return [name for name in out.splitlines() if (ROOT / name).exists()]


def tidy(build, files):
    """A changed header is read through the .cpp of the same name."""
    units = {str(pathlib.Path(name).with_suffix(".cpp")) for name in files if name.startswith("src/")}
    units = sorted(name for name in units if (ROOT / name).exists())
    command = ["clang-tidy-19", "-p", build, "--quiet"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {name: pool.submit(subprocess.run, command + [name], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) for name in units}
    bad = {name: job.result().stdout for name, job in jobs.items() if job.result().returncode != 0}
    print(f"clang-tidy: {len(units)} files, {'clean' if not bad else 'NOT CLEAN'}", flush=True)
    for name, text in bad.items():
        print(f"--- {name}\n{text[-3000:]}", flush=True)
    return not bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--since", default="HEAD~1")
    which.add_argument("--all", action="store_true")
    options = parser.parse_args()

    sources = tracked("*.cpp", "*.h")
    scripts = tracked("dev", ".ci/run", "*.sh")
    good = [
        run("format", ["clang-format-19", "--dry-run", "-Werror", *sources]),
        run("layers", [sys.executable, "tools/check_layers.py"]),
        run("scripts", ["shellcheck", "--severity=warning", *scripts]),
        run("headers", ["ninja", "--quiet", "-C", options.build, "each_header_alone"]),
        tidy(options.build, sources if options.all else changed(options.since)),
    ]
    return 0 if all(good) else 1


sys.exit(main())
