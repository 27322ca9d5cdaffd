# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What the amendment of a sale changes in its contract"""
from decimal import Decimal

import pytest
from proteus import Model

from .tools import (
    activate, billed, create_sale, get, next_invoice, pay, set_current, work)

pytestmark = pytest.mark.xdist_group('test_amendment')


@pytest.fixture(scope='module', autouse=True)
def amendment():
    activate('sale_amendment')


def amend(sale, action, line=None, **values):
    sale.reload()
    amendment = Model.get('sale.amendment')(sale=sale)
    change = amendment.lines.new(action=action)
    if line:
        change.line = line
    for name, value in values.items():
        setattr(change, name, value)
    amendment.save()
    amendment.click('validate_amendment')
    sale.reload()


def bill_sale(*lines, ratios):
    sale = create_sale(*lines)
    first, = sale.click('progress_invoice')
    set_current(first, *ratios)
    first.click('post')
    sale.reload()
    return sale, first


def test_what_was_to_be_measured():
    sale, first = bill_sale((0, '100'), (8, '100'), ratios=[0, .5])
    assert billed(first) == [0, 400]
    amend(sale, 'line', sale.lines[0], quantity=50)
    second = next_invoice(first, post=False)
    assert [l.progress_total_quantity for l in work(second)] == [50, 8]
    set_current(second, .4, 1)
    second.click('post')
    closing, = second.click('closing_progress_invoice')
    closing.click('post')
    assert [billed(second), billed(closing)] == [[2000, 400], [3000, 0]]
    contract = first.progress_contract
    contract.reload()
    assert (contract.original_amount, contract.change_amount) == (800, 5000)
    for invoice in [first, second]:
        pay(invoice)
    sale.reload()
    assert sale.state == 'processing'
    pay(closing)
    sale.reload()
    assert sale.state == 'done'


def test_product_and_description_with_the_price():
    sale, first = bill_sale((10, '100', "Untaxed Service"), ratios=[.5])
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    amend(
        sale, 'line', sale.lines[0], product=product, description="Painted",
        unit_price=Decimal('110'))
    item, = first.progress_contract.lines
    item.reload()
    assert (item.product, item.description, item.unit_price) == (
        product, "Painted", 110)
    line, = work(next_invoice(first, post=False))
    assert (line.product, line.description, line.unit_price, line.amount) == (
        product, "Painted", 110, 50)


def test_only_what_is_amended_changes():
    sale, first = bill_sale((10, '100'), ratios=[.5])
    item, = first.progress_contract.lines
    item.unit_price = Decimal('95')
    item.description = "As agreed on the site"
    item.save()
    amend(sale, 'line', sale.lines[0], quantity=20)
    item.reload()
    assert (item.quantity, item.unit_price, item.description) == (
        20, 95, "As agreed on the site")


def test_payment_term_and_address():
    sale, first = bill_sale((10, '100'), ratios=[.3])
    Term = Model.get('account.invoice.payment_term')
    term = Term(name="30 days")
    line = term.lines.new(type='remainder')
    line.relativedeltas.new(days=30)
    term.save()
    party = get('party.party', "Customer")
    address = party.addresses.new(street="New Street")
    party.save()
    address = party.addresses[-1]
    amend(sale, 'payment_term', payment_term=term)
    amend(
        sale, 'party', party=party, invoice_address=address,
        shipment_address=party.addresses[0])
    second = next_invoice(first, post=False)
    assert (second.payment_term, second.invoice_address) == (term, address)
    # What is changed on the document since is kept
    second.payment_term = None
    set_current(second, .6)
    second.click('post')
    third = next_invoice(second, post=False)
    assert (third.payment_term, third.invoice_address) == (None, address)
