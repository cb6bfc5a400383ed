# SPDX-License-Identifier: Apache-2.0
"""What whole-process tests stand on: private brokers, started boardbus processes, clients that can send any byte."""
