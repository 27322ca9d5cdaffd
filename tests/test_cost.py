# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Count the SQL statements, which do not depend on the machine"""
import datetime as dt
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain

import pytest
from proteus import Model
from trytond import backend
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.tests.tools import activate_modules
from trytond.transaction import Transaction

from .tools import (
    activate, create_deposit_account, create_project, create_project_type,
    create_sale, credit, get, next_invoice, sell_advance, set_current,
    setup_company)

if backend.name == 'postgresql':
    from trytond.backend.postgresql.database import LoggingCursor as Cursor
else:
    from trytond.backend.sqlite.database import SQLiteCursor as Cursor

# What the module depends on
DEPENDS = ['account_deposit', 'project_invoice', 'sale']


@contextmanager
def statements():
    "Count the statements but those of ir and res that depend on caches"
    counter = Counter()
    execute = Cursor.execute

    def count(cursor, sql, *args, **kwargs):
        statement = str(sql)  # psycopg composes some
        if '"ir_' not in statement and '"res_' not in statement:
            counter[statement] += 1
        return execute(cursor, sql, *args, **kwargs)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Cursor, 'execute', count)
        yield counter


@contextmanager
def records(name):
    "Count how often a record of the model is looked at"
    Record = Pool(DB_NAME).get(name)
    counter = Counter()
    init = Record.__init__

    def count(self, *args, **kwargs):
        counter[name] += 1
        init(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Record, '__init__', count)
        yield counter


def get_line_values(lines):
    "Return the values of lines as a script sends them"
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    category = product.account_category
    return product, [{
            'product': product.id,
            'unit': product.default_uom.id,
            'quantity': i + 1,
            'unit_price': Decimal(10),
            'taxes': [('add', [t.id for t in category.customer_taxes])],
            } for i in range(lines)]


def get_invoice_values(new, lines):
    "Return the values of the new invoice with the lines"
    return {
        'type': 'out',
        'party': new.party.id,
        'invoice_address': new.invoice_address.id,
        'account': new.account.id,
        'journal': new.journal.id,
        'lines': [('create', lines)],
        }


def create_plain(lines, titles=False):
    """
    Create an ordinary invoice without on_change, whose cost is proteus'

    With titles, there is one before every four lines and the last of them
    has a note: Tryton inserts together what has the same fields.
    """
    Invoice = Model.get('account.invoice')
    party = get('party.party', "Customer")
    product, line_values = get_line_values(lines)
    new = Invoice(type='out', party=party)
    for values in line_values:
        values.update(
            account=product.account_category.account_revenue.id,
            company=new.company.id, currency=new.currency.id)
    if titles:
        title = {
            'type': 'title', 'description': "Title",
            'company': new.company.id, 'currency': new.currency.id}
        for values in line_values[3::4]:
            values['note'] = "Note"
        line_values = list(chain(*(
                    [title, *line_values[i:i + 4]]
                    for i in range(0, lines, 4))))
    values = get_invoice_values(new, line_values)
    with statements() as created:
        id_, = Invoice._proxy.create([values], new._context)
    return Invoice(id_), created.total()


def change(invoice, name, value):
    "Write the field of each line and return the statements"
    with statements() as changed:
        invoice._proxy.write([invoice.id], {
                'lines': [('write', *chain(*(
                                ([l.id], {name: value(l)})
                                for l in invoice.lines)))],
                }, invoice._context)
    invoice.reload()
    return changed.total()


def change_plain(invoice):
    return change(invoice, 'quantity', lambda l: l.quantity + 1)


def post(invoice):
    with statements() as posted:
        invoice.click('post')
    return posted.total()


def measure_ordinary(lines):
    "Return the statements to create, to change and to post"
    # The first time fills the caches
    for _ in range(2):
        invoice, created = create_plain(lines)
        changed = change_plain(invoice)
        posted = post(invoice)
    return created, changed, posted


def measure_supplier():
    for _ in range(2):
        invoice = Model.get('account.invoice')(
            type='in', party=get('party.party', "Customer"))
        line = invoice.lines.new()
        line.product, = Model.get('product.product').find(
            [('template.name', '=', "Untaxed Goods")])
        line.quantity, line.unit_price = 5, Decimal(10)
        invoice.invoice_date = Model.get('ir.date')._proxy.today({})
        with statements() as created:
            invoice.save()
        posted = post(invoice)
    return created.total(), posted


