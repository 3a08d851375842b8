# SPDX-License-Identifier: BSD-3-Clause
"""Runs the tests of modules on gevent's libev loop, Python's own with its library patched for gevent. Says what became of each.

usage: gevent_child.py RESULTS MODULE  with names of tests to leave out, a line each, on standard input

Writes to the file RESULTS: "start NAME" and "ok NAME", "fail NAME", "skip NAME", ...; at the end "library: FILE".
"""
import sys

import gevent.monkey

if sys.argv[2].startswith("test."):  # gevent's own tests see to it themselves
    gevent.monkey.patch_all()

import importlib  # noqa: E402  pylint: disable=wrong-import-position
import pathlib  # noqa: E402  pylint: disable=wrong-import-position
import unittest  # noqa: E402  pylint: disable=wrong-import-position

import gevent.libev.corecext  # noqa: E402  pylint: disable=wrong-import-position

RESULTS = open(sys.argv[1], "a", buffering=1, encoding="utf-8")  # pylint: disable=consider-using-with


def tell(word, test):
    RESULTS.write(f"{word} {' '.join(test.id().split())}\n")


class Result(unittest.TestResult):
    """Each test's end, in one word. Sub-tests that fail are their test's failure."""

    def startTest(self, test):
        super().startTest(test)
        self.word = "ok"
        tell("start", test)

    def stopTest(self, test):
        super().stopTest(test)
        tell(self.word, test)

    def other(self, word, test):
        if isinstance(test, unittest.TestCase):
            self.word = word
        else:  # a class or a module that could not be prepared
            tell(word, test)

    def addError(self, test, err):
        super().addError(test, err)
        self.other("error", test)
        print(self.errors[-1][1], file=sys.stderr)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.other("fail", test)
        print(self.failures[-1][1], file=sys.stderr)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.other("skip", test)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.other("expected", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.other("unexpected", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.word = "fail"


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def load(name):
    if name.startswith("test."):
        from test import support  # pylint: disable=import-outside-toplevel
        # No outside network, nothing that takes long; of one module the loopback counts as network.
        support.use_resources = ["network"] if name == "test.test_socketserver" else []
    return unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))


def main():
    left_out = set(sys.stdin.read().split("\n"))
    tests = [test for test in flat(load(sys.argv[2])) if " ".join(test.id().split()) not in left_out]
    unittest.TestSuite(tests).run(Result())
    loop = type(gevent.get_hub().loop)
    if loop is not gevent.libev.corecext.loop:
        sys.exit(f"not gevent's libev loop: {loop}")
    mapped = {line.split(maxsplit=5)[5].strip() for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
              if "/libev.so" in line or "/libtorque_ev.so" in line}
    RESULTS.write("".join(f"library: {file}\n" for file in sorted(mapped)))


if __name__ == "__main__":
    main()
