# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import trytond.modules.project_progress_invoice as module

from ..tests.postgresql import get_free_address, wait_until_served

ROOT = Path(module.__file__).resolve().parent


@contextmanager
def serve_demo(folder, *client):
    """
    Serve the demo on a free port and yield its address, the password and the
    path of the log
    """
    address = get_free_address()
    _, port = address.split(':')
    log = folder / 'log'
    with log.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', ROOT / 'demo' / 'serve.py',
                folder, port, *client],
            stdout=file, stderr=file)
    try:
        wait_until_served(address, process, log)
        yield address, (folder / 'password').read_text(), log
    finally:
        process.terminate()
        process.wait()
