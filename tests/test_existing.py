# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Activate the module on a database that has run for years"""
import subprocess
import sys
from textwrap import dedent

import pytest

from .postgresql import (
    connect, dump, get_environment, restore, run_code, run_script,
    start_server)

INVOICES = 10_000  # of 10 lines
BEFORE = """
    from proteus import Model
    from trytond.modules.project_progress_invoice.tests.tools import *
    from trytond.tests.tools import activate_modules

    activate_modules(
        ['account_deposit', 'project_invoice', 'sale', 'sale_amendment'],
        setup_company)
    sale = create_sale(*[(10, '10', "Taxed Service")] * 10, method='manual')
    sale.click('manual_invoice')
    sale.invoices[0].click('post')
    create('project.work', name="Project", type='project',
        party=get('party.party', "Customer").id)
    # The company gets settings of its own
    settings = Model.get('project.configuration')(1)
    settings.work_sequence = Model.get('ir.sequence')(
        name="Projects", prefix="P",
        sequence_type=settings.work_sequence.sequence_type)
    settings.work_sequence.save()
    settings.save()
    """
# What is copied for each number i
COPIES = {
    'account_invoice': {
        'id': "id + i * 100",
        'number': "number || '-' || i",
        'move': "NULL",
        },
    'sale_sale': {
        'id': "id + i * 100",
        'number': "number || '-' || i",
        },
    'sale_line': {
        'id': "id + i * 100",
        'sale': "sale + i * 100",
        },
    'account_invoice_line': {
        'id': "id + i * 100",
        'invoice': "invoice + i * 100",
        'origin': (
            "'sale.line,' || (split_part(origin, ',', 2)::int + i * 100)"),
        },
    'account_invoice_line-account_tax': {
        'id': "id + i * 100",
        'line': "line + i * 100",
        },
    'project_work': {
        'id': "id + i * 100",
        'number': "number || '-' || i",
        },
    }
STORY = """
    from trytond.modules.project_progress_invoice.tests.tools import *

    Advance = Model.get('project.advance_invoice')
    Contract = Model.get('account.progress_contract')
    Sale = Model.get('sale.sale')

    sale = create_sale((10, '100'), (3, '33.33'))
    first, = sale.click('progress_invoice')
    set_current(first, .5, .5)
    first.click('post')
    second = next_invoice(first, .7, .7)
    credit_note = credit(second)
    credit_note.click('post')
    pay(first)
    draft, = credit_note.click('next_progress_invoice')
    draft.delete()
    third = next_invoice(credit_note, .8, .8)
    credit(third, refund=True)
    sale.reload()
    assert [l.progress_billed_quantity for l in sale.lines] == [5, 1.5]
    assert len(sale.invoices) == 5
    contract, = Contract.find([
        ('sales', '=', sale.id), ('state', '=', 'open'),
        ('open_invoice', '=', None)])
    assert contract == sale.progress_contract
    closing, = credit_note.click('closing_progress_invoice')
    closing.click('post')
    sale.reload()
    assert [l.progress_billed_quantity for l in sale.lines] == [10, 3]

    project = create_project(create_project_type())
    advance = sell_advance(project, 10, '500')
    intervention = create_intervention(
        project, ('service', 1, '400'), ('material', 2, '30'))
    assert intervention.number
    invoice = value(intervention)
    invoice.click('post')
    credit(invoice).click('post')
    advance.reload()
    advance.click('update_residual')
    assert advance in Advance.find([('residual_amount', '>', 0)])
    project.reload()
    assert project.advance_residual_amount == 5000
    draft = create_invoice((1, '10'), progress=False)
    draft.delete()
    """
# The model or the module nearest to the statement asked for it
EXPLAIN = """
    import re
    import traceback
    from pathlib import Path

    import trytond
    from trytond.backend.postgresql.database import LoggingCursor

    root = Path(trytond.__file__).parent
    execute = LoggingCursor.execute
    explained, whole = 0, []

    def explain(self, query, params=None, **kwargs):
        global explained
        if isinstance(query, str) and re.match('SELECT|UPDATE|DELETE', query):
            with self.connection.cursor() as cursor:
                execute(cursor, f'EXPLAIN {query}', params)
                plan = ' '.join(row for row, in cursor)
            explained += 1
            module = next(
                Path(frame.filename).parent.name
                for frame in reversed(traceback.extract_stack())
                if Path(frame.filename).parent.parent == root / 'modules'
                or frame.filename == '<string>'
                and frame.name == '<module>')
            tables = re.findall('Seq Scan on "?([^" ]+)', plan)
            if module == 'project_progress_invoice':
                whole.extend((t, query) for t in tables if t in argv[1:])
        return execute(self, query, params, **kwargs)

    LoggingCursor.execute = explain
    """ + STORY + """
    assert explained > 1000
    print(*whole, sep='\\n')
    """


