# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import trytond.modules.project_progress_invoice as module

ROOT = Path(module.__file__).resolve().parent
SECONDS = 600


@contextmanager
def serve_demo(folder, *client):
    "Serve the demo on a free port and yield its address and the password"
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        _, port = free.getsockname()
    log = folder / 'log'
    with log.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', ROOT / 'demo' / 'serve.py',
                folder, str(port), *client],
            stdout=file, stderr=file)
    try:
        end = time.monotonic() + SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(.5)
        yield f'127.0.0.1:{port}', (folder / 'password').read_text()
    finally:
        process.terminate()
        process.wait()
