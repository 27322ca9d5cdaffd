# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Open every view of the module in the desktop client"""
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from .gtk import Gtk
from .served import ROOT, serve_demo

PYTHON = Path(
    os.environ.get('DESKTOP', ROOT / '.venv' / '8.2-desktop'),
    'bin', 'python').absolute()
MODULE = 'project_progress_invoice'
# The windows whose views it extends
EXTENDED = [
    ('account_invoice', 'act_invoice_out_form'),
    ('party', 'act_party_form'),
    ('project', 'act_project_configuration'),
    ('project', 'act_project_form'),
    ('sale', 'act_sale_form'),
    ]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('demo')


@pytest.fixture(scope='module')
def gtk(folder):
    shots = ROOT / '.desktop'
    shots.mkdir(exist_ok=True)
    with serve_demo(folder) as (address, password, log), Gtk(
            f'tryton://{address}/demo', 'admin', password, shots, PYTHON
            ) as gtk:
        # To be asked for the password is an error there
        logged_in = len(log.read_text())
        yield gtk
        assert not gtk.log.read_text()
        assert not [
            line for line in log.read_text()[logged_in:].splitlines()
            if ' INFO ' not in line]


@pytest.fixture(scope='module')
def query(gtk, folder):
    "Return the function that queries the database"
    uri = (folder / 'demo.sqlite').as_uri()
    with closing(sqlite3.connect(f'{uri}?mode=ro', uri=True)) as connection:
        yield lambda *args: connection.execute(*args).fetchall()


@pytest.fixture(scope='module')
def records(gtk, query):
    "Return by model the record from which its actions are opened"
    def call(*args):
        return gtk.run('call', *args)

    # The first contract of the demo is closed, its intervention invoiced
    (sale,), = query("SELECT MIN(id) FROM sale_sale")
    (work,), = query("SELECT MIN(id) FROM project_work")
    sales = call('sale.sale', 'copy', [sale])
    call('sale.sale', 'quote', sales)
    invoice, = call('sale.sale', 'progress_invoice', sales)['res_id']
    requests = call('project.intervention.request', 'create', [{
                'work': work,
                'description': "Broken window",
                }])
    call('project.intervention.request', 'plan', requests)

    (line, party), = query("""
        SELECT MIN(line.id), invoice.party
        FROM account_invoice_line line
        JOIN account_invoice invoice ON invoice.id = line.invoice
        WHERE invoice.id = ?
        """, [invoice])
    (advance,), = query("SELECT MIN(id) FROM project_advance_invoice")
    (intervention,), = query("""
        SELECT MIN(id) FROM project_intervention WHERE state = 'invoiced'
        """)
    (valued,), = query("""
        SELECT DISTINCT invoice FROM account_invoice_line
        WHERE intervention = ?
        """, [intervention])
    return {
        'account.invoice': invoice,
        # What it bills is in no contract
        ('act_advance_invoice_relate', 'account.invoice'): valued,
        ('act_intervention_relate', 'account.invoice'): valued,
        'account.invoice.line': line,
        'party.party': party,
        'project.advance_invoice': advance,
        'project.intervention': intervention,
        'project.work': work,
        }


def test_views(gtk, query, records, subtests):
    def look(name):
        views = gtk.look(name)
        gtk.run('close')
        # None is empty
        assert all(count for _, count in views)

    def get_data(name, model):
        record = records.get((name, model), records.get(model))
        if not record:
            return {}
        return {'model': model, 'id': record, 'ids': [record]}

    # Those of no menu and no model are opened by buttons of the invoice
    for action, name, model in query("""
            SELECT data.db_id, data.fs_id, COALESCE(
                SUBSTR(keyword.model, 1, INSTR(keyword.model, ',') - 1),
                'account.invoice')
            FROM ir_model_data data
            LEFT JOIN ir_action_keyword keyword ON keyword.action = data.db_id
            WHERE data.module = ? AND data.model = 'ir.action.act_window'
            ORDER BY data.fs_id, keyword.model
            """, [MODULE]):
        with subtests.test(name, model=model):
            data = get_data(name, model)
            if name == 'act_progress_invoice':
                data['res_id'] = data['ids']
            gtk.run('open_action', action, data)
            look(f'{name}-{model}')

    for action, name, model in query("""
            SELECT data.db_id, data.fs_id, wizard.model
            FROM ir_model_data data
            JOIN ir_action_wizard wizard ON wizard.id = data.db_id
            WHERE data.module = ? AND data.model = 'ir.action.wizard'
            ORDER BY data.fs_id
            """, [MODULE]):
        with subtests.test(name):
            gtk.run('open_action', action, get_data(name, model))
            look(name)

    for module, name in EXTENDED:
        with subtests.test(name):
            (action,), = query("""
                SELECT db_id FROM ir_model_data
                WHERE module = ? AND fs_id = ?
                """, [module, name])
            gtk.run('open_action', action, {})
            look(name)

    with subtests.test('project.intervention.line'):
        # Another field that would list them shows this list
        gtk.run('open_window', 'project.intervention.line', {'name': "Lines"})
        look('project.intervention.line')

    # What is extended is shown in the view that it extends
    shown = set(gtk.run('get_shown'))
    views = query("""
        SELECT name, COALESCE(inherit, id) FROM ir_ui_view WHERE module = ?
        """, [MODULE])
    assert views
    assert not [name for name, view in views if view not in shown]