def copy_rows(cursor, table, values):
    "Copy the rows of the table as often as there are to be invoices"
    cursor.execute(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = %s", [table])
    columns = [column for column, in cursor]
    assert values.keys() <= set(columns)
    cursor.execute(
        'INSERT INTO "{table}" ({columns}) SELECT {values} FROM "{table}" '
        'CROSS JOIN generate_series(1, {last}) AS i'.format(
            table=table,
            columns=', '.join(f'"{c}"' for c in columns),
            values=', '.join(values.get(c, f'"{c}"') for c in columns),
            last=INVOICES - 1))
    cursor.execute(
        "SELECT setval(pg_get_serial_sequence(%s, 'id'), "
        f'(SELECT max(id) FROM "{table}"))', [f'"{table}"'])


def get_columns(cursor, *excluded):
    "Return the columns by table but the excluded ones"
    cursor.execute(
        "SELECT table_name, array_agg(column_name::text ORDER BY column_name) "
        "FROM information_schema.columns "
        "WHERE table_schema = 'public' AND column_name <> ALL(%s) "
        "GROUP BY table_name", [list(excluded)])
    return dict(cursor)


def get_digests(cursor, columns):
    digests = {}
    for table, names in columns.items():
        cursor.execute(
            "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) "
            "FROM (SELECT {} FROM {}) AS t".format(
                ', '.join(f'"{n}"' for n in names), f'"{table}"'))
        digests[table] = cursor.fetchone()
    return digests


def update(uri, *options):
    "Update the module in the old database and return what it warned of"
    process = subprocess.run([
            sys.executable, '-W', 'ignore', '-m', 'trytond.cli.admin', '-v',
            '-d', 'old', '-u', 'project_progress_invoice', *options],
        env=get_environment(uri, 'old'), text=True,
        stdin=subprocess.DEVNULL, capture_output=True)
    assert not process.returncode, process.stderr
    return process.stderr


@pytest.fixture(scope='module')
def old():
    """
    The URI of the server, the digests before and after the activation and what
    that warned of
    """
    with start_server() as uri:
        run_code(uri, dedent(BEFORE), database='old')
        with connect(uri, 'old') as connection:
            cursor = connection.cursor()
            for table, values in COPIES.items():
                copy_rows(cursor, table, values)
            # The modules are recorded in the tables of ir and res
            columns = {
                table: names for table, names in get_columns(
                    cursor, 'write_date', 'write_uid').items()
                if not table.startswith(('ir_', 'res_'))}
            before = get_digests(cursor, columns)
        warnings = update(uri, '--activate-dependencies')
        with connect(uri, 'old') as connection:
            connection.execute('ANALYZE')
            after = get_digests(connection.cursor(), columns)
        yield uri, before, after, warnings


def test_activation_changes_no_row(old):
    _, before, after, _ = old

    assert before['account_invoice_line'][0] == 10 * INVOICES
    assert before == after


def test_activation_warns_of_nothing(old):
    *_, warnings = old

    assert warnings == ''


def get_content(uri):
    "Return the schema of the old database and the digests of its tables"
    with connect(uri, 'old') as connection:
        columns = get_columns(connection.cursor())
        # What the processes cache, and the languages that trytond-admin sets
        # as translatable each time
        del columns['ir_cache'], columns['ir_lang']
        digests = get_digests(connection.cursor(), columns)
    return dump(uri, 'old', '--schema-only').splitlines(), digests


def test_update_twice(old):
    uri, *_ = old

    assert update(uri) == ''
    schema, digests = get_content(uri)
    assert update(uri) == ''
    schema_again, digests_again = get_content(uri)

    assert schema_again == schema
    assert dict(digests.items() ^ digests_again.items()) == {}


def test_no_table_is_read_whole(old):
    uri, *_ = old

    assert run_script(uri, EXPLAIN, *COPIES, database='old').strip() == ''


def test_dump_restored_elsewhere(old):
    uri, *_ = old

    with start_server() as other:
        restore(other, 'restored', dump(uri, 'old'))

        run_script(other, STORY, database='restored')
