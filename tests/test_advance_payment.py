# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The advance payments of sales are recalled once"""
from decimal import Decimal

import pytest
from proteus import Model
from trytond.modules.account.tests.tools import get_accounts
from trytond.modules.account_invoice.invoice import Invoice
from trytond.modules.sale_advance_payment.tests.tools import (
    add_advance_payment_accounts, create_advance_payment_term)

from .refused import refused
from .tools import (
    activate, billed, create, create_deposit_account, create_invoice,
    create_sale, credit, get, get_deposit, next_invoice, pay, recall_deposit,
    set_current, work, write)

pytestmark = pytest.mark.usefixtures('database')


@pytest.fixture(scope='module')
def database():
    activate('sale_advance_payment')
    accounts = add_advance_payment_accounts(get_accounts())
    create_term("30 %", accounts['advance_payment'])
    with pytest.MonkeyPatch.context() as monkeypatch:
        # To render the report takes a third of the time to post
        monkeypatch.setattr(
            Invoice, 'print_invoice', classmethod(lambda cls, invoices: None))
        yield


def create_term(name, account):
    create_advance_payment_term(
        name, '0.3 * untaxed_amount', account, delay=0).save()


def sell(*lines, paid=True, term="30 %", **kwargs):
    "Return a sale with an advance payment of 30 %"
    sale = create_sale(*(lines or [(10, '100')]), state='draft', **kwargs)
    sale.advance_payment_term = get('sale.advance_payment_term', term)
    sale.click('quote')
    sale.click('confirm')
    if paid:
        advance, = sale.advance_payment_invoices
        advance.click('post')
        pay(advance)
        sale.reload()
    return sale


def bill(sale, *ratios, post=True):
    invoice, = sale.click('progress_invoice')
    set_current(invoice, *ratios)
    if post:
        invoice.click('post')
    return invoice


def recall_lines(invoice):
    return [
        l for l in invoice.lines if l.type == 'line' and not l.progress_line]


def recalled(invoice):
    invoice.reload()
    return sum(l.amount for l in recall_lines(invoice))


def import_sale(invoice, sale):
    wizard = invoice.click('import_progress_sale')
    wizard.form.sales.append(Model.get('sale.sale')(sale.id))
    wizard.execute('import_')
    invoice.reload()


def test_nothing_billed_before_advance_payment():
    sale = sell(paid=False)
    invoice = create_invoice((1, '50'))
    with refused(sale):
        sale.click('progress_invoice')
    with refused(sale, invoice):
        import_sale(invoice, sale)
    line, = sale.lines
    with refused(sale, invoice):
        create(
            'account.invoice.line', invoice=invoice.id,
            origin=f'sale.line,{line.id}', account=work(invoice)[0].account.id,
            unit=line.unit.id, product=line.product.id, quantity=10,
            unit_price=Decimal(100), company=invoice.company.id,
            currency=invoice.currency.id)


def test_quotation_not_billed_before_advance_payment():
    sale = create_sale((10, '100'), state='draft')
    sale.advance_payment_term = get('sale.advance_payment_term', "30 %")
    sale.click('quote')
    with refused(sale):
        sale.click('progress_invoice')


def test_cancelled_advance_payment_is_an_exception():
    sale = sell(paid=False)
    advance, = sale.advance_payment_invoices
    advance.click('cancel')
    sale.reload()
    assert sale.invoice_state == 'exception'

    handle = sale.click('handle_invoice_exception')
    handle.form.recreate_invoices.extend(handle.form.recreate_invoices.find())
    handle.execute('handle')

    sale.reload()
    advance, = [
        i for i in sale.advance_payment_invoices if i.state == 'draft']
    advance.click('post')
    pay(advance)
    assert recalled(bill(sale, .5)) == -300


def test_ignored_advance_payment_is_not_recalled():
    sale = sell(paid=False)
    sale.advance_payment_invoices[0].click('cancel')
    handle = sale.click('handle_invoice_exception')
    handle.form.ignore_invoices.extend(handle.form.ignore_invoices.find())
    handle.execute('handle')
    assert bill(sale, .5).untaxed_amount == 500


def test_sale_is_done():
    sale = sell()
    first = bill(sale, .5)
    pay(first)
    sale.reload()
    assert (sale.state, sale.invoice_state) == ('processing', 'partially paid')
    assert sale.lines[0].quantity_to_invoice == 5
    pay(next_invoice(first, 1.))
    sale.reload()
    assert (sale.state, sale.invoice_state) == ('done', 'paid')


def test_recall_of_more_than_is_billed_as_on_ordinary_invoices():
    sale = sell()
    first = bill(sale, .1)
    assert first.untaxed_amount == -200
    second = next_invoice(first, 1.)
    assert second.untaxed_amount == 900


def test_recall_deleted_by_hand_comes_with_the_next():
    sale = sell()
    first = bill(sale, .1, post=False)
    first.lines.remove(recall_lines(first)[0])
    first.save()
    first.click('validate_invoice')
    first.click('post')
    assert first.untaxed_amount == 100
    second = next_invoice(first, .5)
    assert (billed(second), recalled(second)) == ([400], -300)
    assert recalled(next_invoice(second, .6)) == 0


def test_rest_of_recall_lowered_by_hand_comes_with_the_next():
    sale = sell()
    first = bill(sale, .1, post=False)
    recall, = recall_lines(first)
    recall.unit_price = Decimal(100)
    first.save()
    first.click('post')
    assert first.untaxed_amount == 0
    second = next_invoice(first, .5)
    assert recalled(second) == -200
    closing, = second.click('closing_progress_invoice')
    assert recalled(closing) == 0


