# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What advances and interventions refuse and what could break them"""
import datetime as dt
import random
import re
from decimal import Decimal

import pytest
from proteus import Model, Wizard
from proteus.config import get_config
from trytond.exceptions import UserWarning
from trytond.modules.account.tests.tools import create_tax, get_accounts
from trytond.modules.currency.tests.tools import get_currency
from trytond.modules.party.exceptions import EraseError
from trytond.modules.project_invoice.project import Work
from trytond.modules.project_progress_invoice.exceptions import (
    DepositAccountWarning)

from .refused import refused
from .registry import call
from .tools import (
    create, create_advance, create_deposit_account, create_intervention,
    create_invoice, create_project, create_project_type, credit, get,
    get_deposit, pay, recall_deposit, sell_advance, value, without_warnings,
    write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_advance')]

TODAY = dt.date.today()
DAY = dt.timedelta(days=1)


@pytest.fixture
def account():
    return create_deposit_account()


@pytest.fixture
def project(account):
    return create_project(create_project_type(account, propose_material=True))


def make_tax(rate):
    tax = create_tax(Decimal(rate))
    tax.save()
    return tax


def amounts(invoice):
    return [l.amount for l in invoice.lines if l.type == 'line']


def post(invoice):
    invoice.click('post')
    assert invoice.state in {'posted', 'paid'}
    return invoice


def residual(advance):
    advance.reload()
    return advance.residual_amount


# The set-up

def test_missing_invoice_type(account):
    type_ = create_project_type(account, invoice_journal=None)
    project = create_project(type_)
    advance = create_advance(project)
    with refused(project, type_, "Invoice Type"):
        advance.click('valorize')
    intervention = create_intervention(project, ('service', 1, '500'))
    with refused(project, type_, "Invoice Type"):
        intervention.click('valorize')


def test_missing_project_type():
    project = create_project()
    advance = create_advance(project)
    with refused(project, "Project Type", "Invoice Type"):
        advance.click('valorize')


def test_missing_deposit_account(account):
    type_ = create_project_type(account)
    type_.advance_account = None
    type_.save()
    advance = create_advance(create_project(type_))
    with refused(advance.work, type_, "Advance Account"):
        advance.click('valorize')


def test_missing_party(project):
    project.party = None
    project.save()
    advance = create_advance(project)
    with refused(advance, project):
        advance.click('valorize')


def test_deposit_account_without_party(account):
    account.party_required = False
    account.save()
    with refused(account, "Party Required"):
        create_project_type(account)


def test_off_balance_deposit_account_is_warned_about(account):
    account.type.statement = 'off-balance'
    account.type.parent = None
    account.type.save()
    with pytest.raises(UserWarning) as info:
        create_project_type(account)
    assert isinstance(info.value, DepositAccountWarning)
    assert account.rec_name in info.value.message


# The advance itself

@pytest.mark.parametrize('values', [
        {'quantity': 0},
        {'quantity': -1},
        {'quantity': float('inf')},
        {'unit_price': '0'},
        {'unit_price': '-5'},
        {'description': None},
        {'description': " "},
        {'line_type': 'coded'},
        {'opening_quantity': -1},
        {'opening_quantity': 1, 'type': 'to_balance'},
        ])
def test_impossible_advance(project, values):
    with refused(project):
        create_advance(project, **values)
    with refused(project):
        create('project.advance_invoice', **{
                'work': project.id,
                'line_type': 'uncoded',
                'description': "Days",
                'quantity': 10.,
                **values,
                'unit_price': Decimal(values.get('unit_price', '500')),
                })


def test_quantity_is_no_number(project):
    with refused(own=False):
        create_advance(project, quantity=float('nan'))


def test_unit_is_no_time(project):
    unit, = Model.get('product.uom').find([('name', '=', "Unit")])
    with refused("Unit", "Time"):
        create_advance(project, unit=unit)
    advance = create_advance(project)
    with refused("Unit", "Time"):
        write(advance, unit=unit.id)
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    with refused("Time"):
        create_advance(project, line_type='coded', product=product)


def test_other_currency(project):
    currency = get_currency('EUR')
    with refused(currency):
        create_advance(project, currency=currency)


def test_billed_advance_does_not_change(project):
    advance = create_advance(project)
    draft = value(advance)
    for name, value_ in [
            ('quantity', 20.),
            ('unit_price', Decimal(1)),
            ('type', 'to_balance'),
            ('taxes', [('add', [make_tax('.10').id])]),
            ('line_type', 'coded'),
            ]:
        with refused(advance, draft):
            write(advance, **{name: value_})
    with refused(draft):
        write(draft.lines[0], quantity=5.)
    with refused(draft):
        write(draft.lines[0], unit_price=Decimal(5))
    with refused(advance):
        advance.delete()
    project.reload()
    with refused(project, advance):
        write(project, party=get('party.party', "Other Customer").id)
    with refused(project, advance):
        write(project, party=None)
    draft.delete()
    write(advance, quantity=20.)
    assert value(advance).untaxed_amount == 10000


def test_party_of_a_parent_project_is_kept(project):
    child = create_project(
        name="Child", party=None, parent=project)
    advance = sell_advance(child)
    with refused(child, advance):
        write(project, party=get('party.party', "Other Customer").id)
    child = create_project(
        name="Child", party="Other Customer", parent=project)
    advance.reload()
    post_credit(advance.invoices[0])
    sell_advance(child)
    write(project, party=get('party.party', "Other Customer").id)


# What an advance covers

def test_advance_of_another(project):
    other = create_project(project.project_type, name="Other")
    advance = sell_advance(other)
    with refused(advance, other, project):
        create_intervention(project, advance_invoice=advance)
    with refused(advance, other, project):
        create_intervention(
            project, ('service', 1, '1', {'advance_invoice': advance}))
    with refused(advance, "Customer", "Other Customer"):
        create_intervention(
            other, ('service', 1, '1', {'advance_invoice': advance}),
            party=get('party.party', "Other Customer"))
    intervention = create_intervention(other, ('service', 1, '1'))
    assert intervention.lines[0].advance_invoice == advance
    with refused(advance, "Other Customer"):
        write(intervention,
            party=get('party.party', "Other Customer").id)
    with refused(advance):
        write(intervention, work=project.id)


def test_advance_to_balance_covers_nothing(project):
    advance = create_advance(project, type='to_balance')
    with refused(own=False):
        create_intervention(project, advance_invoice=advance)


def test_closed_advance(project):
    advance = sell_advance(project, closed_date=TODAY)
    with refused(advance):
        create_intervention(
            project, ('service', 1, '1', {'advance_invoice': advance}),
            date=TODAY + DAY)
    intervention = create_intervention(
        project, ('service', 1, '1'), date=TODAY + DAY)
    assert not intervention.lines[0].advance_invoice
    intervention = create_intervention(project, ('service', 1, '1'))
    assert intervention.lines[0].advance_invoice == advance
    with refused(advance):
        write(intervention, date=TODAY + DAY)
    advance.closed_date = TODAY - DAY
    advance.save()
    with refused(advance, intervention):
        intervention.click('valorize')


def test_advance_not_yet_active(project):
    advance = sell_advance(project, active_from=TODAY + DAY)
    intervention = create_intervention(project, ('service', 1, '1'))
    assert not intervention.lines[0].advance_invoice
    intervention = create_intervention(
        project, ('service', 1, '1'), date=TODAY + DAY)
    assert intervention.lines[0].advance_invoice == advance


def test_advance_not_billed_or_used_up_covers_nothing(project):
    advance = create_advance(project, 1, '500')
    intervention = create_intervention(
        project, ('service', 1, '500', {'advance_invoice': advance}))
    assert intervention.covered_amount == 0
    invoice = value(intervention)
    assert amounts(invoice) == [500]
    invoice.delete()
    post(value(advance))
    intervention.reload()
    assert amounts(value(intervention)) == [500, -500]
    intervention = create_intervention(
        project, ('service', 1, '500', {'advance_invoice': advance}))
    assert amounts(value(intervention)) == [500]


def test_currency_without_digits(account, project):
    currency = get_currency('USD')
    write(currency, rounding=Decimal(1), digits=0)
    try:
        opened = create_advance(
            project, quantity=0, opening_quantity=3, unit_price='5000')
        assert str(opened.residual_amount) == '15000'
        advance = sell_advance(project, 2, '1000.5')
        assert str(advance.residual_amount) == '2001'
        value(create_intervention(project, ('service', 1, '16000.4')))
        # The rest of the first is cancelled of the next
        assert [residual(a) for a in [opened, advance]] == [0, 1001]
    finally:
        write(currency, rounding=Decimal('.01'), digits=2)


def test_more_than_the_residual(project):
    advance = sell_advance(project, .5, '500')
    invoice = value(create_intervention(project, ('service', 1, '500')))
    assert amounts(invoice) == [500, -250]
    assert invoice.untaxed_amount == 250
    assert residual(advance) == 0


def test_what_a_script_leaves_out(project):
    advance = sell_advance(project)
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    scripted = create('project.intervention', work=project.id, lines=[
            ('create', [
                    {'product': product.id, 'quantity': 2.},
                    {'product': product.id, 'quantity': 2.,
                        'advance_invoice': None},
                    ])])
    typed = Model.get('project.intervention')(work=project)
    for _ in range(2):
        line = typed.lines.new()
        line.product = product
        line.quantity = 2
    line.advance_invoice = None
    typed.save()
    for intervention in [scripted, typed]:
        assert intervention.party == project.party
        assert intervention.number
        first, second = intervention.lines
        assert first.advance_invoice == advance
        assert second.advance_invoice is None
        for line in intervention.lines:
            assert line.unit == product.sale_uom
            assert line.unit_price == 100
            assert [t.rate for t in line.taxes] == [Decimal('.20')]


@pytest.mark.parametrize('spelled_out', [
        {'kind': 'service', 'invoiceable': True},
        {'kind': 'service', 'invoiceable': True, 'unit_price': Decimal(100)},
        {'kind': 'service', 'invoiceable': True, 'unit_price': Decimal(100),
            'advance_invoice': None, 'taxes_typed': False},
        ])
def test_what_a_script_spells_out(project, spelled_out):
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    intervention = create('project.intervention', work=project.id, lines=[
            ('create', [
                    {'product': product.id, 'quantity': 2., **spelled_out}])])
    line, = intervention.lines
    assert line.unit == product.sale_uom
    assert line.unit_price == 100
    assert [t.rate for t in line.taxes] == [Decimal('.20')]


def test_intervention_of_a_request_by_a_script(project):
    advance = sell_advance(project)
    request = create('project.intervention.request',
        work=project.id, description="Leak", advance_invoice=advance.id)
    intervention = create('project.intervention', request=request.id)
    assert intervention.work == project
    assert intervention.party == project.party
    assert intervention.description == "Leak"
    assert intervention.advance_invoice == advance
    intervention = create(
        'project.intervention', request=request.id, advance_invoice=None)
    assert not intervention.advance_invoice


def test_header_typed_after_the_lines(project):
    closed = sell_advance(project, closed_date=TODAY)
    picked = sell_advance(project)
    intervention = Model.get('project.intervention')(work=project)
    for kind in ['service', 'expense']:
        intervention.lines.new(
            kind=kind, description="New", quantity=1, unit_price=Decimal(1))
    uncovered = intervention.lines.new(
        kind='service', description="New", quantity=1, unit_price=Decimal(1))
    uncovered.advance_invoice = None
    assert [l.advance_invoice for l in intervention.lines] == [
        closed, None, None]
    intervention.date = TODAY + DAY
    assert [l.advance_invoice for l in intervention.lines] == [
        picked, None, None]
    intervention.advance_invoice = picked
    intervention.save()
    assert [l.advance_invoice for l in intervention.lines] == [picked] * 3
    # But not the lines that are no more new
    intervention.advance_invoice = None
    intervention.save()
    assert [l.advance_invoice for l in intervention.lines] == [picked] * 3


def test_project_picked_after_the_lines(project):
    advance = sell_advance(project)
    intervention = Model.get('project.intervention')()
    line = intervention.lines.new(
        kind='service', description="New", quantity=1, unit_price=Decimal(1))
    # As a client which sends all its fields
    line.advance_invoice = None
    intervention.work = project
    assert intervention.lines[0].advance_invoice == advance
    # As the request says
    other = sell_advance(project)
    request = create('project.intervention.request',
        work=project.id, advance_invoice=other.id)
    intervention.description = "Typed"
    intervention.request = request
    intervention.save()
    assert intervention.lines[0].advance_invoice == other
    assert intervention.description == "Typed"


def test_header_for_another_party(project):
    sell_advance(project)
    intervention = Model.get('project.intervention')(work=project)
    intervention.lines.new(
        kind='service', description="New", quantity=1, unit_price=Decimal(1))
    intervention.party = get('party.party', "Other Customer")
    intervention.save()
    assert not intervention.lines[0].advance_invoice


def test_advance_without_price(project):
    with refused(own=False):
        create('project.advance_invoice',
            work=project.id, line_type='uncoded', description="Days",
            quantity=10.)


def test_product_without_account_category(project):
    template = Model.get('product.template')(
        name="Bare Day", type='service', list_price=Decimal(100))
    template.default_uom = get('product.uom', "Day")
    template.save()
    product, = template.products
    balance = Model.get('project.advance_invoice')(
        work=project, product=product, quantity=1., unit_price=Decimal(100),
        type='to_balance')
    balance.save()
    invoice = value(balance)
    assert [l.account for l in invoice.lines] == [get_accounts()['revenue']]


def test_intervention_with_nothing_to_invoice_is_not_valued(project):
    warranty = create_intervention(
        project, ('service', 1, '500', {'invoiceable': False}))
    empty = create_intervention(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    wizard = Wizard('project.intervention.value_many')
    wizard.form.works.append(Model.get('project.work')(project.id))
    wizard.execute('value')
    for record, state in [
            (warranty, 'done'), (empty, 'done'), (intervention, 'invoiced')]:
        record.reload()
        assert record.state == state


@pytest.mark.parametrize('batch', [1, 100])
def test_projects_share_an_advance(project, batch, monkeypatch):
    advance = sell_advance(project, quantity=2)
    child = create_project(name="Child", party=None, parent=project)
    interventions = [
        create_intervention(work, ('service', 1, price))
        for work, price in [(project, '300'), (child, '600'), (child, '200')]]
    # Their invoices are saved one after the other or together
    monkeypatch.setattr(
        'trytond.modules.project_progress_invoice.intervention.BATCH', batch)
    wizard = Wizard('project.intervention.value_many')
    wizard.form.works.append(Model.get('project.work')(project.id))
    wizard.execute('value')
    for record in interventions:
        record.reload()
        assert record.state == 'invoiced'
    invoice, same = [i.invoices[0] for i in interventions[:2]]
    assert interventions[2].invoices == [same]
    assert amounts(invoice) == [300, -300]
    assert amounts(same) == [600, -600, 200, -100]
    assert residual(advance) == 0


def test_refusal_names_the_invoice_that_bills_now(project):
    advance = sell_advance(project)
    post_credit(advance.invoices[0])
    invoice = value(advance)
    with refused(advance, f'"{invoice.rec_name}"'):
        write(advance, quantity=1.)


def test_taxes_that_are_removed_stay_so(project):
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    intervention = Model.get('project.intervention')(work=project)
    line = intervention.lines.new()
    line.product = product
    line.quantity = 1
    line.taxes.pop()
    intervention.save()
    assert not intervention.lines[0].taxes


def create_day():
    "Return a product sold by the day with taxes"
    template = Model.get('product.template')(
        name="Consulting", type='service', salable=True,
        list_price=Decimal(480))
    template.default_uom = get('product.uom', "Day")
    template.account_category = get('product.category', "Taxed")
    template.save()
    product, = template.products
    return product


def test_client_leaves_out_the_taxes_that_are_removed(project):
    product = create_day()
    values = {
        'product': product.id, 'unit': product.sale_uom.id, 'quantity': 1.,
        'unit_price': Decimal(500)}
    line = {
        **values, 'kind': 'service', 'invoiceable': True,
        'advance_invoice': None}
    for typed in [False, True]:
        advance = create('project.advance_invoice',
            work=project.id, line_type='coded', type='on_account', **values,
            taxes_typed=typed)
        intervention = create('project.intervention', work=project.id, lines=[
                ('create', [{**line, 'taxes_typed': typed}])])
        for record in [advance, *intervention.lines]:
            assert bool(record.taxes) != typed
    for model in ['project.advance_invoice', 'project.intervention.line']:
        changed = call(
            model, 'on_change', {'taxes': [], 'id': None}, ['taxes'])
        assert changed['taxes_typed']


def test_coded_advance(project):
    product = create_day()
    day = product.sale_uom
    scripted = create(
        'project.advance_invoice', work=project.id, product=product.id,
        quantity=3.)
    typed = Model.get('project.advance_invoice')(work=project)
    typed.product = product
    typed.quantity = 3
    typed.save()
    for advance in [scripted, typed]:
        assert (advance.unit, advance.unit_price) == (day, 480)
        assert advance.amount == 1440
        invoice = value(advance)
        assert invoice.total_amount == 1728
        assert invoice.lines[0].product == product
        post(invoice)


# Valuation

def test_valuation_refused(project):
    intervention = create_intervention(project)
    with refused(intervention):
        intervention.click('valorize')
    intervention = create_intervention(
        project, ('service', 1, '1', {'invoiceable': False}))
    with refused(intervention):
        intervention.click('valorize')
    intervention = create_intervention(project, ('service', 1, '1'))
    intervention.party = None
    intervention.save()
    with refused(intervention):
        intervention.click('valorize')
    intervention = create_intervention(
        project, ('service', 1, '1'), state='planned')
    with refused(intervention, own=False):
        Wizard('project.intervention.valorize', [intervention])


def test_invoiced_intervention_does_not_change(project):
    sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '1'))
    value(intervention)
    line, = intervention.lines
    with refused(intervention):
        write(line, quantity=2.)
    with refused(intervention):
        line.delete()
    with refused(intervention):
        write(intervention, lines=[('create', [
                        {'description': "More", 'quantity': 1.,
                            'unit_price': Decimal(1)}])])
    with refused(intervention):
        write(intervention, date=TODAY - DAY)
    with refused(intervention):
        intervention.delete()
    intervention.reload()
    with refused(own=False):
        intervention.click('cancel')


