# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What make demo and make serve leave and say"""
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from ..tests.postgresql import get_free_address, wait_until_served
from .served import ROOT


def get_command(name, *args):
    return [sys.executable, '-W', 'ignore', ROOT / 'demo' / name, *args]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "The folder where the demo has run"
    folder = tmp_path_factory.mktemp('demo')
    subprocess.run(get_command('demo.py', folder), check=True)
    return folder


def test_demo_leaves_drafts(folder):
    database = sqlite3.connect(folder / 'demo.sqlite')
    with closing(database):
        contracts, valued = [
            database.execute(f"""
                SELECT COUNT(DISTINCT invoice.id)
                FROM account_invoice_line line
                JOIN account_invoice invoice ON invoice.id = line.invoice
                WHERE invoice.state = 'draft' AND {condition}
                """).fetchone()
            for condition in [
                'invoice.progress_number = 2',
                'line.intervention IS NOT NULL']]
        interventions = database.execute("""
            SELECT COUNT(*) FROM project_intervention WHERE state = 'done'
            """).fetchone()
        advances = database.execute("""
            SELECT COUNT(*) FROM project_advance_invoice
            WHERE 'project.advance_invoice,' || id NOT IN (
                SELECT origin FROM account_invoice_line
                WHERE origin IS NOT NULL)
            """).fetchone()

    assert [contracts, valued, interventions, advances] == [(1,)] * 4


def test_taken_port_is_said_before_the_address(folder):
    host, port = get_free_address().split(':')
    log = folder / 'log'
    with socket.create_server((host, int(port))), log.open('w') as file:
        process = subprocess.Popen(
            get_command('serve.py', folder, port), stdout=file, stderr=file)
        try:
            while "Press Ctrl-C" not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(.1)
            before, said = log.read_text().split("\nOpen ")
            address = said.split()[0].split('/')[2]
            wait_until_served(address, process, log)
        finally:
            process.terminate()
            process.wait()

    assert not address.endswith(f':{port}')
    assert f"Port {port} is in use" in before
    assert "PORT=8010 make serve" in before
