# SPDX-License-Identifier: Apache-2.0
"""The chaos programs are plain modules of this folder and use the harness of the system tests."""
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "system")]
