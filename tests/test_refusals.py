# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Each refusal names the record in the way and leaves nothing half done.
"""
import datetime as dt
import math
from decimal import Decimal

import pytest
from proteus import Model, Wizard
from trytond.exceptions import UserError
from trytond.modules.account.tests.tools import get_accounts
from trytond.modules.currency.tests.tools import get_currency

from .refused import refused
from .tools import (
    billed, create, create_invoice, create_sale, credit, get, next_invoice,
    pay, set_current, work, write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_refusals')]


def post_first(*ratios, lines=None):
    "Return the posted first invoice with lines of 10 x 100.00"
    invoice = create_invoice(*(lines or [(10, '100')] * len(ratios)))
    set_current(invoice, *ratios)
    invoice.click('post')
    return invoice


def bill_sale(*ratios, post=True, **kwargs):
    "Return a sale with lines of 10 x 100.00 and its first invoice"
    sale = create_sale(*[(10, '100')] * len(ratios), **kwargs)
    invoice, = sale.click('progress_invoice')
    set_current(invoice, *ratios)
    if post:
        invoice.click('post')
    sale.reload()
    return sale, invoice


def together(button, *invoices):
    Model_ = Model.get('account.invoice')
    Model_.click([Model_(i.id) for i in invoices], button)


def import_sales(invoice, *sales, button='import_progress_sale'):
    wizard = invoice.click(button)
    wizard.form.sales.extend(Model.get('sale.sale')(s.id) for s in sales)
    wizard.execute('import_')


def set_progress(invoice, ratio, section=None):
    wizard = invoice.click('set_progress')
    wizard.form.ratio = ratio
    wizard.form.section = section
    wizard.execute('set_')


def refuse_value(invoice, line, name, value, *names):
    "Test that neither a person nor a script can type the value of the line"
    with refused(line, invoice, *names):
        write(line, **{name: value})
    with refused(line, invoice, *names):
        setattr(line, name, value)
        invoice.save()
    invoice.reload()


# Numbers of the lines

def test_first_out_of_range():
    invoice = create_invoice((10, '100'))
    for name, value in [
            ('progress_current', 1.01),
            ('progress_current', -.01),
            ('progress_current_quantity', 10.001),
            ('progress_current_quantity', -1),
            ('progress_previous', 1.5),
            ('progress_previous_quantity', 11),
            ('progress_previous_quantity', -1),
            ]:
        refuse_value(invoice, work(invoice)[0], name, value)
    assert invoice.untaxed_amount == 1000


@pytest.mark.parametrize('value', [1e19, 1e300])
def test_too_great_for_a_decimal(value):
    invoice = create_invoice((10, '100'))
    for name in ['progress_current', 'progress_current_quantity']:
        refuse_value(invoice, work(invoice)[0], name, value)
    assert invoice.untaxed_amount == 1000


def test_next_out_of_range():
    draft = next_invoice(post_first(.5), .7, post=False)
    for name, value in [
            ('progress_current', 1.2),
            ('progress_current', .45),
            ('progress_current', 0),
            ('progress_current', -1),
            ('progress_current_quantity', 4.999),
            ('progress_current_quantity', 0),
            ]:
        refuse_value(draft, work(draft)[0], name, value, "5.0", "10.0")
    assert billed(draft) == [200]


def test_current_beyond_the_total_in_percent():
    draft = next_invoice(post_first(.5), post=False)
    for name, value in [
            ('progress_current', 1.5), ('progress_current_quantity', 15)]:
        refuse_value(
            draft, work(draft)[0], name, value, "150 %", "50 %", "100 %")


def test_negative_line_out_of_range():
    draft = next_invoice(
        post_first(.5, .5, lines=[(-10, '10'), (1, '500')]), post=False)
    for value in [-10.5, -4, 0, 1]:
        refuse_value(
            draft, work(draft)[0], 'progress_current_quantity', value)
    assert billed(draft) == [0, 0]


def test_one_line_of_many_out_of_range():
    invoice = create_invoice((10, '100'), (10, '100'), (10, '100'))
    with refused(work(invoice)[1]):
        set_current(invoice, .5, 1.5, .5)
    invoice.reload()
    assert billed(invoice) == [1000, 1000, 1000]


def test_new_line_out_of_range():
    invoice = create_invoice((10, '100'))
    line, = work(invoice)
    with refused("New", invoice):
        create('account.invoice.line',
            invoice=invoice.id, type='line', description="New",
            account=line.account.id, quantity=1, unit_price=Decimal(1),
            progress_current=1.1)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_not_a_number(value):
    invoice = create_invoice((10, '100'))
    line, = work(invoice)
    new = {
        'invoice': invoice.id, 'type': 'line', 'description': "New",
        'account': line.account.id, 'unit_price': Decimal(1), 'quantity': 1,
        }
    names = [
        'progress_total_quantity', 'progress_previous_quantity',
        'progress_previous', 'progress_current_quantity', 'progress_current']
    for name in ['quantity', *names]:
        with refused("New", invoice):
            create('account.invoice.line', **{**new, name: value})
    for name in names:
        refuse_value(invoice, work(invoice)[0], name, value)
    # It is derived on a contract line
    write(line, quantity=value)
    assert line.quantity == 10
    invoice.reload()
    assert billed(invoice) == [1000]


def test_set_progress_ratio():
    invoice = create_invoice((10, '100'))
    for ratio in [
            math.nan, math.inf, -math.inf, -.01, 1.01, 100, 1e300, None]:
        with refused(invoice):
            set_progress(invoice, ratio)
    with refused(invoice, "150 %", "between 0 and 100 %"):
        set_progress(invoice, 1.5)
    invoice.reload()
    assert billed(invoice) == [1000]


def test_set_progress_below_previous():
    draft = next_invoice(post_first(.5, .6), .7, .7, post=False)
    with refused(draft, work(draft)[0]):
        set_progress(draft, .4)
    # What was billed beyond it stays
    set_progress(draft, .5)
    draft.reload()
    assert [l.progress_current for l in work(draft)] == [.5, .6]


def test_set_progress_section_of_other_invoice():
    invoice, other = create_invoice((10, '100')), create_invoice((10, '100'))
    other.click('add_progress_section')
    section, = [l for l in other.lines if l.type == 'title']
    with refused(invoice, section):
        set_progress(invoice, .5, section)


# Figures that are not to type

def test_unit_of_sale_line():
    _, invoice = bill_sale(.5, post=False)
    sale, = invoice.sales
    line, = work(invoice)
    unit, = Model.get('product.uom').find([('name', '=', "Hour")])
    with refused(line, sale):
        write(line, unit=unit.id)


def test_total_of_sale_line():
    sale, invoice = bill_sale(.5)
    draft = next_invoice(invoice, post=False)
    for total in [9, 11, 0]:
        refuse_value(
            draft, work(draft)[0], 'progress_total_quantity', total,
            sale.rec_name)


def test_total_below_previous():
    draft = next_invoice(post_first(.5), post=False)
    line, = work(draft)
    refuse_value(draft, line, 'progress_total_quantity', 4, "4.0", "5.0")
    line, = work(draft)
    write(line, progress_total_quantity=5)
    assert line.progress_current == 1


def test_previous_on_later_invoice():
    draft = next_invoice(post_first(.5), post=False)
    for name, value in [
            ('progress_previous_quantity', 6),
            ('progress_previous_quantity', 0),
            ('progress_previous', .4),
            ('progress_previous', 0),
            ]:
        refuse_value(draft, work(draft)[0], name, value)


def test_previous_of_free_line_on_later_invoice():
    draft = next_invoice(post_first(.5), post=False)
    with refused("New", draft):
        create('account.invoice.line',
            invoice=draft.id, type='line', description="New",
            account=work(draft)[0].account.id, quantity=1,
            unit_price=Decimal(1), progress_previous=.1)


# Lines that leave their invoice

def get_drafts():
    "Return a draft of each kind"
    first = create_invoice((10, '100'), (10, '100'))
    _, of_sale = bill_sale(.5, post=False)
    following = next_invoice(post_first(.5, .6), post=False)
    closing, = post_first(.5, .6).click('closing_progress_invoice')
    note = credit(post_first(.5, .6))
    return [first, of_sale, following, closing, note]


def test_work_is_not_removed_from_its_invoice():
    for draft in get_drafts():
        line, *_ = lines = work(draft)
        with refused(line, draft):
            write(draft, lines=[('remove', [l.id for l in lines])])
        with refused(line, draft):
            write(line, invoice=None)
        with refused(line, draft):
            write(line, invoice=None, progress_current=.7,
                party=draft.party.id, currency=draft.currency.id)
        with refused(line, draft):
            write(draft, lines=[
                    ('remove', [line.id]), ('add', [line.id])])
        # It is deleted instead
        write(draft, lines=[('delete', [line.id])])
        assert line not in draft.lines


def test_line_moves_to_another_invoice():
    for progress in [True, False]:
        invoice = create_invoice((10, '100'), (1, '50'))
        other = create_invoice((1, '10'), progress=progress)
        write(work(invoice)[1], invoice=other.id)
        invoice.reload()
        other.reload()
        assert [invoice.untaxed_amount, other.untaxed_amount] == [1000, 60]
        assert len(work(other)) == 2 * progress
        for lines in [invoice.lines, other.lines]:
            assert sum(l.amount for l in lines) in {1000, 60}


# Completed lines

def test_completed():
    invoice = create_invoice((10, '100'), (10, '100'))
    line, other = work(invoice)
    # With the current typed in the same save
    line.progress_current = .5
    line.progress_completed = True
    invoice.save()
    assert billed(invoice) == [500, 1000]
    line, other = work(invoice)
    for name in ['progress_current', 'progress_current_quantity']:
        for value in [0, .6, 1]:
            with refused(line, invoice):
                write(line, **{name: value})
    with refused(line, invoice):
        line.progress_current = .6
        other.progress_current = .6
        invoice.save()
    invoice.reload()
    assert billed(invoice) == [500, 1000]
    # What does not move it is not refused
    write(line, progress_current=.5)
    write(line, description="Door")
    # Unticked with the current typed in the same save
    write(line, progress_completed=False, progress_current=.6)
    assert line.amount == 600
    write(line, progress_current=.7)
    assert line.amount == 700


def test_completed_on_next_invoice():
    invoice = create_invoice((10, '100'), (10, '100'))
    line, other = work(invoice)
    line.progress_completed = True
    line.progress_current = .5
    other.progress_current = .5
    invoice.save()
    invoice.click('post')
    draft = next_invoice(invoice, post=False)
    line, other = work(draft)
    assert line.progress_completed
    with refused(line, draft):
        write(line, progress_current=1)
    set_progress(draft, 1)
    draft.reload()
    assert billed(draft) == [0, 500]
    draft.click('post')
    closing, = draft.click('closing_progress_invoice')
    assert billed(closing) == [0, 0]
    line = work(closing)[0]
    write(line, progress_completed=False)
    write(line, progress_current=.9)
    closing.reload()
    assert billed(closing) == [400, 0]


# The previous invoice

def refuse_previous(previous, *names, draft=None, **values):
    "Test that previous can be picked neither on a new nor on a draft invoice"
    draft = draft or create_invoice((1, '10'), progress=False)
    values = {
        'type': 'out',
        'party': previous.party.id,
        'invoice_address': previous.invoice_address.id,
        'account': previous.account.id,
        'currency': previous.currency.id,
        'previous_progress_invoice': previous.id,
        **values}
    with refused(*names):
        create('account.invoice', **values)
    with refused(*names):
        write(draft, **values)
    draft.reload()
    assert not draft.progress
    assert draft.untaxed_amount == 10


def test_previous_of_other_party():
    first = post_first(.5)
    other = get('party.party', "Other Customer")
    refuse_previous(
        first, first.progress_contract, other, first.party,
        party=other.id, invoice_address=other.addresses[0].id)
    draft = create_invoice((1, '10'), party="Other Customer", progress=False)
    with refused(first.progress_contract, other):
        draft.previous_progress_invoice = first
        draft.save()


def test_previous_of_other_company():
    first = post_first(.5)
    draft = create_invoice((1, '10'), progress=False)
    party = Model.get('party.party')(name="Other Company")
    party.save()
    company = Model.get('company.company')(
        party=party, currency=get_currency())
    company.save()
    try:
        refuse_previous(
            first, first.progress_contract, company, draft=draft,
            company=company.id)
    finally:
        company.delete()


def test_previous_of_other_currency():
    first = post_first(.5)
    currency = get_currency('EUR')
    refuse_previous(
        first, first.progress_contract, currency, currency=currency.id)


def test_previous_draft():
    draft = create_invoice((10, '100'))
    refuse_previous(draft, draft)
    draft.click('validate_invoice')
    refuse_previous(draft, draft)
    draft.click('cancel')
    refuse_previous(draft, draft)


def test_previous_itself():
    draft = create_invoice((10, '100'))
    with refused(draft):
        write(draft, previous_progress_invoice=draft.id)


def test_previous_cancelled():
    first = post_first(.5)
    first.click('cancel')
    refuse_previous(first, first)


def test_previous_not_on_progress():
    ordinary = create_invoice((10, '100'), progress=False)
    ordinary.click('post')
    refuse_previous(ordinary, ordinary)


def test_previous_supplier_invoice():
    supplier = Model.get('account.invoice')(type='in')
    supplier.party = get('party.party', "Customer")
    supplier.invoice_date = dt.date.today()
    supplier.save()
    draft = create_invoice((1, '10'), progress=False)
    with refused(supplier):
        write(draft, previous_progress_invoice=supplier.id)


def test_previous_continued():
    first = post_first(.2)
    second = next_invoice(first, .5)
    refuse_previous(first, first, second)
    third = next_invoice(second, post=False)
    refuse_previous(second, third)


def test_previous_closed():
    first = post_first(.2)
    closing, = first.click('closing_progress_invoice')
    closing.click('post')
    refuse_previous(closing, closing, first.progress_contract)
    pay(closing)
    refuse_previous(closing, closing, first.progress_contract)


def test_contract_of_draft_is_kept():
    draft = next_invoice(post_first(.2), .5, post=False)
    first = draft.previous_progress_invoice
    with refused(draft):
        write(draft, progress=False)
    party, currency = get('party.party', "Other Customer"), get_currency('EUR')
    address, = party.addresses
    with refused(first.progress_contract, party):
        write(draft, party=party.id, invoice_address=address.id)
    with refused(first.progress_contract, currency):
        write(draft, currency=currency.id)


def test_supplier_invoice():
    supplier = Model.get('account.invoice')(type='in')
    supplier.party = get('party.party', "Customer")
    supplier.save()
    with refused(supplier):
        write(supplier, progress=True)
    with refused():
        create(
            'account.invoice', type='in', progress=True,
            party=supplier.party.id, account=supplier.account.id,
            invoice_address=supplier.invoice_address.id)


# Sales

def test_sale_that_invoices_itself():
    sale = create_sale((10, '100'), method='order', state='quotation')
    invoice = create_invoice()
    with refused(sale, "Bill on Progress"):
        import_sales(invoice, sale, button='import_progress_quotation')
    with refused(sale, "Bill on Progress"):
        sale.click('progress_invoice')
    sale.click('confirm')
    with refused(sale, "Bill on Progress"):
        import_sales(invoice, sale)
    with refused(sale, "Bill on Progress"):
        sale.click('progress_invoice')
    # The way out
    sale.click('bill_on_progress')
    import_sales(invoice, sale)
    invoice.reload()
    assert billed(invoice) == [0]


def test_bill_on_progress_is_the_label():
    assert "Bill on Progress" in {
        b.string for b in Model.get('ir.model.button').find(
            [('name', '=', 'bill_on_progress')])}


def test_sale_with_posted_invoice_on_progress():
    sale = create_sale((10, '100'), method='order')
    invoice, = sale.invoices
    invoice.click('post')
    sale.reload()
    with refused(sale, invoice):
        sale.click('bill_on_progress')
    assert sale.invoice_method == 'order'


def test_sale_on_progress_shipped_on_invoice():
    sale = create_sale((10, '100'), state='draft')
    with refused(sale, own=False):
        write(sale, shipment_method='invoice')


def test_manual_sale_shipped_on_invoice():
    sale = create_sale(
        (10, '100', "Untaxed Goods"), method='manual', state='draft')
    write(sale, shipment_method='invoice')
    sale.click('quote')
    with refused(sale, "On Invoice Paid"):
        sale.click('progress_invoice')
    sale.click('draft')
    write(sale, shipment_method='order')
    sale.click('quote')
    sale.click('progress_invoice')


def test_manual_sale_of_services_shipped_on_invoice():
    sale = create_sale((10, '100'), method='manual', state='draft')
    write(sale, shipment_method='invoice')
    sale.click('quote')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .33)
    assert billed(invoice) == [330]


def test_sale_of_other_customer():
    sale = create_sale(
        (10, '100'), party="Other Customer", state='quotation')
    invoice = create_invoice((1, '10'))
    with refused(sale, invoice, "Customer", "Other Customer"):
        import_sales(invoice, sale, button='import_progress_quotation')
    line, = work(invoice)
    sale_line, = sale.lines
    with refused(sale, invoice):
        create('account.invoice.line',
            invoice=invoice.id, type='line', description="Script",
            account=line.account.id, quantity=1, unit_price=Decimal(1),
            unit=sale_line.unit.id, origin=f'sale.line,{sale_line.id}')


def test_one_sale_of_many_of_other_customer():
    good = create_sale((10, '100'))
    bad = create_sale((10, '100'), party="Other Customer")
    invoice = create_invoice()
    with refused(bad, invoice):
        import_sales(invoice, good, bad)
    invoice.reload()
    assert not invoice.lines


def test_sale_of_other_currency():
    sale = create_sale((10, '100'), state='draft')
    sale.currency = currency = get_currency('EUR')
    sale.save()
    sale.click('quote')
    invoice = create_invoice()
    with refused(sale, invoice, currency):
        import_sales(invoice, sale)


@pytest.mark.parametrize('state', ['draft', 'cancelled'])
def test_sale_in_state(state):
    sale = create_sale((10, '100'), state='draft')
    if state == 'cancelled':
        sale.click('cancel')
    invoice = create_invoice()
    with refused(sale):
        import_sales(invoice, sale)
    with refused(sale, own=False):
        sale.click('progress_invoice')


@pytest.mark.parametrize('post', [False, True])
def test_sale_in_other_contract(post):
    sale, invoice = bill_sale(.5, post=post)
    other = create_invoice((1, '10'))
    with refused(sale, invoice):
        import_sales(other, sale)
    sale_line, = sale.lines
    with refused(sale, invoice):
        create('account.invoice.line',
            invoice=other.id, type='line', description="Script",
            account=work(other)[0].account.id, quantity=1,
            unit_price=Decimal(1), unit=sale_line.unit.id,
            product=sale_line.product.id, origin=f'sale.line,{sale_line.id}')


def test_sale_imported_twice():
    sale, invoice = bill_sale(.5, post=False)
    with refused(sale, invoice):
        import_sales(invoice, sale)
    invoice.click('post')
    draft = next_invoice(invoice, post=False)
    with refused(sale, draft):
        import_sales(draft, sale)


def test_sale_imported_again_after_its_line_is_deleted():
    sale, invoice = bill_sale(.5, .5)
    draft = next_invoice(invoice, post=False)
    draft.lines.remove(draft.lines[0])
    draft.save()
    assert len(work(draft)) == 1
    try:
        import_sales(draft, sale)
    except UserError as exception:
        assert sale.rec_name in exception.message
    draft.reload()
    # What was billed is not billed again
    set_progress(draft, 1)
    draft.reload()
    assert draft.untaxed_amount <= 1000
    assert all(l.progress_previous == .5 for l in work(draft))


@pytest.mark.parametrize('post', [False, True])
def test_sale_line_twice_by_script(post):
    sale, invoice = bill_sale(.5, post=post)
    if post:
        invoice = next_invoice(invoice, post=False)
    line, = work(invoice)
    sale_line, = sale.lines
    with refused("Untaxed Service", invoice):
        create('account.invoice.line',
            invoice=invoice.id, type='line', description="Script",
            account=line.account.id, quantity=1,
            unit_price=Decimal(1), unit=sale_line.unit.id,
            product=sale_line.product.id, origin=f'sale.line,{sale_line.id}')


def test_manual_sale_with_open_invoice():
    sale = create_sale((10, '100'), method='manual')
    sale.click('manual_invoice')
    ordinary, = sale.invoices
    invoice = create_invoice()
    with refused(sale, ordinary):
        import_sales(invoice, sale)
    with refused(sale, ordinary):
        sale.click('progress_invoice')
    ordinary.click('validate_invoice')
    with refused(sale, ordinary):
        sale.click('progress_invoice')


def test_sale_on_progress_is_not_invoiced_without():
    sale = create_sale((10, '10'))
    invoice, = sale.click('progress_invoice')
    with refused(invoice, sale):
        write(invoice, progress=False)
    # What may also be invoiced without is counted
    sale = create_sale((10, '10'), method='manual')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, 1)
    write(invoice, progress=False)
    invoice.click('post')
    invoice, = sale.click('progress_invoice')
    assert work(invoice)[0].progress_previous_quantity == 10


def test_credit_note_stays_in_its_contract():
    first = post_first(.6)
    note = credit(first)
    for values in [
            {'previous_progress_invoice': None},
            {'previous_progress_invoice': None, 'progress': False},
            {'progress': False},
            ]:
        with refused(note):
            write(note, **values)
    write(note, progress=True, previous_progress_invoice=first.id)
    note.click('post')
    assert note.progress_number == 2


def test_previous_invoice_picked_after_a_previous_is_typed():
    first = post_first(.6)
    draft = create_invoice((20, '100'))
    write(work(draft)[0], progress_previous=.1)
    with refused(draft):
        write(draft, previous_progress_invoice=first.id)


def test_previous_typed_below_a_completed_current():
    invoice = create_invoice((20, '100'))
    line, = work(invoice)
    write(line, progress_current=.6, progress_completed=True)
    with refused(invoice):
        write(line, progress_previous_quantity=14)
    write(line, progress_completed=False)
    with refused(invoice):
        write(line, progress_previous=.7, progress_current=.6)


def test_figures_of_a_credit_line_written_back():
    note = credit(post_first(.6))
    line, = work(note)
    write(line, progress_current=.3)
    amount = line.amount
    write(line,
        progress_previous=line.progress_previous,
        progress_current=line.progress_current)
    write(line, progress_previous=line.progress_previous)
    assert line.amount == amount != 0


def test_total_that_is_no_number_on_screen():
    invoice = create_invoice()
    line = invoice.lines.new(
        account=get_accounts()['revenue'], description="New", quantity=1,
        unit_price=Decimal(1))
    line.progress_total_quantity = math.inf
    with refused("New", own=False):
        invoice.save()


def test_previous_of_manual_sale():
    sale = create_sale((20, '100'), method='manual')
    invoice, = sale.click('progress_invoice')
    with refused(sale, invoice, "Bill on Progress"):
        write(work(invoice)[0], progress_previous_quantity=2)
    sale.click('bill_on_progress')
    invoice, = sale.click('progress_invoice')
    line, = work(invoice)
    write(line, progress_previous_quantity=2)
    assert line.progress_previous == .1


def test_manual_invoice_of_sale_on_progress():
    sale, invoice = bill_sale(.5, method='manual')
    with refused(sale, invoice):
        sale.click('manual_invoice')


def test_import_in_other_than_draft():
    sale = create_sale((10, '100'))

    def import_(invoice):
        wizard = Wizard('account.invoice.import_progress', [invoice])
        wizard.form.sales.append(Model.get('sale.sale')(sale.id))
        wizard.execute('import_')

    invoice = create_invoice((10, '100'))
    invoice.click('validate_invoice')
    with refused(invoice):
        import_(invoice)
    invoice.click('post')
    with refused(invoice):
        import_(invoice)
    note = credit(invoice)
    with refused(note):
        import_(note)
    ordinary = create_invoice((10, '100'), progress=False)
    with refused(ordinary):
        import_(ordinary)


@pytest.mark.parametrize('post', [False, True])
def test_quotation_while_billed(post):
    sale, invoice = bill_sale(.5, state='quotation', post=post)
    for button in ['draft', 'cancel']:
        with refused(sale, invoice):
            sale.click(button)
    with refused(sale, own=False):
        sale.delete()
    line, = sale.lines
    with refused(line, own=False):
        line.delete()
    sale.reload()
    assert sale.state == 'quotation'


@pytest.mark.parametrize('post', [False, True])
def test_cancel_confirmed_sale_while_billed(post):
    sale, invoice = bill_sale(.5, post=post)
    with refused(sale, invoice):
        sale.click('cancel')
    sale.reload()
    assert sale.state == 'processing'


def test_sale_after_invoice_is_deleted():
    sale, invoice = bill_sale(.5, state='quotation', post=False)
    invoice.delete()
    sale.click('draft')
    sale.click('cancel')
    sale.delete()


def test_expiry_skips_sale_while_billed():
    today = dt.date.today()
    sales = []
    for _ in range(2):
        sale = create_sale((10, '100'), state='draft')
        sale.quotation_date = today - dt.timedelta(days=10)
        sale.quotation_validity = dt.timedelta(days=5)
        sale.save()
        sale.click('quote')
        sales.append(sale)
    kept, expired = sales
    invoice, = kept.click('progress_invoice')
    company, = Model.get('company.company').find()
    Cron = Model.get('ir.cron')
    cron = Cron(method='sale.sale|cancel_expired_quotation')
    cron.interval_number, cron.interval_type = 1, 'days'
    cron.companies.append(company)
    cron.save()
    cron.click('run_once')
    kept.reload()
    expired.reload()
    assert (kept.state, expired.state) == ('quotation', 'cancelled')
    assert not Model.get('ir.error').find([])


# Credit

def test_credited_twice():
    first = post_first(.5)
    note = credit(first)
    with refused(first, note):
        credit(first)
    with refused(first, note):
        credit(first, refund=True)
    note.click('post')
    with refused(first, note):
        credit(first)
    with refused(first, note):
        credit(first, refund=True)


def test_credited_twice_with_refund():
    first = post_first(.5)
    credit(first, refund=True)
    assert first.state == 'cancelled'
    with refused(first):
        credit(first)
    with refused(first):
        credit(first, refund=True)


def test_credited_in_two_parts():
    first = post_first(.5)
    note = credit(first)
    line, = work(note)
    write(line, progress_current=.3)
    rest = credit(first)
    note.reload()
    assert (billed(note), billed(rest)) == ([-200], [-300])
    with refused(line, note, first):
        write(line, progress_current=.2)
    note.click('post')
    rest.click('post')
    with refused(first, note, rest):
        credit(first)
    closing, = rest.click('closing_progress_invoice')
    assert billed(closing) == [1000]


def test_credit_line_beyond_its_amount():
    second = next_invoice(post_first(.2), .5)
    note = credit(second)
    assert work(note)[0].progress_current == .2
    for value in [-.1, .1, .51, 1]:
        refuse_value(
            note, work(note)[0], 'progress_current', value, second.rec_name)
    assert billed(note) == [-300]


def test_credit_line_at_other_price():
    "It never credits more than it was billed"
    second = next_invoice(post_first(.2), .5)
    note = credit(second)
    line, = work(note)
    for price in ['110', '-100', '0.01']:
        try:
            write(line, unit_price=Decimal(price))
        except UserError as exception:
            assert note.rec_name in exception.message
        note.reload()
        assert -300 <= note.untaxed_amount <= 0


def test_credit_of_draft():
    draft = create_invoice((10, '100'))
    with refused(draft):
        credit(draft)
    draft.click('validate_invoice')
    with refused(draft):
        credit(draft)


# The chain

def test_next_twice():
    first = post_first(.2)
    draft = next_invoice(first, post=False)
    for button in ['next_progress_invoice', 'closing_progress_invoice']:
        with refused(first.progress_contract, draft):
            first.click(button)
    draft.click('validate_invoice')
    with refused(first.progress_contract, draft):
        first.click('next_progress_invoice')
    draft.click('post')
    with refused(first, draft):
        first.click('next_progress_invoice')


def test_next_of_two_together():
    first, other = post_first(.2), post_first(.2)
    draft = next_invoice(other, post=False)
    with refused(other.progress_contract, draft):
        together('next_progress_invoice', first, other)


def test_next_of_same_contract_together():
    first = post_first(.2)
    second = next_invoice(first, .5)
    with refused(first, second):
        together('next_progress_invoice', first, second)


def test_next_of_closed():
    sale, first = bill_sale(.2)
    closing, = first.click('closing_progress_invoice')
    closing.click('post')
    for button in ['next_progress_invoice', 'closing_progress_invoice']:
        with refused(closing, first.progress_contract):
            closing.click(button)
    with refused(closing):
        sale.click('progress_invoice')


def test_next_of_other_than_live():
    draft = create_invoice((10, '100'))
    with refused(draft, own=False):
        draft.click('next_progress_invoice')
    draft.click('post')
    draft.click('cancel')
    with refused(draft, own=False):
        draft.click('next_progress_invoice')
    ordinary = create_invoice((10, '100'), progress=False)
    ordinary.click('post')
    with refused(ordinary, own=False):
        ordinary.click('closing_progress_invoice')


def test_cancelled_draft_reopened():
    first = post_first(.2)
    cancelled = next_invoice(first, post=False)
    cancelled.click('cancel')
    draft = next_invoice(first, .5, post=False)
    with refused(draft):
        cancelled.click('draft')
    draft.delete()
    cancelled.click('draft')
    set_current(cancelled, .6)
    cancelled.click('post')
    assert billed(cancelled) == [400]


def test_cancelled_draft_reopened_after_closing():
    first = post_first(.2)
    cancelled = next_invoice(first, .5, post=False)
    cancelled.click('cancel')
    closing, = first.click('closing_progress_invoice')
    closing.click('post')
    try:
        cancelled.click('draft')
    except UserError as exception:
        assert closing.rec_name in exception.message
    else:
        with refused(closing):
            cancelled.click('post')


def test_cancelled_draft_reopened_after_next():
    first = post_first(.2)
    cancelled = next_invoice(first, .5, post=False)
    cancelled.click('cancel')
    second = next_invoice(first, .6)
    cancelled.click('draft')
    assert cancelled.previous_progress_invoice == second
    assert billed(cancelled) == [0]
    cancelled.click('post')
    assert cancelled.progress_number == 3


# Posting

def test_earlier_document_changed():
    first = post_first(.2)
    draft = next_invoice(first, .5, post=False)
    draft.click('validate_invoice')
    note = credit(first)
    note.click('post')
    draft.reload()
    assert billed(draft) == [300]
    with refused(draft, note):
        draft.click('post')
    draft.reload()
    assert draft.state == 'validated'
    assert not draft.move or draft.move.state == 'draft'
    # The way out
    draft.click('draft')
    assert billed(draft) == [500]
    draft.click('post')
    assert draft.untaxed_amount == 500


def test_earlier_document_changed_validated_again():
    first = post_first(.2)
    draft = next_invoice(first, .5, post=False)
    draft.click('validate_invoice')
    credit(first).click('post')
    draft.click('draft')
    draft.click('validate_invoice')
    draft.click('post')
    assert draft.untaxed_amount == 500


def test_earlier_document_cancelled():
    first = post_first(.2)
    second = next_invoice(first, .4)
    draft = next_invoice(second, .5, post=False)
    draft.click('validate_invoice')
    first.click('cancel')
    draft.reload()
    assert billed(draft) == [100]
    with refused(draft):
        draft.click('post')
    draft.click('draft')
    assert billed(draft) == [300]
    draft.click('post')


@pytest.mark.parametrize('button', ['validate_invoice', 'cancel'])
def test_document_just_before_cancelled(button):
    first = post_first(.2)
    second = next_invoice(first, .4)
    draft = next_invoice(second, .5, post=False)
    draft.click(button)
    second.click('cancel')
    draft.reload()
    draft.click('draft')
    assert (draft.previous_progress_invoice, draft.progress_number) == (
        first, 2)
    assert billed(draft) == [300]
    draft.click('post')


def test_credit_after_earlier_document_changed():
    first = post_first(.2)
    second = next_invoice(first, .5)
    note = credit(second)
    note.click('validate_invoice')
    other = credit(first)
    other.click('post')
    with refused(note, other):
        note.click('post')
    note.click('draft')
    assert billed(note) == [-300]
    note.click('post')


def test_two_documents_posted_together():
    first = post_first(.2)
    draft = next_invoice(first, .5, post=False)
    note = credit(first)
    for documents in [[draft, note], [note, draft]]:
        with refused(first.progress_contract, documents[1]):
            together('post', *documents)
    draft.reload()
    note.reload()
    assert (draft.state, note.state) == ('draft', 'draft')
    # One after the other
    draft.click('post')
    note.click('post')


def test_documents_of_other_contracts_posted_together():
    drafts = [next_invoice(post_first(.2), .5, post=False) for _ in range(2)]
    together('post', *drafts)
    for draft in drafts:
        draft.reload()
    assert [billed(d) for d in drafts] == [[300], [300]]


# Deletion

def test_delete_posted():
    first = post_first(.2)
    draft = next_invoice(first, .5, post=False)
    with refused(first, own=False):
        first.delete()
    with refused(first, own=False):
        Model_ = Model.get('account.invoice')
        Model_.delete([Model_(first.id), Model_(draft.id)])
    draft.delete()
    with refused(first, own=False):
        first.delete()


def test_delete_cancelled():
    first = post_first(.2)
    second = next_invoice(first, .5)
    second.click('cancel')
    draft = next_invoice(first, .6, post=False)
    assert billed(draft) == [400]
    with refused(second, own=False):
        second.delete()
    first.click('cancel')
    with refused(first, own=False):
        first.delete()
    draft.reload()
    assert billed(draft) == [600]
    draft.click('post')


def test_delete_contract_line():
    sale, first = bill_sale(.2, .2)
    draft = next_invoice(first, .5, .5, post=False)
    with refused(first, own=False):
        work(first)[0].delete()
    # It only comes back in the next
    work(draft)[0].delete()
    draft.reload()
    assert billed(draft) == [300]
    draft.click('post')
    assert billed(next_invoice(draft, 1., 1., post=False)) in [
        [800, 500], [500, 800]]


def test_delete_open_credit():
    first = post_first(.2)
    note = credit(first)
    note.delete()
    credit(first).click('post')
    assert billed(next_invoice(first, .5, post=False)) == [500]