def measure_credit():
    for _ in range(2):
        invoice, _ = create_plain(3)
        post(invoice)
        with statements() as credited:
            new = credit(invoice)
        posted = post(new)
    return credited.total(), posted


def measure_sale():
    for _ in range(2):
        with statements() as sold:
            sale = create_sale(
                (3, '10'), (2, '5', "Taxed Goods"), method='order')
        invoice, = sale.invoices
        posted = post(invoice)
    return sold.total(), posted


def measure_all():
    return {
        'ordinary': measure_ordinary(10),
        'supplier': measure_supplier(),
        'credit': measure_credit(),
        'sale': measure_sale(),
        }


def measure_twice():
    "Return the least of two measures: a reading by chance is not repeated"
    first, second = measure_all(), measure_all()
    return {
        what: list(map(min, first[what], second[what])) for what in first}


def test_ordinary_invoice_costs_nothing_more():
    activate_modules(DEPENDS, setup_company)
    without = measure_twice()
    activate()
    assert measure_twice() == without


def create_large_sale(lines, method):
    Sale = Model.get('sale.sale')
    party = get('party.party', "Customer")
    _, line_values = get_line_values(lines)
    new = Sale(party=party, invoice_method=method)
    id_, = Sale._proxy.create([{
                'party': party.id,
                'invoice_address': new.invoice_address.id,
                'shipment_address': new.shipment_address.id,
                'invoice_method': method,
                'lines': [('create', line_values)],
                }], new._context)
    sale = Sale(id_)
    sale.click('quote')
    sale.click('confirm')
    return sale


def measure_manual(lines):
    "Return the statements to make the invoice, to save it and to post it"
    sale = create_large_sale(lines, 'manual')
    with statements() as made:
        sale.click('manual_invoice')
    invoice, = sale.invoices
    return made.total(), change_plain(invoice), post(invoice)


def measure_progress(lines):
    """
    Return the statements to make the invoice, to save its progress and to
    post it for the first one of the contract and for the next one
    """
    sale = create_large_sale(lines, 'progress')
    costs = []
    with statements() as made:
        invoice, = sale.click('progress_invoice')
    for progress in [.5, .75]:
        saved = change(invoice, 'progress_current', lambda l: progress)
        costs.append((made.total(), saved, post(invoice)))
        with statements() as made:
            invoice, = invoice.click('next_progress_invoice')
    return costs


def test_statements_grow_no_more_than_for_an_ordinary_invoice():
    activate()
    for measure in [measure_manual, measure_progress]:
        measure(2)  # fill the caches
    few, many = measure_manual(10), measure_manual(50)
    ordinary = sum(many) - sum(few)
    for few, many in zip(measure_progress(10), measure_progress(50)):
        assert sum(many) - sum(few) <= ordinary, (few, many, ordinary)


def test_costs_do_not_grow_with_the_contract():
    activate()
    sale = create_sale(*[(i + 1, '10', "Taxed Service") for i in range(5)])
    invoice, = sale.click('progress_invoice')
    costs, looks = [], []
    for number in range(1, 9):
        ratio = number / 10
        set_current(invoice, *[ratio] * 5)
        with statements() as made, records('account.invoice.line') as looked:
            invoice.click('post')
            invoice = next_invoice(invoice, post=False)
        costs.append(made.total())
        looks.append(looked.total())
    # Less than one statement a document, and no line of what was posted
    # before.  What grows would show on each of the last, unlike a reading by
    # chance.
    assert min(costs[-3:]) < costs[1] + len(costs) - 2, costs
    assert min(looks[-3:]) <= looks[1], looks
    sale.reload()
    with records('account.invoice.line') as looked:
        assert len(sale.invoices) == 9
    assert not looked


def count_restarts(function):
    "Return how often the transaction restarts to lock what it met"
    restarts = 0
    start = Transaction.start

    def count(*args, **extras):
        nonlocal restarts
        # From 8.2 on a task locks itself as well
        records = extras.get('_lock_records') or {}
        restarts += bool(records.keys() - {'ir_queue'})
        return start(*args, **extras)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Transaction, 'start', count)
        function()
    return restarts