def test_two_tax_rates(project):
    ten, twenty = make_tax('.10'), make_tax('.20')
    first = sell_advance(project, taxes=[ten])
    second = sell_advance(project, taxes=[twenty])
    intervention = create_intervention(
        project,
        ('service', 1, '500', {'taxes': [ten], 'advance_invoice': first}),
        ('material', 3, '100', {'taxes': [twenty], 'advance_invoice': second}))
    invoice = value(intervention)
    assert amounts(invoice) == [500, 300, -500, -300]
    rates = [
        [t.rate for t in l.taxes] for l in invoice.lines if l.type == 'line']
    assert rates == 2 * [[Decimal('.10')], [Decimal('.20')]]
    assert invoice.tax_amount == invoice.total_amount == 0
    post(invoice)
    assert not sum(l.debit - l.credit for l in invoice.move.lines)


def test_taxes_of_what_does_not_divide(account, project):
    # 5.5 % of 1.00 is at the middle of two cents
    tax = make_tax('.055')
    fixed = create_tax(Decimal('.1'))
    fixed.type = 'fixed'
    fixed.amount = Decimal(2)
    fixed.save()
    for tax, tax_amount in [(tax, Decimal('.06')), (fixed, Decimal('2'))]:
        advance = sell_advance(project, 1, '333.33', [tax])
        intervention = create_intervention(
            project, ('service', 1, '1.00', {
                    'taxes': [tax], 'advance_invoice': advance}))
        invoice = value(intervention)
        assert invoice.untaxed_amount == 0
        bases = sorted(t.base for t in invoice.taxes)
        assert bases == [-1, 1]
        assert max(t.amount for t in invoice.taxes) == tax_amount
        post(invoice)
    # The tax of a fixed amount is the one of the quantity
    assert min(t.amount for t in invoice.taxes) == Decimal('-.01')


