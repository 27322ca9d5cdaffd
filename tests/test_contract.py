# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What could break a contract: each case was once wrong"""
from decimal import Decimal

import pytest
from proteus import Model
from trytond.exceptions import UserError
from trytond.modules.account.tests.tools import get_accounts

from .refused import refused, tasks_refused
from .tools import (
    billed, create, create_invoice, create_sale, credit, next_invoice, pay,
    set_current, work)

pytestmark = pytest.mark.usefixtures('database')


def import_sale(invoice, sale):
    wizard = invoice.click('import_progress_sale')
    wizard.form.sales.append(Model.get('sale.sale')(sale.id))
    wizard.execute('import_')
    invoice.reload()


def write(record, **values):
    "Write as a script that sends nothing else"
    record._proxy.write([record.id], values, record._context)
    record.reload()


def test_deleted_line_imported_again_is_carried():
    sale = create_sale((10, '10'))
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .5)
    invoice.click('post')
    draft = next_invoice(invoice, post=False)
    draft.lines.remove(work(draft)[0])
    draft.save()

    import_sale(draft, sale)

    line, = work(draft)
    assert line.progress_previous_quantity == 5
    assert line.progress_line == work(invoice)[0].progress_line
    set_current(draft, 1.)
    assert draft.untaxed_amount == 50


def test_item_only_once_on_an_invoice():
    sale = create_sale((10, '10'))
    invoice, = sale.click('progress_invoice')
    line, = work(invoice)
    with pytest.raises(UserError, match="already on the invoice"):
        line._proxy.create([{
                    'invoice': invoice.id,
                    'origin': f'sale.line,{sale.lines[0].id}',
                    'account': line.account.id,
                    'unit': line.unit.id,
                    'product': line.product.id,
                    'quantity': 1,
                    'unit_price': Decimal(10),
                    'company': invoice.company.id,
                    'currency': invoice.currency.id,
                    }], line._context)


def test_same_previous_written_again_adds_nothing():
    first = create_invoice((10, '10'), (1, '5'))
    set_current(first, .5, .5)
    first.click('post')
    draft = next_invoice(first, post=False)
    write(draft, previous_progress_invoice=first.id)
    write(draft, progress=True)
    assert len(draft.lines) == 2


def test_credited_invoice_not_cancelled():
    first = create_invoice((10, '10'))
    first.click('post')
    credit_note = credit(first)
    with pytest.raises(UserError, match="credited by"):
        first.click('cancel')
    credit_note.click('post')
    with pytest.raises(UserError, match="credited by"):
        first.click('cancel')


def test_credit_note_of_credit_note_stays_in_total():
    first = create_invoice((10, '10'))
    first.click('post')
    credit_note = credit(first)
    credit_note.click('post')
    next_invoice(first, 1.)
    with pytest.raises(UserError, match="can not credit"):
        credit(credit_note)
    with pytest.raises(UserError, match="not between 0 and its total"):
        credit_note.click('cancel')


def test_credit_note_of_credit_note():
    first = create_invoice((10, '10'))
    first.click('post')
    credit_note = credit(first)
    credit_note.click('post')
    again = credit(credit_note)
    again.click('post')
    line, = work(again)
    assert line.progress_current_quantity == 10
    assert again.untaxed_amount == 100


def test_credit_after_total_raised():
    first = create_invoice((10, '10'))
    first.click('post')
    draft = next_invoice(first, post=False)
    line, = work(draft)
    line.progress_total_quantity = 20
    line.progress_current_quantity = 20
    draft.save()
    draft.click('post')
    credit_note = credit(first)
    line, = work(credit_note)
    assert (line.progress_total_quantity, line.quantity) == (20, -10)


def test_cancel_with_open_draft():
    first = create_invoice((10, '10'))
    set_current(first, .3)
    first.click('post')
    second = next_invoice(first, .5)
    draft = next_invoice(second, .6, post=False)

    second.click('cancel')

    draft.reload()
    assert draft.previous_progress_invoice == first
    assert billed(draft) == [Decimal('30.00')]
    first.click('cancel')
    draft.reload()
    assert not draft.previous_progress_invoice
    assert draft.progress_number == 1
    draft.click('post')
    assert draft.untaxed_amount == 60


