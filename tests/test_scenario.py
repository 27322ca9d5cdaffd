# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import os
import unittest

import pytest
from trytond.tests.test_tryton import load_doc_tests


def load_tests(*args, **kwargs):
    return load_doc_tests(__name__, __file__, *args, **kwargs)


def run_scenario(scenario):
    "Run the scenario and report what it says to pytest"
    result = scenario.run(unittest.TestResult())
    for _, reason in result.skipped:
        pytest.skip(reason)
    for _, report in result.errors + result.failures:
        pytest.fail(report, pytrace=False)


# pytest does not know the load_tests protocol
@pytest.mark.parametrize(
    'scenario',
    sorted(
        load_tests(
            unittest.defaultTestLoader, unittest.TestSuite(), None),
        key=str),
    ids=lambda scenario: os.path.basename(str(scenario)))
def test_scenario(scenario):
    run_scenario(scenario)