@pytest.mark.parametrize('rate, lines', [
        # The taxes of 96.99945 are not those of 97.00
        # nor those of 46.67819 those of 46.67
        ('.055', [(1.6, '56.2497'), (.7, '9.9999')]),
        ('.2', [(1.3, '33.3333'), (.1, '33.449')]),
        ])
def test_taxes_of_what_is_covered_are_cancelled(project, rate, lines):
    parent = make_tax(rate)
    parent.type = 'none'
    parent.save()
    for share in [2, 3]:
        create(
            'account.tax', name=f"Part {share}", description=f"Part {share}",
            type='percentage', parent=parent.id,
            rate=Decimal(rate) * share / 5,
            invoice_account=parent.invoice_account.id,
            credit_note_account=parent.credit_note_account.id)
    for tax in [make_tax(rate), parent]:
        advance = sell_advance(project, unit_price='62.5', taxes=[tax])
        invoice = value(create_intervention(project, *(
                    ('service', quantity, price, {
                            'taxes': [tax], 'advance_invoice': advance})
                    for quantity, price in lines)))
        assert invoice.untaxed_amount == invoice.total_amount == 0
        post(invoice)


def test_cancellation_product_has_other_values(project):
    tax = make_tax('.10')
    advance = sell_advance(project, taxes=[tax])
    product, = Model.get('product.product').find(
        [('template.name', '=', "Taxed Service")])
    project.project_type.cancellation_product = product
    project.project_type.cancellation_description = "Prepaid"
    project.project_type.save()
    invoice = value(create_intervention(
            project, ('service', 1, '500', {'taxes': [tax]})))
    cancellation = invoice.lines[-1]
    assert cancellation.product == product
    assert cancellation.description == "Prepaid"
    assert cancellation.unit == advance.unit != product.default_uom
    assert [t.rate for t in cancellation.taxes] == [Decimal('.10')]
    assert cancellation.unit_price == 500
    assert cancellation.taxes_date == advance.invoices[0].invoice_date
    post(invoice)
    assert post_credit(invoice).total_amount == 0


