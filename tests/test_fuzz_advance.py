# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What must hold of advances and interventions whatever the users do"""
import datetime as dt
import sqlite3
from collections import defaultdict
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine, initialize, invariant, rule,
    run_state_machine_as_test)
from proteus import Model, Wizard
from proteus.config import get_config
from trytond import backend
from trytond.exceptions import UserError
from trytond.modules.account.tests.tools import create_tax, get_accounts
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

from .refused import endless_rounding_refused, tasks_refused
from .tools import (
    create_deposit_account, create_project, create_project_type, get)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_fuzz_advance'),
    pytest.mark.skipif(
        backend.name != 'sqlite',
        reason="It is put back by a backup of SQLite")]

TODAY = dt.date.today()
# What the party has on the deposit account from before Tryton
OPENING = Decimal(10) ** 13

# Which of the records, however many there are
which = st.integers(0, 7)
prices = st.one_of(
    st.sampled_from(['1', '500', '333.33', '0.0001', '99999.9999']),
    st.decimals('0.0001', '2000', places=4).map(str)).map(Decimal)
days = st.one_of(
    st.sampled_from([1., 10., .1, .01]),
    st.integers(1, 5000).map(lambda n: n / 100))
quantities = st.one_of(
    st.sampled_from([1., .1, 1 / 3, 7., -1., -1 / 3, 0.]),
    st.integers(-300, 2000).map(lambda n: n / 100))
taxes = st.lists(st.integers(0, 3), max_size=2, unique=True)
dates = st.sampled_from([None, -1, 0, 1])
intervention_lines = st.lists(
    st.fixed_dictionaries({
            'kind': st.sampled_from(['service', 'material', 'expense']),
            'quantity': quantities,
            'unit_price': prices,
            'taxes': taxes,
            'invoiceable': st.sampled_from([True, True, True, False]),
            # Which advance, none or the one proposed
            'advance': st.one_of(
                st.just('proposed'), st.just('proposed'), which, st.none()),
            }),
    min_size=1, max_size=3)


def to_decimal(value):
    return Decimal(str(value or 0))


def get_date(days):
    return TODAY + dt.timedelta(days=days) if days is not None else None


# The rules of the advances, told again from the lines of the invoices

@cache
def is_live(invoice):
    "Return if it is posted or paid and does not only refund another"
    if invoice.state not in {'posted', 'paid'}:
        return False
    return not any(
        o.state == 'cancelled' and o.cancel_move == invoice.move
        for o in {l.origin.invoice for l in invoice.lines
            if l.origin and l.origin.__name__ == 'account.invoice.line'})


def is_open(invoice):
    return invoice.state in {'draft', 'validated'}


@cache
def get_lines(advance, cancellation):
    Line = Pool().get('account.invoice.line')
    return [
        l for l in Line.search([
                ('advance_invoice', '=', advance.id),
                ('invoice', '!=', None)])
        if bool(l.advance_cancellation) == cancellation]


def get_opening(advance):
    return advance.currency.round(
        to_decimal(advance.opening_quantity) * advance.unit_price)


@cache
def get_billed(advance):
    return sum(
        (l.amount for l in get_lines(advance, False) if is_live(l.invoice)),
        Decimal(0))


@cache
def get_residual(advance):
    cancelled = sum(
        l.amount for l in get_lines(advance, True)
        if is_live(l.invoice) or (is_open(l.invoice) and l.quantity < 0))
    return get_opening(advance) + get_billed(advance) + cancelled


@cache
def get_available(advance):
    "Return what new cancellations may cancel"
    residual = get_residual(advance)
    kept = sum(
        l.amount for l in get_lines(advance, False)
        if is_open(l.invoice) and l.quantity < 0)
    available = residual + kept
    type_ = advance.work.project_type_used
    line = get_billing_line(advance)
    if type_.consume == 'paid' and line and line.invoice.state != 'paid':
        available = min(available, residual - get_billed(advance))
    return max(available, Decimal(0))