def test_recall_of_more_than_was_paid():
    sale = sell()
    first = bill(sale, .5, post=False)
    recall, = recall_lines(first)
    recall.unit_price = Decimal('300.01')
    first.save()
    with refused(first, sale.advance_payment_invoices[0]):
        first.click('post')


def test_refund_brought_back_to_life():
    sale = sell()
    first = bill(sale, .5)
    second = next_invoice(first, .6)
    credit(first, refund=True)
    draft = next_invoice(second, .7, post=False)
    assert recalled(draft) == -300

    first.reconciliation_lines[0].reconciliation.delete()

    # Both of the pair recall again, what makes no difference
    first.reload()
    assert first.state == 'posted'
    draft.click('validate_invoice')
    draft.click('post')
    third = next_invoice(draft, post=False)
    assert (recalled(draft), recalled(third)) == (-300, 0)


def test_credit_note_gives_back_once_posted():
    sale = sell()
    first = bill(sale, .5)
    credit_note = credit(first)
    assert credit_note.untaxed_amount == -200
    draft = next_invoice(first, .6, post=False)
    assert recalled(draft) == 0

    credit_note.click('post')

    assert recalled(draft) == -300
    draft.delete()
    again = credit(credit_note)
    draft = next_invoice(first, post=False)
    assert recalled(draft) == 0
    again.click('post')
    assert (recalled(draft), recalled(again)) == (0, -300)


def test_credit_note_credited_after_it_gave_back():
    sale = sell()
    first = bill(sale, .5)
    credit_note = credit(first)
    credit_note.click('post')
    draft = next_invoice(first, post=False)
    assert recalled(draft) == -300
    again = credit(credit_note)
    with refused(again, sale.advance_payment_invoices[0]):
        again.click('post')


def test_recall_of_a_sale_imported_later():
    first = create_invoice((1, '50'))
    first.click('post')
    draft = next_invoice(first, post=False)
    sale = sell((10, '100', "Taxed Service"))
    import_sale(draft, sale)
    set_current(draft, 1., 1.)
    assert recalled(draft) == -300
    assert (draft.untaxed_amount, draft.tax_amount) == (700, 200)
    draft.click('post')
    assert recalled(next_invoice(draft, post=False)) == 0


def test_previous_picked_and_copy():
    sale = sell()
    first = bill(sale, .5, post=False)
    copy, = first.duplicate()
    assert not copy.lines
    copy.delete()
    first.lines.remove(recall_lines(first)[0])
    first.save()
    first.click('post')
    second = Model.get('account.invoice')(type='out')
    second.previous_progress_invoice = first
    second.save()
    assert (billed(second), recalled(second)) == ([0], -300)
    write(second, previous_progress_invoice=first.id)
    assert (billed(second), recalled(second)) == ([0], -300)


def test_ordinary_invoice_with_recall_switched():
    sale = sell(method='order')
    invoice, = sale.invoices
    assert invoice.untaxed_amount == 700

    sale.click('bill_on_progress')

    assert not sale.invoices
    assert not Model.get('account.invoice').find([('id', '=', invoice.id)])
    assert bill(sale, .5).untaxed_amount == 200


def test_advance_payment_recalled_by_ordinary_invoice():
    sale = sell((10, '100'), (1, '50'), method='manual')
    sale.click('manual_invoice')
    ordinary, = sale.invoices
    line, = [l for l in ordinary.lines if l.unit_price == 50]
    ordinary.lines.remove(line)
    ordinary.save()
    ordinary.click('post')
    sale.reload()
    assert recalled(bill(sale, 1., 1.)) == 0


def get_paid_deposit(account, amount):
    "Let the customer pay a deposit"
    deposit = create_invoice((1, amount), progress=False)
    deposit.lines[0].account = account
    deposit.save()
    deposit.click('post')
    pay(deposit)


def test_deposit_recalled_beside():
    account = create_deposit_account("Deposit Beside")
    get_paid_deposit(account, '250')
    sale = sell()
    first = bill(sale, .5, post=False)
    recall_deposit(first, account)
    assert recalled(first) == -500
    assert first.untaxed_amount == 0
    first.click('post')
    second = next_invoice(first, .6, post=False)
    assert recalled(second) == 0
    recall_deposit(second, account)
    assert second.untaxed_amount == 50
    second.click('post')
    assert get_deposit(account) == 0
    third = next_invoice(second, 1., post=False)
    recall_deposit(third, account)
    assert third.untaxed_amount == 400


def test_deposit_does_not_make_negative():
    account = create_deposit_account("Deposit Negative")
    get_paid_deposit(account, '250')
    sale = sell()
    first = bill(sale, .1, post=False)
    assert first.untaxed_amount == -200
    recall_deposit(first, account)
    assert first.untaxed_amount == -200


def test_advance_payment_is_not_recalled_as_deposit():
    account = create_deposit_account("Deposit and Unearned Revenue")
    account.type.unearned_revenue = True
    account.type.save()
    create_term("Deposit", account)
    sale = sell(term="Deposit")
    first = bill(sale, .5, post=False)
    with refused(first, account):
        recall_deposit(first, account)
    first.click('post')
    second = next_invoice(first, .6, post=False)
    recall_deposit(second, account)
    assert second.untaxed_amount == 100
