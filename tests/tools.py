# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from contextlib import contextmanager
from decimal import Decimal

from proteus import Model, Wizard
from proteus.config import get_config
from trytond.modules.account.tests.tools import (
    create_chart, create_fiscalyear, create_tax, get_accounts)
from trytond.modules.account_invoice.tests.tools import (
    set_fiscalyear_invoice_sequences)
from trytond.modules.company.tests.tools import create_company, get_company
from trytond.tests.tools import activate_modules, set_user

__all__ = [
    'activate', 'setup_company', 'without_warnings', 'user_of', 'get',
    'write', 'create', 'create_sale',
    'create_invoice',
    'set_current', 'billed', 'pay', 'credit', 'next_invoice',
    'create_deposit_account', 'create_project_type', 'create_project',
    'create_advance', 'sell_advance', 'create_intervention', 'value',
    'get_deposit', 'recall_deposit']


def activate(*modules):
    "Activate the modules and set up the company from which stories start"
    return activate_modules(
        ['project_progress_invoice', *modules], setup_company)


def setup_company(config=None):
    "Create a company, its accounts, a tax, two customers and products"
    create_company(config=config)
    company = get_company(config=config)
    company.cancel_invoice_out = True
    company.save()
    create_chart(config=config)
    fiscalyear = set_fiscalyear_invoice_sequences(
        create_fiscalyear(config=config), config=config)
    fiscalyear.click('create_period')
    accounts = get_accounts(config=config)
    tax = create_tax(Decimal('.20'), config=config)
    tax.save()

    Party = Model.get('party.party', config=config)
    for name in ["Customer", "Other Customer"]:
        Party(name=name).save()

    Category = Model.get('product.category', config=config)
    Template = Model.get('product.template', config=config)
    Uom = Model.get('product.uom', config=config)
    unit, = Uom.find([('name', '=', "Unit")])
    for name, taxes in [("Untaxed", []), ("Taxed", [tax])]:
        category = Category(name=name, accounting=True)
        category.account_revenue = accounts['revenue']
        category.account_expense = accounts['expense']
        category.customer_taxes.extend(taxes)
        category.save()
        for type in ['service', 'goods']:
            Template(
                name=f"{name} {type.title()}", type=type, default_uom=unit,
                salable=True, list_price=Decimal(100),
                account_category=category).save()

    PaymentMethod = Model.get('account.invoice.payment.method', config=config)
    Journal = Model.get('account.journal', config=config)
    journal, = Journal.find([('type', '=', 'cash')], limit=1)
    PaymentMethod(
        name="Cash", journal=journal,
        credit_account=accounts['cash'],
        debit_account=accounts['cash']).save()


@contextmanager
def without_warnings():
    "Answer yes to the warnings"
    config = get_config()
    config.skip_warning = True
    try:
        yield
    finally:
        config.skip_warning = False


@contextmanager
def user_of(*groups, company=True):
    """
    Act as a user of the groups

    The company is the one of the administrator, or else the one given, or
    else none.
    """
    User = Model.get('res.user')
    Group = Model.get('res.group')
    name = f'{"-".join(groups)}-{company}'
    user = User(name=name, login=name)
    if company is not True:
        user.company = None
        while user.companies:
            user.companies.pop()
        if company:
            user.companies.append(company.__class__(company.id))
            user.company = company
    user.groups.extend(Group.find([('name', 'in', groups)]))
    user.save()
    assert len(user.groups) == len(groups)
    set_user(user)
    try:
        yield
    finally:
        set_user(1)
        user.login = f'{name}-{user.id}'
        user.save()


def get(model, name):
    "Return the record of the model with the name"
    record, = Model.get(model).find([('name', '=', name)])
    return record


def write(record, **values):
    "Write the values like a script which does not know on_change"
    record._proxy.write([record.id], values, get_config().context)
    record.reload()


def create(model, **values):
    proxy = Model.get(model)._proxy
    id_, = proxy.create([values], get_config().context)
    return Model.get(model)(id_)


def create_sale(
        *lines, method='progress', party="Customer", state='processing'):
    """
    Return a sale in the state with a line for each tuple of quantity, unit
    price and optional name of product
    """
    sale = Model.get('sale.sale')()
    sale.party = get('party.party', party)
    sale.invoice_method = method
    for quantity, price, *product in lines:
        line = sale.lines.new()
        name, = product or ["Untaxed Service"]
        line.product, = Model.get('product.product').find(
            [('template.name', '=', name)])
        line.quantity = quantity
        line.unit_price = Decimal(price)
    sale.save()
    if state != 'draft':
        sale.click('quote')
    if state not in {'draft', 'quotation'}:
        sale.click('confirm')
    return sale


