# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Do both jobs in the web client, from the log-in to the printed document"""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .sao import Sao
from .served import ROOT, serve_demo

# The demo whose documents are printed as PDF
DEMO = """
import sys
import demo
from proteus import Model
demo.main(sys.argv[1])
Report = Model.get('ir.action.report')
for report in Report.find([('module', '=', 'project_progress_invoice')]):
    report.extension = 'pdf'
    report.save()
"""
SAO = Path(os.environ.get('SAO', ROOT / '.sao'), 'package').resolve()
COLUMNS = {"Total", "Previous %", "Current %", "Current"}


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    "Serve the demo and return its URL and the password"
    folder = tmp_path_factory.mktemp('demo')
    subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', DEMO, folder],
        env={**os.environ, 'PYTHONPATH': ROOT / 'demo'}, check=True)
    with serve_demo(folder, SAO) as (address, password, _):
        yield f'http://{address}/#demo', password


@pytest.fixture
def sao(served):
    url, password = served
    shots = ROOT / '.web'
    shots.mkdir(exist_ok=True)
    with Sao(url, 'admin', password, shots) as sao:
        yield sao
    assert not sao.problems


def read_document(path):
    "Return the text of the PDF, as it is laid out"
    return subprocess.run(
        ['pdftotext', '-layout', path, '-'],
        check=True, capture_output=True, text=True).stdout


def enter_progress(sao, *percents):
    sao.click('enter_progress')
    sao.click_cell("Door, fitted", "Current %")
    sao.press('Enter')
    for percent in percents:
        sao.type(percent)
        sao.press('Enter')
    sao.press('Escape')
    sao.screenshot('enter-progress')
    sao.click("Save")


def post(sao):
    sao.click('post')
    sao.click("OK")
    assert sao.read('state') == "Posted"


def bill_ordinary(sao, *lines):
    "Bill the quantities of products at prices with an ordinary invoice"
    sao.open_menu("Financial", "Invoices", "Customer Invoices")
    sao.toolbar('new_')
    sao.fill('party', "Customer")
    for quantity, product, price in lines:
        sao.add('lines')
        sao.fill('product', product)
        sao.fill('quantity', quantity)
        sao.fill('unit_price', price)
        sao.click("Add")
    assert not COLUMNS & set(sao.columns())
    post(sao)


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
    enter_progress(sao, '30', '50')
    assert COLUMNS <= set(sao.columns())
    rows = sao.rows()
    assert any("Door, fitted" in r and "300.00" in r for r in rows), rows
    assert any("Painting" in r and "250.00" in r for r in rows), rows
    post(sao)
    assert sao.read('untaxed_amount') == '550.00'
    sao.screenshot('posted')

    # The next one
    before = sao.clicks
    sao.click('next_progress_invoice')
    enter_progress(sao, '100', '100')
    post(sao)
    clicks = sao.clicks - before
    assert sao.read('untaxed_amount') == '950.00'
    statement = sao.download('print', "Progress Statement")
    text = read_document(statement)
    assert "Progress Statement No. 2" in text
    assert "1,500.00" in text

    sao.open_menu("Financial", "Invoices", "Progress Invoices")
    sao.select_tab("Posted")
    sao.screenshot('progress-invoices')

    sao.open_menu("Financial", "Invoices", "Contracts")
    sao.select_tab("To Bill")
    sao.screenshot('contracts')
    sao.open_row("Annex")
    assert sao.read('billed_amount') == '1,500.00'
    assert sao.read('remaining_amount') == '0.00'
    sao.screenshot('contract')

    before = sao.clicks
    bill_ordinary(
        sao, ('7', "Door, fitted", '100'), ('20', "Painting", '12.50'))
    assert clicks <= sao.clicks - before


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
    post(sao)

    before = sao.clicks
    sao.open_menu("Projects", "Interventions")
    sao.screenshot('interventions')
    sao.toolbar('new_')
    sao.fill('work', "Maintenance of the office")
    sao.add('lines')
    sao.fill('kind', "Service")
    sao.fill('product', "Painting")
    sao.fill('quantity', '64')
    sao.fill('description', "Broken window")
    sao.click('do')
    sao.screenshot('intervention')
    sao.click('valorize')
    sao.click("Open")
    assert sao.read('untaxed_amount') == '0.00'
    post(sao)
    clicks = sao.clicks - before
    sao.screenshot('valued')
    sao.close_tab()
    report = sao.download('print', "Intervention Report")
    assert "Broken window" in read_document(report)

    sao.open_menu("Projects", "Advance Invoices")
    sao.select_tab("Residual")
    assert any("3,400.00" in r for r in sao.rows())
    sao.screenshot('advances')
    sao.open_menu("Projects", "Advance Invoices", "Advances by Project")
    sao.toolbar('switch_')
    sao.screenshot('advances-by-project')

    before = sao.clicks
    bill_ordinary(
        sao, ('64', "Painting", '12.50'), ('-1.6', "Painting", '500'))
    assert clicks <= sao.clicks - before