def get_net(line):
    "Return the quantity and the amount that are billed and not credited"
    Line = Pool().get('account.invoice.line')
    quantity, amount = to_decimal(line.quantity), line.amount
    for credit in Line.search([
                ('origin', '=', str(line)),
                ('invoice.state', 'in', ['posted', 'paid']),
                ]):
        if bool(credit.advance_cancellation) == bool(
                line.advance_cancellation):
            credited = get_net(credit)
            quantity += credited[0]
            amount += credited[1]
    return quantity, amount


def is_left(line):
    "Return if it is not credited in full, of which the value rules"
    quantity, amount = get_net(line)
    # The noise of the float is no quantity
    return round(quantity, 10) * to_decimal(line.quantity) > 0 and (
        amount * line.amount > 0 or not line.amount)


@cache
def get_billing_lines(record):
    "Return the open or live lines that bill it and are not credited in full"
    Line = Pool().get('account.invoice.line')
    return [
        l for l in Line.search([
                ('origin', '=', str(record)),
                ('invoice.state', 'in', [
                        'draft', 'validated', 'posted', 'paid']),
                ])
        if not l.advance_cancellation
        and (is_open(l.invoice) or is_left(l))]


def get_billing_line(advance):
    lines = get_billing_lines(advance)
    return lines[-1] if lines else None


def get_ranked(intervention):
    "Return the advances with something left, the nearest then the oldest"
    Advance = Pool().get('project.advance_invoice')
    work, ranked = intervention.work, []
    while work:
        ranked.extend(sorted((
                    a for a in Advance.search([
                            ('work', '=', work.id),
                            ('type', '=', 'on_account'),
                            ])
                    if a.party == intervention.party
                    and (a.active_from or dt.date.min) <= intervention.date
                    and intervention.date <= (a.closed_date or dt.date.max)
                    and get_residual(a) > 0),
                key=lambda a: (a.active_from or dt.date.min, a.id)))
        work = work.parent
    return ranked


def get_proposal(intervention):
    "Return the first of which something can be cancelled and is not taken"
    Intervention = Pool().get('project.intervention')
    taken = defaultdict(Decimal)
    for other in Intervention.search([('state', '=', 'done')]):
        for line in get_lines_to_bill(other):
            if covers := get_covers(line):
                taken[covers[0]] += line.amount
    for advance in get_ranked(intervention):
        if get_available(advance) > taken[advance]:
            return advance


def get_lines_to_bill(intervention):
    return [
        l for l in intervention.lines
        if l.invoiceable and l.quantity and not get_billing_lines(l)]


def is_proposed(line):
    type_ = line.intervention.work.project_type_used
    return getattr(type_, f'propose_{line.kind}')


def get_covers(line):
    "Return the advances that cover it in the order of their use"
    advance = line.advance_invoice or line.intervention.advance_invoice
    if not advance:
        return ()
    others = get_ranked(line.intervention) if is_proposed(line) else []
    return (advance, *(a for a in others if a != advance))


def cover(lines, left, limit):
    """
    Return what is cancelled of each advance, and take it from what is left

    First each line uses its own advance, then the rests go on.
    """
    values, cancelled = defaultdict(Decimal), defaultdict(Decimal)
    for line in lines:
        values[get_covers(line)] += line.amount
    for i in range(max(map(len, values), default=0)):
        for covers, value in values.items():
            for advance in covers[i:i + 1]:
                amount = max(
                    min(value, left[advance],
                        limit - sum(cancelled.values())), Decimal(0))
                cancelled[advance] += amount
                left[advance] -= amount
                values[covers] -= amount
    return cancelled


class Left(dict):
    "What can be cancelled of the advances"

    def __missing__(self, advance):
        return get_available(advance)


# What is the same until the next step
CACHED = [
    is_live, get_lines, get_billed, get_residual, get_available,
    get_billing_lines]