def post_credit(invoice, refund=False):
    new = credit(invoice, refund=refund)
    if not refund:
        post(new)
    return new


def test_opening_quantity(account, project):
    advance = create_advance(project, opening_quantity=2.5)
    assert (advance.residual_quantity, advance.residual_amount) == (2.5, 1250)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    cancellation = invoice.lines[-1]
    assert cancellation.origin == advance
    assert cancellation.amount == -500
    assert residual(advance) == 750
    # The account has no opening entry
    with refused(account, own=False):
        invoice.click('post')
    only = create_advance(project, quantity=0, opening_quantity=1)
    with refused(only):
        only.click('valorize')


def test_opening_credited_beyond_what_was_billed(project):
    # The account has no opening entry
    sell_advance(project)
    advance = sell_advance(project, quantity=1, opening_quantity=1)
    credit_note = credit(advance.invoices[0])
    write(credit_note.lines[0], quantity=-2.)
    post(credit_note)
    assert residual(advance) == 0
    for values in [
            {'unit_price': Decimal(499)},
            {'opening_quantity': .99},
            ]:
        with refused(advance):
            write(advance, **values)
    write(advance, opening_quantity=1.5)
    assert residual(advance) == 250


@pytest.mark.parametrize('quantity, unit_price, amount', [
        (.5, '0.01', '0'),
        (1.5, '0.01', '0.02'),
        (2.5, '0.01', '0.02'),
        (2.51, '0.01', '0.03'),
        (1.3, '0.01', '0.01'),
        ])
def test_opening_quantity_is_searched_to_the_cent(
        project, quantity, unit_price, amount):
    advance = create_advance(
        project, unit_price=unit_price, opening_quantity=quantity)
    assert advance.residual_amount == Decimal(amount)
    assert advance.find([
            ('id', '=', advance.id),
            ('residual_amount', '=', Decimal(amount)),
            ])


def test_cancellation_typed_by_hand(project):
    advance = sell_advance(project, 1, '500')
    invoice = value(create_intervention(project, ('service', 1, '800')))
    assert amounts(invoice) == [800, -500]
    cancellation = invoice.lines[-1]
    with refused(advance):
        write(cancellation, quantity=-1.5)  # of the advance
    with refused(invoice):
        write(cancellation, quantity=-2.)  # of the intervention
    with refused(invoice):
        write(cancellation, quantity=1.)
    with refused(invoice):
        write(cancellation, unit_price=Decimal(100))
    with refused(invoice):
        write(cancellation, taxes=[('add', [make_tax('.10').id])])
    write(cancellation, quantity=-.5)
    invoice.reload()
    assert amounts(invoice) == [800, -250]
    assert residual(advance) == 250


def test_covered_line_lowered_by_a_script(project):
    tax = make_tax('.20')
    sell_advance(project, taxes=[tax])
    invoice = value(create_intervention(
            project, ('service', 1, '500', {'taxes': [tax]}),
            ('material', 1, '300', {'taxes': [tax]})))
    write(invoice.lines[1], quantity=.2)
    invoice.reload()
    assert amounts(invoice) == [100, 300, -400]
    assert invoice.total_amount == 0
    invoice.lines[2].delete()
    invoice.reload()
    assert amounts(invoice) == [100, -100]
    write(invoice.lines[1], quantity=0.)
    invoice.reload()
    assert amounts(invoice) == [0, 0]
    post(invoice)
    assert len([l for l in invoice.move.lines if l.tax_lines]) <= 1