@pytest.mark.parametrize('name, value', [
        ('progress_credit_amount', Decimal(9000)),
        ('progress_current_amount', Decimal(9000)),
        ('progress_previous_amount', Decimal(9000)),
        ('progress_previous_price', Decimal(9000)),
        ])
def test_figures_not_written(name, value):
    first = create_invoice((10, '10'))
    first.click('post')
    credit_note = credit(first)
    line, = work(credit_note)
    with pytest.raises(UserError):
        write(line, **{name: value})


def test_place_in_contract_not_written():
    first = create_invoice((10, '10'))
    first.click('post')
    draft = next_invoice(first, post=False)
    other = create_invoice((10, '10'))
    with pytest.raises(UserError):
        write(draft, progress_number=7)
    with pytest.raises(UserError):
        write(other, progress_credited_invoice=first.id)
    with pytest.raises(UserError):
        write(other, progress_contract=first.progress_contract.id)


def test_no_work_on_credit_note():
    first = create_invoice((10, '10'))
    first.click('post')
    credit_note = credit(first)
    line = credit_note.lines.new()
    line.account = work(first)[0].account
    line.quantity = 1
    line.unit_price = Decimal(5)
    with pytest.raises(UserError, match="credits nothing"):
        credit_note.save()


def test_sale_with_line_of_no_quantity_is_done():
    sale = create_sale((10, '10'), (0, '10'))
    invoice, = sale.click('progress_invoice')
    set_current(invoice, 1., 0)
    invoice.click('post')
    pay(invoice)
    sale.reload()
    assert (sale.state, sale.invoice_state) == ('done', 'paid')


def test_sale_of_closed_contract_is_done():
    sale = create_sale((10, '10'), (5, '10'))
    invoice, = sale.click('progress_invoice')
    work(invoice)[1].progress_completed = True
    invoice.progress_closing = True
    invoice.save()
    assert invoice.untaxed_amount == 100
    invoice.click('post')
    pay(invoice)
    sale.reload()
    assert (sale.state, bool(sale.to_invoice)) == ('done', False)


def test_closing_invoice_bills_all_that_is_left():
    sale = create_sale((10, '10'))
    other = create_sale((5, '10'))
    first, = sale.click('progress_invoice')
    import_sale(first, other)
    set_current(first, .5, .4)
    first.click('post')
    closing = next_invoice(first, post=False)
    item = work(closing)[1].progress_line
    closing.lines.remove(work(closing)[1])
    closing.progress_closing = True
    closing.save()
    with refused(closing, item):
        closing.click('post')

    import_sale(closing, other)
    assert closing.untaxed_amount == 80
    closing.click('post')
    other.reload()
    assert other.lines[0].quantity_to_invoice == 0

    credit(closing).click('post')
    other.reload()
    assert other.lines[0].quantity_to_invoice == 3


def test_closing_invoice_ends_a_sale_that_it_does_not_name():
    sale = create_sale((10, '10'))
    other = create_sale((5, '10'))
    first, = sale.click('progress_invoice')
    import_sale(first, other)
    set_current(first, .5, 1)
    first.click('post')
    closing = next_invoice(first, post=False)
    closing.lines.remove(work(closing)[1])
    closing.progress_closing = True
    closing.save()
    closing.click('post')
    pay(first)
    pay(closing)
    other.reload()
    assert other.state == 'done'


def test_manual_sale_invoiced_after_its_draft_is_deleted():
    sale = create_sale((10, '10'), method='manual')
    invoice, = sale.click('progress_invoice')
    invoice.delete()
    sale.click('manual_invoice')
    invoice, = sale.invoices
    assert not invoice.progress and invoice.untaxed_amount == 100


def test_price_typed_on_invoice_is_carried():
    sale = create_sale((10, '10'))
    invoice, = sale.click('progress_invoice')
    line, = work(invoice)
    line.progress_current = .5
    line.unit_price = Decimal(9)
    invoice.save()
    invoice.click('post')
    assert invoice.untaxed_amount == 45
    draft = next_invoice(invoice, post=False)
    assert draft.untaxed_amount == 0
    assert work(draft)[0].unit_price == 9


def test_amounts_of_deleted_line_follow_live_documents():
    first = create_invoice((10, '10'), (1, '7'))
    set_current(first, .5, 0)
    first.click('post')
    second = next_invoice(first, .6, 0)
    first.click('cancel')
    draft = next_invoice(second, post=False)
    draft.lines.remove(work(draft)[0])
    draft.save()
    assert draft.progress_previous_amount == 10
    assert draft.progress_total_amount == 107
    assert draft.progress_remaining_amount == 97


