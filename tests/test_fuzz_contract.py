# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Whatever is done to contracts, in any order, their figures agree.

Each example starts from the same company, takes random steps as a client
does and checks after each what must hold.  A step that is refused is none.
"""
import math
import sqlite3
from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine, initialize, invariant, precondition, rule,
    run_state_machine_as_test)
from proteus import Model
from proteus.config import TrytondProxy, get_config
from trytond import backend
from trytond.cache import Cache
from trytond.exceptions import UserError
from trytond.model.exceptions import ValidationError
from trytond.modules.account.tests.tools import create_tax, get_accounts
from trytond.modules.project_progress_invoice.exceptions import (
    ProgressChangedError)
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

from .refused import (
    EndlessRoundingError, endless_rounding_refused, snapshot, tasks_refused)
from .tools import activate, get

pytestmark = pytest.mark.skipif(
    backend.name != 'sqlite', reason="It is put back by a backup of SQLite")

UNITS = ["Unit", "Hour", "Day", "Kilogram", "Gram"]
TAXES = ['.2', '.055', '.021']
# Digits and rate of the currencies beside the one of the company
CURRENCIES = [(0, '150'), (2, '.5'), (3, '.3')]
OPEN = ['draft', 'validated']


def create_company():
    "Create what the examples bill"
    accounts = get_accounts()
    for rate in TAXES:
        create_tax(Decimal(rate)).save()
    fee = Model.get('account.tax')(
        name="Fee", description="Fee", type='fixed', amount=Decimal('1.50'))
    fee.invoice_account = fee.credit_note_account = accounts['tax']
    fee.save()
    for digits, rate in CURRENCIES:
        currency = Model.get('currency.currency')(
            name=f"Currency {digits}", code=f'XX{digits}', symbol='x',
            rounding=Decimal(10) ** -digits, digits=digits)
        currency.rates.new().rate = Decimal(rate)
        currency.save()
    for unit in UNITS:
        Model.get('product.template')(
            name=unit, type='service', salable=True, list_price=Decimal(1),
            default_uom=get('product.uom', unit),
            account_category=get('product.category', "Untaxed")).save()


class Company:
    "The company from which the examples start"

    def __init__(self):
        def ids(model, key='name'):
            return {getattr(r, key): r.id for r in Model.get(model).find([])}

        party = get('party.party', "Customer")
        self.party = party.id
        self.address = party.addresses[0].id
        self.company, = Model.get('company.company').find([])
        self.company_currency = self.company.currency.id
        self.company = self.company.id
        self.currencies = list(ids('currency.currency').values())
        self.account = get_accounts()['receivable'].id
        self.revenue = get_accounts()['revenue'].id
        self.journal = Model.get('account.journal').find(
            [('type', '=', 'revenue')], limit=1)[0].id
        self.method = get('account.invoice.payment.method', "Cash").id
        taxes = Model.get('account.tax').find([], order=[('id', 'ASC')])
        self.taxes = [t.id for t in taxes]
        self.units = [get('product.uom', u) for u in UNITS]
        products = ids('product.product')
        self.products = [products[u] for u in UNITS]
        self.base = sqlite3.connect(':memory:')
        self.connection.backup(self.base)

    @property
    def connection(self):
        return backend.Database(DB_NAME).connect().get_connection()

    def restore(self):
        "Put the database back"
        self.base.backup(self.connection)
        Cache.drop(DB_NAME)
        with Transaction().start(DB_NAME, 1) as transaction:
            # Those of what was refused
            transaction.tasks.clear()


@pytest.fixture(scope='module')
def company():
    from trytond.modules.account_invoice.invoice import Invoice

    activate('sale_amendment')
    create_company()
    with pytest.MonkeyPatch.context() as monkeypatch, \
            endless_rounding_refused(), tasks_refused():
        # To render the report takes a third of the time to post
        monkeypatch.setattr(
            Invoice, 'print_invoice', classmethod(lambda cls, invoices: None))
        # Each lock would do all again, and no one else is there
        monkeypatch.setattr(Transaction, 'lock_table', lambda *args: None)
        monkeypatch.setattr(Transaction, 'lock_records', lambda *args: None)
        monkeypatch.setattr(get_config(), 'skip_warning', True)
        monkeypatch.setattr(ContractMachine, 'world', Company())
        yield


def call(model, method, *args, type='model'):
    "Call as a client does"
    config = get_config()
    proxy = TrytondProxy(model, config, type=type)
    return getattr(proxy, method)(*args, config.context)


def execute(wizard, invoice, state, values):
    "Execute the state of the wizard from its start view"
    config = get_config()
    proxy = TrytondProxy(wizard, config, type='wizard')
    session, _, _ = proxy.create(config.context)
    return proxy.execute(session, {'start': values}, state, {
            **config.context,
            'active_model': 'account.invoice',
            'active_id': invoice,
            'active_ids': [invoice],
            })


def reading():
    return Transaction().start(
        DB_NAME, 1, readonly=True, context=get_config().context)


def decimal(quantity):
    return Decimal(str(quantity or 0))


def same(a, b):
    return math.isclose(a or 0, b or 0, rel_tol=1e-11, abs_tol=1e-9)


# What is typed

ratios = st.one_of(
    st.sampled_from([0, 1, .5, .3333, .6667, .0001, .9999]),
    st.integers(0, 10000).map(lambda i: i / 10000),
    st.floats(0, 1))
quantities = st.one_of(
    st.integers(-10, 20),
    st.sampled_from([1, 3, .001, -7, 99999, 1 / 3, 2.5]),
    st.integers(-1000, 100000).map(lambda i: i / 1000))
prices = st.one_of(
    st.sampled_from(['10', '0', '.005', '3.3333', '-9.99', '.0049', '99999']),
    st.tuples(st.integers(-1000, 1000000), st.integers(0, 4)).map(
        lambda v: str(Decimal(v[0]).scaleb(-v[1]))),
    ).map(Decimal)
line_values = st.fixed_dictionaries({
        'quantity': quantities,
        'price': prices,
        'unit': st.integers(0, len(UNITS) - 1),
        'taxes': st.sets(st.integers(0, 4), max_size=3),
        })
indexes = st.integers(0, 11)
FIGURES = [
    'progress_total_quantity', 'progress_previous_quantity',
    'progress_previous', 'progress_current_quantity', 'progress_current',
    'progress_total_amount', 'progress_previous_amount',
    'progress_current_amount', 'quantity', 'amount', 'unit_price']


def with_records(*names):
    "Only take the step when there are such records"
    return precondition(lambda self: all(getattr(self, n) for n in names))


class ContractMachine(RuleBasedStateMachine):
    world = None

    def __init__(self):
        super().__init__()
        self.world.restore()
        self.shown = {}
        self.revived = False
        self.refusal = None
        self.refresh()

    def refresh(self):
        with reading() as transaction:
            cursor = transaction.connection.cursor()
            cursor.execute(
                'SELECT id, state, progress_credited_invoice, cancel_move '
                'FROM account_invoice WHERE progress ORDER BY id')
            rows = cursor.fetchall()
            cursor.execute(
                'SELECT id FROM sale_sale WHERE state IN '
                "('quotation', 'confirmed', 'processing') ORDER BY id")
            self.sales = [id_ for id_, in cursor]
        self.drafts = [r[0] for r in rows if r[1] == 'draft']
        self.invoices = [
            r[0] for r in rows if r[1] == 'draft' and not r[2]]
        self.validated = [r[0] for r in rows if r[1] == 'validated']
        self.open = [r[0] for r in rows if r[1] in OPEN]
        self.live = [r[0] for r in rows if r[1] in ['posted', 'paid']]
        self.posted = [r[0] for r in rows if r[1] == 'posted']
        self.cancelled = [
            r[0] for r in rows if r[1] == 'cancelled' and r[3]]
        self.uncancelled = [
            r[0] for r in rows if r[1] in ['draft', 'validated', 'posted']]
        self.undoable = [
            r[0] for r in rows if r[1] in ['validated', 'cancelled']]
        self.all = [r[0] for r in rows]

    def do(self, function, *args, **kwargs):
        "Return the result or None if it is refused"
        before = snapshot()
        what = ' '.join(a for a in args if isinstance(a, str))
        outcome = "done"
        try:
            return function(*args, **kwargs)
        except UserError as exception:
            note(f'refused: {exception}')
            self.refusal = exception
            outcome = type(exception).__name__
            if isinstance(exception, ValidationError):
                # The user would have to understand the fields
                assert (type(exception).__module__
                    != ValidationError.__module__), exception
            assert snapshot() == before
        finally:
            event(f'{what}: {outcome}')
            self.refresh()

    def pick(self, ids, index):
        return ids[index % len(ids)]

    def pick_line(self, invoice, index):
        "Return the values of a line on progress, None if there is none"
        with reading():
            Line = Pool().get('account.invoice.line')
            lines = Line.search_read([
                    ('invoice', '=', invoice),
                    ('progress_current_quantity', '!=', None),
                    ],
                order=[('id', 'ASC')],
                fields_names=['origin', *FIGURES])
        return lines[index % len(lines)] if lines else None

    def get_free_line(self, values):
        world = self.world
        return {
            'type': 'line',
            'company': world.company,
            'account': world.revenue,
            'description': "Free",
            'quantity': values['quantity'],
            'unit': world.units[values['unit']].id,
            'unit_price': values['price'],
            'taxes': [('add', [world.taxes[i] for i in values['taxes']])],
            }

    def get_sale_line(self, values):
        world = self.world
        unit = world.units[values['unit']]
        return {
            'type': 'line',
            'product': world.products[values['unit']],
            'quantity': round(values['quantity'], unit.digits),
            'unit': unit.id,
            'unit_price': values['price'],
            'taxes': [('add', [world.taxes[i] for i in values['taxes']])],
            }

    def create_invoice(self, currency, lines):
        world = self.world
        return self.do(call, 'account.invoice', 'create', [{
                    'type': 'out',
                    'progress': True,
                    'company': world.company,
                    'currency': world.currencies[currency],
                    'party': world.party,
                    'invoice_address': world.address,
                    'journal': world.journal,
                    'account': world.account,
                    'lines': [
                        ('create', [{
                                    **self.get_free_line(l),
                                    'currency': world.currencies[currency],
                                    } for l in lines])],
                    }])

    def create_sale(self, currency, lines, method):
        "Return the confirmed sale or None if Tryton can not compute its taxes"
        world = self.world
        sales = self.do(call, 'sale.sale', 'create', [{
                    'company': world.company,
                    'currency': world.currencies[currency],
                    'party': world.party,
                    'invoice_address': world.address,
                    'shipment_address': world.address,
                    'invoice_method': method,
                    'lines': [
                        ('create', [self.get_sale_line(l) for l in lines])],
                    }])
        if not sales:
            assert isinstance(self.refusal, EndlessRoundingError)
            return
        sale, = sales
        for button in ['quote', 'confirm']:
            call('sale.sale', button, [sale])
        self.refresh()
        return sale

    # Contracts

    @initialize(
        currency=st.integers(0, len(CURRENCIES)),
        lines=st.lists(line_values, min_size=1, max_size=4),
        method=st.sampled_from(['free', 'free', 'progress', 'manual']))
    def start(self, currency, lines, method):
        self.currency = currency
        if method == 'free':
            if not self.create_invoice(currency, lines):
                assert isinstance(self.refusal, EndlessRoundingError)
        else:
            sale = self.create_sale(currency, lines, method)
            if sale:
                self.do(call, 'sale.sale', 'progress_invoice', [sale])

    @rule(
        lines=st.lists(line_values, min_size=1, max_size=2),
        method=st.sampled_from(['progress', 'manual']))
    @precondition(lambda self: len(self.sales) < 2)
    def sell(self, lines, method):
        self.create_sale(self.currency, lines, method)

    @rule(index=indexes)
    @with_records('sales')
    def progress_invoice(self, index):
        self.do(call, 'sale.sale', 'progress_invoice',
            [self.pick(self.sales, index)])

    @rule(index=indexes)
    @with_records('sales')
    def manual_invoice(self, index):
        self.do(call, 'sale.sale', 'manual_invoice',
            [self.pick(self.sales, index)])

    @rule(index=indexes)
    def post_ordinary(self, index):
        with reading():
            ordinary = Pool().get('account.invoice').search([
                    ('progress', '=', False),
                    ('state', '=', 'draft'),
                    ])
            ordinary = [i.id for i in ordinary]
        if ordinary:
            self.do(call, 'account.invoice', 'post', ordinary)

    @rule(index=indexes, sale=indexes)
    @with_records('invoices', 'sales')
    def import_sale(self, index, sale):
        self.do(execute, 'account.invoice.import_progress',
            self.pick(self.invoices, index), 'import_',
            {'sales': [self.pick(self.sales, sale)]})

    @rule(
        index=indexes, quantity=st.none() | quantities,
        price=st.none() | prices)
    @with_records('sales')
    def amend(self, index, quantity, price):
        with reading():
            Line = Pool().get('sale.line')
            lines = Line.search([('sale.state', '=', 'processing')])
            if not lines:
                return
            line = lines[index % len(lines)]
            values = {
                'action': 'line',
                'line': line.id,
                'product': line.product.id,
                'quantity': line.quantity,
                'unit': line.unit.id,
                'unit_price': line.unit_price,
                }
            digits = line.unit.digits
            sale = line.sale.id
        if quantity is not None:
            values['quantity'] = round(quantity, digits)
        if price is not None:
            values['unit_price'] = price
        amendment, = call('sale.amendment', 'create', [{
                    'sale': sale,
                    'lines': [('create', [values])],
                    }])
        self.do(call, 'sale.amendment', 'validate_amendment', [amendment])

    # Draft documents

    @rule(index=indexes, shares=st.lists(ratios, min_size=1, max_size=4))
    @with_records('drafts')
    def bill(self, index, shares):
        "Move all the lines and post"
        draft = self.pick(self.drafts, index)
        with reading():
            Line = Pool().get('account.invoice.line')
            changes = []
            for i, line in enumerate(Line.search([
                            ('invoice', '=', draft),
                            ('progress_current_quantity', '!=', None),
                            ('progress_completed', '!=', True),
                            ],
                        order=[('id', 'ASC')])):
                previous = decimal(line.progress_previous_quantity)
                bound = decimal(line.progress_total_quantity)
                if line.progress_credit_quantity is not None:
                    bound = previous - decimal(line.progress_credit_quantity)
                share = decimal(shares[i % len(shares)])
                changes.extend([[line.id], {
                            'progress_current_quantity': float(
                                previous + (bound - previous) * share),
                            }])
        if changes:
            self.do(call, 'account.invoice.line', 'write', *changes)
        self.do(call, 'account.invoice', 'post', [draft])

    @rule(
        index=indexes, line=indexes, ratio=ratios, client=st.booleans(),
        name=st.sampled_from(['progress_current', 'progress_previous']))
    @with_records('drafts')
    def type_ratio(self, index, line, ratio, client, name):
        line = self.pick_line(self.pick(self.drafts, index), line)
        if not line:
            return
        names = ['quantity', 'amount', 'progress_current_quantity']
        with reading():
            shown = Pool().get('account.invoice.line')(line['id'])
            setattr(shown, name, ratio)
            getattr(shown, f'on_change_{name}')()
            shown = {n: getattr(shown, n) for n in [
                    name, 'quantity', 'amount', 'progress_previous_quantity',
                    'progress_current_quantity']}
        values = {name: ratio}
        if client:
            # It sends all what on_change made
            values.update(shown)
            del values['amount']
        if self.do(call, 'account.invoice.line', 'write',
                [line['id']], values) is None:
            return
        with reading():
            saved = Pool().get('account.invoice.line')(line['id'])
            for name in names:
                value = getattr(saved, name)
                assert same(value, shown[name]), (name, value, shown[name])
            assert saved.amount == shown['amount']

    @rule(index=indexes, line=indexes, share=ratios, digits=st.integers(0, 6))
    @with_records('drafts')
    def type_quantity(self, index, line, share, digits):
        line = self.pick_line(self.pick(self.drafts, index), line)
        if line:
            previous = line['progress_previous_quantity']
            total = line['progress_total_quantity']
            self.do(call, 'account.invoice.line', 'write', [line['id']], {
                    'progress_current_quantity': round(
                        previous + (total - previous) * share, digits),
                    })

    @rule(index=indexes, line=indexes, price=prices)
    @with_records('drafts')
    def type_price(self, index, line, price):
        line = self.pick_line(self.pick(self.drafts, index), line)
        if line:
            self.do(call, 'account.invoice.line', 'write',
                [line['id']], {'unit_price': price})

    @rule(index=indexes, line=indexes, quantity=quantities)
    @with_records('drafts')
    def type_total(self, index, line, quantity):
        line = self.pick_line(self.pick(self.drafts, index), line)
        if line:
            self.do(call, 'account.invoice.line', 'write',
                [line['id']], {'progress_total_quantity': quantity})

    @rule(index=indexes, line=indexes, completed=st.booleans())
    @with_records('drafts')
    def complete(self, index, line, completed):
        line = self.pick_line(self.pick(self.drafts, index), line)
        if line:
            self.do(call, 'account.invoice.line', 'write',
                [line['id']], {'progress_completed': completed})

    @rule(index=indexes, ratio=ratios)
    @with_records('invoices')
    def set_progress(self, index, ratio):
        self.do(execute, 'account.invoice.set_progress',
            self.pick(self.invoices, index), 'set_', {'ratio': ratio})

    @rule(index=indexes, closing=st.booleans())
    @with_records('invoices')
    def tick_closing(self, index, closing):
        self.do(call, 'account.invoice', 'write',
            [self.pick(self.invoices, index)], {'progress_closing': closing})

    @rule(index=indexes, values=line_values)
    @with_records('drafts')
    def add_line(self, index, values):
        invoice = self.pick(self.drafts, index)
        self.do(call, 'account.invoice', 'write', [invoice], {
                'lines': [('create', [{
                                **self.get_free_line(values),
                                'currency': self.world.currencies[
                                    self.currency],
                                }])],
                })

    @rule(index=indexes, line=indexes, through=st.booleans())
    @with_records('drafts')
    def delete_line(self, index, line, through):
        invoice = self.pick(self.drafts, index)
        line = self.pick_line(invoice, line)
        if not line:
            return
        if through:
            self.do(call, 'account.invoice', 'write',
                [invoice], {'lines': [('delete', [line['id']])]})
        else:
            self.do(call, 'account.invoice.line', 'delete', [line['id']])

    @rule(index=indexes, previous=st.none() | indexes)
    @with_records('drafts')
    def set_previous(self, index, previous):
        if previous is not None:
            previous = self.pick(self.all, previous)
        self.do(call, 'account.invoice', 'write',
            [self.pick(self.drafts, index)],
            {'previous_progress_invoice': previous})

    @rule(index=indexes)
    @with_records('drafts')
    def validate(self, index):
        self.do(call, 'account.invoice', 'validate_invoice',
            [self.pick(self.drafts, index)])

    @rule(index=indexes)
    @with_records('open')
    def post(self, index):
        self.do(call, 'account.invoice', 'post', [self.pick(self.open, index)])

    @rule(index=indexes)
    @with_records('undoable')
    def draft(self, index):
        self.do(call, 'account.invoice', 'draft',
            [self.pick(self.undoable, index)])

    @rule(index=indexes)
    @with_records('drafts')
    def delete(self, index):
        self.do(call, 'account.invoice', 'delete',
            [self.pick(self.drafts, index)])

    # Live documents

    @rule(index=indexes, closing=st.booleans())
    @with_records('live')
    def next(self, index, closing):
        button = (
            'closing_progress_invoice' if closing else 'next_progress_invoice')
        # The last is most often the one to continue
        self.do(call, 'account.invoice', button,
            [self.pick(self.live[::-1], index // 2)])

    @rule(index=indexes)
    @with_records('live')
    def finish(self, index):
        "Bill all what is left"
        closing = self.do(call, 'account.invoice', 'closing_progress_invoice',
            [self.pick(self.live[::-1], index // 2)])
        if not closing:
            return
        self.do(call, 'account.invoice', 'post', closing['res_id'])
        with reading():
            for closing in Pool().get('account.invoice').browse(
                    closing['res_id']):
                for line in closing.lines:
                    if line.quantity and closing.state != 'draft':
                        assert line.progress_current_amount == (
                            closing.currency.round(
                                decimal(line.progress_total_quantity)
                                * line.unit_price))

    @rule(index=indexes, refund=st.booleans())
    @with_records('live')
    def credit(self, index, refund):
        self.do(execute, 'account.invoice.credit',
            self.pick(self.live, index), 'credit', {'with_refund': refund})

    @rule(index=indexes)
    @with_records('uncancelled')
    def cancel(self, index):
        self.do(call, 'account.invoice', 'cancel',
            [self.pick(self.uncancelled, index)])

    @rule(index=indexes)
    @with_records('cancelled')
    def unreconcile(self, index):
        with reading():
            Invoice = Pool().get('account.invoice')
            invoice = Invoice(self.pick(self.cancelled, index))
            reconciliations = list({
                    l.reconciliation.id for l in invoice.move.lines
                    if l.reconciliation})
        if reconciliations:
            self.revived = True
            self.do(call, 'account.move.reconciliation', 'delete',
                reconciliations)

    @rule(index=indexes)
    @with_records('posted')
    def pay(self, index):
        def pay(id_):
            wizard = Model.get('account.invoice')(id_).click('pay')
            wizard.form.payment_method = Model.get(
                'account.invoice.payment.method')(self.world.method)
            wizard.execute('choice')
            return True
        self.do(pay, self.pick(self.posted, index))

    @rule(index=indexes)
    @with_records('all')
    def copy(self, index):
        if len(self.all) < 8:
            self.do(call, 'account.invoice', 'copy',
                [self.pick(self.all, index)], {})

    # What must hold

    @invariant()
    def check(self):
        with reading():
            pool = Pool()
            documents = pool.get('account.invoice').search(
                [('type', '=', 'out')], order=[('id', 'ASC')])
            contracts = defaultdict(list)
            for document in documents:
                check_invoice(document)
                if document.progress:
                    contracts[document.progress_contract].append(document)
            for contract, documents in contracts.items():
                check_contract(contract, documents, self.revived)
                for document in documents:
                    check_lines(document)
            for sale in pool.get('sale.sale').search([]):
                check_sale(sale)
            self.check_shown(contracts)

    def check_shown(self, contracts):
        "What a posted document shows never changes"
        for documents in contracts.values():
            for document in documents:
                if document.state in OPEN or not document.move:
                    continue
                for line in document.lines:
                    figures = [getattr(line, n) for n in FIGURES]
                    assert self.shown.setdefault(line.id, figures) == figures
                shown = (document.id, len(document.lines))
                assert self.shown.setdefault(
                    f'lines {document.id}', shown) == shown


def is_live(document):
    "If it bills: a credit note that cancels its invoice does not"
    return (
        document.state in {'posted', 'paid'}
        and not any(
            d.state == 'cancelled' and d.cancel_move == document.move
            for d in [document.progress_credited_invoice] if d))


def check_invoice(invoice):
    "Its amounts, its taxes and its moves tell the amounts of its lines"
    lines = [l for l in invoice.lines if l.type == 'line']
    assert invoice.untaxed_amount == sum(l.amount for l in lines)
    assert invoice.total_amount == (
        invoice.untaxed_amount + invoice.tax_amount)
    bases = defaultdict(Decimal)
    for tax in invoice.taxes:
        if tax.tax and tax.tax.type == 'percentage':
            # Tryton splits them by sign and shares what rounding makes
            bases[tax.tax] += tax.base
            assert abs(tax.amount - tax.base * tax.tax.rate) <= (
                invoice.currency.rounding * len(invoice.taxes))
    for tax, base in bases.items():
        assert base == sum(l.amount for l in lines if tax in l.taxes)
    for move in [invoice.move, invoice.cancel_move]:
        if move:
            assert sum(l.debit - l.credit for l in move.lines) == 0
    if not invoice.move or invoice.move.state != 'posted':
        return
    assert invoice.state not in OPEN
    foreign = invoice.currency != invoice.company.currency
    revenue = receivable = Decimal(0)
    for line in invoice.move.lines:
        amount = line.amount_second_currency if foreign else (
            line.debit - line.credit)
        # Tryton loses the sign of what is nothing in the other currency
        lost = foreign and line.debit == line.credit
        if line.account == invoice.account:
            receivable += (
                amount.copy_sign(invoice.total_amount) if lost else amount)
        elif line.origin and line.origin.__name__ == 'account.invoice.line':
            revenue -= (
                amount.copy_sign(-line.origin.amount) if lost else amount)
    assert receivable == invoice.total_amount
    assert revenue == invoice.untaxed_amount


def check_lines(document):
    "Previous + billed = Current"
    currency = document.currency
    for line in document.lines:
        if not line.on_progress:
            continue
        total = decimal(line.progress_total_quantity)
        previous = decimal(line.progress_previous_quantity)
        current = decimal(line.progress_current_quantity)
        assert same(previous + decimal(line.quantity), current)
        for quantity, ratio in [
                (previous, line.progress_previous),
                (current, line.progress_current)]:
            assert ratio == (round(float(quantity / total), 4) if total else 0)
        before = line.progress_previous_amount
        assert before + line.amount == line.progress_current_amount
        assert line.progress_total_amount == currency.round(
            total * line.unit_price)
        if not document.progress_credited_invoice:
            assert min(0, total) <= previous <= max(0, total) or (
                document.state == 'draft')
            if (current == previous
                    and line.progress_previous_price in {
                        None, line.unit_price}):
                assert line.amount == 0
            else:
                assert before + line.amount == currency.round(
                    current * line.unit_price)


def check_contract(contract, documents, revived):
    "The documents follow each other and the last tells the sums"
    Line = Pool().get('account.invoice.line')
    Item = Pool().get('account.progress_contract.line')
    if not any(d.state in OPEN or is_live(d) for d in documents):
        # It bills nothing, what the sale billed meanwhile is not on it
        return
    if revived and is_billed_beside(documents):
        # It came back to life beside what the sale billed meanwhile
        return
    live = sorted(
        filter(is_live, documents), key=lambda d: (d.progress_number, d.id))
    # The number of what is cancelled is given again
    assert revived or len({d.progress_number for d in live}) == len(live)
    assert len([
            d for d in documents
            if d.state in OPEN and not d.progress_credited_invoice]) <= 1

    items = [i for i in contract.lines if i.type == 'line']
    quantities, amounts = {}, {}
    for item in items:
        quantities[item.id] = decimal(item.opening_quantity)
        amounts[item.id] = item.opening_amount
        if item.is_manual:
            lines = get_ordinary_lines(item.origin)
            quantities[item.id] = sum(decimal(l.quantity) for l in lines)
            amounts[item.id] = sum((l.amount for l in lines), Decimal(0))
    for document in live:
        for line in document.lines:
            if line.on_progress:
                quantities[line.progress_line.id] += decimal(line.quantity)
                amounts[line.progress_line.id] += line.amount
    billed = Item.get_billed(items)
    assert billed.keys() == quantities.keys()
    for id_, item in billed.items():
        assert same(item.quantity, quantities[id_])
        assert item.amount == amounts[id_]
    sold = [i for i in items if not i.is_dormant]
    assert contract.total_amount == sum(i.amount for i in sold)
    assert contract.billed_amount == sum(amounts[i.id] for i in sold)

    if live and not any(i.is_manual for i in items):
        last = live[-1]
        # Posted, it keeps what was billed before it and is cancelled since,
        # and is not the last one to be made when others came back to life
        assert revived or any(
            d.state == 'cancelled' and d.cancel_move and d.id < last.id
            for d in documents) or (
                last.progress_current_amount == contract.billed_amount)
    for document in documents:
        assert document.progress_previous_amount + sum(
            l.amount for l in document.lines if l.on_progress
            ) == document.progress_current_amount
        assert (
            document.progress_total_amount - document.progress_current_amount
            == document.progress_remaining_amount)
        if document.state != 'draft':
            continue
        for line in document.lines:
            if line.on_progress:
                item = line.progress_line.id
                assert same(line.progress_previous_quantity, quantities[item])
                assert line.progress_previous_amount == amounts[item]
        if live:
            assert document.previous_progress_invoice == live[-1]
            assert document.progress_number == live[-1].progress_number + 1
        try:
            Line.check_progress(document.lines, excluded=[document])
        except ProgressChangedError:
            raise
        except ValidationError as exception:
            note(f'not to post: {exception}')


def get_ordinary_lines(sale_line):
    "Return what bills the line beside its contract"
    return [
        l for l in sale_line.invoice_lines
        if not l.on_progress and l.invoice
        and l.invoice.state in {'posted', 'paid'}]


def is_billed_beside(documents):
    "If ordinary invoices bill since the lines of sale of the documents"
    Line = Pool().get('account.invoice.line')
    lines = [l for d in documents for l in d.lines]
    return bool(Line.search([
                ('id', '>', min((l.id for l in lines), default=0)),
                ('origin', 'in', {
                        str(l.origin) for l in lines
                        if l.origin and l.origin.__name__ == 'sale.line'}),
                ('progress_line', '=', None),
                ('invoice.state', 'in', ['posted', 'paid']),
                ]))


def check_sale(sale):
    "What the sale says is left is what the contract says"
    Invoice = Pool().get('account.invoice')
    InvoiceLine = Pool().get('account.invoice.line')
    for line in sale.lines:
        if line.type != 'line':
            continue
        items = line.progress_lines
        assert len(items) <= 1
        used = [
            l for l in InvoiceLine.search([
                    ('progress_line', 'in', [i.id for i in items]),
                    ])
            if l.invoice.state in OPEN or is_live(l.invoice)]
        assert line.in_progress_contract == bool(used)
        if not used or not line.progress:
            continue
        billed = sum(
            decimal(l.quantity) for l in used if is_live(l.invoice))
        if (sale.invoice_method != 'manual'
                and any(is_live(l.invoice) for l in used)):
            # Before Tryton, else by its ordinary invoices
            billed += decimal(items[0].opening_quantity)
        ordinary = sum(decimal(l.quantity) for l in get_ordinary_lines(line))
        assert same(line.progress_billed_quantity, billed + ordinary)
        left = decimal(line.quantity) - billed - ordinary
        if line.progress_finished:
            left = 0
        if sale.state in {'processing', 'done'}:
            assert same(line.quantity_to_invoice, left), (
                line.quantity_to_invoice, left)
    if sale.invoice_method == 'progress' and sale.state == 'done':
        assert all(l.progress_finished for l in sale.lines)
        assert not Invoice.search([
                ('lines.progress_line.origin.sale', '=', sale.id,
                    'sale.line'),
                # An open credit note credits nothing yet and not every
                # database lets an invoice of nothing be paid
                ['OR',
                    [
                        ('state', '=', 'posted'),
                        ('total_amount', '!=', 0),
                        ],
                    [
                        ('state', 'in', OPEN),
                        ('progress_credited_invoice', '=', None),
                        ],
                    ],
                ])


def test_contract(company):
    run_state_machine_as_test(ContractMachine)
