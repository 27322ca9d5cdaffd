# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What is measured

Each story is a generator: what comes before its first yield prepares a new
record, what comes before the second is measured and the rest checks it.
"""
import datetime as dt
from collections import defaultdict
from decimal import Decimal
from functools import cache, partial
from itertools import chain
from unittest.mock import patch

from lxml import etree
from proteus import Model
from proteus.config import get_config
from sql.aggregate import Sum
from sql.conditionals import Coalesce
from trytond import backend
from trytond.model.fields import SQL_OPERATORS
from trytond.modules.project_progress_invoice.tests.test_cost import (
    create_large_sale, create_plain, get_invoice_values, get_line_values)
from trytond.modules.project_progress_invoice.tests.tools import (
    create_deposit_account, create_project, create_project_type, sell_advance)
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.tools import sqlite_apply_types
from trytond.transaction import Transaction

MODULE = 'project_progress_invoice'
# For each takes milliseconds only
CALLS = 200  # of one value typed
READS = 20  # of the residuals
# What the web client reads again around a row that it saves, and of the lines
# in a form
ROWS, SHOWN = 100, 20
DAYS = 10_000  # sold in advance, more than what is measured uses
# Sums of what Tryton computes for each document of a contract


def call(model, method, *args, **context):
    "Call the server as a client does"
    proxy = Model.get(model)._proxy
    return getattr(proxy, method)(*args, {**get_config().context, **context})


def search(model, *domain):
    return call(model, 'search', list(domain), 0, None, [('id', 'ASC')])


def read(model, id_, *names):
    return call(model, 'read', [id_], names)[0]


def get_lines(invoice):
    return call(
        'account.invoice.line', 'search_read',
        [('invoice', '=', invoice), ('type', '=', 'line')], 0, None,
        [('id', 'ASC')], [
            'quantity', 'amount', 'progress_total_quantity',
            'progress_current'])


def check(invoice, state, count, **amounts):
    "Check the invoice has the count of lines and the amounts"
    values = read('account.invoice', invoice, 'state', *amounts)
    # On PostgreSQL an invoice of 0.00 is paid as soon as it is posted
    assert state in {values['state'], {'paid': 'posted'}.get(values['state'])}
    assert {n: values[n] for n in amounts} == amounts, (values, amounts)
    assert len(get_lines(invoice)) == count


# The first invoice of a sale

def make_progress_invoice(lines):
    sale = create_large_sale(lines, 'progress')
    yield
    call('sale.sale', 'progress_invoice', [sale.id])
    yield
    invoice, = read('sale.sale', sale.id, 'invoices')['invoices']
    check(
        invoice, 'draft', lines, progress_total_amount=sale.untaxed_amount,
        untaxed_amount=Decimal(0))


# The drafts by number of lines that the posts find, to not sell it all again
manual_invoices = defaultdict(list)


def make_manual_invoice(lines):
    sale = create_large_sale(lines, 'manual')
    yield
    call('sale.sale', 'manual_invoice', [sale.id])
    yield
    invoice, = read('sale.sale', sale.id, 'invoices')['invoices']
    check(invoice, 'draft', lines, untaxed_amount=sale.untaxed_amount)
    manual_invoices[lines].append(invoice)


# The invoices that follow

class Contract:
    "A contract whose lines are billed by a hundredth at a time"

    def __init__(self, lines, invoices=1):
        self.lines = lines
        self.percent = 0
        sale = create_large_sale(lines, 'progress')
        call('sale.sale', 'progress_invoice', [sale.id])
        self.invoices = list(
            read('sale.sale', sale.id, 'invoices')['invoices'])
        self.progress()
        self.post()
        for _ in range(invoices - 1):
            self.bill()

    @property
    def last(self):
        return self.invoices[-1]

    def next(self):
        call('account.invoice', 'next_progress_invoice', [self.last])
        self.invoices += search(
            'account.invoice', ('previous_progress_invoice', '=', self.last))

    def progress(self, step=1):
        "Let every step-th line progress and return what is billed"
        self.percent += 1
        lines = get_lines(self.last)[::step]
        call('account.invoice', 'write', [self.last], {
                'lines': [('write', *chain(*(
                                ([l['id']], {
                                        'progress_current_quantity': (
                                            l['progress_total_quantity']
                                            * self.percent / 100)})
                                for l in lines)))],
                })
        return sum(l['amount'] for l in get_lines(self.last))

    def post(self):
        call('account.invoice', 'post', [self.last])

    def bill(self):
        self.next()
        self.progress()
        self.post()


get_contract = cache(Contract)


@cache
def get_plain(lines):
    invoice, _ = create_plain(lines)
    return invoice.id


def make_next_invoice(lines):
    contract = get_contract(lines)
    billed = read(
        'account.invoice', contract.last,
        'progress_total_amount', 'progress_current_amount')
    del billed['id']
    yield
    call('account.invoice', 'next_progress_invoice', [contract.last])
    yield
    invoice, = search(
        'account.invoice', ('previous_progress_invoice', '=', contract.last))
    check(invoice, 'draft', lines, **billed, untaxed_amount=Decimal(0))
    call('account.invoice', 'delete', [invoice])


def copy_invoice(lines):
    plain = get_plain(lines)
    amount = read('account.invoice', plain, 'untaxed_amount')
    yield
    copy, = call('account.invoice', 'copy', [plain], {})
    yield
    check(copy, 'draft', lines, untaxed_amount=amount['untaxed_amount'])


def post_next_invoice(lines, step=1):
    contract = get_contract(lines)
    contract.next()
    amount = contract.progress(step)
    assert amount
    yield
    contract.post()
    yield
    check(contract.last, 'posted', lines, untaxed_amount=amount)


def post_manual_invoice(lines):
    if not manual_invoices[lines]:
        list(make_manual_invoice(lines))
    invoice = manual_invoices[lines].pop()
    amount = read('account.invoice', invoice, 'untaxed_amount')
    yield
    call('account.invoice', 'post', [invoice])
    yield
    check(invoice, 'posted', lines, untaxed_amount=amount['untaxed_amount'])


def bill(contract):
    last = read(
        'account.invoice', contract.last,
        'progress_number', 'progress_current_amount')
    yield
    contract.bill()
    yield
    check(
        contract.last, 'posted', contract.lines,
        progress_number=last['progress_number'] + 1,
        progress_previous_amount=last['progress_current_amount'])


def bill_after(lines, invoices):
    "Bill a contract of the invoices and those that were measured before"
    yield from bill(get_contract(lines, invoices))


def bill_second(lines):
    yield from bill(Contract(lines))


# What the clients read and send

@cache
def get_own_fields():
    "Return the names of the fields that the module adds to the invoices"
    fields = call(
        'ir.model.field', 'search_read', [
            ('module', '=', MODULE),
            ('model', 'in', ['account.invoice', 'account.invoice.line']),
            ], 0, None, None, ['name'])
    return {f['name'] for f in fields}


def get_names(view, excluded=(), prefix=''):
    "Return the names that a client reads for the view and those inside"
    names = {f'{prefix}{n}' for n in ['_timestamp', '_write', '_delete']}
    visible = etree.fromstring(view['arch']).xpath(
        '//field[@visible="1"]/@name')
    for name, field in view['fields'].items():
        if name in excluded:
            continue
        prefixed = prefix + name
        names.add(prefixed)
        if field['type'] in {'many2one', 'one2one', 'reference'}:
            names.add(f'{prefixed}.rec_name')
        elif field['type'] in {'selection', 'multiselection'}:
            names.add(f'{prefixed}:string')
        elif name in visible:
            for view_ in field.get('views', {}).values():
                names |= get_names(view_, excluded, f'{prefixed}.')
    return names


def get_view(name):
    view, = search('ir.ui.view', ('module', '=', MODULE), ('name', '=', name))
    return view


def read_views(invoices, lines, views, excluded=()):
    list_, form = [
        sorted(get_names(
                call('account.invoice', 'fields_view_get', *view), excluded))
        for view in views]
    yield
    listed = call('account.invoice', 'read', invoices, list_)
    shown = [call('account.invoice', 'read', [i], form)[0] for i in invoices]
    yield
    assert all(v['untaxed_amount'] for v in chain(listed, shown))
    assert [len(v['lines.']) for v in shown] == [lines] * len(invoices)


@cache
def get_progress_invoices(contracts, invoices):
    return list(chain(*(
                Contract(2, invoices).invoices for _ in range(contracts))))


@cache
def get_manual_invoices(count):
    sale = create_large_sale(2, 'manual')
    ids = [call('sale.sale', 'copy', [sale.id], {})[0] for _ in range(count)]
    for button in ['quote', 'confirm', 'manual_invoice']:
        call('sale.sale', button, ids)
    invoices = search('account.invoice', ('sales', 'in', ids))
    call('account.invoice', 'post', invoices)
    return invoices


def read_progress_invoices(contracts, invoices):
    yield from read_views(
        get_progress_invoices(contracts, invoices), 2,
        [(get_view('progress_invoice_list'), 'tree'), (None, 'form')])


def read_manual_invoices(count):
    yield from read_views(
        get_manual_invoices(count), 2,
        [(None, 'tree'), (None, 'form')], get_own_fields())


class Sent:
    "A proxy that keeps the calls of on_change"

    def __init__(self, proxy):
        self.proxy = proxy
        self.calls = []

    def __getattr__(self, name):
        method = getattr(self.proxy, name)

        def send(*args):
            if name.startswith('on_change'):
                self.calls.append(partial(method, *args))
            return method(*args)
        return send


def get_calls(invoice, name, value):
    "Return the calls that a client sends when a line has the value typed"
    Invoice = Model.get('account.invoice')
    Line = Model.get('account.invoice.line')
    line = Invoice(invoice).lines[0]
    # What the lines change on their invoice is Tryton's on both sides
    with patch.object(Invoice, '_on_change'), \
            patch.object(Line, '_proxy', Sent(Line._proxy)) as sent:
        setattr(line, name, value)
    return sent.calls


def send(calls, **expected):
    yield
    for _ in range(CALLS):
        changes = [call() for call in calls]
    yield
    changed = {k: v for change in changes for k, v in change.items()}
    assert {n: changed[n] for n in expected} == expected, changed


@cache
def get_percent_calls(lines):
    # It stays open: what bills the contract is measured before
    contract = get_contract(lines)
    contract.next()
    return get_calls(contract.last, 'progress_current', .5)


@cache
def get_quantity_calls(lines):
    return get_calls(get_plain(lines), 'quantity', 5.)


def type_percent(lines):
    calls = get_percent_calls(lines)
    # The line sells 1 unit at 10.00
    yield from send(
        calls, progress_current_quantity=.5,
        amount=(50 - get_contract(lines).percent) / Decimal(10))


def type_quantity(lines):
    yield from send(get_quantity_calls(lines), amount=Decimal(50))


def save_row(lines):
    "Type a percent in a row of Progress Lines and save it as a client does"
    calls = get_percent_calls(lines)
    rows = get_lines(get_contract(lines).last)[:ROWS]
    ids = [r['id'] for r in rows]
    view = call(
        'account.invoice.line', 'fields_view_get',
        get_view('enter_progress_list'), 'tree')
    names = sorted(get_names(view) | {'rec_name'})
    # The list has less to send than the form
    fields = view['fields'].keys()
    calls = [
        partial(
            c.func, {n: v for n, v in c.args[0].items() if n in fields},
            *c.args[1:])
        for c in calls]
    percent = .6 if rows[0]['progress_current'] == .5 else .5
    yield
    for on_change in calls:
        on_change()
    call('account.invoice.line', 'write', ids[:1], {
            'progress_current': percent,
            'progress_current_quantity': percent,
            })
    rows = call(
        'account.invoice.line', 'read', ids, names, progress_columns=True,
        progress_entry=True)
    yield
    assert [
        r['progress_current'] for r in rows if r['id'] == ids[0]] == [percent]


def save_line(lines):
    "Type a quantity in the form of an invoice and save it as a client does"
    calls = get_quantity_calls(lines)
    invoice = get_plain(lines)
    names = sorted(get_names(
            call('account.invoice', 'fields_view_get', None, 'form'),
            get_own_fields()))
    line, *_ = get_lines(invoice)
    quantity = line['quantity'] + 1
    yield
    for on_change in calls:
        on_change()
    call('account.invoice', 'write', [invoice], {
            'lines': [('write', [line['id']], {'quantity': quantity})],
            })
    values, = call(
        'account.invoice', 'read', [invoice], names, related_read_limit=SHOWN)
    yield
    assert len(values['lines.']) == lines
    line, *_ = get_lines(invoice)
    assert line['quantity'] == quantity


# Interventions and advances

@cache
def get_project_type():
    return create_project_type(
        create_deposit_account(), propose_material=True)


@cache
def get_projects(count):
    projects = [create_project(get_project_type()) for _ in range(count)]
    for project in projects:
        sell_advance(project, DAYS)
    return projects


def value_interventions(projects, each):
    _, lines = get_line_values(3)
    for values in lines:
        values['kind'] = 'material'
    ids = call('project.intervention', 'create', [
            {'work': project.id, 'lines': [('create', lines)]}
            for project in get_projects(projects) for _ in range(each)])
    call('project.intervention', 'do', ids)
    yield
    call('project.intervention', 'valorize', ids)
    yield
    invoices = search('account.invoice', ('lines.intervention', 'in', ids))
    assert len(invoices) == projects
    for invoice in invoices:
        # The advance covers all
        check(invoice, 'draft', 4 * each, untaxed_amount=Decimal(0))


def create_same_invoices(projects, each):
    "Create plain invoices with the lines that the interventions have"
    product, line_values = get_line_values(3)
    party = get_projects(projects)[0].party
    new = Model.get('account.invoice')(type='out', party=party)
    common = {'company': new.company.id, 'currency': new.currency.id}
    lines = [{**common, 'type': 'title', 'description': "Intervention"}]
    for values in [*line_values, {**line_values[0], 'quantity': -6}]:
        lines.append({
                **common, **values,
                'account': product.account_category.account_revenue.id,
                })
    values = get_invoice_values(new, lines * each)
    yield
    ids = call('account.invoice', 'create', [values] * projects)
    yield
    for invoice in ids:
        check(invoice, 'draft', 4 * each, untaxed_amount=Decimal(0))


@cache
def get_advances(count):
    project = create_project(get_project_type())
    ids = call('project.advance_invoice', 'create', [{
                'work': project.id,
                'line_type': 'uncoded',
                'description': "Days",
                'quantity': 10,
                'unit_price': Decimal(500),
                }] * count)
    call('project.advance_invoice', 'valorize', ids)
    call('account.invoice', 'post', search(
            'account.invoice', ('lines.advance_invoice', 'in', ids)))
    return ids


def read_residuals(count):
    ids = get_advances(count)
    with Transaction().start(DB_NAME, 1, readonly=True):
        Advance = Pool().get('project.advance_invoice')
        advances = Advance.browse(ids)
        yield
        for _ in range(READS):
            values = Advance.get_residuals(
                advances, ['residual_quantity', 'residual_amount'])
        yield
    assert set(values['residual_quantity'].values()) == {10}
    assert list(values['residual_amount'].values()) == [5000] * count


def sum_residuals(count):
    "Read the same rows with one query"
    advances = get_advances(count)
    with Transaction().start(DB_NAME, 1, readonly=True) as transaction:
        pool = Pool()
        Invoice = pool.get('account.invoice')
        line = pool.get('account.invoice.line').__table__()
        invoice = Invoice.__table__()
        cursor = transaction.connection.cursor()
        yield
        for _ in range(READS):
            query = (line
                .join(invoice, condition=line.invoice == invoice.id)
                .select(
                    line.advance_invoice,
                    Sum(line.quantity).as_('quantity'),
                    Sum(line.advance_amount).as_('amount'),
                    where=SQL_OPERATORS['in'](line.advance_invoice, advances)
                    & (Invoice._live(invoice)
                        | (Coalesce(line.advance_cancellation, False)
                            & invoice.state.in_(['draft', 'validated'])
                            & (line.quantity < 0))),
                    group_by=line.advance_invoice))
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [None, None, 'NUMERIC'])
            cursor.execute(*query)
            rows = cursor.fetchall()
        yield
    assert [amount for _, _, amount in rows] == [5000] * count


class Tasks:
    "A project whose tasks progress by a hundredth at a time"

    def __init__(self, count, advance):
        self.percent = 0
        self.advance = advance
        project = create_project(
            get_project_type() if advance else None, name="Tasks",
            project_invoice_method='progress')
        self.project = project.id
        if advance:
            sell_advance(project, DAYS)
        product, = call('product.product', 'search', [
                ('template.name', '=', "Hour")], 0, 1, None) or create_hour()
        self.tasks = call('project.work', 'create', [{
                    'name': f"Task {i}",
                    'type': 'task',
                    'parent': self.project,
                    'product': product,
                    'effort_duration': dt.timedelta(hours=100),
                    'list_price': Decimal(100 + i),
                    } for i in range(count)])

    def progress(self):
        self.percent += 1
        call('project.work', 'write', self.tasks, {
                'progress': self.percent / 100})


get_tasks = cache(Tasks)


def create_hour():
    "Create the service that is sold by hours"
    service, _ = get_line_values(1)
    hour, = search('product.uom', ('name', '=', "Hour"))
    return call('product.product', 'create', [{
                'template': call('product.template', 'create', [{
                            'name': "Hour",
                            'type': 'service',
                            'default_uom': hour,
                            'sale_uom': hour,
                            'salable': True,
                            'list_price': Decimal(100),
                            'account_category': service.account_category.id,
                            }])[0],
                }])


def invoice_tasks(count, advance):
    tasks = get_tasks(count, advance)
    tasks.progress()
    last = max(search('account.invoice'), default=0)
    yield
    call('project.work', 'invoice', [tasks.project])
    yield
    invoice, = search('account.invoice', ('id', '>', last))
    # An hour of each task and what cancels them
    check(
        invoice, 'draft', count + advance, untaxed_amount=Decimal(
            0 if advance else sum(100 + i for i in range(count))))
