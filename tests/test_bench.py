# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import json
import subprocess
import sys
from pathlib import Path

import pytest
from trytond import backend

from .tools import activate

BENCH = Path(__file__).parent.parent / 'bench' / 'bench.py'
pytestmark = [
    pytest.mark.skipif(
        not BENCH.exists(), reason="An installed package has no benchmark"),
    pytest.mark.skipif(
        backend.name != 'sqlite', reason="To run it once is enough")]


def test_benchmark(tmp_path):
    output = tmp_path / 'bench.json'
    activate()  # for its dump to be whole before the process reads it

    process = subprocess.run(
        [sys.executable, '-W', 'ignore', BENCH, '--quick', output],
        text=True, capture_output=True)

    assert not process.returncode, process.stderr
    rows = json.loads(output.read_text())['rows']
    assert len(rows) == 10
    for row in rows:
        assert row['ratio'] == row['ours'] / row['plain'] > 0
        assert row['what'] in process.stdout