# What must hold after every step

def check_residuals(advances):
    for advance in advances:
        residual = advance.residual_amount
        assert residual == get_residual(advance) >= 0
        # SQLite adds floats
        assert not str(residual).startswith('-')
        assert get_available(advance) >= 0
        quantity = to_decimal(advance.residual_quantity)
        if not residual:
            assert quantity == 0
        else:
            assert quantity >= 0


def check_searches(advances):
    Advance = Pool().get('project.advance_invoice')
    for name in ['residual_amount', 'residual_quantity']:
        values = {a: getattr(a, name) for a in advances}
        for value in {0, *values.values()}:
            for operator, compare in [
                    ('=', lambda a: a == value),
                    ('>', lambda a: a > value),
                    ('<=', lambda a: a <= value),
                    ('!=', lambda a: a != value)]:
                assert set(Advance.search([(name, operator, value)])) == {
                    a for a, v in values.items() if compare(v)}, (
                        name, operator, value, values)


def check_works(advances):
    Work = Pool().get('project.work')
    for work in Work.search([('type', '=', 'project')]):
        on_account = [
            a for a in advances if a.work == work and a.type == 'on_account']
        billed = sum(get_opening(a) + get_billed(a) for a in on_account)
        residual = sum(get_residual(a) for a in on_account)
        assert work.advance_billed_amount == billed
        assert work.advance_cancelled_amount == billed - residual
        assert work.advance_residual_amount == residual


def check_deposit(advances):
    "The account has what the posted documents billed and cancelled"
    pool = Pool()
    Invoice = pool.get('account.invoice')
    Move = pool.get('account.move')
    MoveLine = pool.get('account.move.line')
    cancelling = {
        i.cancel_move for i in Invoice.search([('cancel_move', '!=', None)])}
    # Tryton posts again an invoice whose cancellation is unreconciled, and
    # leaves the move that cancelled it
    balance = sum(
        l.credit - l.debit for l in MoveLine.search([
                ('account.type.deposit', '=', True)])
        if l.move in cancelling or not isinstance(l.move.origin, Move))
    assert balance == OPENING + sum(
        get_residual(a) - get_opening(a)
        - sum(
            l.amount for l in get_lines(a, True)
            if is_open(l.invoice) and l.quantity < 0)
        for a in advances)


def check_billed_once(advances):
    for advance in advances:
        lines = get_billing_lines(advance)
        assert len(lines) == bool(advance.billed)


def check_invoices(advances):
    Invoice = Pool().get('account.invoice')
    for invoice in Invoice.search([]):
        if invoice.state == 'cancelled' and invoice.is_modifiable:
            # Tryton keeps its amounts when a line is deleted
            continue
        lines = [l for l in invoice.lines if l.type == 'line']
        assert invoice.untaxed_amount == sum(l.amount for l in lines)
        assert invoice.tax_amount == sum(t.amount for t in invoice.taxes)
        assert invoice.total_amount == (
            invoice.untaxed_amount + invoice.tax_amount)
        if invoice.move:
            check_move(invoice)
        if is_open(invoice) or is_live(invoice):
            check_cover(invoice, lines)


def check_move(invoice):
    move = invoice.move
    assert sum(l.debit for l in move.lines) == sum(
        l.credit for l in move.lines)
    accounts = defaultdict(Decimal)
    for line in invoice.lines:
        if line.type == 'line':
            accounts[line.account] += line.amount
    for account, amount in accounts.items():
        assert amount == sum(
            l.credit - l.debit for l in move.lines if l.account == account)
    assert invoice.total_amount == sum(
        l.debit - l.credit for l in move.lines
        if l.account == invoice.account)