def test_ratio_echoed_by_the_client_is_not_typed():
    first = create_invoice((3, '33.33'))
    line, = work(first)
    line.progress_current_quantity = 1
    first.save()
    first.click('post')
    draft = next_invoice(first, post=False)
    line, = work(draft)
    line.progress_current_quantity = 2
    draft.save()
    line, = work(draft)
    assert line.progress_previous_quantity == 1
    assert line.progress_current_quantity == 2
    assert line.amount == Decimal('33.33')
    line.progress_total_quantity = 6
    draft.save()
    line, = work(draft)
    assert line.progress_current_quantity == 2
    assert line.progress_current == .3333


def test_lines_typed_with_the_previous_invoice_come_last():
    first = create_invoice((10, '10'), (1, '7'))
    first.click('post')
    invoice = Model.get('account.invoice')(type='out')
    invoice.previous_progress_invoice = first
    line = invoice.lines.new()
    line.account = work(first)[0].account
    line.description = "Extra"
    line.quantity = 2
    line.unit_price = Decimal(5)
    invoice.save()
    assert [l.summary for l in invoice.lines][-1] == "Extra"
    assert invoice.untaxed_amount == 10
    assert len(invoice.lines) == 3


def test_refund_brought_back_to_life():
    first = create_invoice((10, '10'))
    set_current(first, .3)
    first.click('post')
    second = next_invoice(first, .5)
    credit(second, refund=True)
    draft = next_invoice(first, .6, post=False)
    assert draft.untaxed_amount == 30
    reconciliation = second.reconciliation_lines[0].reconciliation
    reconciliation.delete()
    draft.reload()
    second.reload()
    assert second.state == 'posted'
    # Both of the pair bill again, what makes no difference
    assert draft.progress_number == 4
    assert draft.untaxed_amount == 30
    draft.click('post')


def test_refund_brought_back_to_life_beside_a_later_document():
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    set_current(first, 1)
    first.click('post')
    refund = credit(first, refund=True)
    sale.reload()
    other, = sale.click('progress_invoice')
    # The sale continues the contract whose documents are cancelled
    assert other.progress_contract == first.progress_contract
    set_current(other, .3)
    other.click('post')
    first.reload()
    first.reconciliation_lines[0].reconciliation.delete()
    first.reload()
    assert first.state == 'posted'

    sale.reload()
    second, = sale.click('progress_invoice')
    set_current(second, 1)
    assert second.untaxed_amount == 700
    second.click('post')

    # What comes back can not be billed again
    refund.reload()
    with refused(work(second)[0].progress_line):
        refund.click('cancel')
    sale.reload()
    assert sale.lines[0].progress_billed_quantity == 10


def test_item_brought_back_to_life_beside_a_later_one():
    first = create_invoice((1, '50'))
    set_current(first, .5)
    first.click('post')
    sale = create_sale((10, '100'))
    second = next_invoice(first, post=False)
    import_sale(second, sale)
    set_current(second, .5, .6)
    second.click('post')
    refund = credit(second, refund=True)
    third = next_invoice(first, post=False)
    set_current(third, .5, 1)
    second.reload()
    second.reconciliation_lines[0].reconciliation.delete()
    third.reload()
    third.click('post')
    refund.reload()
    with refused(work(third)[1].progress_line):
        refund.click('cancel')
    sale.reload()
    assert sale.lines[0].progress_billed_quantity == 10


def create_manual_sale_with_cancelled_contract():
    sale = create_sale((10, '10'), method='manual')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .3)
    invoice.click('post')
    invoice.click('cancel')
    sale.reload()
    return sale, invoice


def test_sale_of_cancelled_invoice_brought_back_to_life():
    sale, invoice = create_manual_sale_with_cancelled_contract()
    assert sale.lines[0].quantity_to_invoice == 10
    invoice.reconciliation_lines[0].reconciliation.delete()
    invoice.reload()
    assert invoice.state == 'posted'
    sale.reload()
    assert sale.lines[0].progress_billed_quantity == 3
    assert sale.lines[0].quantity_to_invoice == 7
    with pytest.raises(UserError, match="billed on progress"):
        sale.click('manual_invoice')


