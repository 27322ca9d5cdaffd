#!/usr/bin/env python3
# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Measure the module beside plain Tryton

What is compared runs in turn in one process, each time on a new record, and
the medians are divided.  The calls go through proteus, which like the server
starts the request again for each lock that it meets late.  The report that is
made when an invoice is posted is left out, it is Tryton's on both sides.

Each story is a generator: what comes before its first yield prepares, what
comes before the second is measured and what comes last checks it.
"""
import argparse
import datetime as dt
import gc
import json
import os
import time
from collections import namedtuple
from decimal import Decimal
from functools import partial
from itertools import chain, count
from pathlib import Path
from statistics import median
from unittest.mock import patch

# The database of a server, in memory without one
os.environ['DB_NAME'] = (
    'bench' if os.environ.get('TRYTOND_DATABASE_URI') else ':memory:')

from sql.aggregate import Sum  # noqa: E402
from proteus import Model  # noqa: E402
from proteus.config import get_config  # noqa: E402
from trytond import __series__, backend  # noqa: E402
from trytond.modules.account_invoice.invoice import Invoice  # noqa: E402
from trytond.modules.project_progress_invoice.tests.test_cost import (  # noqa: E402, E501
    DEPENDS, create_large_sale, create_plain, get_line_values, measure_all)
from trytond.modules.project_progress_invoice.tests.tools import (  # noqa: E402, E501
    activate, create_deposit_account, create_project, create_project_type,
    sell_advance, setup_company)
from trytond.pool import Pool  # noqa: E402
from trytond.tests.test_tryton import DB_NAME  # noqa: E402
from trytond.tests.tools import activate_modules  # noqa: E402
from trytond.transaction import Transaction  # noqa: E402

MODULE = 'project_progress_invoice'
LINE = '{:<48}{:<24}{:>7}{:>7}{:>10}{:>10}'

Row = namedtuple('Row', ['what', 'beside', 'goal', 'ours', 'plain', 'times'])


def call(model, method, *args):
    "Call the server as a client does"
    proxy = Model.get(model)._proxy
    return getattr(proxy, method)(*args, get_config().context)


def measure(story):
    "Return the seconds that the measured part of the story takes"
    next(story)
    gc.collect()
    start = time.perf_counter()
    next(story)
    seconds = time.perf_counter() - start
    assert next(story, None) is None
    return seconds


def compare(row):
    "Return the median seconds of both sides of the row, run in turn"
    seconds = [
        (measure(row.ours()), measure(row.plain()))
        for _ in range(row.times + 1)]
    # The first fills the caches
    return [median(s) for s in zip(*seconds[1:])]


def get_lines(invoice):
    return call(
        'account.invoice.line', 'search_read',
        [('invoice', '=', invoice), ('type', '=', 'line')], 0, None,
        [('id', 'ASC')], ['amount', 'progress_total_quantity'])


def check_posted(invoice, amount=None):
    values, = call(
        'account.invoice', 'read', [invoice], ['state', 'untaxed_amount'])
    assert values['state'] in {'posted', 'paid'}, values
    assert amount is None or values['untaxed_amount'] == amount, values


# The first invoice of a sale

def first_invoice(n):
    sale = create_large_sale(n, 'progress')
    yield
    call('sale.sale', 'progress_invoice', [sale.id])
    yield
    sale.reload()
    assert len(get_lines(sale.invoices[0].id)) == n


def manual_invoice(n):
    sale = create_large_sale(n, 'manual')
    yield
    call('sale.sale', 'manual_invoice', [sale.id])
    yield
    sale.reload()
    assert len(get_lines(sale.invoices[0].id)) == n


# The invoices that follow

class Contract:
    "A contract of n lines that are billed by a hundredth at a time"

    def __init__(self, n, invoices=1):
        self.n = n
        self.percent = 0
        sale = create_large_sale(n, 'progress')
        self.invoice = sale.click('progress_invoice')[0].id
        self.progress()
        call('account.invoice', 'post', [self.invoice])
        for _ in range(invoices - 1):
            self.next()
            self.progress()
            call('account.invoice', 'post', [self.invoice])

    def next(self):
        call('account.invoice', 'next_progress_invoice', [self.invoice])
        self.invoice, = call(
            'account.invoice', 'search',
            [('previous_progress_invoice', '=', self.invoice)], 0, None, None)

    def progress(self, step=1):
        "Let every step-th line progress and return what is billed"
        self.percent += 1
        lines = get_lines(self.invoice)[::step]
        call('account.invoice', 'write', [self.invoice], {
                'lines': [('write', *chain(*(
                                ([l['id']], {
                                        'progress_current_quantity': (
                                            l['progress_total_quantity']
                                            * self.percent / 100)})
                                for l in lines)))],
                })
        return sum(l['amount'] for l in get_lines(self.invoice))


def next_invoice(contract):
    previous = contract.invoice
    yield
    call('account.invoice', 'next_progress_invoice', [previous])
    yield
    contract.next_ = call(
        'account.invoice', 'search',
        [('previous_progress_invoice', '=', previous)], 0, None, None)
    assert len(get_lines(*contract.next_)) == contract.n
    call('account.invoice', 'delete', contract.next_)


def copy_invoice(invoice, n):
    yield
    copy, = call('account.invoice', 'copy', [invoice], {})
    yield
    assert len(get_lines(copy)) == n


def post_next(contract, step=1):
    contract.next()
    amount = contract.progress(step)
    assert amount > 0
    yield
    call('account.invoice', 'post', [contract.invoice])
    yield
    check_posted(contract.invoice, amount)


def post_manual(n):
    sale = create_large_sale(n, 'manual')
    sale.click('manual_invoice')
    invoice = sale.invoices[0]
    yield
    call('account.invoice', 'post', [invoice.id])
    yield
    check_posted(invoice.id, invoice.untaxed_amount)


def create_and_post(contract):
    yield
    contract.next()
    amount = contract.progress()
    call('account.invoice', 'post', [contract.invoice])
    yield
    check_posted(contract.invoice, amount)


# What the clients read and send

def get_fields(model, type, own=True):
    "Return the fields that a client reads for the view"
    names = set(call(model, 'fields_view_get', None, type)['fields'])
    if not own:
        names -= {
            f['name'] for f in call(
                'ir.model.field', 'search_read', [
                    ('model', '=', model),
                    ('module', '=', MODULE),
                    ], 0, None, None, ['name'])}
    return sorted(names)


def read_views(invoices, own):
    lines = call(
        'account.invoice.line', 'search', [('invoice', 'in', invoices)], 0,
        None, None)
    views = [
        (model, ids, get_fields(model, type, own))
        for model, ids, type in [
            ('account.invoice', invoices, 'tree'),
            ('account.invoice', invoices, 'form'),
            ('account.invoice.line', lines, 'tree')]]
    yield
    read = [call(model, 'read', *args) for model, *args in views]
    yield
    assert [len(r) for r in read] == [len(ids) for _, ids, _ in views]


def get_line(invoice):
    "Return a line of the invoice as a client shows it"
    return Model.get('account.invoice.line')(get_lines(invoice)[0]['id'])


def percents():
    return (n % 50 / 100 + .4 for n in count())


def type_value(line, name, values, repeat=20):
    # Once to read what is sent
    setattr(line, name, next(values))
    yield
    for _ in range(repeat):
        setattr(line, name, next(values))
    yield
    assert line.amount


# Interventions and advances

def value_interventions(projects, number):
    _, line_values = get_line_values(3)
    for values in line_values:
        values['kind'] = 'material'
    ids = call('project.intervention', 'create', [
            {'work': project.id, 'lines': [('create', line_values)]}
            for project in projects for _ in range(number)])
    call('project.intervention', 'do', ids)
    yield
    call('project.intervention', 'valorize', ids)
    yield
    invoices = {
        l['invoice'] for l in call(
            'account.invoice.line', 'search_read',
            [('intervention', 'in', ids)], 0, None, None, ['invoice'])}
    assert len(invoices) == len(projects)
    for invoice in invoices:
        # A cancellation beside the 3 lines
        assert len(get_lines(invoice)) == number * 4


def create_invoices(projects, number):
    "Create as many plain invoices with as many lines"
    product, line_values = get_line_values(3)
    Plain = Model.get('account.invoice')
    new = Plain(type='out', party=projects[0].party)
    common = {'company': new.company.id, 'currency': new.currency.id}
    account = product.account_category.account_revenue.id
    lines = [{**common, 'type': 'title', 'description': "Intervention"}]
    for values in [*line_values, {**line_values[0], 'quantity': -6}]:
        lines.append({**common, **values, 'account': account})
    yield
    ids = call('account.invoice', 'create', [{
                'type': 'out',
                'party': project.party.id,
                'invoice_address': new.invoice_address.id,
                'account': new.account.id,
                'journal': new.journal.id,
                'lines': [('create', lines * number)],
                } for project in projects])
    yield
    for id_ in ids:
        assert len(get_lines(id_)) == number * 4


def read_residuals(ids):
    yield
    values = call('project.advance_invoice', 'read', ids, [
            'residual_quantity', 'residual_amount'])
    yield
    assert all(v['residual_amount'] == Decimal(5000) for v in values)


def group_residuals(ids):
    "Read what the residuals are made from, grouped by advance"
    with Transaction().start(
            DB_NAME, 1, readonly=True, context=get_config().context):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        Document = pool.get('account.invoice')
        line, invoice = Line.__table__(), Document.__table__()
        cursor = Transaction().connection.cursor()
        query = (line
            .join(invoice, condition=line.invoice == invoice.id)
            .select(
                line.advance_invoice,
                Sum(line.quantity), Sum(line.quantity * line.unit_price),
                where=line.advance_invoice.in_(ids)
                & invoice.state.in_(['posted', 'paid']),
                group_by=line.advance_invoice))
        yield
        cursor.execute(*query)
        rows = cursor.fetchall()
        yield
    assert len(rows) == len(ids)


def sell_advances(number):
    project = create_project(create_project_type(create_deposit_account()))
    ids = call('project.advance_invoice', 'create', [{
                'work': project.id,
                'line_type': 'uncoded',
                'description': "Days",
                'quantity': 10,
                'unit_price': Decimal(500),
                }] * number)
    call('project.advance_invoice', 'valorize', ids)
    call('account.invoice', 'post', [
            l['invoice'] for l in call(
                'account.invoice.line', 'search_read',
                [('advance_invoice', 'in', ids)], 0, None, None,
                ['invoice'])])
    return ids


class Tasks:
    "A project of n tasks that progress by a hundredth at a time"

    def __init__(self, n, type_=None):
        self.progress = 0
        self.project = create_project(
            type_, name="Tasks", project_invoice_method='progress').id
        if type_:
            sell_advance(Model.get('project.work')(self.project), 10000)
        hour = create_hour()
        self.tasks = call('project.work', 'create', [{
                    'name': f"Task {i}",
                    'type': 'task',
                    'parent': self.project,
                    'product': hour.id,
                    'effort_duration': dt.timedelta(hours=100),
                    'list_price': Decimal(100 + i),
                    } for i in range(n)])


def create_hour():
    "Return the service that is sold by hours"
    product, _ = get_line_values(1)
    hour, = Model.get('product.uom').find([('name', '=', "Hour")])
    template = Model.get('product.template')(
        name="Hour", type='service', default_uom=hour, salable=True,
        list_price=Decimal(100),
        account_category=product.account_category.__class__(
            product.account_category.id))
    template.save()
    return template.products[0]


def invoice_tasks(tasks, cancels=False):
    tasks.progress += 1
    call('project.work', 'write', tasks.tasks, {
            'progress': tasks.progress / 100})
    last, = call('account.invoice', 'search', [], 0, 1, [('id', 'DESC')])
    yield
    call('project.work', 'invoice', [tasks.project])
    yield
    invoices = call('account.invoice', 'search', [('id', '>', last)], 0,
        None, None)
    lines = [l for i in invoices for l in get_lines(i)]
    # One hour of each task and what cancels them
    assert len(lines) == len(tasks.tasks) + cancels
    assert cancels == (not sum(l['amount'] for l in lines))


def get_rows(quick):
    sizes = [5] if quick else [100, 1000]
    few, many, times = (5, 10, 1) if quick else (100, 1000, 5)
    for n in sizes:
        repeat = times if n <= 100 else 2
        yield Row(
            f"First invoice of a sale, {n} lines", "invoice of the sale",
            1.25, partial(first_invoice, n), partial(manual_invoice, n),
            repeat)
        contract = Contract(n)
        plain = create_plain(n)[0].id
        yield Row(
            f"Next invoice, {n} lines", "copy of an invoice", 1.25,
            partial(next_invoice, contract), partial(copy_invoice, plain, n),
            repeat)
        for step, goal, what in [
                (1, 1, "every line bills"), (10, .6, "1 in 10 bills")]:
            yield Row(
                f"Post {n} lines, {what}", "invoice of the sale", goal,
                partial(post_next, contract, step), partial(post_manual, n),
                repeat)
        line = get_line(contract.invoice)
        plain_line = get_line(plain)
        yield Row(
            f"Percent typed, {n} lines", "quantity typed", 1.5,
            partial(type_value, line, 'progress_current', percents()),
            partial(type_value, plain_line, 'quantity', count(1.)), times)

    contract = Contract(few, invoices=2 if quick else 35)
    yield Row(
        "36th invoice, created and posted", "2nd invoice", 1.1,
        partial(create_and_post, contract),
        lambda: create_and_post(Contract(few)), times)

    contracts = [Contract(2) for _ in range(few)]
    plains = [create_plain(2)[0].id for _ in range(few)]
    call('account.invoice', 'post', plains)
    yield Row(
        f"List and form of {few} invoices", "plain invoices", 1.15,
        lambda: read_views([c.invoice for c in contracts], True),
        lambda: read_views(plains, False), times)

    type_ = create_project_type(
        create_deposit_account(), propose_material=True)
    projects = [create_project(type_) for _ in range(many // few)]
    for project in projects:
        sell_advance(project, 10000)
    yield Row(
        f"{many} interventions valued", "plain invoices created", 1.3,
        partial(value_interventions, projects, few),
        partial(create_invoices, projects, few), min(times, 2))

    advances = sell_advances(many)
    yield Row(
        f"Residuals of {many} advances", "one grouped query", 1.5,
        partial(read_residuals, advances),
        partial(group_residuals, advances), times)

    tasks, plain_tasks = Tasks(few, type_), Tasks(few)
    yield Row(
        f"Project of {few} tasks invoiced with an advance", "without", 1.15,
        partial(invoice_tasks, tasks, True),
        partial(invoice_tasks, plain_tasks), times)


def count_statements():
    "Return the statements of ordinary invoices with and without the module"
    activate_modules(DEPENDS, setup_company)
    without = measure_all()
    activate()
    return [
        sum(chain(*(s for s in m.values())))
        for m in (measure_all(), without)]


def main():
    parser = argparse.ArgumentParser(
        description="Measure the module beside plain Tryton")
    parser.add_argument(
        '--quick', action='store_true',
        help="try it with few lines, without the statements of test_cost")
    parser.add_argument(
        '--only', default='', metavar='WORD', help="the rows with the word")
    parser.add_argument('output', type=Path, help="the JSON to write")
    options = parser.parse_args()

    print(f"Tryton {__series__} on {backend.name}")
    print(LINE.format("what", "beside", "ratio", "goal", "s", "s beside"))
    results = []
    with patch.object(
            Invoice, 'print_invoice', classmethod(lambda cls, invoices: None)):
        if options.quick:
            activate()
        else:
            results.append(get_result(
                    "Ordinary invoices, statements", "without the module", 1,
                    *count_statements()))
        for row in get_rows(options.quick):
            if options.only in row.what:
                results.append(get_result(*row[:3], *compare(row)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({
                'series': __series__,
                'database': backend.name,
                'rows': results,
                }, indent=2))


def get_result(what, beside, goal, ours, plain):
    ratio = ours / plain
    print(LINE.format(
            what, beside, f'{ratio:.2f}', f'{goal:.2f}', f'{ours:.3f}',
            f'{plain:.3f}'), flush=True)
    return {
        'what': what, 'beside': beside, 'goal': goal, 'ratio': ratio,
        'ours': ours, 'plain': plain}


if __name__ == '__main__':
    main()