def test_discount_that_no_advance_covers(project):
    advance = sell_advance(project)
    intervention = create_intervention(
        project, ('service', 1, '500'), ('material', 1, '300'),
        ('service', -1, '100.05', {'advance_invoice': None}))
    assert intervention.total_amount == Decimal('699.95')
    assert intervention.covered_amount == Decimal('699.95')
    invoice = value(intervention)
    assert amounts(invoice) == [
        500, 300, Decimal('-100.05'), Decimal('-699.95')]
    assert invoice.total_amount == 0
    assert residual(advance) == Decimal('4300.05')

    # A discount of the draft
    write(invoice.lines[3], unit_price=Decimal('150.05'))
    with refused(invoice, "649.95"):
        invoice.click('post')
    write(invoice.lines[1], quantity=.9)
    invoice.reload()
    assert amounts(invoice) == [
        450, 300, Decimal('-150.05'), Decimal('-599.95')]
    post(invoice)
    assert residual(advance) == Decimal('4400.05')
    assert str(advance.residual_amount) == '4400.05'

    # And all of it back
    note = credit(invoice)
    assert note.untaxed_amount == 0
    post(note)
    assert residual(advance) == 5000


def test_discount_on_another_intervention_of_the_invoice(project):
    advance = sell_advance(project)
    interventions = [
        create_intervention(project, ('service', 1, '500')),
        create_intervention(
            project, ('service', -1, '50', {'advance_invoice': None}))]
    Intervention = Model.get('project.intervention')
    Intervention.click(
        [Intervention(i.id) for i in interventions], 'valorize')
    interventions[0].reload()
    invoice, = interventions[0].invoices
    assert amounts(invoice) == [500, -450, -50]
    assert residual(advance) == 4550


def test_links_are_not_for_scripts(project):
    advance = sell_advance(project)
    invoice = create_invoice((1, '100'), progress=False)
    for name, value_ in [
            ('advance_invoice', advance.id),
            ('covered_by_advance', advance.id),
            ('advance_cancellation', True),
            ]:
        with refused(own=False):
            write(invoice.lines[0], **{name: value_})


# The deposit account belongs to the advances

def test_deposit_account_used_by_hand(account, project):
    advance = sell_advance(project)
    invoice = create_invoice((10, '100'), progress=False)
    with refused(account, advance, "Valorize"):
        recall_deposit(invoice, account)
    with refused(account, advance, "Valorize"):
        write(invoice, lines=[('create', [{
                            'type': 'line', 'account': account.id,
                            'quantity': -1., 'unit_price': Decimal(10)}])])
    with refused(account, advance, "Valorize"):
        write(invoice.lines[0], account=account.id)
    # Nothing of another party is touched
    other = create_invoice(
        (1, '100'), party="Other Customer", progress=False)
    write(other.lines[0], account=account.id)
    post(other)


def test_deposit_account_while_an_open_invoice_cancels_all(account, project):
    advance = sell_advance(project, 1)
    draft = value(create_intervention(project, ('service', 1, '500')))
    assert (residual(advance), draft.untaxed_amount) == (0, 0)
    other = create_invoice((1, '500'), progress=False)
    for invoice in [other, draft]:
        with refused(account, advance, "Valorize"):
            recall_deposit(invoice, account)
    with refused(account, advance, "Valorize"):
        write(other.lines[0], account=account.id)
    post(draft)
    assert get_deposit(account) == 0


def test_deposit_account_on_the_invoice_of_the_advance(account, project):
    advance = create_advance(project)
    invoice = value(advance)
    with refused(account, advance, "Valorize"):
        recall_deposit(invoice, account)
    with refused(account, advance, "Valorize"):
        write(invoice, lines=[('create', [{
                            'type': 'line', 'account': account.id,
                            'quantity': -1., 'unit_price': Decimal(10)}])])
    post(invoice)
    assert residual(advance) == 5000


def test_line_typed_before_the_advance(account, project):
    invoice = create_invoice((1, '100'), progress=False)
    write(invoice.lines[0], account=account.id)
    advance = sell_advance(project)
    with refused(account, advance, "Valorize"):
        invoice.click('post')


# In step

def test_used_advance_is_neither_credited_nor_cancelled(project):
    advance = sell_advance(project)
    invoice, = advance.invoices
    draft = value(create_intervention(project, ('service', 1, '500')))
    with refused(advance):
        credit(invoice, refund=True)
    with refused(advance):
        invoice.click('cancel')
    # What is left can be credited
    rest = credit(invoice)
    assert amounts(rest) == [-4500]
    rest.delete()
    draft.delete()
    credit_note = credit(invoice)
    write(credit_note.lines[0], quantity=-4.)
    post(credit_note)
    assert residual(advance) == 3000
    draft = value(create_intervention(project, ('service', 1, '500')))
    rest = credit(invoice)
    assert amounts(rest) == [-2500]
    rest.delete()
    draft.delete()
    rest = credit(invoice)
    assert amounts(rest) == [-3000]
    rest.delete()
    intervention = create_intervention(project, ('service', 10, '500'))
    assert amounts(value(intervention)) == [5000, -3000]


def test_credit_note_of_an_advance_in_preparation_is_reserved(project):
    advance = sell_advance(project)
    credit_note = credit(advance.invoices[0])
    write(credit_note.lines[0], quantity=-4.)
    assert residual(advance) == 5000
    intervention = create_intervention(project, ('service', 10, '500'))
    assert amounts(value(intervention)) == [5000, -3000]
    post(credit_note)
    assert residual(advance) == 0


def test_partial_credit(account, project):
    advance = sell_advance(project)
    intervention = create_intervention(
        project, ('service', 1, '500'), ('material', 3, '100'))
    post(value(intervention))
    credit_note = credit(intervention.invoices[0])
    write(credit_note.lines[1], quantity=0.)
    credit_note.reload()
    assert amounts(credit_note) == [0, -300, 300]
    with refused(credit_note):
        write(credit_note.lines[-1], quantity=5.)
    post(credit_note)
    intervention.reload()
    # The material is to be billed again
    assert intervention.state == 'done'
    assert intervention.covered_amount == 800
    assert residual(advance) == get_deposit(account) == 4500
    # The rest can still be credited
    rest = credit(intervention.invoices[0])
    assert amounts(rest) == [-500, 500]
    post(rest)
    intervention.reload()
    assert intervention.state == 'done'
    assert residual(advance) == get_deposit(account) == 5000
    with refused(advance):
        credit(intervention.invoices[0])
    # What a credit note credited is billed once it is credited itself
    post_credit(credit_note)
    assert residual(advance) == get_deposit(account) == 4700
    again = credit(intervention.invoices[0])
    assert amounts(again) == [-300, 300]
    post(again)
    assert residual(advance) == get_deposit(account) == 5000