def test_cancelled_invoice_stays_so_beside_what_billed_its_sale():
    sale, invoice = create_manual_sale_with_cancelled_contract()
    sale.click('manual_invoice')
    ordinary, = (i for i in sale.invoices if not i.progress)
    ordinary.click('post')
    reconciliation = invoice.reconciliation_lines[0].reconciliation
    with tasks_refused() as refusals:
        reconciliation.delete()
    refusal, = refusals
    assert sale.lines[0].rec_name in refusal.message
    invoice.reload()
    assert invoice.state == 'cancelled'
    sale.reload()
    assert sale.lines[0].quantity_to_invoice == 0


def test_manual_sale_invoiced_after_its_contract_is_cancelled():
    sale, _ = create_manual_sale_with_cancelled_contract()
    assert (sale.state, sale.invoice_state) == ('processing', 'none')
    sale.click('manual_invoice')
    ordinary, = [i for i in sale.invoices if not i.progress]
    assert ordinary.untaxed_amount == 100


# What is typed on a new line, in any order

TYPED = [
    ({'quantity': 20}, (20, 0, 20)),
    ({'quantity': 20, 'progress_current': .6}, (20, 0, 12)),
    ({'progress_current': .6, 'quantity': 20}, (20, 0, 12)),
    ({'progress_current_quantity': 12, 'quantity': 20}, (20, 0, 12)),
    ({'progress_previous': .1, 'progress_current': .6, 'quantity': 20},
        (20, 2, 12)),
    ({'progress_previous': .1, 'quantity': 20, 'progress_current': .6},
        (20, 2, 12)),
    ({'quantity': 20, 'progress_previous_quantity': 2}, (20, 2, 20)),
    ({'quantity': 20, 'progress_previous': .1}, (20, 2, 20)),
    ({'progress_previous_quantity': 2, 'quantity': 20}, (20, 2, 20)),
    ({'progress_current': .6, 'progress_total_quantity': 20}, (20, 0, 12)),
    ({'progress_total_quantity': 20, 'progress_current': .6}, (20, 0, 12)),
    ({'progress_total_quantity': 20, 'progress_previous_quantity': 2},
        (20, 2, 20)),
    ({'quantity': -20, 'progress_previous': .1}, (-20, -2, -20)),
    ]


def get_figures(line):
    return (
        line.progress_total_quantity, line.progress_previous_quantity,
        line.progress_current_quantity)


@pytest.mark.parametrize('typed, expected', TYPED)
def test_new_line_is_typed_in_any_order(typed, expected):
    invoice = create_invoice()
    line = invoice.lines.new(
        account=get_accounts()['revenue'], description="New",
        unit_price=Decimal(100))
    for name, value in typed.items():
        setattr(line, name, value)
    invoice.save()
    line, = work(invoice)
    assert get_figures(line) == expected
    total, previous, current = expected
    assert line.amount == 100 * (current - previous)
    # A script sends it all at once
    line = create('account.invoice.line',
        invoice=invoice.id, type='line', description="Script",
        account=line.account.id, unit_price=Decimal(100), **typed)
    assert get_figures(line) == expected
    assert line.amount == 100 * (current - previous)


@pytest.mark.parametrize('typed, expected', [
        ([('quantity', 2), ('quantity', 20)], (20, 0, 20)),
        ([('total', 20), ('total', 25)], (25, 0, 25)),
        ([('total', 20), ('current', 12), ('total', 25)], (25, 0, 12)),
        ([('total', 20), ('current', 12), ('current', None)], (20, 0, 20)),
        ([('current', 12), ('quantity', 20), ('current', 14)], (20, 0, 14)),
        ])
def test_new_line_is_corrected(typed, expected):
    invoice = create_invoice()
    line = invoice.lines.new(
        account=get_accounts()['revenue'], description="New",
        unit_price=Decimal(100))
    for name, value in typed:
        if name != 'quantity':
            name = f'progress_{name}_quantity'
        setattr(line, name, value)
    invoice.save()
    line, = work(invoice)
    assert get_figures(line) == expected
    assert line.quantity == expected[-1]


@pytest.mark.parametrize('name, value', [
        ('progress_previous_quantity', 2), ('progress_previous', .1)])