def check_cover(invoice, lines):
    "No more is cancelled than what is covered, to the tax"
    covered, cancelled = defaultdict(Decimal), defaultdict(Decimal)
    for line in lines:
        assert not line.advance_cancellation or line.unit_price > 0
        if line.advance_cancellation:
            cancelled[line.intervention] += line.amount
        elif line.covered_by_advance:
            covered[line.intervention] += line.amount
    for key, amount in cancelled.items():
        value = covered.get(key, 0)
        assert abs(amount) <= abs(value) and amount * value <= 0
    # A discount that no advance covers may still be typed on a draft
    if sum(cancelled.values()) < 0 and (
            not is_open(invoice) or all(
                l.amount >= 0 for l in lines if not l.advance_cancellation)):
        assert invoice.untaxed_amount >= 0
    taxes = {tuple(sorted(t.id for t in l.taxes)) for l in lines}
    # As in Tryton, the taxes do not follow a line saved without its invoice
    # when it takes no part in a cancellation
    if (cancelled and not invoice.untaxed_amount and len(taxes) == 1
            and all(t.type == 'percentage' for l in lines for t in l.taxes)):
        assert invoice.tax_amount == 0


def check_credits(advances):
    Line = Pool().get('account.invoice.line')
    for advance in advances:
        for line in get_lines(advance, True):
            credited = sum(
                l.amount for l in Line.search([
                        ('origin', '=', str(line)),
                        ('invoice.state', '!=', 'cancelled'),
                        ]))
            assert abs(credited) <= abs(line.amount)


def check_interventions(advances):
    Intervention = Pool().get('project.intervention')
    for intervention in Intervention.search([]):
        billing = 0
        for line in intervention.lines:
            lines = get_billing_lines(line)
            assert len(lines) <= 1
            billing += len(lines)
        to_bill = get_lines_to_bill(intervention)
        assert (intervention.state == 'invoiced') == bool(
            billing and not to_bill)
        if billing:
            assert intervention.state in {'done', 'invoiced'}
        assert intervention.total_amount == sum(
            l.amount for l in intervention.lines if l.invoiceable)
        covered = -sum(
            l.amount for l in intervention.invoice_lines
            if l.advance_cancellation
            and (is_live(l.invoice)
                or (is_open(l.invoice) and l.quantity < 0)))
        covered += sum(cover(
                to_bill, Left(), sum(l.amount for l in to_bill)).values())
        assert intervention.covered_amount == covered


CHECKS = [
    check_residuals, check_searches, check_works, check_deposit,
    check_billed_once, check_invoices, check_credits, check_interventions]


# The database from which every example starts

@pytest.fixture
def start(database):
    "Set up what the examples share and return how to go back to it"
    deposit = create_deposit_account()
    fixed = create_tax(Decimal('.1'))
    fixed.type, fixed.amount = 'fixed', Decimal('1.25')
    for tax in [
            create_tax(Decimal('.055')), create_tax(Decimal('.021')),
            create_tax(Decimal('.20')), fixed]:
        tax.save()
    type_ = create_project_type(deposit)
    day, = Model.get('product.uom').find([('name', '=', "Day")])
    hour, = Model.get('product.uom').find([('name', '=', "Hour")])
    for name, unit in [("Day", day), ("Hour", hour)]:
        Model.get('product.template')(
            name=name, type='service', default_uom=unit, salable=True,
            list_price=Decimal(100),
            account_category=get('product.category', "Untaxed")).save()
    project = create_project(type_)
    create_project(None, name="Child", party=None, parent=project)
    create_project(None, name="Grandchild", party=None, parent=get(
            'project.work', "Child"))
    task = project.children.new(name="Task", type='task')
    task.product, = Model.get('product.product').find(
        [('template.name', '=', "Hour")])
    task.effort_duration = dt.timedelta(hours=10)
    task.list_price = Decimal('33.3333')
    project.save()
    Move = Model.get('account.move')
    move = Move(journal=Model.get('account.journal').find(
            [('type', '=', 'general')], limit=1)[0])
    for account, debit, credit in [
            (get_accounts()['cash'], OPENING, 0),
            (deposit, 0, OPENING)]:
        line = move.lines.new(
            account=account, debit=Decimal(debit), credit=Decimal(credit))
        if account == deposit:
            line.party = get('party.party', "Customer")
    move.save()
    move.click('post')
    saved = sqlite3.connect(':memory:')
    connect().backup(saved)

    def restore():
        # The caches know nothing of what the examples change
        saved.backup(connect())

    with pytest.MonkeyPatch.context() as monkeypatch, \
            endless_rounding_refused(), tasks_refused():
        # To store the log takes a fifth of the time
        monkeypatch.setattr(
            Transaction, '_store_log_records', Transaction._clear_log_records)
        yield restore
    restore()
    saved.close()