@pytest.mark.parametrize('unit', ["Day", None])
@pytest.mark.parametrize('price', ['100.01', '100.03'])
def test_halves_of_a_cent_are_credited(account, project, price, unit):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, price, {
                'unit': get('product.uom', unit) if unit else None}))
    invoice = post(value(intervention))
    half = credit(invoice)
    write(half.lines[1], quantity=-.5)
    post(half)
    rest = post_credit(invoice)
    assert sum(amounts(half)[:1] + amounts(rest)[:1]) == -Decimal(price)
    intervention.reload()
    assert intervention.state == 'done'
    assert residual(advance) == get_deposit(account) == 5000


def test_halves_of_an_advance_are_credited(account, project):
    advance = sell_advance(project, 1, '100.01')
    invoice, = advance.invoices
    half = credit(invoice)
    write(half.lines[0], quantity=-.5)
    post(half)
    assert half in advance.__class__(advance.id).invoices
    for document in [invoice, half]:
        assert advance.find([('invoices', '=', document.id)]) == [advance]
    post_credit(invoice)
    assert residual(advance) == get_deposit(account) == 0
    assert value(advance) != invoice


def test_taxes_follow_what_a_script_writes(project):
    tax = make_tax('.20')
    advance = create_advance(project, 1, '100')
    advance.taxes.append(tax.__class__(tax.id))
    advance.save()
    post(value(advance))
    invoice = value(create_intervention(
            project, ('service', 1, '800', {'taxes': [tax]})))
    assert (invoice.untaxed_amount, invoice.tax_amount) == (700, 140)
    for line, quantity in [(invoice.lines[1], .5), (invoice.lines[2], -.5)]:
        write(line, quantity=quantity)
        invoice.reload()
        assert invoice.tax_amount == invoice.untaxed_amount / 5


def test_nothing_is_billed_twice(project):
    advance = sell_advance(project)
    # On PostgreSQL Tryton lets an invoice of nothing be paid once posted
    intervention = create_intervention(
        project, ('service', 1, '500'),
        ('material', 1, '100', {'advance_invoice': None}))
    cancelled = value(intervention)
    cancelled.click('cancel')
    invoice = value(intervention)
    with refused(intervention, cancelled, invoice):
        cancelled.click('draft')
    with pytest.raises(UserWarning, match=r"4500\.00"):
        invoice.click('post')
    with without_warnings():
        post(invoice)
    credit_note = post_credit(invoice)
    again = value(intervention)
    with refused(intervention, invoice, again):
        credit_note.click('cancel')
    again.delete()
    credit_note.click('cancel')
    intervention.reload()
    assert intervention.state == 'invoiced'
    assert residual(advance) == 4500


def test_refund_that_is_unreconciled(account, project):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '700', {
                'taxes': [make_tax('.20')]}))
    invoice = post(value(intervention))
    refund = post_credit(invoice, refund=True)
    assert residual(advance) == get_deposit(account) == 5000
    intervention.reload()
    assert intervention.state == 'done'
    line = next(l for l in invoice.move.lines if l.account == invoice.account)
    Model.get('account.move.reconciliation').delete(
        [line.reconciliation])
    invoice.reload()
    refund.reload()
    assert (invoice.state, refund.state) == ('posted', 'posted')
    # Both live again and sum to nothing
    assert residual(advance) == get_deposit(account) == 5000
    intervention.reload()
    assert intervention.state == 'done'


def test_to_balance(account, project):
    first = sell_advance(project, 1, '100', active_from=TODAY)
    second = sell_advance(project, 3, '100', closed_date=TODAY - DAY)
    balance = create_advance(project, 2, '100', type='to_balance')
    invoice = value(balance)
    # The oldest first, up to its own value, closed or not
    assert amounts(invoice) == [200, -200]
    assert invoice.lines[1].advance_invoice == second
    assert (residual(first), residual(second)) == (100, 100)
    assert (residual(balance), balance.residual_quantity) == (0, 0)
    assert value(balance) == invoice
    invoice.delete()
    write(balance, quantity=10.)
    invoice = value(balance)
    assert amounts(invoice) == [1000, -300, -100]
    assert invoice.lines[0].account == get_accounts()['revenue']
    assert invoice.lines[0].advance_invoice is None
    post(invoice)
    assert get_deposit(account) == 0
    post_credit(invoice)
    assert (residual(first), residual(second)) == (100, 300)
    balance.reload()
    assert not balance.billed


def test_copies_drop_the_links(project):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    invoice = value(intervention)
    copy, = invoice.duplicate()
    assert amounts(copy) == [500]
    line = copy.lines[-1]
    assert not line.covered_by_advance and not line.intervention
    copy, = advance.invoices[0].duplicate()
    assert not copy.lines
    copy, = advance.duplicate()
    assert (residual(copy), copy.billed) == (0, False)
    copy, = intervention.duplicate()
    assert (copy.state, copy.invoices) == ('planned', [])
    assert copy.number != intervention.number
    copy, = project.duplicate()
    assert not copy.advance_invoices and not copy.interventions


# Tryton's own project invoicing

def create_task(project, price, progress):
    task = project.children.new()
    task.name = "Task"
    task.type = 'task'
    hour, = Model.get('product.uom').find([('name', '=', "Hour")])
    template = Model.get('product.template')(
        name="Hour", type='service', default_uom=hour,
        account_category=get('product.category', "Untaxed"))
    template.save()
    task.product, = template.products
    task.effort_duration = dt.timedelta(hours=10)
    task.list_price = Decimal(price) / 10
    task.progress = progress
    project.save()
    return project.children[-1]