def test_previous_typed_alone_lifts_the_current(name, value):
    sale = create_sale((20, '100'))
    invoice, = sale.click('progress_invoice')
    line, = work(invoice)
    write(line, **{name: value})
    assert get_figures(line) == (20, 2, 2)
    assert line.amount == 0
    write(line, progress_current_quantity=12)
    write(line, **{name: value * 2})
    assert get_figures(line) == (20, 4, 12)
    invoice.reload()
    line, = work(invoice)
    setattr(line, name, value * 7)
    assert line.progress_current_quantity == 14
    invoice.save()
    line, = work(invoice)
    assert get_figures(line) == (20, 14, 14)


def test_all_or_nothing_is_exact():
    "All of it is not what only rounds to 100 %"
    invoice = create_invoice((100000, '1'))
    line, = work(invoice)
    for quantity, ratio, expected in [(99999, 1, 100000), (1, 0, 0)]:
        write(line, progress_current_quantity=quantity)
        assert line.progress_current == ratio
        write(line, progress_current=ratio)
        assert line.progress_current_quantity == expected
    # But the total is not typed with it
    write(line, progress_current_quantity=99999)
    line.progress_total_quantity = 100001
    line.save()
    line.reload()
    assert line.progress_current_quantity == 99999


# What is billed and paid of a sale

def test_sale_billed_and_paid_with_an_invoice_of_nothing():
    for ratio in [0, 1]:
        sale = create_sale((10, '10'))
        first, = sale.click('progress_invoice')
        set_current(first, ratio)
        first.click('post')
        closing, = first.click('closing_progress_invoice')
        closing.click('post')
        for document in [first, closing]:
            if document.total_amount:
                pay(document)
        sale.reload()
        assert (sale.invoice_state, sale.state) == ('paid', 'done')


def test_manual_sale_whose_credit_note_was_credited():
    sale = create_sale((10, '100'), method='manual')
    sale.click('manual_invoice')
    ordinary, = sale.invoices
    ordinary.lines[0].quantity = 4
    ordinary.click('post')
    note = credit(ordinary)
    note.click('post')
    credit(note).click('post')
    sale.reload()
    invoice, = sale.click('progress_invoice')
    assert work(invoice)[0].progress_previous_quantity == 4


def test_cancelled_progress_invoice_is_not_recreated():
    sale = create_sale((10, '10'), method='manual')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .3)
    invoice.click('post')
    invoice.click('cancel')
    sale.click('manual_invoice')
    ordinary, = [i for i in sale.invoices if not i.progress]
    ordinary.click('cancel')
    handle = sale.click('handle_invoice_exception')
    handle.form.recreate_invoices.extend(handle.form.recreate_invoices.find())
    handle.execute('handle')
    sale.reload()
    assert sale.lines[0].quantity_to_invoice == 10


def test_sale_that_was_on_progress_as_a_quotation():
    sale = create_sale((10, '100', "Untaxed Goods"), state='quotation')
    invoice, = sale.click('progress_invoice')
    invoice.delete()
    sale.click('draft')
    sale.invoice_method = 'fulfillment'
    sale.click('quote')
    sale.click('confirm')
    assert not sale.invoices
    assert sale.lines[0].quantity_to_invoice == 0


def test_price_of_what_is_shipped():
    sale = create_sale(
        (10, '100', "Untaxed Goods"), method='manual', state='quotation')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .155)
    invoice.click('post')
    sale.click('confirm')
    assert [m.unit_price for m in sale.moves] == [100]


def test_bill_on_progress_beside_a_validated_invoice():
    sale = create_sale((10, '100'), method='order')
    sale.invoices[0].click('validate_invoice')
    sale.click('bill_on_progress')
    sale.reload()
    assert (sale.invoice_method, len(sale.invoices)) == ('progress', 0)


def test_closing_ticked_on_a_new_invoice():
    invoice = create_invoice()
    new = Model.get('account.invoice')(
        type='out', progress=True, progress_closing=True)
    new.party = invoice.party
    for completed in [False, True]:
        line = new.lines.new(
            account=get_accounts()['revenue'], description="New", quantity=20,
            unit_price=Decimal(100))
        line.progress_current = .6
        line.progress_completed = completed
    new.save()
    assert billed(new) == [2000, 1200]


def test_refund_pays_nothing():
    first = create_invoice((10, '100'))
    set_current(first, .3)
    first.click('post')
    refund = credit(first, refund=True)
    for document in [first, refund]:
        document.reload()
        assert document.progress_paid_amount == 0
        assert document.progress_amount_to_pay == 0