def test_post_locks_everything_at_once():
    activate()
    sale = create_sale((1, '10'), method='manual')
    sale.click('manual_invoice')
    ordinary = sale.invoices[0]
    first, = create_sale((1, '10')).click('progress_invoice')
    set_current(first, .5)
    intervention, = create_project_interventions(1)
    intervention.click('valorize')
    covered = intervention.invoices[0]
    # The task that processes the sale locks it by itself
    assert count_restarts(lambda: ordinary.click('post')) == 2 + 1
    assert count_restarts(lambda: first.click('post')) == 1 + 1
    # Without SELECT FOR UPDATE account_deposit locks the table of the moves
    assert count_restarts(lambda: covered.click('post')) == (
        1 + (backend.name == 'sqlite'))


def test_what_bills_nothing_makes_no_move_line():
    activate()
    sale = create_sale(*[(1, '10')] * 5)
    invoice, = sale.click('progress_invoice')
    set_current(invoice, 0, 0, .5, 0, 0)
    invoice.click('post')
    assert len(invoice.move.lines) == 2
    assert len([l for l in invoice.lines if l.type == 'line']) == 5


def create_project_interventions(count):
    "Create as many done interventions of 3 lines covered by an advance"
    Intervention = Model.get('project.intervention')
    project = create_project(
        create_project_type(create_deposit_account(), propose_material=True))
    sell_advance(project, 1000)
    _, line_values = get_line_values(3)
    for values in line_values:
        values['kind'] = 'material'
    ids = Intervention._proxy.create([{
                'work': project.id,
                'lines': [('create', line_values)],
                } for _ in range(count)], project._context)
    interventions = [Intervention(id_) for id_ in ids]
    Intervention.click(interventions, 'do')
    return interventions


def measure_value(count):
    "Return the statements to value interventions and the lines it makes"
    interventions = create_project_interventions(count)
    Intervention = Model.get('project.intervention')
    with statements() as valued:
        wizard = Intervention.click(interventions, 'valorize')
    invoice, = wizard.form.invoices
    lines = Model.get('account.invoice.line').find(
        [('invoice', '=', invoice.id)])
    assert len(lines) == 5 * count
    return valued.total(), len(lines)


def test_valuing_costs_no_more_by_line_than_an_ordinary_invoice():
    activate()
    create_plain(2), measure_value(2)  # fill the caches
    # With as many lines of as many kinds as the interventions
    ordinary = (
        create_plain(80, titles=True)[1] - create_plain(8, titles=True)[1]
        ) / 90
    few, few_lines = measure_value(2)
    many, many_lines = measure_value(20)
    assert many_lines - few_lines == 90
    assert (many - few) / 90 <= ordinary


def measure_tasks(count, type_):
    "Return the statements to invoice as many tasks, in advance with a type"
    Work = Model.get('project.work')
    project = create_project(type_, project_invoice_method='effort')
    if type_:
        sell_advance(project, 1000)
    service, = Model.get('product.product').find(
        [('template.name', '=', "Untaxed Service")])
    ids = Work._proxy.create([{
                'name': f"Task {i}",
                'type': 'task',
                'parent': project.id,
                'product': service.id,
                'effort_duration': dt.timedelta(hours=i + 1),
                'list_price': Decimal(100 + i),
                'progress': 1,
                } for i in range(count)], project._context)
    with statements() as invoiced:
        project.click('invoice')
    assert len(Work.find([
                ('id', 'in', ids),
                ('invoice_line', '!=', None),
                ])) == count
    return invoiced.total()


def test_an_advance_costs_no_more_by_task_than_without():
    activate()
    type_ = create_project_type(
        create_deposit_account(), propose_service=True)
    measure_tasks(2, None), measure_tasks(2, type_)  # fill the caches
    # What a cache misses is counted once only, what a task costs each time
    few, many, few_advance, many_advance = [
        min(measure_tasks(count, t) for _ in range(2))
        for t in [None, type_] for count in [5, 20]]
    assert many_advance - few_advance <= many - few


def test_residuals_are_read_by_one_query():
    activate()
    Advance = Model.get('project.advance_invoice')
    project = create_project(create_project_type(create_deposit_account()))
    counts = []
    for _ in range(3):
        sell_advance(project)
        ids = [a.id for a in Advance.find([])]
        with statements() as read:
            Advance._proxy.read(
                ids, ['residual_quantity', 'residual_amount'],
                project._context)
        counts.append(sum(
                c for sql, c in read.items() if 'account_invoice_line' in sql))
    assert counts == [1, 1, 1]