def test_what_is_not_work_of_the_project_is_not_covered(
        account, monkeypatch):
    def _get_lines_to_invoice(self):
        # As the module project_disbursement
        lines = get_lines(self)
        if lines:
            lines.append({
                    **lines[0], 'description': "Fee", 'quantity': 1.,
                    'unit_price': Decimal(30), 'origins': []})
        return lines

    get_lines = Work._get_lines_to_invoice
    monkeypatch.setattr(Work, '_get_lines_to_invoice', _get_lines_to_invoice)
    project = create_project(
        create_project_type(account), project_invoice_method='effort')
    create_task(project, '100', 1.)
    advance = sell_advance(project)
    project.click('invoice')
    invoice, = {l.invoice for l in advance.cancellation_lines}
    assert sorted(amounts(invoice)) == [-100, 30, 100]
    assert residual(advance) == 4900


def test_project_invoicing(account):
    type_ = create_project_type(account)
    project = create_project(
        type_, name="Tasks", project_invoice_method='progress')
    advance = sell_advance(project, 1, '700')
    task = create_task(project, '1000', .5)
    project.click('invoice')
    task.reload()
    invoice = task.invoiced_progress[0].invoice_line.invoice
    assert amounts(invoice) == [500, -500]
    post(invoice)
    task.progress = 1.
    task.save()
    project.click('invoice')
    task.reload()
    invoice = task.invoiced_progress[-1].invoice_line.invoice
    assert amounts(invoice) == [500, -200]
    assert invoice.total_amount == 300
    post(invoice)
    assert residual(advance) == get_deposit(account) == 0


def test_project_invoicing_without_proposal(account):
    type_ = create_project_type(account, propose_service=False)
    project = create_project(
        type_, name="Tasks", project_invoice_method='progress')
    sell_advance(project)
    task = create_task(project, '1000', .5)
    project.click('invoice')
    task.reload()
    assert amounts(task.invoiced_progress[0].invoice_line.invoice) == [500]


# Parties

def execute_warned(wizard, state):
    "Execute the state of the wizard and accept its warnings"
    try:
        wizard.execute(state)
    except UserWarning as warning:
        Model.get('res.user.warning')(
            user=get_config().user, name=warning.name).save()
        execute_warned(wizard, state)


def refuse_erase(party, record):
    party.active = False
    party.save()
    erase = Wizard('party.erase', models=[party])
    erase.form.party = party
    with pytest.raises(EraseError, match=re.escape(record.rec_name)):
        erase.execute('erase')
    party.active = True
    party.save()


def test_party_erase_and_replace(project):
    Party = Model.get('party.party')
    party, other = Party(name="Erased"), Party(name="Other")
    party.save()
    other.save()
    project = create_project(party=None)
    intervention = create_intervention(
        project, ('service', 1, '1'), party=party)
    refuse_erase(party, intervention)
    replace = Wizard('party.replace', models=[party])
    replace.form.source = party
    replace.form.destination = other
    execute_warned(replace, 'replace')
    intervention.reload()
    assert intervention.party == other


@pytest.mark.parametrize('bill', [
        lambda project: create_advance(
            project, quantity=0, opening_quantity=3),
        lambda project: value(create_advance(project)),
        lambda project: create_invoice((1, '1'), party="Unfinished"),
        ])
def test_party_with_something_to_bill_is_not_erased(account, bill):
    party = Model.get('party.party')(name="Unfinished")
    party.save()
    record = bill(create_project(
            create_project_type(account), party="Unfinished"))
    refuse_erase(party, record)
    party.name = "Not erased"
    party.save()


# The value rules

def test_what_is_to_bill_is_searched(project):
    Advance = Model.get('project.advance_invoice')
    advance = create_advance(project)
    billed = create_advance(project)
    value(billed)
    mine = ('work', '=', project.id)

    def check():
        for value_, expected in [(True, [billed]), (False, [advance])]:
            for clause in [
                    ('billed', '=', value_), ('billed', '!=', not value_),
                    ('billed', 'in', [value_]),
                    ('billed', 'not in', [not value_])]:
                assert Advance.find([mine, clause]) == expected, clause
        assert Advance.find([mine, ('billed', 'in', [])]) == []
        assert len(Advance.find([mine, ('billed', 'not in', [])])) == 2

    check()
    value(advance).click('cancel')
    check()
    post(value(advance)).click('cancel')
    check()
    invoice = post(value(advance))
    half = credit(invoice)
    write(half.lines[0], quantity=-5.)
    post(half)
    assert Advance.find([mine, ('billed', '=', True)]) == [advance, billed]
    post_credit(invoice)
    check()


def test_random_visits(account, project):
    rand = random.Random(0)
    advance = sell_advance(
        project, rand.randint(100, 2000) / 100,
        str(Decimal(rand.randint(1, 9999999)) / 10000))
    invoices = []
    for _ in range(12):
        price = str(Decimal(rand.randint(1, 300000)) / 100)
        intervention = create_intervention(
            project, ('service', 1, price, {'advance_invoice': advance}))
        before = residual(advance)
        invoice = value(intervention)
        covered = min(Decimal(price), before)
        assert amounts(invoice) == [Decimal(price), -covered][:1 + bool(
                covered)]
        assert residual(advance) == before - covered
        step = rand.random()
        if step < .2:
            invoice.delete()
        elif step < .8:
            post(invoice)
            invoices.append(invoice)
            if step < .5:
                # On PostgreSQL Tryton lets an invoice of nothing be paid once
                # posted and refunds no paid invoice
                post_credit(
                    invoices.pop(),
                    refund=step < .35 and invoice.state == 'posted')
        else:
            invoices.append(invoice)
        assert residual(advance) >= 0
    for invoice in invoices:
        if invoice.state == 'draft':
            post(invoice)
    assert residual(advance) == get_deposit(account)
    if residual(advance):
        post(value(create_intervention(
                    project, ('service', 1, '100000000', {
                            'advance_invoice': advance}))))
    assert residual(advance) == get_deposit(account) == 0
    assert advance.residual_quantity == 0


def test_pay_gates_only_what_is_new(account):
    type_ = create_project_type(account, consume='paid')
    project = create_project(type_)
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    assert amounts(value(intervention)) == [500]
    pay(advance.invoices[0])
    intervention = create_intervention(project, ('service', 1, '500'))
    invoice = value(intervention)
    assert amounts(invoice) == [500, -500]
    assert residual(advance) == 4500


