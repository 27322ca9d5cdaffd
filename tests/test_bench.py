# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import json
import subprocess
import sys
from pathlib import Path

import pytest
from trytond import backend
from trytond.tests.tools import activate_modules

from .test_cost import DEPENDS
from .tools import activate, setup_company

BENCH = Path(__file__).parent.parent / 'bench' / 'bench.py'

pytestmark = [
    pytest.mark.skipif(not BENCH.exists(), reason="Not a source folder"),
    pytest.mark.skipif(
        backend.name != 'sqlite', reason="It is tried on one database only")]

DRAFTS = ["First invoice of a sale", "Next invoice"]
ROWS = [
    "Statements to make, ordinary", "Statements to post, ordinary",
    *DRAFTS, *DRAFTS, "Post, every line bills", "Post, 1 line in 10 bills",
    "Percent typed", "Percent typed", "Percent typed",
    "Row of Progress Lines saved", "Row of Progress Lines saved",
    "After n invoices, make and post", "List and forms",
    "Value interventions",
    "Residuals of advances",
    "Invoice tasks with an advance"]


def run(*args):
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', BENCH, '--quick', *args],
        text=True, capture_output=True)
    assert not process.returncode, process.stderr
    return process.stdout.splitlines()


def test_benchmark_measures_every_row(tmp_path):
    # The process finds them in the cache
    activate_modules(DEPENDS, setup_company)
    activate()

    _, _, *table = run(tmp_path / 'bench.json')

    rows = json.loads((tmp_path / 'bench.json').read_text())['rows']
    assert [r['what'] for r in rows] == ROWS
    for line, row in zip(table, rows, strict=True):
        assert line.startswith(row['what'])
        assert row['ratio'] == row['ours'] / row['plain'] > 0


def test_growth_measures_every_size(tmp_path):
    activate()

    run('--growth', '--only', "Percent", tmp_path / 'growth.json')

    rows = json.loads((tmp_path / 'growth.json').read_text())['rows']
    assert [r['size'] for r in rows] == [2, 4]
