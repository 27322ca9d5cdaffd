# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Tryton's desktop client, driven under Xvfb

    with Gtk(url, 'admin', password, shots=folder, python=python) as gtk:
        gtk.run('open_action', action, {'model': 'party.party', 'ids': [2]})
        assert gtk.look('invoices') == [['tree', 3], ['form', 3]]
        gtk.run('close')

A command fails when the client complains of something.  The commands are the
methods of qa/gtk_client.py, the process of the client.
"""
import json
import os
import select
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

CLIENT = Path(__file__).with_name('gtk_client.py')
SCREEN = '1400x900x24'
CONFIG = """\
[client]
check_version = False
[login]
profile =
"""


@contextmanager
def start(*args, log, **kwargs):
    with log.open('w') as file:
        process = subprocess.Popen(
            args, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=file, **kwargs)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


class Gtk:

    def __init__(self, url, user, password, shots, python, timeout=60):
        self.url, self.user, self.password = url, user, password
        self.shots = Path(shots)
        # The one of the environment of the client
        self.python = python
        self.timeout = timeout

    def __enter__(self):
        with ExitStack() as stack:
            home = Path(stack.enter_context(TemporaryDirectory()))
            config = home / 'tryton.conf'
            config.write_text(CONFIG)
            # It ends by itself after the client
            log = home / 'xvfb.log'
            display = stack.enter_context(start(
                    'Xvfb', '-displayfd', '1', '-screen', '0', SCREEN,
                    '-nolisten', 'tcp', '-terminate', log=log))
            number = display.stdout.readline().strip()
            assert number, log.read_text()
            self.log = home / 'tryton.log'
            self.process = stack.enter_context(start(
                    self.python, CLIENT, self.user, self.url, config,
                    log=self.log, env={
                        'PATH': os.environ['PATH'],
                        'LC_ALL': 'C.UTF-8',
                        'HOME': home,
                        'XDG_CACHE_HOME': home,
                        'XDG_CONFIG_HOME': home,
                        'XDG_DATA_HOME': home,
                        'XDG_RUNTIME_DIR': home,
                        'DISPLAY': f':{number}',
                        # No services, for they would outlive it
                        'DBUS_SESSION_BUS_ADDRESS': 'disabled:',
                        'GSETTINGS_BACKEND': 'memory',
                        'NO_AT_BRIDGE': '1',
                        }))
            self._write(self.password)
            self.run('fill_screen')
            self._stack = stack.pop_all()
        return self

    def __exit__(self, type, value, traceback):
        self._stack.close()

    def _write(self, line):
        self.process.stdin.write(f'{line}\n')
        self.process.stdin.flush()

    def run(self, command, *args):
        self._write(json.dumps([command, *args]))
        ready, _, _ = select.select(
            [self.process.stdout], [], [], self.timeout)
        if not ready:
            # It would not answer the next one either
            self.process.kill()
        line = self.process.stdout.readline()
        assert line, f"No answer to {command}:\n{self.log.read_text()}"
        answer = json.loads(line)
        assert not answer['problems'], '\n'.join(answer['problems'])
        return answer['result']

    def look(self, name):
        return self.run('look', str(self.shots / name))