def test_pay_does_not_gate_the_opening(account):
    type_ = create_project_type(account, consume='paid')
    project = create_project(type_)
    advance = create_advance(project, opening_quantity=5)
    billing = value(advance)
    intervention = create_intervention(project, ('service', 1, '5000'))
    invoice = value(intervention)
    assert amounts(invoice) == [5000, -2500]
    invoice.delete()
    # Else it takes what is proposed
    intervention.click('cancel')
    post(billing)
    credit_note = credit(billing)
    write(credit_note.lines[0], quantity=-4.)
    for _ in range(2):
        intervention = create_intervention(project, ('service', 1, '5000'))
        invoice = value(intervention)
        assert amounts(invoice) == [5000, -2500]
        invoice.delete()
        intervention.click('cancel')
        if credit_note.state == 'draft':
            post(credit_note)
    assert residual(advance) == 5500


def test_advance_is_billed_once(project):
    advance = create_advance(project)
    cancelled = value(advance)
    cancelled.click('cancel')
    invoice = value(advance)
    with refused(advance, cancelled, invoice):
        cancelled.click('draft')
    post(invoice)
    credit_note = post_credit(invoice)
    again = value(advance)
    with refused(advance, invoice, again):
        credit_note.click('cancel')
    again.delete()
    credit_note.click('cancel')
    assert residual(advance) == 5000


def test_what_is_credited_is_given_back_once(project):
    advance = sell_advance(project)
    invoice = post(value(create_intervention(project, ('service', 1, '800'))))
    post(value(create_intervention(project, ('service', 1, '1000'))))
    post_credit(invoice)
    with refused(advance):
        credit(invoice)
    assert residual(advance) == 4000


def test_what_bills_can_not_be_disguised(account, project):
    advance = sell_advance(project)
    intervention = create_intervention(
        project, ('service', 1, '500'), ('expense', 1, '5'))
    invoice = value(intervention)
    for line in invoice.lines[1:]:
        with refused(invoice):
            write(line, origin=None)
    line = invoice.lines[1]
    for name, value_ in [
            ('covered_by_advance', None),
            ('intervention', None),
            ]:
        with refused(own=False):
            write(line, **{name: value_})
    for name, value_ in [
            ('advance_cancellation', False),
            ('advance_amount', Decimal(0)),
            ]:
        with refused(own=False):
            write(invoice.lines[-1], **{name: value_})
    with refused(own=False):
        write(invoice, project_billing=False)
    billing_line = advance.invoices[0].lines[0]
    hand = create_invoice((1, '1'), progress=False)
    with refused(account, advance):
        write(hand.lines[0], account=account.id, origin=str(billing_line))
    write(hand.lines[0], origin=f'project.advance_invoice,{advance.id}')
    write(hand.lines[0], quantity=-10.)
    assert value(advance) == advance.invoices[0]
    post(invoice)
    assert residual(advance) == get_deposit(account) == 4500


def test_lines_changed_while_not_draft(project):
    sell_advance(project)
    invoice = value(create_intervention(
            project, ('service', 1, '500'), ('material', 1, '300')))
    invoice.click('cancel')
    invoice.lines[2].delete()
    invoice.click('draft')
    assert amounts(invoice) == [500, -500]
    post(invoice)


def test_parent_project_decides_on_the_party(project):
    child = create_project(name="Child", party=None, parent=project)
    advance = sell_advance(child)
    other = create_project(name="Other", party="Other Customer")
    with refused(child, advance):
        write(child, parent=other.id)
    with refused(child, advance):
        write(child, parent=None)
    same = create_project(name="Same")
    write(child, parent=same.id)


def test_line_moves_between_open_interventions_only(project):
    sell_advance(project)
    invoiced = create_intervention(project, ('service', 1, '500'))
    value(invoiced)
    done = create_intervention(project, ('service', 1, '500'))
    with refused(invoiced):
        write(done.lines[0], intervention=invoiced.id)
    other = create_intervention(project)
    write(done.lines[0], intervention=other.id)


def test_posted_invoice_is_not_checked_again(account, project):
    invoice = create_invoice((1, '100'), progress=False)
    write(invoice.lines[0], account=account.id)
    post(invoice)
    pay(invoice)
    sell_advance(project)
    line, = [
        l for l in invoice.move.lines if l.account == invoice.account]
    line.reconciliation.delete()
    invoice.reload()
    assert invoice.state == 'posted'


def test_invoices_can_be_duplicated(project):
    invoice = create_invoice((1, '100'), progress=False)
    copy, = invoice.duplicate()
    assert amounts(copy) == [100]


def test_opening_advance_can_be_copied(project):
    advance = create_advance(project, quantity=0, opening_quantity=5)
    copy, = advance.duplicate()
    assert (copy.quantity, copy.opening_quantity) == (5, None)


def test_taxes_without_product(project):
    tax = make_tax('.20')
    revenue = get_accounts()['revenue']
    revenue.taxes.append(tax)
    revenue.save()
    try:
        typed = create_advance(project)
        scripted = create(
            'project.advance_invoice', work=project.id, line_type='uncoded',
            description="Days", quantity=1., unit_price=Decimal(1))
        intervention = create_intervention(project, ('service', 1, '1'))
        scripted_intervention = create(
            'project.intervention', work=project.id, lines=[('create', [{
                            'kind': 'service', 'description': "Service",
                            'quantity': 1., 'unit_price': Decimal(1)}])])
        for record in [
                typed, scripted, intervention.lines[0],
                scripted_intervention.lines[0]]:
            assert record.taxes == [tax]
    finally:
        revenue.taxes.pop()
        revenue.save()


def test_other_taxes_are_pointed_out(project):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    assert not intervention.notifications()
    assert not intervention.lines[0].notifications()
    intervention = create_intervention(
        project, ('service', 1, '500', {'taxes': [make_tax('.20')]}))
    for record in [intervention, intervention.lines[0]]:
        (level, message), = record.notifications()
        assert level == 'warning'
        assert advance.rec_name in message
    invoice = value(intervention)
    assert (invoice.untaxed_amount, invoice.total_amount) == (0, 100)


@pytest.mark.parametrize('model, parent', [
        ('project.intervention.line', 'intervention'),
        ('project.advance_invoice', 'work'),
        ])
def test_lists_load_the_parent(model, parent):
    # The client calls on_change of the parent only if it knows the field
    View = Model.get('ir.ui.view')
    views = View.find([('model', '=', model), ('type', '=', 'tree')])
    assert views
    for view in views:
        definition = Model.get(model)._proxy.fields_view_get(
            view.id, 'tree', None, get_config().context)
        assert parent in definition['fields'], view.name


def test_invoice_of_a_project_is_not_on_progress(project):
    invoice = value(create_advance(project))
    with refused(invoice, "progress"):
        write(invoice, progress=True)
