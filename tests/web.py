# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Do both jobs in the web client, from the log-in to the printed document"""
import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import trytond.modules.project_progress_invoice as module

from .sao import Sao

ROOT = Path(module.__file__).resolve().parent
SAO = Path(os.environ.get('SAO', ROOT / '.sao'), 'package').resolve()
SECONDS = 600


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    "Serve the demo and return its URL and the password"
    folder = tmp_path_factory.mktemp('demo')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        _, port = free.getsockname()
    log = folder / 'log'
    with log.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', ROOT / 'demo' / 'serve.py',
                folder, SAO, str(port)],
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
        password = (folder / 'password').read_text()
        yield f'http://127.0.0.1:{port}/#demo', password
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def sao(served):
    url, password = served
    shots = ROOT / '.web'
    shots.mkdir(exist_ok=True)
    with Sao(url, 'admin', password, shots) as sao:
        yield sao
    assert not sao.problems


def read_document(path):
    with zipfile.ZipFile(path) as file:
        return file.read('content.xml').decode()


def test_contract(sao):
    sao.open_menu("Sales", "Sales")
    sao.toolbar('new_')
    sao.fill('party', "Customer")
    sao.fill('description', "Annex")
    for quantity, product in [('10', "Door, fitted"), ('40', "Painting")]:
        sao.add('lines')
        sao.fill('product', product)
        sao.fill('quantity', quantity)
        sao.click("Add")
    sao.fill('invoice_method', "On Progress")
    sao.fill('shipment_method', "Manual")
    sao.click('quote')
    sao.screenshot('quotation')

    # The first invoice of the contract
    sao.click('progress_invoice')
    sao.click('enter_progress')
    sao.click_cell("Door, fitted", "Current %")
    sao.press('Enter')
    for percent in ['30', '50']:
        sao.type(percent)
        sao.press('Enter')
    sao.press('Escape')
    sao.screenshot('enter-progress')
    rows = sao.rows()
    assert any("Door, fitted" in r and "$ 300.00" in r for r in rows), rows
    assert any("Painting" in r and "$ 250.00" in r for r in rows), rows

    sao.open_menu("Financial", "Invoices", "Progress Invoices")
    sao.screenshot('progress-invoices')
    sao.select_tab("Draft")
    sao.open_row("Customer")
    assert sao.read('untaxed_amount') == '550.00'
    sao.click('post')
    sao.click("OK")
    assert sao.read('state') == "Posted"
    sao.screenshot('posted')

    # The next one
    sao.click('next_progress_invoice')
    sao.click('set_progress')
    sao.fill('ratio', '100')
    sao.click("Set")
    assert sao.read('untaxed_amount') == '950.00'
    sao.screenshot('next')
    statement = sao.download('print', "Progress Statement")
    assert "Progress Statement No. " in read_document(statement)


def test_advance(sao):
    sao.open_menu("Projects", "Advance Invoices")
    sao.toolbar('new_')
    sao.fill('work', "Maintenance of the office")
    sao.fill('line_type', "Uncoded")
    sao.fill('quantity', '5')
    sao.fill('unit_price', '400')
    sao.fill('description', "Summer days")
    sao.click('valorize')
    sao.screenshot('valorize')
    sao.click("Open")
    sao.click('post')
    sao.click("OK")
    assert sao.read('state') == "Posted"

    sao.open_menu("Projects", "Interventions")
    sao.screenshot('interventions')
    sao.toolbar('new_')
    sao.fill('work', "Maintenance of the office")
    sao.fill('description', "Broken window")
    sao.toolbar('save')
    sao.screenshot('intervention')
    report = sao.download('print', "Intervention Report")
    assert "Broken window" in read_document(report)

    sao.open_menu("Projects", "Advance Invoices", "Advances by Project")
    sao.toolbar('switch_')
    sao.screenshot('advances-by-project')