def connect():
    database = backend.Database(DB_NAME).connect()
    connection = database.get_connection()
    connection.rollback()
    database.put_connection(connection)
    return connection


class AdvanceMachine(RuleBasedStateMachine):
    "Users who press the buttons of advances, interventions and invoices"

    # Records

    def find(self, model, *domain):
        return [r.id for r in Model.get(model).find(
                list(domain), order=[('id', 'ASC')])]

    def pick(self, model, index, *domain):
        "Return the id of the record in a list, which is empty without any"
        ids = self.find(model, *domain)
        return [ids[index % len(ids)]] if ids else []

    def do(self, model, method, records, *args):
        "Do it as a client and return the result or None if it is refused"
        if not records:
            return None
        config = get_config()
        try:
            result = getattr(Model.get(model)._proxy, method)(
                records, *args, config.context)
        except UserError as error:
            event(f"{model} {method}: {type(error).__name__}")
            return None
        event(f"{model} {method}: done")
        return True if result is None else result

    def read(self, function, *args):
        with Transaction().start(
                DB_NAME, 1, readonly=True, context=get_config().context):
            for cached in CACHED:
                cached.cache_clear()
            return function(*args)

    # Set-up

    @initialize(
        digits=st.sampled_from([2, 2, 0, 3]),
        consume=st.sampled_from(['posted', 'posted', 'paid']),
        propose=st.tuples(*[st.booleans()] * 3),
        product=st.sampled_from([None, "Day", "Taxed Goods"]),
        method=st.sampled_from(['progress', 'effort']),
        quantity=days, unit_price=prices, taxes=taxes)
    def set_up(
            self, digits, consume, propose, product, method, quantity,
            unit_price, taxes):
        get_config().skip_warning = True
        self.restore()
        currency, = self.find('currency.currency')
        assert self.do('currency.currency', 'write', [currency], {
                'digits': digits, 'rounding': Decimal(10) ** -digits})
        type_, = self.find('project.type')
        kinds = ['service', 'material', 'expense']
        assert self.do('project.type', 'write', [type_], {
                'consume': consume,
                'cancellation_product': self.find(
                    'product.product', ('template.name', '=', product))[0]
                if product else None,
                **{f'propose_{k}': p for k, p in zip(kinds, propose)},
                })
        self.works = self.find('project.work', ('type', '=', 'project'))
        self.do('project.work', 'write', self.works, {
                'project_invoice_method': method})
        self.taxes = self.find('account.tax', ('name', 'like', 'Tax%'))
        self.sell_advance(
            0, quantity, unit_price, taxes, None, None, None, False)

    # Advances

    @rule(
        work=which, quantity=days, unit_price=prices, taxes=taxes,
        opening=st.sampled_from([None, None, .01, 2.5, 1 / 3]),
        active_from=dates, closed_date=dates, coded=st.booleans())
    def sell_advance(
            self, work, quantity, unit_price, taxes, opening, active_from,
            closed_date, coded):
        if advance := self.add_advance(
                work, quantity, unit_price, taxes, coded,
                opening_quantity=opening,
                active_from=get_date(active_from),
                closed_date=get_date(closed_date)):
            self.valorize('project.advance_invoice', [advance])
            self.post_all(self.find(
                    'account.invoice',
                    ('lines.origin', '=',
                        f'project.advance_invoice,{advance}')))

    @rule(
        work=which, quantity=days, unit_price=prices, taxes=taxes,
        coded=st.booleans(),
        type=st.sampled_from(['on_account', 'to_balance']))
    def create_advance(self, **values):
        self.add_advance(**values)

    def add_advance(
            self, work, quantity, unit_price, taxes, coded, **values):
        ids = self.do('project.advance_invoice', 'create', [{
                    'work': self.works[work % len(self.works)],
                    'line_type': 'coded' if coded else 'uncoded',
                    'product': self.find(
                        'product.product', ('template.name', '=', "Day"))[0]
                    if coded else None,
                    'description': "Days",
                    'quantity': quantity,
                    'unit_price': unit_price,
                    'taxes': [('add', [self.taxes[t] for t in taxes])],
                    **values,
                    }])
        return ids[0] if ids else None

    @rule(advance=which)
    def valorize_advance(self, advance):
        self.valorize(
            'project.advance_invoice',
            self.pick('project.advance_invoice', advance))

    @rule(
        advance=which,
        values=st.one_of(
            st.fixed_dictionaries({'opening_quantity': days}),
            st.fixed_dictionaries({'unit_price': prices}),
            st.fixed_dictionaries({'quantity': days}),
            st.fixed_dictionaries({
                    'closed_date': dates.map(get_date),
                    'active_from': dates.map(get_date)})))
    def write_advance(self, advance, values):
        self.do(
            'project.advance_invoice', 'write',
            self.pick('project.advance_invoice', advance), values)

    @rule(
        advance=which,
        method=st.sampled_from(['update_residual', 'copy', 'delete']))
    def use_advance(self, advance, method):
        self.do(
            'project.advance_invoice', method,
            self.pick('project.advance_invoice', advance))

    # Interventions

    @rule(
        work=which, lines=intervention_lines, date=st.sampled_from([-1, 0, 1]),
        header=st.one_of(st.none(), st.none(), which),
        valorize=st.booleans())
    def create_intervention(self, work, lines, date, header, valorize):
        advances = self.find('project.advance_invoice')
        values = {
            'work': self.works[work % len(self.works)],
            'date': get_date(date),
            }
        if header is not None and advances:
            values['advance_invoice'] = advances[header % len(advances)]
        to_create = []
        for line in lines:
            line = line.copy()
            line['description'] = line['kind']
            line['taxes'] = [('add', [self.taxes[t] for t in line['taxes']])]
            advance = line.pop('advance')
            if advance is None or (advance != 'proposed' and not advances):
                line['advance_invoice'] = None
            elif advance != 'proposed':
                line['advance_invoice'] = advances[advance % len(advances)]
            to_create.append(line)
        ids = self.do('project.intervention', 'create', [{
                    **values, 'lines': [('create', to_create)]}])
        if not ids:
            return
        self.read(self.check_proposals, ids[0], to_create)
        if self.do('project.intervention', 'do', ids) and valorize:
            self.value_interventions(ids)

    def check_proposals(self, id_, values):
        intervention = Pool().get('project.intervention')(id_)
        type_ = intervention.work.project_type_used
        for line, value in zip(intervention.lines, values):
            if 'advance_invoice' not in value:
                proposal = intervention.advance_invoice
                if not proposal and getattr(type_, f'propose_{line.kind}'):
                    proposal = get_proposal(intervention)
                assert line.advance_invoice == proposal

    @rule(
        intervention=which, method=st.sampled_from([
                'plan', 'do', 'cancel', 'copy', 'delete']))
    def use_intervention(self, intervention, method):
        self.do(
            'project.intervention', method,
            self.pick('project.intervention', intervention))

    @rule(interventions=st.lists(which, min_size=1, max_size=3, unique=True))
    def valorize_interventions(self, interventions):
        self.value_interventions(list(dict.fromkeys(
                    id_ for i in interventions
                    for id_ in self.pick('project.intervention', i))))

    @rule(work=st.one_of(st.none(), which))
    def value_many(self, work):
        domain = [('state', '=', 'done')]
        if work is not None:
            domain.append(('work', 'child_of', [
                        self.works[work % len(self.works)]], 'parent'))
        ids = self.find('project.intervention', *domain)
        if not ids:
            return
        expected = self.read(self.get_expected, ids)
        try:
            wizard = Wizard('project.intervention.value_many')
            if work is not None:
                wizard.form.works.append(Model.get('project.work')(
                        self.works[work % len(self.works)]))
            wizard.execute('value')
        except UserError as error:
            event(f"value_many: {type(error).__name__}")
        else:
            self.read(self.check_expected, expected)

    @rule(line=which, values=st.one_of(
            st.fixed_dictionaries({'quantity': quantities}),
            st.fixed_dictionaries({'unit_price': prices}),
            st.fixed_dictionaries({'invoiceable': st.booleans()}),
            st.fixed_dictionaries({'advance_invoice': st.none()})))
    def write_intervention_line(self, line, values):
        self.do(
            'project.intervention.line', 'write',
            self.pick('project.intervention.line', line), values)

    def value_interventions(self, ids):
        expected = self.read(self.get_expected, ids)
        if self.valorize('project.intervention', ids):
            self.read(self.check_expected, expected)

    def get_expected(self, ids):
        "Return what is to be cancelled for each intervention and advance"
        Intervention = Pool().get('project.intervention')
        interventions = [
            i for i in Intervention.browse(ids)
            if i.state == 'done'
            and get_lines_to_bill(i)]
        left, expected, values = Left(), {}, defaultdict(Decimal)
        for intervention in interventions:
            values[intervention.work, intervention.party] += sum(
                l.amount for l in get_lines_to_bill(intervention))
        for intervention in sorted(interventions, key=lambda i: (
                    i.work.id, i.party.id, i.date, i.id)):
            key = intervention.work, intervention.party
            lines = get_lines_to_bill(intervention)
            cancelled = cover(lines, left, values[key])
            values[key] -= sum(cancelled.values())
            ids = [l.id for l in lines]
            for advance, amount in cancelled.items():
                expected[intervention.id, advance.id] = amount, ids
        return expected

    def check_expected(self, expected):
        Intervention = Pool().get('project.intervention')
        for (intervention, advance), (amount, ids) in expected.items():
            intervention = Intervention(intervention)
            assert intervention.state == 'invoiced'
            invoice, = {
                l.invoice for l in intervention.invoice_lines
                if l.origin and l.origin.__name__ ==
                'project.intervention.line' and l.origin.id in ids
                and is_open(l.invoice)}
            assert -sum(
                l.amount for l in invoice.lines
                if l.advance_cancellation
                and l.intervention == intervention
                and l.advance_invoice.id == advance) == amount

    def valorize(self, model, ids):
        if not self.do(model, 'valorize', ids):
            return False
        invoices = self.find('account.invoice')
        # What bills them is shown
        assert self.do(model, 'valorize', ids)
        assert self.find('account.invoice') == invoices
        return True

    # Invoices

    def post_all(self, ids):
        for id_ in ids:
            self.do('account.invoice', 'post', [id_])

    @rule(invoice=which)
    def post(self, invoice):
        self.post_all(self.pick(
                'account.invoice', invoice,
                ('state', 'in', ['draft', 'validated'])))

    @rule()
    def post_them_together(self):
        self.do('account.invoice', 'post', self.find(
                'account.invoice', ('state', 'in', ['draft', 'validated'])))

    @rule(invoice=which, method=st.sampled_from([
                'validate_invoice', 'cancel', 'draft', 'delete', 'copy']))
    def use_invoice(self, invoice, method):
        self.do(
            'account.invoice', method, self.pick('account.invoice', invoice))

    @rule(invoice=which)
    def delete_draft(self, invoice):
        self.do('account.invoice', 'delete', self.pick(
                'account.invoice', invoice, ('state', '=', 'draft')))

    @rule(
        invoice=which, refund=st.booleans(), post=st.booleans(),
        line=st.one_of(st.none(), which),
        factor=st.sampled_from([0, .5, 1 / 3, 2]))
    def credit(self, invoice, refund, post, line, factor):
        ids = self.pick(
            'account.invoice', invoice, ('state', 'in', ['posted', 'paid']))
        if not ids:
            return
        invoices = self.find('account.invoice')
        wizard = Wizard(
            'account.invoice.credit', [Model.get('account.invoice')(ids[0])])
        wizard.form.with_refund = (
            refund and wizard.form.with_refund_allowed)
        try:
            wizard.execute('credit')
        except UserError as error:
            event(f"credit: {type(error).__name__}")
            return
        new, = set(self.find('account.invoice')) - set(invoices)
        if not refund:
            if line is not None:
                self.change_line([new], line, factor)
            if post:
                self.post_all([new])

    @rule(invoice=which)
    def pay(self, invoice):
        ids = self.pick('account.invoice', invoice, ('state', '=', 'posted'))
        if not ids:
            return
        try:
            wizard = Model.get('account.invoice')(ids[0]).click('pay')
            wizard.form.payment_method = get(
                'account.invoice.payment.method', "Cash")
            wizard.execute('choice')
        except UserError as error:
            event(f"pay: {type(error).__name__}")

    @rule(reconciliation=which)
    def unreconcile(self, reconciliation):
        self.do('account.move.reconciliation', 'delete', self.pick(
                'account.move.reconciliation', reconciliation))

    @rule(
        invoice=which, line=which,
        factor=st.sampled_from([0, .5, 1 / 3, -1, 1.01, 2]))
    def write_line(self, invoice, line, factor):
        self.change_line(
            self.pick('account.invoice', invoice, ('state', '=', 'draft')),
            line, factor)

    def change_line(self, invoices, line, factor):
        for id_ in self.pick(
                'account.invoice.line', line, ('invoice', 'in', invoices),
                ('type', '=', 'line')):
            line = Model.get('account.invoice.line')(id_)
            self.do('account.invoice.line', 'write', [line.id], {
                    'quantity': line.quantity * factor})

    @rule(invoice=which, line=which, price=prices)
    def write_line_price(self, invoice, line, price):
        ids = self.pick('account.invoice', invoice, ('state', '=', 'draft'))
        self.do('account.invoice.line', 'write', self.pick(
                'account.invoice.line', line, ('invoice', 'in', ids)), {
                'unit_price': price})

    @rule(invoice=which, line=which)
    def delete_line(self, invoice, line):
        ids = self.pick(
            'account.invoice', invoice, ('state', 'in', [
                    'draft', 'cancelled']))
        self.do('account.invoice.line', 'delete', self.pick(
                'account.invoice.line', line, ('invoice', 'in', ids)))

    # Tryton's own project invoicing

    @rule(progress=st.sampled_from([.1, 1 / 3, .5, 1.]), work=which)
    def invoice_project(self, progress, work):
        task = self.find('project.work', ('type', '=', 'task'))
        self.do('project.work', 'write', task, {'progress': progress})
        self.do('project.work', 'invoice', [
                self.works[work % len(self.works)]])

    # After every step

    @invariant()
    def check(self):
        def check():
            Advance = Pool().get('project.advance_invoice')
            advances = Advance.search([])
            for check in CHECKS:
                check(advances)
        if hasattr(self, 'works'):
            self.read(check)


def test_advances(start):
    AdvanceMachine.restore = staticmethod(start)
    run_state_machine_as_test(AdvanceMachine)
