# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Count the SQL statements, which do not depend on the machine"""
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal

import pytest
from proteus import Model
from trytond.backend.sqlite.database import SQLiteCursor
from trytond.tests.tools import activate_modules

from .tools import (
    activate, create_sale, credit, get, next_invoice, set_current,
    setup_company)

# What the module depends on
DEPENDS = ['account_deposit', 'project_invoice', 'sale']


@contextmanager
def statements():
    "Count the statements by the table they concern"
    counter = Counter()
    execute = SQLiteCursor.execute

    def count(cursor, sql, *args):
        if not sql.startswith(('SAVEPOINT', 'RELEASE')):
            counter[sql] += 1
        return execute(cursor, sql, *args)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(SQLiteCursor, 'execute', count)
        yield counter


def create_plain(lines):
    "Create an ordinary invoice as a script does"
    Invoice = Model.get('account.invoice')
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    invoice = Invoice(type='out', party=get('party.party', "Customer"))
    for i in range(lines):
        line = invoice.lines.new()
        line.product = product
        line.quantity = i + 1
        line.unit_price = Decimal(10)
    with statements() as created:
        invoice.save()
    return invoice, created.total()


def change_plain(invoice):
    for line in invoice.lines:
        line.quantity += 1
    with statements() as changed:
        invoice.save()
    return changed.total()


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


def test_ordinary_invoice_costs_nothing_more():
    activate_modules(DEPENDS, setup_company)
    without = measure_all()
    activate()
    assert measure_all() == without


def measure_progress(lines):
    """
    Return the statements to make the first invoice from a sale, to save its
    progress, to post it and to make, save and post the next one
    """
    sale = create_sale(*[(i + 1, '10', "Taxed Service") for i in range(lines)])
    costs = []
    with statements() as made:
        invoice, = sale.click('progress_invoice')
    for progress in [.5, .75]:
        for line in invoice.lines:
            line.progress_current = progress
        with statements() as saved:
            invoice.save()
        costs.append((made.total(), saved.total(), post(invoice)))
        with statements() as made:
            next_, = invoice.click('next_progress_invoice')
        invoice = next_
    return costs


def test_statements_grow_as_for_an_ordinary_invoice():
    activate()
    few, many = measure_ordinary(10), measure_ordinary(100)
    ordinary = [m - f for m, f in zip(many, few)]
    measure_progress(10)
    few, many = measure_progress(10), measure_progress(100)
    for f_costs, m_costs in zip(few, many):
        growth = [m - f for f, m in zip(f_costs, m_costs)]
        print(f_costs, m_costs, growth, ordinary)
        assert all(g <= o for g, o in zip(growth, ordinary)), (
            growth, ordinary)


def test_statements_do_not_grow_with_the_contract():
    activate()
    sale = create_sale(*[(i + 1, '10', "Taxed Service") for i in range(5)])
    invoice, = sale.click('progress_invoice')
    costs = []
    for number in range(1, 9):
        ratio = number / 10
        set_current(invoice, *[ratio] * 5)
        with statements() as made:
            invoice.click('post')
            invoice = next_invoice(invoice, post=False)
        costs.append(made.total())
    assert costs[-1] <= costs[1], costs


def test_what_bills_nothing_makes_no_move_line():
    activate()
    sale = create_sale(*[(1, '10')] * 5)
    invoice, = sale.click('progress_invoice')
    set_current(invoice, 0, 0, .5, 0, 0)
    invoice.click('post')
    assert len(invoice.move.lines) == 2
    assert len([l for l in invoice.lines if l.type == 'line']) == 5
