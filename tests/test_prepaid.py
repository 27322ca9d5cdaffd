# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Prepaid money is used before the customer is asked to pay"""
import datetime as dt
from contextlib import contextmanager
from decimal import Decimal

import pytest
from proteus import Model
from proteus.config import get_config
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError
from trytond.modules.account.tests.tools import create_tax, get_accounts

from .refused import refused
from .tools import (
    create, create_advance, create_deposit_account, create_intervention,
    create_project, create_project_type, credit, get, get_deposit, pay,
    sell_advance, user_of, value, without_warnings, write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_prepaid')]

TODAY = dt.date.today()
DAY = dt.timedelta(days=1)


@pytest.fixture
def account():
    return create_deposit_account()


@pytest.fixture
def type_(account):
    return create_project_type(account, propose_material=True)


@pytest.fixture
def project(type_):
    return create_project(type_)


@pytest.fixture
def tax():
    tax = create_tax(Decimal('.20'))
    tax.save()
    return tax


@contextmanager
def taxes_rounded_by_line():
    configuration = Model.get('account.configuration')(1)
    rounding = configuration.tax_rounding
    configuration.tax_rounding = 'line'
    configuration.save()
    try:
        yield
    finally:
        configuration.tax_rounding = rounding
        configuration.save()


def amounts(invoice):
    return [l.amount for l in invoice.lines if l.type == 'line']


def left(*advances):
    "Return the amounts that are left of the advances"
    for advance in advances:
        advance.reload()
    return [a.residual_amount for a in advances]


def get_draft(advance):
    "Return the only open invoice with lines of the advance"
    Line = Model.get('account.invoice.line')
    invoice, = {
        l.invoice for l in Line.find([
                ('advance_invoice', '=', advance.id),
                ('invoice.state', '=', 'draft'),
                ])}
    return invoice


# What an advance does not cover goes on to the next one

def test_rest_goes_on_to_the_next_advance(account, project):
    advances = [sell_advance(project, 1), sell_advance(project, 10)]
    intervention = create_intervention(
        project, ('service', 1, '500'), ('service', 1, '500'))
    assert [l.advance_invoice for l in intervention.lines] == [advances[0]] * 2
    assert intervention.covered_amount == 1000

    invoice = value(intervention)

    assert amounts(invoice) == [500, 500, -500, -500]
    assert invoice.untaxed_amount == 0
    assert left(*advances) == [0, 4500]
    assert [a.residual_quantity for a in advances] == [0, 9]
    invoice.click('post')
    assert get_deposit(account) == 4500


def test_rest_of_one_line_goes_on_over_projects_in_their_order(type_):
    parent = create_project(type_)
    child = create_project(None, party=None, parent=parent)
    of_parent = sell_advance(parent, 3, '100')
    later = sell_advance(child, 2, '100', active_from=TODAY)
    first = sell_advance(child, 1, '100')
    closed = sell_advance(child, 5, '100', closed_date=TODAY - DAY)

    invoice = value(create_intervention(child, ('service', 1, '550.50')))

    assert amounts(invoice) == [
        Decimal('550.50'), -100, -200, Decimal('-250.50')]
    assert left(first, later, of_parent, closed) == [
        0, 0, Decimal('49.50'), 500]


def test_rest_of_what_is_not_proposed_stays(project):
    "The type proposes no expenses"
    picked, other = sell_advance(project, 1, '100'), sell_advance(project)
    intervention = create_intervention(
        project, ('expense', 1, '250', {'advance_invoice': picked}),
        ('service', 1, '100', {'advance_invoice': None}))
    assert intervention.covered_amount == 100
    invoice = value(intervention)
    assert amounts(invoice) == [250, 100, -100]
    assert left(picked, other) == [0, 5000]


def test_each_line_uses_its_own_advance_first(project):
    first, second = sell_advance(project, 1, '100'), sell_advance(project, 1)
    invoice = value(create_intervention(
            project, ('service', 3, '100', {'advance_invoice': first}),
            ('expense', 1, '500', {'advance_invoice': second})))
    # The rest of the service would else be paid by the advance of the expense
    assert amounts(invoice) == [300, 500, -100, -500]
    assert left(first, second) == [0, 0]


def test_many_visits_at_once_use_what_is_left(project):
    Intervention = Model.get('project.intervention')
    advances = [sell_advance(project, 1, '150'), sell_advance(project, 1)]
    visits = [
        create_intervention(
            project, ('service', 1, '100'),
            date=TODAY - i * DAY) for i in range(7)]
    assert visits[-1].lines[0].advance_invoice == advances[1]
    Intervention.click(visits, 'valorize')
    invoice, = {i for v in visits for i in v.invoices}
    assert invoice.untaxed_amount == 50
    assert left(*advances) == [0, 0]


def test_unpaid_advance_is_not_proposed(account):
    type_ = create_project_type(account, consume='paid')
    project = create_project(type_)
    unpaid, paid = sell_advance(project), sell_advance(project)
    pay(paid.invoices[0])
    intervention = create_intervention(project, ('service', 1, '500'))
    assert intervention.lines[0].advance_invoice == paid
    invoice = value(intervention)
    assert invoice.untaxed_amount == 0
    assert left(unpaid, paid) == [5000, 4500]


@pytest.mark.parametrize('consume', ['posted', 'paid'])
def test_only_what_can_be_cancelled_is_proposed(account, consume):
    type_ = create_project_type(account, consume=consume)
    project = create_project(type_)
    credited = sell_advance(project)
    if consume == 'paid':
        pay(credited.invoices[0])
    credit(credited.invoices[0])

    def propose():
        intervention = create_intervention(
            project, ('service', 1, '500'), state='planned')
        return intervention.lines[0].advance_invoice

    assert propose() is None
    advance = sell_advance(project, 1)
    if consume == 'paid':
        assert propose() is None
        pay(advance.invoices[0])
    assert propose() == advance
    done = create_intervention(project, ('service', 1, '500'))
    # It is taken
    assert propose() is None
    done.click('plan')
    assert propose() == advance


def test_advance_of_the_header_covers_lines_without(project):
    advance = sell_advance(project)
    intervention = create_intervention(
        project, ('service', 1, '500', {'advance_invoice': None}),
        ('expense', 1, '20'))
    assert intervention.covered_amount == 0
    write(intervention, advance_invoice=advance.id)
    assert intervention.covered_amount == 520
    invoice = value(intervention)
    assert amounts(invoice) == [500, 20, -520]
    assert [bool(l.covered_by_advance) for l in invoice.lines] == [
        False, True, True, False]


def test_total_follows_the_lines_before_it_is_saved(project):
    intervention = Model.get('project.intervention')(work=project)
    for price, total in [('10.005', '20.01'), ('100', '220.01')]:
        line = intervention.lines.new(kind='service', description="Service")
        line.quantity = 2
        line.unit_price = Decimal(price)
        assert intervention.total_amount == Decimal(total)
    intervention.lines[0].invoiceable = False
    assert intervention.total_amount == 200
    intervention.save()
    assert intervention.total_amount == 200


# What is left is refunded or closed

@pytest.mark.parametrize('button', [False, True])
@pytest.mark.parametrize('used, credited', [
        (6, ('-2000', '-400', '-2400')),
        (1.6, ('-4200', '-840', '-5040')),
        ])
def test_rest_is_refunded(account, project, tax, button, used, credited):
    advance = sell_advance(project, taxes=[tax])
    pay(advance.invoices[0])
    value(create_intervention(
            project, ('service', used, '500', {'taxes': [tax]}))).click('post')
    with refused(advance):
        credit(advance.invoices[0], refund=True)
    if button:
        advance.click('refund_residual')
    else:
        credit(advance.invoices[0])
    note = get_draft(advance)
    assert (note.untaxed_amount, note.tax_amount, note.total_amount) == tuple(
        map(Decimal, credited))
    assert note in Model.get('project.advance_invoice')(advance.id).invoices
    line, = note.lines
    assert (line.quantity, line.unit_price) == (used - 10, 500)
    assert line.origin == advance.invoices[0].lines[0]
    # The draft reserves it
    for name in ['refund_residual', 'close_residual']:
        with refused(advance, note):
            advance.click(name)
    note.click('post')
    assert left(advance) == [0]
    assert advance.residual_quantity == 0
    assert get_deposit(account) == 0
    for name in ['refund_residual', 'close_residual']:
        with refused(advance):
            advance.click(name)


def test_rest_is_closed(account, project, tax):
    advance = sell_advance(project, taxes=[tax])
    value(create_intervention(
            project, ('service', 1.6, '500', {'taxes': [tax]}))).click('post')
    assert left(advance) == [4200]
    revenue = get_accounts()['revenue']
    revenue.reload()
    before = revenue.balance
    advance.click('close_residual')
    invoice = get_draft(advance)
    assert amounts(invoice) == [4200, -4200]
    assert invoice.lines[0].account == revenue
    assert invoice.total_amount == invoice.tax_amount == 0
    invoice.click('post')
    revenue.reload()
    assert revenue.balance - before == -4200
    assert left(advance) == [0]
    assert get_deposit(account) == 0
    # It is no bill of the advance
    assert advance.billed
    assert value(advance) == advance.invoices[0]


def test_closed_rest_is_given_back(account, project):
    advance = sell_advance(project)
    advance.click('close_residual')
    invoice = get_draft(advance)
    invoice.delete()
    assert left(advance) == [5000]
    advance.click('close_residual')
    invoice = get_draft(advance)
    invoice.click('post')
    note = credit(invoice)
    assert amounts(note) == [-5000, 5000]
    note.click('post')
    assert left(advance) == [5000]
    assert get_deposit(account) == 5000


def test_what_was_billed_outside_is_refunded_and_closed(account, project, tax):
    # The account has no opening entry
    sell_advance(project)
    advances = [
        create_advance(
            project, quantity=0, opening_quantity=2.5, taxes=[tax])
        for _ in range(2)]
    refunded, closed = advances
    refunded.click('refund_residual')
    note = get_draft(refunded)
    assert (note.untaxed_amount, note.total_amount) == (-1250, -1500)
    assert note.lines[0].account == account
    note.click('post')
    closed.click('close_residual')
    invoice = get_draft(closed)
    assert amounts(invoice) == [1250, -1250]
    invoice.click('post')
    assert left(*advances) == [0, 0]
    assert not any(a.billed for a in advances)
    with refused(refunded):
        write(refunded, opening_quantity=1.)


def test_both_billed_and_opening_are_refunded(project):
    # The account has no opening entry
    sell_advance(project)
    advance = sell_advance(project, quantity=1, opening_quantity=1.5)
    advance.click('refund_residual')
    note = get_draft(advance)
    assert amounts(note) == [-500, -750]
    note.click('post')
    assert left(advance) == [0]


def test_unpaid_advance_is_not_closed(account):
    project = create_project(create_project_type(account, consume='paid'))
    advance = sell_advance(project)
    with refused(advance, advance.invoices[0]):
        advance.click('close_residual')
    advance.click('refund_residual')
    assert amounts(get_draft(advance)) == [-5000]


# Tryton's own invoicing of projects

def create_worked_project(type_, days, up_to):
    "Return a project with 2 hours at 100.00 worked so many days ago"
    Employee = Model.get('company.employee')
    party = Model.get('party.party')(name="Worker")
    party.save()
    employee = Employee(party=party)
    employee.save()
    hour = get('product.uom', "Hour")
    template = Model.get('product.template')(
        name="Work", type='service', default_uom=hour,
        account_category=get('product.category', "Untaxed"))
    template.save()
    project = create_project(
        type_, project_invoice_method='timesheet',
        project_invoice_timesheet_up_to=up_to)
    task = project.children.new(name="Task", type='task')
    task.product, = template.products
    task.timesheet_available = True
    task.list_price = Decimal(100)
    project.save()
    Model.get('timesheet.line')(
        employee=employee, date=TODAY - days * DAY,
        duration=dt.timedelta(hours=2),
        work=project.children[0].timesheet_works[0]).save()
    return project


@pytest.mark.parametrize('up_to, to_pay', [
        (TODAY - DAY, 0),
        (None, 200),
        ])
def test_advance_closed_after_the_work_invoiced(type_, up_to, to_pay):
    project = create_worked_project(type_, 3, up_to)
    advance = sell_advance(project, closed_date=TODAY - DAY)
    project.click('invoice')
    line, = Model.get('timesheet.line').find([
            ('work.origin.parent', '=', project.id, 'project.work')])
    invoice = line.invoice_line.invoice
    assert invoice.untaxed_amount == to_pay
    assert left(advance) == [4800 + to_pay]


def test_project_invoice_goes_on_to_the_next_advance(type_):
    project = create_worked_project(type_, 0, None)
    advances = [sell_advance(project, 1, '80'), sell_advance(project, 1)]
    project.click('invoice')
    invoice = get_draft(advances[1])
    assert amounts(invoice) == [200, -80, -120]
    assert left(*advances) == [0, 380]
    # A second one has nothing to do with the first
    work, = project.children[0].timesheet_works
    Model.get('timesheet.line')(
        employee=Model.get('company.employee').find([])[-1], date=TODAY,
        duration=dt.timedelta(hours=1), work=work).save()
    project.reload()
    project.click('invoice')
    invoice.reload()
    assert amounts(invoice) == [200, -80, -120]
    assert left(*advances) == [0, 280]


# A cancellation follows the lines of the draft

def test_cancellation_follows_down_and_up(project):
    advance = sell_advance(project)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    line = invoice.lines[1]
    for price, cancelled in [
            ('50', '-50'), ('500', '-500'), ('0', '0'), ('500', '-500'),
            ('4700.01', '-4700.01'), ('6000', '-5000'), ('500', '-500')]:
        write(line, unit_price=Decimal(price))
        invoice.reload()
        assert amounts(invoice) == [Decimal(price), Decimal(cancelled)]
        assert left(advance) == [5000 + Decimal(cancelled)]
    # As the client does
    invoice.lines[1].quantity = .1
    invoice.save()
    assert amounts(invoice) == [50, -50]
    invoice.lines[1].quantity = 1
    invoice.save()
    assert amounts(invoice) == [500, -500]


def test_cancellation_typed_by_hand_stays(project):
    advance = sell_advance(project)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    invoice.lines[2].quantity = -.5
    invoice.save()
    assert amounts(invoice) == [500, -250]
    line = invoice.lines[1]
    for price, cancelled in [
            ('800', -250), ('100', -100), ('800', -100)]:
        write(line, unit_price=Decimal(price))
        invoice.reload()
        assert amounts(invoice) == [Decimal(price), cancelled]
    assert left(advance) == [4900]


def test_discount_gives_nothing_back(project):
    "A covered line that becomes negative is no credit note"
    advance = sell_advance(project)
    value(create_intervention(project, ('service', 1, '400'))).click('post')
    invoice = value(create_intervention(project, ('service', 1, '500')))
    line = invoice.lines[1]
    for quantity, expected in [(-.5, [-250, 0]), (1., [500, -500])]:
        write(line, quantity=quantity)
        invoice.reload()
        assert amounts(invoice) == expected
    invoice.click('post')
    note = credit(invoice)
    line = note.lines[1]
    for quantity, expected in [(.5, [250, 0]), (-1., [-500, 500])]:
        write(line, quantity=quantity)
        note.reload()
        assert amounts(note) == expected
    assert left(advance) == [4100]


def test_copy_has_nothing_of_the_advance(project):
    sell_advance(project)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    invoice.lines[2].quantity = -.5
    invoice.save()
    copy, = invoice.lines[2].duplicate(
        {'account': get_accounts()['revenue'].id})
    assert not (
        copy.advance_invoice or copy.advance_amount
        or copy.cancellation_typed or copy.advance_cancellation)


def test_cancellations_of_several_advances_follow(project):
    advances = [sell_advance(project, 1), sell_advance(project, 10)]
    invoice = value(create_intervention(project, ('service', 2, '500')))
    line = invoice.lines[1]
    for quantity, expected in [
            (.5, [250, -250, 0]),
            (1.5, [750, -500, -250]),
            (12, [6000, -500, -5000]),
            (2, [1000, -500, -500])]:
        write(line, quantity=float(quantity))
        invoice.reload()
        assert amounts(invoice) == expected
    assert left(*advances) == [0, 4500]
    invoice.click('post')


def test_raised_no_further_than_what_is_left(project):
    advance = sell_advance(project, 2)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    value(create_intervention(project, ('service', 1, '300')))
    write(invoice.lines[1], unit_price=Decimal(2000))
    invoice.reload()
    assert amounts(invoice) == [2000, -700]
    assert left(advance) == [0]


def test_credit_note_follows_down_and_up(account, project):
    advance = sell_advance(project)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    invoice.click('post')
    note = credit(invoice)
    line = note.lines[1]
    for quantity, expected in [(-.1, [-50, 50]), (-1., [-500, 500])]:
        write(line, quantity=quantity)
        note.reload()
        assert amounts(note) == expected
    note.click('post')
    assert left(advance) == [5000]
    assert get_deposit(account) == 5000


# A line that is not billed can be billed

def test_line_removed_from_the_draft_is_billed_later(project):
    sell_advance(project, 1)
    intervention = create_intervention(
        project, ('service', 1, '500'), ('expense', 1, '90'))
    invoice = value(intervention)
    invoice.lines[2].delete()
    invoice.reload()
    intervention.reload()
    assert intervention.state == 'done'
    assert amounts(invoice) == [500, -500]
    with without_warnings():
        invoice.click('post')
    intervention.reload()
    assert intervention.state == 'done'
    billed, disputed = intervention.lines
    # What is billed does not change any more
    for line, values in [
            (billed, {'quantity': 2.}), (billed, {'invoiceable': False})]:
        with refused(line, invoice):
            write(line, **values)
    with refused(billed, invoice):
        billed.delete()
    for name in ['plan', 'cancel']:
        with refused(intervention, invoice):
            intervention.click(name)
    write(disputed, unit_price=Decimal(80))
    rest = value(intervention)
    assert amounts(rest) == [80]
    assert intervention.state == 'invoiced'
    rest.click('post')
    # Credited it is to be billed again
    credit(rest).click('post')
    intervention.reload()
    assert intervention.state == 'done'
    assert intervention.total_amount == 580
    again = value(intervention)
    assert amounts(again) == [80]


def test_disputed_line_that_is_excluded(project):
    intervention = create_intervention(
        project, ('service', 1, '500'), ('expense', 1, '90'))
    invoice = value(intervention)
    invoice.lines[2].delete()
    invoice.reload()
    intervention.reload()
    assert intervention.state == 'done'
    write(intervention.lines[1], invoiceable=False)
    intervention.reload()
    assert intervention.state == 'invoiced'
    assert value(intervention) == invoice
    # It may be billed later all the same
    write(intervention.lines[1], invoiceable=True)
    intervention.reload()
    assert intervention.state == 'done'
    with refused(intervention.lines[0], invoice):
        write(intervention.lines[0], invoiceable=False)
    intervention.lines[1].delete()
    intervention.reload()
    assert intervention.state == 'invoiced'


# The taxes of what is covered are nothing

@pytest.mark.parametrize('prices', [
        ['10.03'] * 3,
        ['10.03', '0.02', '7.77'],
        ['10.03', '-1.02', '5.55'],
        ])
def test_taxes_rounded_by_line(account, project, tax, prices):
    with taxes_rounded_by_line():
        sell_advance(project, taxes=[tax])
        invoice = value(create_intervention(project, *(
                    ('service', 1, price, {'taxes': [tax]})
                    for price in prices)))
        assert invoice.untaxed_amount == 0
        assert invoice.tax_amount == invoice.total_amount == 0
        invoice.click('post')
        assert invoice.total_amount == 0
        note = credit(invoice)
        assert note.tax_amount == note.total_amount == 0


def test_taxes_rounded_by_line_of_several_advances(project, tax):
    "The parts of a line that two advances cover are taxed together"
    with taxes_rounded_by_line():
        sell_advance(project, 1, '2500.01', taxes=[tax])
        sell_advance(project, 1, '2500.02', taxes=[tax])
        invoice = value(create_intervention(
                project, ('service', 1, '5000.03', {'taxes': [tax]})))
        assert invoice.tax_amount == invoice.total_amount == 0


def test_taxes_rounded_by_line_of_a_part(project, tax):
    with taxes_rounded_by_line():
        sell_advance(project, 1, '25.08', taxes=[tax])
        invoice = value(create_intervention(project, *[
                    ('service', 1, '10.03', {'taxes': [tax]})] * 3))
        # 3 x 2.01 - 2.01 - 2.01 - 1.00
        assert invoice.untaxed_amount == Decimal('5.01')
        assert invoice.tax_amount == Decimal('1.01')


# What an advance is sold at

def create_hour(price='62.50'):
    hour = get('product.uom', "Hour")
    template = Model.get('product.template')(
        name="Hour", type='service', default_uom=hour, salable=True,
        list_price=Decimal(price),
        account_category=get('product.category', "Taxed"))
    template.save()
    product, = template.products
    return product


def test_product_takes_its_sale_unit_and_price(project):
    advance = Model.get('project.advance_invoice')(work=project)
    assert advance.unit.name == "Day"
    advance.quantity = 10
    advance.product = create_hour()
    assert (advance.unit.name, advance.unit_price) == ("Hour", Decimal('62.5'))
    advance.save()
    assert advance.amount == 625
    script = create(
        'project.advance_invoice', work=project.id, quantity=10.,
        product=advance.product.id)
    assert (script.unit.name, script.unit_price, script.taxes) == (
        "Hour", Decimal('62.5'), advance.taxes)


def test_opening_is_fixed_once_something_is_cancelled(project):
    advance = create_advance(project, quantity=0, opening_quantity=2)
    write(advance, opening_quantity=3.)
    assert left(advance) == [1500]
    invoice = value(create_intervention(project, ('service', 1, '500')))
    for quantity in [4., 2., 0.]:
        with refused(advance, invoice):
            write(advance, opening_quantity=quantity)
    write(advance, opening_quantity=3.)
    invoice.delete()
    write(advance, opening_quantity=4.)
    assert left(advance) == [2000]


def test_uncoded_advance_without_tax_is_pointed_out(project, tax):
    Advance = Model.get('project.advance_invoice')
    context = get_config().context
    values = {
        'line_type': 'uncoded', 'quantity': 1., 'taxes': [], 'id': None}

    def notify(**changes):
        return Advance._proxy.on_change_notify(
            {**values, **changes}, context)

    assert len(notify()) == 1
    assert not notify(line_type='coded')
    assert not notify(taxes=[tax.id])


# What may cover a project

def test_available_amount_of_a_child(type_):
    parent = create_project(type_)
    child = create_project(None, party=None, parent=parent)
    sell_advance(parent)
    child.reload()
    assert child.advance_residual_amount == 0
    assert child.advance_available_amount == 5000
    sell_advance(child, 1, '100')
    sell_advance(child, 1, '70', closed_date=TODAY - DAY)
    child.reload()
    parent.reload()
    assert child.advance_residual_amount == 170
    assert child.advance_available_amount == 5100
    assert parent.advance_available_amount == 5000


def test_open_advance_is_pointed_out(project):
    advance = sell_advance(project)
    invoice = value(create_intervention(
            project, ('service', 1, '500', {'advance_invoice': None})))
    with pytest.raises(UserWarning) as info:
        invoice.click('post')
    assert advance.rec_name in info.value.message
    assert '5000.00' in info.value.message
    with without_warnings():
        invoice.click('post')
    assert invoice.state == 'posted'
    # It could pay what was done before it was closed
    write(advance, closed_date=TODAY - DAY)
    for days, warned in [(3, True), (0, False)]:
        invoice = value(create_intervention(
                project, ('service', 1, '500', {'advance_invoice': None}),
                date=TODAY - days * DAY))
        if warned:
            with pytest.raises(UserWarning):
                invoice.click('post')
        else:
            invoice.click('post')
    write(advance, closed_date=None)
    # Nothing that it could pay, or nothing that could pay it
    value(create_intervention(project, ('expense', 1, '500'))).click('post')
    other = create_project(project.project_type)
    value(create_intervention(other, ('service', 1, '500'))).click('post')


def test_open_advance_of_a_project_invoice_is_pointed_out(account, tax):
    type_ = create_project_type(
        account, propose_service=False, propose_expense=True)
    project = create_worked_project(type_, 0, None)
    advance = sell_advance(project)
    project.click('invoice')
    line, = Model.get('timesheet.line').find([
            ('work.origin.parent', '=', project.id, 'project.work')])
    with pytest.raises(UserWarning, match=r"5000\.00"):
        line.invoice_line.invoice.click('post')
    assert left(advance) == [5000]


# No request hangs or says more than it should

@pytest.mark.parametrize('party', [None, "Customer"])
def test_work_in_a_circle_is_refused(type_, party):
    project = create_project(type_)
    child = create_project(type_, party=party, parent=project)
    advance = create_advance(child)
    grandchild = create_project(type_, party=None, parent=child)
    for parent in [child, grandchild]:
        with pytest.raises(UserError):
            write(child, parent=parent.id)
    advance.reload()
    assert advance.party == project.party


def test_refusal_tells_no_value(project):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    line = value(intervention).lines[1]
    guesses = [
        (intervention, 'state', ['invoiced', 'planned']),
        (intervention, 'number', [intervention.number, 'X']),
        (advance, 'residual_date', [advance.residual_date, TODAY - DAY]),
        (advance, 'work', [project.id, create_project().id]),
        (line, 'covered_by_advance', [advance.id, None]),
        (line, 'intervention', [intervention.id, None]),
        (line, 'progress_line', [None, line.id]),
        (line.invoice, 'project_billing', [True, False]),
        (line.invoice, 'progress_number', [None, 3]),
        ]
    with user_of():
        for record, name, values in guesses:
            errors = set()
            for value_ in values:
                with pytest.raises(UserError) as info:
                    record._proxy.write(
                        [record.id], {name: value_}, get_config().context)
                errors.add((type(info.value), info.value.message))
            assert len(errors) == 1, (name, errors)
            assert issubclass(errors.pop()[0], AccessError)
