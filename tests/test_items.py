# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The items of a contract: what is sold is billed, once, and not forgotten"""
from decimal import Decimal

import pytest
from proteus import Model
from trytond.exceptions import UserError
from trytond.modules.account.tests.tools import get_accounts

from .refused import refused
from .tools import (
    billed, create, create_invoice, create_sale, credit, get, next_invoice,
    pay, set_current, user_of, work, write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_items')]


def bill_sale(*lines, ratios, **kwargs):
    "Return a sale whose first document is posted with the ratios"
    sale = create_sale(*lines, **kwargs)
    invoice, = sale.click('progress_invoice')
    set_current(invoice, *ratios)
    invoice.click('post')
    sale.reload()
    return sale, invoice


def close(invoice):
    closing, = invoice.click('closing_progress_invoice')
    closing.click('post')
    return closing


def add_extra(draft):
    "Type a free line of 70.00 on the draft"
    line = draft.lines.new()
    line.account = get_accounts()['revenue']
    line.description = "Extra"
    line.quantity = 1
    line.unit_price = Decimal('70')
    draft.save()


def create_contract(*lines):
    "Return a contract made by hand with items of quantity and price"
    contract = Model.get('account.progress_contract')(
        party=get('party.party', "Customer"))
    for quantity, price in lines:
        line = contract.lines.new()
        line.description = f"{quantity} x {price}"
        line.quantity = quantity
        line.unit_price = Decimal(price)
        line.account = get_accounts()['revenue']
    contract.save()
    return contract


# What is sold is not forgotten

def test_line_deleted_from_the_first_draft_comes_back():
    sale = create_sale((10, '100'), (1, '12'))
    first, = sale.click('progress_invoice')
    first.lines.remove(work(first)[1])
    first.save()
    set_current(first, .5)
    assert first.progress_total_amount == 1012
    first.click('post')
    contract = first.progress_contract
    assert (contract.total_amount, contract.remaining_amount) == (1012, 512)

    closing = close(first)

    assert billed(closing) == [500, 12]
    pay(first)
    sale.reload()
    assert sale.state == 'processing'
    pay(closing)
    sale.reload()
    assert sale.state == 'done'


def test_sale_is_not_done_with_a_line_that_was_not_billed():
    sale = create_sale((10, '100'), (1, '12'))
    first, = sale.click('progress_invoice')
    first.lines.remove(work(first)[1])
    first.save()
    set_current(first, 1)
    first.click('post')
    pay(first)
    sale.reload()
    assert (sale.state, sale.invoice_state) == ('processing', 'partially paid')
    assert sale.lines[1].quantity_to_invoice == 1


def test_line_typed_on_a_sale_later_joins_the_contract():
    sale, first = bill_sale((10, '100'), ratios=[.5], state='quotation')
    credit(first, refund=True)
    sale.reload()
    sale.click('draft')
    line = sale.lines.new()
    line.description = "Freight"
    line.quantity = 1
    line.unit_price = Decimal('3')
    sale.lines[0].unit_price = Decimal('90')
    sale.save()
    sale.click('quote')
    sale.click('confirm')
    contract = first.progress_contract
    contract.reload()
    assert contract.total_amount == 903
    assert (contract.original_amount, contract.change_amount) == (1000, -97)

    second, = sale.click('progress_invoice')
    second.progress_closing = True
    second.save()
    assert billed(second) == [900, 3]


def test_free_item_of_a_deleted_draft_is_gone():
    first = create_invoice((10, '100'))
    set_current(first, .5)
    first.click('post')
    draft = next_invoice(first, post=False)
    add_extra(draft)
    contract = first.progress_contract
    contract.reload()
    assert contract.total_amount == 1070

    draft.lines.remove(draft.lines[-1])
    draft.save()
    contract.reload()
    assert contract.total_amount == 1000

    add_extra(draft)
    draft.delete()
    contract.reload()
    assert contract.total_amount == 1000
    assert len(contract.lines) == 1


def test_item_carried_and_deleted_comes_back():
    first = create_invoice((10, '100'), (1, '70'))
    set_current(first, .5, .5)
    first.click('post')
    draft = next_invoice(first, post=False)
    draft.lines.remove(work(draft)[1])
    draft.save()
    set_current(draft, 1)
    draft.click('post')

    assert billed(close(draft)) == [0, 35]


def test_items_of_a_cancelled_draft_are_not_billed():
    first = create_invoice((10, '100'))
    set_current(first, .5)
    first.click('post')
    draft = next_invoice(first, post=False)
    add_extra(draft)
    draft.click('cancel')
    contract = first.progress_contract
    contract.reload()
    assert contract.total_amount == 1000

    assert billed(close(first)) == [500]


def test_titles_and_comments_are_items():
    sale = create_sale((10, '100'), state='draft')
    line = sale.lines.new(type='title')
    line.description = "Ground Floor"
    sale.save()
    sale.click('quote')
    sale.click('confirm')
    first, = sale.click('progress_invoice')
    assert [l.type for l in first.progress_contract.lines] == [
        'line', 'title']
    title = first.lines[1]
    first.lines.remove(title)
    first.save()
    set_current(first, .5)
    first.click('post')
    second = next_invoice(first, post=False)
    assert [(l.type, l.description) for l in second.lines[1:]] == [
        ('title', "Ground Floor")]


# The sale continues its contract

def test_sale_continues_the_contract_of_its_cancelled_documents():
    sale, first = bill_sale((10, '100'), ratios=[.5])
    contract = first.progress_contract
    credit(first, refund=True)
    sale.reload()
    assert sale.progress_contract == contract

    second, = sale.click('progress_invoice')
    assert second.progress_contract == contract
    set_current(second, .3)
    assert second.untaxed_amount == 300
    second.click('post')
    contract.reload()
    assert contract.billed_amount == 300


def test_sale_confirmed_on_progress_has_its_contract():
    sale = create_sale((10, '100'), (0, '20'), state='quotation')
    assert not sale.progress_contract
    sale.click('confirm')
    contract = sale.progress_contract
    assert [l.amount for l in contract.lines] == [1000, 0]
    assert [c.id for c in Model.get('account.progress_contract').find([
                ('open_invoice', '=', None),
                ('state', '=', 'open'),
                ('sales', '=', sale.id),
                ])] == [contract.id]

    first, = contract.click('progress_invoice')
    assert first.progress_contract == contract
    assert [l.origin.id for l in first.lines] == [l.id for l in sale.lines]
    # It stays when the draft is deleted
    first.delete()
    contract.reload()
    assert contract.total_amount == 1000


def test_cancelled_sale_leaves_the_contract():
    first = create_invoice((1, '50'))
    sale = create_sale((10, '100'), state='quotation')
    wizard = first.click('import_progress_quotation')
    wizard.form.sales.append(Model.get('sale.sale')(sale.id))
    wizard.execute('import_')
    first.reload()
    contract = first.progress_contract
    assert contract.total_amount == 1050
    for line in work(first)[1:]:
        first.lines.remove(line)
    first.save()
    contract.reload()
    assert contract.total_amount == 1050
    sale.click('cancel')
    contract.reload()
    assert contract.total_amount == 50


def test_sale_of_an_idle_contract_goes_to_another():
    sale = create_sale((10, '100'))
    contract = sale.progress_contract
    invoice = create_invoice((1, '50'))
    wizard = invoice.click('import_progress_sale')
    wizard.form.sales.append(Model.get('sale.sale')(sale.id))
    wizard.execute('import_')
    sale.reload()
    assert sale.progress_contract == invoice.progress_contract
    assert not Model.get('account.progress_contract').find([
            ('id', '=', contract.id)])


# By hand

def test_contract_by_hand_is_billed():
    contract = create_contract((10, '100'), (3, '3.33'))
    assert [l.amount for l in contract.lines] == [1000, Decimal('9.99')]
    first, = contract.click('progress_invoice')
    assert billed(first) == [0, 0]
    set_current(first, .5, 1)
    assert billed(first) == [500, Decimal('9.99')]
    first.click('post')
    contract.reload()
    assert contract.billed_amount == Decimal('509.99')
    line, _ = contract.lines
    assert (line.billed_quantity, line.billed_amount, line.progress) == (
        5, 500, .5)
    assert [l.finished for l in contract.lines] == [False, True]


def test_script_lands_on_the_figures_of_the_client():
    contract = create_contract()
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    item = create('account.progress_contract.line',
        contract=contract.id, product=product.id, quantity=2.,
        unit_price=Decimal('10'))
    typed = contract.lines.new()
    typed.product = product
    typed.quantity = 2
    typed.unit_price = Decimal('10')
    contract.save()
    _, other = Model.get('account.progress_contract')(contract.id).lines
    for name in ['amount', 'unit', 'account', 'taxes', 'opening_amount']:
        assert getattr(item, name) == getattr(other, name), name
    assert item.taxes and item.amount == 20


def test_billed_before_tryton():
    contract = create_contract((10, '100'))
    line, = contract.lines
    line.opening_quantity = 3
    contract.save()
    assert line.opening_amount == 300
    line, = contract.lines
    line.unit_price = Decimal('110')
    contract.save()
    assert contract.lines[0].opening_amount == 330
    line, = contract.lines
    line.opening_amount = Decimal('320.50')
    contract.save()
    first, = contract.click('progress_invoice')
    row, = work(first)
    assert (row.progress_previous_quantity, row.amount) == (3, 0)
    set_current(first, .5)
    # What was billed is not billed again
    assert first.untaxed_amount == Decimal('229.50')
    assert first.progress_previous_amount == Decimal('320.50')
    first.click('post')
    line.reload()
    with refused(line):
        write(line, opening_quantity=4.)
    with refused(line):
        write(line, opening_amount=Decimal('1'))


# What is sold changes

def test_item_changed_follows_to_the_draft():
    sale, first = bill_sale((10, '100'), (1, '50'), ratios=[.5, 0])
    draft = next_invoice(first, post=False)
    item, other = first.progress_contract.lines
    write(item, unit_price=Decimal('110'), description="Painted")
    write(other, quantity=3.)
    draft.reload()
    line, other_line = work(draft)
    assert (line.unit_price, line.description, line.amount) == (
        110, "Painted", 50)
    assert other_line.progress_total_quantity == 3
    assert draft.progress_total_amount == 1250
    set_current(draft, 1, 1)
    assert billed(draft) == [600, 150]
    draft.click('post')
    contract = first.progress_contract
    contract.reload()
    assert (contract.original_amount, contract.change_amount) == (1050, 200)
    sale.reload()
    assert not sale.to_invoice


def test_total_below_what_is_billed_is_refused():
    sale, first = bill_sale((10, '100'), ratios=[.5])
    item, = first.progress_contract.lines
    with refused(item):
        write(item, quantity=4.)
    write(item, quantity=5.)
    sale.reload()
    assert sale.lines[0].progress_finished


def test_item_of_a_closed_contract_does_not_change():
    _, first = bill_sale((10, '100'), ratios=[.5])
    closing = close(first)
    item, = first.progress_contract.lines
    for values in [
            {'quantity': 20.}, {'unit_price': Decimal('1')},
            {'description': "Other"}]:
        with refused(item):
            write(item, **values)
    credit(closing).click('post')
    write(item, quantity=20.)


def test_item_on_a_document_is_not_deleted():
    sale = create_sale((10, '100'), (1, '12'))
    first, = sale.click('progress_invoice')
    item, other = first.progress_contract.lines
    for item_ in [item, other]:
        with refused(item_):
            item_.delete()
    first.lines.remove(work(first)[1])
    first.save()
    other.delete()
    contract = first.progress_contract
    contract.reload()
    assert contract.total_amount == 1000


def test_deleted_item_frees_the_line_of_the_sale():
    sale = create_sale((10, '100'), (1, '12'))
    first, = sale.click('progress_invoice')
    first.lines.remove(work(first)[1])
    first.save()
    contract = first.progress_contract
    contract.lines[1].delete()
    sale.click('process')
    contract.reload()
    assert len(contract.lines) == 1
    first.reload()
    wizard = first.click('import_progress_sale')
    wizard.form.sales.append(Model.get('sale.sale')(sale.id))
    wizard.execute('import_')
    first.reload()
    assert [l.origin.id for l in work(first)] == [l.id for l in sale.lines]


@pytest.mark.parametrize('value', [float('inf'), float('nan')])
@pytest.mark.parametrize('name', ['quantity', 'opening_quantity'])
def test_what_is_no_number_is_refused(name, value):
    contract = create_contract((10, '100'))
    with refused():
        write(contract.lines[0], **{name: value})
    with refused():
        create('account.progress_contract.line', **{
                'contract': contract.id, 'description': "X",
                'quantity': 1., 'unit_price': Decimal(1), name: value})


def test_who_may_invoice_may_type_a_free_line():
    with user_of("Accounting"):
        invoice = create_invoice((10, '100'))
        assert invoice.progress_contract.lines[0].amount == 1000


def test_posted_totals_stay():
    first = create_invoice((10, '100'), (1, '70'))
    set_current(first, .5, .5)
    first.click('post')
    second = next_invoice(first, post=False)
    second.lines.remove(work(second)[1])
    second.save()
    set_current(second, .8)
    second.click('post')
    names = [
        'progress_total_amount', 'progress_previous_amount',
        'progress_current_amount', 'progress_remaining_amount']
    figures = [getattr(second, n) for n in names]
    assert figures == [1070, 535, 835, 235]

    credit(first, refund=True)

    second.reload()
    assert [getattr(second, n) for n in names] == figures


# Nothing is billed twice by another road

def test_ordinary_line_of_what_a_contract_bills_is_refused():
    sale, first = bill_sale((10, '100'), ratios=[.3])
    ordinary = create_invoice((1, '5'), progress=False)
    values = {
        'invoice': ordinary.id, 'type': 'line', 'quantity': 2.,
        'description': "Again", 'unit_price': Decimal(100),
        'account': ordinary.lines[0].account.id}
    origin = f'sale.line,{sale.lines[0].id}'
    with refused(sale.lines[0], first.progress_contract):
        create('account.invoice.line', **values, origin=origin)
    with refused(sale.lines[0], first.progress_contract):
        write(ordinary.lines[0], origin=origin)
    with refused(sale.lines[0], first.progress_contract):
        write(ordinary, lines=[('create', [{
                            **{n: v for n, v in values.items()
                                if n != 'invoice'},
                            'origin': origin}])])


def test_quotation_of_a_closed_contract_is_not_offered():
    sale, first = bill_sale((10, '100'), ratios=[.5], state='quotation')
    assert sale.invoice_state == 'awaiting payment'
    close(first)
    sale.reload()
    assert sale.state == 'quotation'
    invoice = create_invoice((1, '5'))
    wizard = invoice.click('import_progress_quotation')
    wizard.form.sales.append(Model.get('sale.sale')(sale.id))
    with pytest.raises(UserError):
        wizard.execute('import_')