def create_invoice(*lines, party="Customer", progress=True):
    """
    Return a draft invoice with a free line for each tuple of total quantity,
    unit price and optional name of product
    """
    Product = Model.get('product.product')
    invoice = Model.get('account.invoice')(type='out', progress=progress)
    invoice.party = get('party.party', party)
    for quantity, price, *product in lines:
        line = invoice.lines.new()
        if product:
            line.product, = Product.find([('template.name', '=', product[0])])
        else:
            line.account = get_accounts()['revenue']
            line.description = f"{quantity} x {price}"
        line.quantity = quantity
        line.unit_price = Decimal(price)
    invoice.save()
    return invoice


def work(invoice):
    return [l for l in invoice.lines if l.progress_line and l.type == 'line']


def set_current(invoice, *ratios):
    "Type the progress of each line of the invoice in the order"
    lines = work(invoice)
    assert len(lines) == len(ratios), (len(lines), len(ratios))
    for line, ratio in zip(lines, ratios):
        line.progress_current = ratio
    invoice.save()


def billed(invoice):
    "Return the amount of each line on progress"
    return [l.amount for l in work(invoice)]


def next_invoice(invoice, *ratios, post=True):
    "Return the next invoice of the contract with the progress of each line"
    new, = invoice.click('next_progress_invoice')
    if ratios:
        set_current(new, *ratios)
    if post:
        new.click('post')
    return new


def pay(invoice):
    wizard = invoice.click('pay')
    wizard.form.payment_method = get('account.invoice.payment.method', "Cash")
    wizard.execute('choice')
    assert invoice.state == 'paid', invoice.state


def credit(invoice, refund=False):
    "Return the credit note made by Tryton's wizard"
    wizard = Wizard('account.invoice.credit', [invoice])
    wizard.form.with_refund = refund
    wizard.execute('credit')
    invoice.reload()
    new, = wizard.actions[0]
    return new


def create_deposit_account(name="Customer Advances"):
    "Return a deposit account that is a liability of the balance sheet"
    Account = Model.get('account.account')
    Type = Model.get('account.account.type')
    payable = get_accounts()['payable']
    type_ = Type(
        name=name, company=payable.company, statement='balance', deposit=True)
    type_.parent = payable.type.parent
    type_.save()
    account = Account(
        name=name, company=payable.company, type=type_, party_required=True)
    account.save()
    return account


def create_project_type(account=None, name="Maintenance", **values):
    "Return a project type that proposes the advances for services"
    Journal = Model.get('account.journal')
    journal, = Journal.find([('type', '=', 'revenue')], limit=1)
    type_ = Model.get('project.type')(
        name=name, invoice_journal=journal, propose_service=True)
    type_.advance_account = account or create_deposit_account()
    for key, value in values.items():
        setattr(type_, key, value)
    type_.save()
    return type_


def create_project(type_=None, name="Project", party="Customer", **values):
    project = Model.get('project.work')(
        name=name, type='project', project_type=type_)
    if party:
        project.party = get('party.party', party)
    for key, value in values.items():
        setattr(project, key, value)
    project.save()
    return project


def create_advance(
        project, quantity=10, unit_price='500', taxes=(), type='on_account',
        **values):
    "Return an advance of days"
    advance = Model.get('project.advance_invoice')(
        work=project, line_type='uncoded', description="Days",
        quantity=quantity, unit_price=Decimal(unit_price), type=type)
    # A record is in one list only
    advance.taxes.extend(t.__class__(t.id) for t in taxes)
    for key, value_ in values.items():
        setattr(advance, key, value_)
    advance.save()
    return advance


def value(record):
    "Return the invoice that Valorize makes or shows"
    wizard = record.click('valorize')
    invoice, = wizard.form.invoices
    wizard.execute('end')
    record.reload()
    return Model.get('account.invoice')(invoice.id)


def sell_advance(*args, **kwargs):
    "Return an advance whose invoice is posted"
    advance = create_advance(*args, **kwargs)
    value(advance).click('post')
    advance.reload()
    return advance


def create_intervention(project, *lines, state='done', **values):
    """
    Return an intervention in the state with a line for each tuple of kind,
    quantity, unit price and optional dictionary of values
    """
    intervention = Model.get('project.intervention')(work=project)
    for name, value_ in values.items():
        setattr(intervention, name, value_)
    for kind, quantity, unit_price, *extra in lines:
        line = intervention.lines.new()
        line.kind = kind
        line.description = kind.title()
        line.quantity = quantity
        line.unit_price = Decimal(unit_price)
        for name, value_ in (extra[0] if extra else {}).items():
            if name == 'taxes':
                # A record is in one list only
                line.taxes.extend(t.__class__(t.id) for t in value_)
            else:
                setattr(line, name, value_)
    intervention.save()
    if state == 'done':
        intervention.click('do')
    return intervention


def get_deposit(account, party="Customer"):
    "Return what the account owes to the party"
    MoveLine = Model.get('account.move.line')
    return sum(
        l.credit - l.debit for l in MoveLine.find([
                ('account', '=', account.id),
                ('party', '=', get('party.party', party).id),
                ]))


def recall_deposit(invoice, account):
    wizard = invoice.click('recall_deposit')
    wizard.form.account = account
    wizard.form.description = "Deposit"
    wizard.execute('recall')
    invoice.reload()
