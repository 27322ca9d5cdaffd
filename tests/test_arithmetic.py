# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Whatever the percents, the documents of a contract sum to it to the cent.

Many lines share the invoices of a contract, each with percents of its own.
"""
import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal
from itertools import chain

import pytest
from proteus import Model, config
from trytond.exceptions import UserError
from trytond.modules.account.tests.tools import create_tax, get_accounts
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

from .registry import get_models
from .tools import (
    billed, create_deposit_account, create_invoice, create_sale, credit,
    next_invoice, set_current, work, write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_arithmetic')]

FIGURES = [
    'quantity', 'amount', 'progress_total_quantity',
    'progress_previous_quantity', 'progress_previous',
    'progress_current_quantity', 'progress_current']
CENT = Decimal('.01')
# Totals and unit prices whose products and parts need rounding
ODD = [
    (1, '10.07'), (3.333, '9.9999'), (.001, '1234.5678'), (1000, '.0049'),
    (1, '.01'), (3, '.005'), (-7, '14.2857'), (2.5, '-3.3333')]


def search_read(model, domain, *names, order=None):
    "Read at once what proteus would read record by record"
    return Model.get(model)._proxy.search_read(
        domain, 0, None, order, list(names), config.get_config().context)


def read_work(*invoices):
    "Return the figures of the lines on progress in their order"
    return search_read(
        'account.invoice.line', [
            ('invoice', 'in', [i.id for i in invoices]),
            ('progress_current_quantity', '!=', None),
            ],
        'progress_line', 'unit_price', *FIGURES)


def get_total(quantity, price, digit=CENT):
    return (Decimal(str(quantity)) * Decimal(price)).quantize(digit)


def get_ratios(length, seed):
    "Return random percents that grow to 100 %"
    generator = random.Random(seed)
    # Some twice to have lines that do not move
    ratios = generator.choices(range(10001), k=length - 1)
    return [r / 10000 for r in sorted(ratios)] + [1.]


def get_figures(line):
    return {n: getattr(line, n) for n in FIGURES}


def bill(invoice, *columns):
    """
    Return the posted documents of the contract that starts with the invoice

    Each column is the percents of a line in the documents.
    """
    documents = []
    for ratios in zip(*columns):
        if documents:
            invoice, = documents[-1].click('next_progress_invoice')
        write_current(invoice, *ratios)
        invoice.click('post')
        check(invoice)
        documents.append(invoice)
    return documents


def write_current(invoice, *ratios):
    "Write the percents by script which is faster than to type them"
    lines = read_work(invoice)
    assert len(lines) == len(ratios)
    values = []
    for line, ratio in zip(lines, ratios):
        values.extend([[line['id']], {'progress_current': ratio}])
    Line = Model.get('account.invoice.line')
    Line._proxy.write(*values, config.get_config().context)
    invoice.reload()


def check(invoice):
    "Check the invoice, its taxes and its move tell the amounts of the lines"
    lines = search_read(
        'account.invoice.line',
        [('invoice', '=', invoice.id), ('type', '=', 'line')],
        'amount', 'taxes')
    untaxed = sum(l['amount'] for l in lines)
    taxed = sum(l['amount'] for l in lines if l['taxes'])
    assert invoice.untaxed_amount == untaxed
    assert invoice.total_amount == untaxed + invoice.tax_amount
    assert sum(t.base for t in invoice.taxes) == taxed
    receivable = revenue = Decimal(0)
    for line in search_read(
            'account.move.line', [('move', '=', invoice.move.id)],
            'debit', 'credit', 'amount_second_currency', 'account', 'origin'):
        amount = line['amount_second_currency']
        if amount is None:
            amount = line['debit'] - line['credit']
        if line['account'] == invoice.account.id:
            receivable += amount
        elif (line['origin'] or '').startswith('account.invoice.line,'):
            assert amount
            revenue -= amount
    assert revenue == untaxed
    assert receivable == invoice.total_amount
    bases = search_read(
        'account.tax.line', [
            ('move_line.move', '=', invoice.move.id),
            ('type', '=', 'base'),
            ],
        'amount')
    assert sum(b['amount'] for b in bases) == taxed


def get_billed(*documents):
    "Return the sum of the amounts of each contract line"
    result = defaultdict(Decimal)
    for line in read_work(*documents):
        result[line['progress_line']] += line['amount']
    return [a for _, a in sorted(result.items())]


# To the cent

def test_10_07_at_any_percents():
    columns = [
        [.1429, .2858, .4287, .5716, .7145, .8574, 1.],
        [.1, .2, .3, .4, .5, .6, 1.],
        [.3333, .6666, 1., 1., 1., 1., 1.],
        [.0001, .0002, .0003, .0004, .0005, .9999, 1.],
        [0., 0., 0., 0., 0., 0., 1.],
        [1., 1., 1., 1., 1., 1., 1.],
        [.05, .05, .15, .15, .995, .995, 1.],
        *(get_ratios(7, seed) for seed in range(5))]
    documents = bill(
        create_invoice(*[(1, '10.07')] * len(columns)), *columns)
    assert get_billed(*documents) == [Decimal('10.07')] * len(columns)
    for document, ratios in zip(documents, zip(*columns)):
        assert [l['progress_current'] for l in read_work(document)] == list(
            ratios)
    assert document.progress_current_amount == 12 * Decimal('10.07')
    assert document.progress_remaining_amount == 0


def test_thirds_of_one_unit():
    sale = create_sale((1, '100', "Taxed Service"))
    invoice, = sale.click('progress_invoice')
    documents = bill(invoice, [.3333, .6666, 1.])
    assert [d.untaxed_amount for d in documents] == [
        Decimal('33.33'), Decimal('33.33'), Decimal('33.34')]
    assert [read_work(d)[0]['quantity'] for d in documents] == [
        .3333, .3333, .3334]


def test_odd_totals_and_prices():
    columns = [get_ratios(4, f'odd {i}') for i in range(len(ODD))]
    documents = bill(create_invoice(*ODD), *columns)
    assert get_billed(*documents) == [get_total(*l) for l in ODD]


def test_odd_quantities():
    "The quantity typed needs not be a round percent"
    generator = random.Random(20)
    invoice = create_invoice(*ODD)
    documents = []
    for _ in range(2):
        for line in work(invoice):
            total = Decimal(str(line.progress_total_quantity))
            before = Decimal(str(line.progress_previous_quantity))
            line.progress_current_quantity = float(before + (
                    (total - before) * generator.randrange(1001) / 1000
                    ).quantize(Decimal('.001')))
        invoice.save()
        invoice.click('post')
        check(invoice)
        for line in read_work(invoice):
            assert line['quantity'] == float(
                Decimal(str(line['progress_current_quantity']))
                - Decimal(str(line['progress_previous_quantity'])))
        documents.append(invoice)
        invoice = next_invoice(invoice, post=False)
    invoice.progress_closing = True
    invoice.save()
    invoice.click('post')
    check(invoice)
    assert get_billed(*documents, invoice) == [get_total(*l) for l in ODD]


@pytest.mark.parametrize('digits', [0, 3])
def test_currency(digits):
    digit = Decimal(10) ** -digits
    currency = Model.get('currency.currency')(
        name=f"Currency {digits}", code=f'XX{digits}', symbol='x',
        rounding=digit, digits=digits)
    rate = currency.rates.new()
    # The smallest amount is not nothing in the currency of the company
    rate.rate = Decimal('.1')
    currency.save()
    invoice = create_invoice()
    invoice.currency = currency
    for quantity, price in ODD:
        line = invoice.lines.new()
        line.account = get_accounts()['revenue']
        line.description = f"{quantity} x {price}"
        line.quantity = quantity
        line.unit_price = Decimal(price)
    invoice.save()
    documents = bill(
        invoice, *(get_ratios(3, f'{digits} {i}') for i in range(len(ODD))))
    assert get_billed(*documents) == [get_total(*l, digit) for l in ODD]


def test_negative_lines():
    documents = bill(
        create_invoice((-3, '3.3333'), (1, '100')),
        [.3333, .6667, 1.], [.4, .6, 1.])
    assert get_billed(*documents) == [Decimal('-10.00'), Decimal(100)]
    # Alone, it is billed as a credit
    documents = bill(create_invoice((-3, '3.3333')), [.3333, 1.])
    assert get_billed(*documents) == [Decimal('-10.00')]


# Taxes and moves

def test_percentage_tax():
    documents = bill(
        create_invoice(
            (1, '10.07', "Taxed Service"), (3, '33.3333', "Taxed Goods"),
            (-1, '5.55', "Taxed Service"), (1, '9.99', "Untaxed Service")),
        [.15, .15, 1.], [.3333, .6666, 1.], [0., .5, 1.], [.1, .2, 1.])
    assert sum(d.untaxed_amount for d in documents) == Decimal('114.51')
    for document in documents:
        for tax in document.taxes:
            assert tax.amount == (tax.base * Decimal('.2')).quantize(CENT)


def test_amounts_of_issue():
    documents = bill(
        create_invoice(
            (1, '1000', "Taxed Service"), (1, '500', "Taxed Service")),
        [.15, .60], [.05, 1.])
    closing, = documents[-1].click('closing_progress_invoice')
    closing.click('post')
    documents.append(closing)
    assert [d.untaxed_amount for d in documents] == [175, 925, 400]
    assert [d.total_amount for d in documents] == [210, 1110, 480]


def test_fixed_tax():
    "The tax per unit is the one of the quantity billed"
    tax = Model.get('account.tax')(
        name="Fee", description="Fee", type='fixed', amount=Decimal('1.50'))
    tax.invoice_account = tax.credit_note_account = get_accounts()['tax']
    tax.save()
    tax, = Model.get('account.tax').find([('name', '=', "Fee")])
    invoice = create_invoice((10, '3.3333'))
    invoice.lines[0].taxes.append(tax)
    invoice.save()
    documents = bill(invoice, [.3, .3, .7])
    assert [d.tax_amount for d in documents] == [
        Decimal('4.50'), 0, Decimal('6.00')]
    note = credit(documents[-1])
    note.click('post')
    check(note)
    assert note.tax_amount == Decimal('-6.00')
    closing, = note.click('closing_progress_invoice')
    closing.click('post')
    check(closing)
    assert closing.tax_amount == Decimal('10.50')
    documents = closing.progress_invoices
    assert sum(d.untaxed_amount for d in documents) == Decimal('33.33')
    assert sum(d.tax_amount for d in documents) == 15


@pytest.fixture
def round_taxes():
    "Return the function that sets how Tryton rounds the taxes"
    configuration = Model.get('account.configuration')(1)
    rounding = configuration.tax_rounding

    def set_(value):
        configuration.tax_rounding = value
        configuration.save()

    yield set_
    set_(rounding)


@pytest.mark.parametrize('rounding', ['document', 'line'])
def test_taxes_are_those_of_an_ordinary_invoice(round_taxes, rounding):
    "They are computed once for the lines that have the same"
    round_taxes(rounding)
    taxes = []
    for rate, price in [('.055', False), ('.2', False), ('.1', True)]:
        tax = create_tax(Decimal(rate))
        tax.update_unit_price = price
        tax.sequence = len(taxes)
        tax.save()
        taxes.append(tax)
    generator = random.Random(2)
    values = [{
            'quantity': 1,
            'unit_price': Decimal(generator.randint(-300000, 900000)) / 100,
            'taxes': [('add', [
                        t.id for t in taxes if generator.random() < .5])],
            } for _ in range(40)]
    ids = [
        create_invoice((1, '1'), progress=progress).id
        for progress in [True, False]]
    Invoice, Line = [
        get_models()[n] for n in ['account.invoice', 'account.invoice.line']]
    with Transaction().start(DB_NAME, 1, context=config.get_config().context):
        Line.create([
                {'invoice': i.id, 'account': i.lines[0].account.id, **v}
                for i in Invoice.browse(ids) for v in values])
        Invoice.update_taxes(Invoice.browse(ids))
        progress, ordinary = Invoice.browse(ids)
        tax_lines = [
            [(t.tax, t.account, t.base, t.amount) for t in i.taxes]
            for i in [progress, ordinary]]
        assert tax_lines[0] == tax_lines[1]
        # Each tax of what is billed and of what is taken back
        assert len(tax_lines[0]) == 6
        assert (len(progress.taxable_lines) < len(ordinary.taxable_lines)) == (
            rounding == 'document')


def test_saved_lines_are_taxed_as_each_of_them(round_taxes):
    "They are read together, those that are no work one by one"
    round_taxes('line')
    fee = create_tax(Decimal(0))
    fee.type = 'fixed'
    fee.rate = None
    fee.amount = Decimal('1.50')
    fee.save()
    first = create_invoice(
        (3, '3.3333', "Taxed Service"), (10, '10'), (7, '1'), (5, '7'))
    first.lines[2].taxes.append(fee)
    # PostgreSQL puts it before those without sequence
    exempt = create_tax(Decimal(0))
    exempt.sequence = 10
    exempt.save()
    first.lines[2].taxes.append(exempt)
    set_current(first, .3333, .5, .1, .2)
    first.click('post')
    second = next_invoice(first, .3333, .75, .2, .2, post=False)
    changed, dated, *_ = work(second)
    changed.unit_price = Decimal('4.4444')
    dated.taxes_date = first.invoice_date - dt.timedelta(days=400)
    recalled = second.lines.new(description="Advance payment")
    recalled.account = create_deposit_account()
    recalled.quantity = -1
    recalled.unit_price = Decimal(12)
    second.save()
    Invoice = get_models()['account.invoice']
    with Transaction().start(DB_NAME, 1, context=config.get_config().context):
        invoice = Invoice(second.id)
        taxable_lines = invoice.taxable_lines
        assert [
            (len(taxes), amount * (-1 if quantity < 0 else 1))
            for taxes, amount, quantity, _ in taxable_lines] == [
                (1, Decimal('1.11')), (0, 25), (2, 1), (0, -12)]
        assert taxable_lines == list(chain.from_iterable(
                l.taxable_lines for l in invoice.lines))
        date = invoice.tax_date
        assert [l[3] for l in taxable_lines] == [
            date, dated.taxes_date, date, date]


def test_lines_that_bill_nothing():
    first = create_invoice((10, '10', "Taxed Service"), (5, '7'))
    documents = bill(first, [0., .5, .5], [0., 0., 0.])
    assert [d.total_amount for d in documents] == [0, 60, 0]
    # Tryton makes the line of the receivable even of 0.00
    assert [len(d.move.lines) for d in documents] == [1, 3, 1]


def test_subtotal():
    invoice = create_invoice((1, '10.07'), (3, '3.3333'))
    for type in ['title', 'subtotal', 'comment']:
        line = invoice.lines.new(type=type)
        line.description = type.title()
    invoice.save()
    documents = bill(invoice, [.3333, .6666, 1.], [.1, .55, 1.])
    assert [d.untaxed_amount for d in documents] == [
        Decimal('4.36'), Decimal('7.85'), Decimal('7.86')]
    for document in documents:
        subtotal, = [l for l in document.lines if l.type == 'subtotal']
        assert subtotal.amount == document.untaxed_amount
        assert subtotal.quantity is None
        assert subtotal.progress_line.type == 'subtotal'
        assert subtotal.progress_current is None


# The work billed before

def test_previous_typed_on_first():
    invoice = create_invoice((1, '10.07'), (3, '3.3333'))
    for line, ratio in zip(work(invoice), [.3333, .1]):
        line.progress_previous = ratio
        line.progress_current = ratio
    invoice.save()
    assert billed(invoice) == [0, 0]
    documents = bill(invoice, [.5, 1.], [.1, 1.])
    assert get_billed(*documents) == [
        Decimal('10.07') - Decimal('3.36'), Decimal('10.00') - Decimal('1.00')]


def test_price_changed():
    "The new price applies to all of the current"
    first = create_invoice((3, '3.3333'), (10, '10'))
    set_current(first, .3333, .5)
    first.click('post')
    second = next_invoice(first, .3333, .5, post=False)
    assert billed(second) == [0, 0]
    for line, price in zip(work(second), ['4.4444', '12']):
        line.unit_price = Decimal(price)
    second.save()
    assert billed(second) == [Decimal('1.11'), 10]
    second.click('post')
    check(second)
    third, = second.click('closing_progress_invoice')
    third.click('post')
    check(third)
    assert get_billed(first, second, third) == [Decimal('13.33'), 120]


# Credit notes in between

@pytest.mark.parametrize('seed', range(2))
def test_credits_in_between(seed):
    generator = random.Random(f'credits {seed}')
    live, creditable = [], []
    for _ in range(3):
        if live:
            invoice = next_invoice(live[-1], post=False)
        else:
            invoice = create_invoice(*ODD)
        write_current(invoice, *(
                p + (1 - p) * generator.random()
                for p in [
                    l['progress_previous'] for l in read_work(invoice)]))
        invoice.click('post')
        check(invoice)
        live.append(invoice)
        creditable.append(invoice)
        if len(creditable) == 1:
            continue
        credited = creditable.pop(generator.randrange(len(creditable)))
        refund = generator.random() < .5
        note = credit(credited, refund=refund)
        assert get_billed(note, credited) == [0] * len(ODD)
        if refund:
            live.remove(credited)
            continue
        line = work(note)[1]
        write(line,
            progress_current_quantity=(
                line.progress_previous_quantity + line.quantity / 3))
        assert line.progress_current_amount == get_total(
            round(line.progress_current_quantity, 10), line.unit_price)
        note.click('post')
        check(note)
        live.append(note)
    closing, = live[-1].click('closing_progress_invoice')
    closing.click('post')
    check(closing)
    live.append(closing)
    assert [d.id for d in closing.progress_invoices] == [d.id for d in live]
    assert get_billed(*live) == [get_total(*l) for l in ODD]
    assert closing.progress_current_amount == closing.progress_total_amount
    assert closing.progress_remaining_amount == 0


def test_credit_of_each_document():
    "What was billed to the cent is credited to the cent, in any order"
    columns = [[.3333, .6666, 1.]] * len(ODD)
    documents = bill(create_invoice(*ODD), *columns)
    for document in [documents[1], documents[0], documents[2]]:
        note = credit(document)
        assert get_billed(note, document) == [0] * len(ODD)
        note.click('post')
        check(note)
        documents.append(note)
    assert get_billed(*documents) == [0] * len(ODD)
    again, = note.click('closing_progress_invoice')
    assert get_billed(again) == [get_total(*l) for l in ODD]


def test_part_of_document_credited():
    documents = bill(create_invoice((3, '3.3333')), [.3333, .6666, 1.])
    note = credit(documents[1])
    line, = work(note)
    write(line, progress_current=.9)
    # The difference to the contract at this percent
    assert line.amount == Decimal('9.00') - Decimal('10.00')
    note.click('post')
    rest = credit(documents[1])
    assert note.untaxed_amount + rest.untaxed_amount == (
        -documents[1].untaxed_amount)
    rest.click('post')
    assert get_billed(*documents, note, rest) == [
        Decimal('10.00') - documents[1].untaxed_amount]
    again = next_invoice(rest, 1.)
    assert get_billed(*documents, note, rest, again) == [Decimal('10.00')]


def test_refund_of_first():
    documents = bill(
        create_invoice((1, '10.07'), (3, '3.3333')),
        [.3333, .6666], [.1, .5])
    amounts = billed(documents[0])
    credit(documents[0], refund=True)
    assert documents[0].state == 'cancelled'
    third = next_invoice(documents[1], .6666, .5)
    assert billed(third) == amounts
    closing, = third.click('closing_progress_invoice')
    closing.click('post')
    assert get_billed(*closing.progress_invoices) == [
        Decimal('10.07'), Decimal('10.00')]
    assert len(closing.progress_invoices) == 3


# The same figures whoever types them

def test_previous_is_no_round_percent():
    "The percent of Previous that the client shows is not what was billed"
    first = create_invoice((3, '100'))
    line, = work(first)
    line.progress_current_quantity = 1
    first.save()
    first.click('post')
    second = next_invoice(first, post=False)
    line, = work(second)
    assert line.progress_previous == .3333
    line.progress_current_quantity = 2
    second.save()
    assert billed(second) == [100]


@pytest.mark.parametrize(
    'name', ['progress_current', 'progress_current_quantity'])
def test_client_and_script(name):
    lines = ODD[:6]
    client, script = create_invoice(*lines), create_invoice(*lines)
    for ratios in [[.4, .3333, .66667, .5555, 0., .8575], [1.] * 6]:
        if name == 'progress_current':
            values = ratios
        else:
            values = [
                round(q * r, 5) for (q, _), r in zip(lines, ratios)]
        for line, value in zip(work(client), values):
            setattr(line, name, value)
        shown = [get_figures(l) for l in work(client)]
        client.save()
        assert [get_figures(l) for l in work(client)] == shown
        for line, value in zip(work(script), values):
            write(line, **{name: value})
        script.reload()
        assert [get_figures(l) for l in work(script)] == shown
        assert client.untaxed_amount == script.untaxed_amount
        if ratios[0] < 1:
            client.click('post')
            script.click('post')
            client = next_invoice(client, post=False)
            script = next_invoice(script, post=False)


def test_previous_of_client_and_script():
    lines = ODD[:6]
    client, script = create_invoice(*lines), create_invoice(*lines)
    for line in work(client):
        line.progress_previous = .3333
        line.progress_current = .8888
    shown = [get_figures(l) for l in work(client)]
    client.save()
    assert [get_figures(l) for l in work(client)] == shown
    for line in work(script):
        write(line, progress_previous=.3333, progress_current=.8888)
    script.reload()
    assert [get_figures(l) for l in work(script)] == shown


def test_quantity_by_script():
    "The quantity of a contract line is derived"
    sale = create_sale((20, '100'))
    first, = sale.click('progress_invoice')
    set_current(first, .1)
    line, = work(first)
    write(line, quantity=7)
    assert line.quantity == 2
    first.click('post')
    second = next_invoice(first, .6, post=False)
    for values in [
            {'quantity': 7},
            {'quantity': 0},
            {'quantity': None},
            {'quantity': 7, 'progress_current': .6},
            {'quantity': 7, 'unit_price': Decimal(100)},
            ]:
        line, = work(second)
        write(line, **values)
        second.reload()
        assert get_figures(line) == {
            'quantity': 10, 'amount': 1000,
            'progress_total_quantity': 20,
            'progress_previous_quantity': 2, 'progress_previous': .1,
            'progress_current_quantity': 12, 'progress_current': .6,
            }
        assert second.untaxed_amount == 1000


def test_derived_figures_by_script():
    "They are refused or derived again"
    invoice = create_invoice((20, '100'))
    set_current(invoice, .5)
    line, = work(invoice)
    for name in [
            'progress_previous_amount', 'progress_current_amount',
            'progress_total_amount', 'progress_previous_price',
            'progress_credit_quantity', 'progress_credit_amount']:
        value = 1 if name.endswith('quantity') else Decimal(1)
        try:
            write(line, **{name: value})
        except UserError:
            pass
        invoice.reload()
        assert getattr(line, name) != value
        assert (line.quantity, line.amount) == (10, 1000)
        assert invoice.untaxed_amount == 1000


def test_quantity_wins_over_ratio():
    invoice = create_invoice((20, '100'))
    line, = work(invoice)
    for quantity in [12, 0, 20]:
        write(line, progress_current_quantity=quantity, progress_current=.5)
        assert line.progress_current_quantity == quantity
        assert line.progress_current == quantity / 20
    write(line,
        progress_previous_quantity=0, progress_previous=.5,
        progress_current_quantity=4, progress_current=.9)
    assert line.progress_previous_quantity == 0
    assert line.quantity == 4


def test_zero_is_a_percent():
    invoice = create_invoice((20, '100'))
    line, = work(invoice)
    for name in ['progress_current', 'progress_current_quantity']:
        write(line, progress_current=.5)
        write(line, **{name: 0})
        assert (line.progress_current, line.quantity) == (0, 0)
        write(line, progress_current=.5)
        setattr(line, name, 0)
        invoice.save()
        line, = work(invoice)
        assert (line.progress_current, line.quantity) == (0, 0)
    # On a new line too, which else is billed in full
    values = {
        'invoice': invoice.id, 'type': 'line', 'description': "New",
        'account': line.account.id, 'unit_price': Decimal(10), 'quantity': 3,
        }
    Line = Model.get('account.invoice.line')
    ids = Line._proxy.create([
            values,
            {**values, 'progress_current': 0},
            {**values, 'progress_current_quantity': 0},
            {**values, 'progress_current_quantity': 0, 'progress_current': 1},
            ], config.get_config().context)
    assert [Line(i).progress_current for i in ids] == [1, 0, 0, 0]
    assert [Line(i).progress_total_quantity for i in ids] == [3] * 4
    assert [Line(i).amount for i in ids] == [30, 0, 0, 0]
    wizard = invoice.click('set_progress')
    wizard.form.ratio = 0
    wizard.execute('set_')
    invoice.reload()
    assert invoice.untaxed_amount == 0
    invoice.click('post')
    assert invoice.progress_remaining_amount == 2120
